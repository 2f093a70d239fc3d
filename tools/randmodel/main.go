// Command randmodel writes a model with random weights (package gguf/randmodel):
//
//	go run ./tools/randmodel [-type Q4_0] NAME FILE    the model; -type: another format for its matrices
//	go run ./tools/randmodel -tokens N NAME            N token ids to feed it, on one line
//	go run ./tools/randmodel                           the names
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"forge/gguf"
	"forge/gguf/randmodel"
)

func main() {
	format := flag.String("type", "", "format of the matrices, as Q4_0")
	tokens := flag.Int("tokens", 0, "print so many token ids instead")
	flag.Parse()
	if err := run(*format, *tokens, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "randmodel:", err)
		os.Exit(1)
	}
}

func run(format string, tokens int, args []string) error {
	models := randmodel.Models()
	names := strings.Join(slices.Sorted(maps.Keys(models)), ", ")
	if len(args) == 0 {
		fmt.Println(names)
		return nil
	}
	s, ok := models[args[0]]
	if !ok {
		return fmt.Errorf("there is no model %q; there are %s", args[0], names)
	}
	if tokens > 0 {
		fmt.Println(strings.Trim(fmt.Sprint(s.Tokens(tokens)), "[]"))
		return nil
	}
	if format != "" {
		i := slices.IndexFunc(gguf.Types(), func(t gguf.Type) bool { return t.String() == format && t.Quantizable() })
		if i < 0 {
			return fmt.Errorf("%q is no format that can be written", format)
		}
		s.Type = gguf.Types()[i]
	}
	if len(args) != 2 {
		return fmt.Errorf("give a name and a file")
	}
	return s.Write(args[1])
}
