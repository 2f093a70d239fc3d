// Command mkmodel writes GGUF models with random weights, for measuring speed: what they say means nothing.
//
//	go run ./tools/mkmodel -o models            every file below
//	go run ./tools/mkmodel -o models 1b-q8_0    one of them
//
// The shapes are those of common models, the formats those of common files; 1b-q4_k_m mixes Q4_K and Q6_K over the tensors
// as llama.cpp's Q4_K_M does. Norms are ones in F32, everything else is drawn from N(0, 0.02) and encoded. The tokenizer is
// copied from a real file (-vocab). The same seed gives the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"forge/gguf"
)

func main() {
	out := flag.String("o", "models", "the `FOLDER` to write to")
	vocab := flag.String("vocab", "models/SmolLM2-135M-Instruct.Q4_1.gguf", "the GGUF `FILE` whose tokenizer is copied")
	seed := flag.Uint64("seed", 1, "seed of the weights")
	force := flag.Bool("force", false, "write files that are there again")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: mkmodel [flags] [NAME...]\nnames: %s\n", strings.Join(names(), " "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*out, *vocab, *seed, *force, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mkmodel:", err)
		os.Exit(1)
	}
}

// file is one model to write.
type file struct {
	name   string
	shape  *shape
	types  func(tensor string, layer, layers int) gguf.Type
	number uint32 // general.file_type, by which other programs call the mix
}

var files = []file{
	{"1b-q4_k_m", &dense, mixQ4KM, 15},
	{"1b-q8_0", &dense, all(gguf.Q8_0), 7},
	{"1b-q4_0", &dense, mixQ4, 2},
	{"1b-f16", &dense, all(gguf.F16), 1},
	{"moe-q4_k_m", &experts, mixQ4KM, 15},
	{"tiny-q4_k_m", &tiny, mixQ4KM, 15},
}

func names() []string {
	var all []string
	for _, f := range files {
		all = append(all, f.name)
	}
	return all
}

func run(folder, vocab string, seed uint64, force bool, wanted []string) error {
	if len(wanted) == 0 {
		wanted = names()
	}
	source, err := gguf.Open(vocab)
	if err != nil {
		return fmt.Errorf("the tokenizer's file: %w", err)
	}
	defer source.Close()
	for _, name := range wanted {
		f := find(name)
		if f == nil {
			return fmt.Errorf("there is no model %q: possible are %s", name, strings.Join(names(), ", "))
		}
		path := filepath.Join(folder, "random-"+name+".gguf")
		if _, err := os.Stat(path); err == nil && !force {
			continue
		}
		if err := writeFile(path, f, source, seed); err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

func find(name string) *file {
	for i := range files {
		if files[i].name == name {
			return &files[i]
		}
	}
	return nil
}

// writeFile leaves no half-written model behind.
func writeFile(path string, f *file, source *gguf.File, seed uint64) error {
	w, err := model(f, source, seed)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	half, err := os.CreateTemp(filepath.Dir(path), ".mkmodel-*")
	if err != nil {
		return err
	}
	defer os.Remove(half.Name())
	_, err = w.WriteTo(half)
	if closed := half.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(half.Name(), 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(half.Name(), path)
}
