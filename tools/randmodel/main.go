// Command randmodel writes models with random weights (package gguf/randmodel):
//
//	go run ./tools/randmodel [-type Q4_0] NAME FILE    the model; -type: another format for its matrices
//	go run ./tools/randmodel -tokens N NAME            N token ids to feed it, on one line
//	go run ./tools/randmodel -large FOLDER             the models to time that FOLDER lacks, as random-NAME.gguf
//	go run ./tools/randmodel                           the names
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"forge/gguf"
	"forge/gguf/randmodel"
)

func main() {
	format := flag.String("type", "", "format of the matrices, as Q4_0")
	tokens := flag.Int("tokens", 0, "print so many token ids instead")
	large := flag.String("large", "", "write the models to time into this `FOLDER`")
	flag.Parse()
	err := writeLarge(*large)
	if *large == "" {
		err = run(*format, *tokens, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "randmodel:", err)
		os.Exit(1)
	}
}

func writeLarge(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	models := randmodel.Large()
	for _, name := range slices.Sorted(maps.Keys(models)) {
		path := filepath.Join(folder, "random-"+name+".gguf")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := models[name].Write(path); err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

func run(format string, tokens int, args []string) error {
	models := randmodel.Models()
	maps.Copy(models, randmodel.Large())
	models["peaked"] = randmodel.Peaked()
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
		s.Type, s.Mix = gguf.Types()[i], nil
	}
	if len(args) != 2 {
		return fmt.Errorf("give a name and a file")
	}
	return s.Write(args[1])
}
