package plugin

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// guest reads a module of testdata.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// engines runs a test on wazero's compiler, with and without a cache on disk, and on its interpreter.
func engines(t *testing.T, f func(t *testing.T, r *Runtime)) {
	for _, e := range []struct {
		name string
		opt  RuntimeOptions
	}{{"compiler", RuntimeOptions{}}, {"cache", RuntimeOptions{CacheDir: t.TempDir()}}, {"interpreter", RuntimeOptions{Interpreter: true}}} {
		t.Run(e.name, func(t *testing.T) { f(t, newRuntime(t, e.opt)) })
	}
}

func newRuntime(t testing.TB, opt RuntimeOptions) *Runtime {
	t.Helper()
	r, err := NewRuntime(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// load loads a guest of testdata, whose kind is that of its manifest.
func load(t testing.TB, r *Runtime, name, kind string, change func(*Spec)) *Module {
	t.Helper()
	s := Spec{Name: name, Kind: kind, Wasm: guest(t, name)}
	if change != nil {
		change(&s)
	}
	m, err := r.Load(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// numberedVocab is a vocabulary of n tokens, of which the first ends a generation.
func numberedVocab(n int) *Vocab {
	texts := func(yield func([]byte) bool) {
		for i := 0; i < n && yield([]byte(strconv.Itoa(i))); i++ {
		}
	}
	return &Vocab{N: n, Model: "gpt2", EOG: []uint32{0}, Texts: texts, Pieces: texts}
}

func newChain(t testing.TB, r *Runtime, nVocab int, entries ...ChainEntry) *Chain {
	t.Helper()
	c, err := r.NewChain(context.Background(), entries, nVocab, WithVocab(numberedVocab(nVocab)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var fuelUsed = regexp.MustCompile(` \(fuel used: (?:under )?[0-9,]+ units\)`)

// wantError holds an error to a sentence, or to the beginning of one that ends in "...". The fuel used is left out where
// the sentence does not have it.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	got := "no error"
	if err != nil {
		got = err.Error()
	}
	if !strings.Contains(want, "(fuel used: ") {
		got = fuelUsed.ReplaceAllString(got, "")
	}
	if begin, ok := strings.CutSuffix(want, "..."); ok && strings.HasPrefix(got, begin) {
		return
	}
	if got != want {
		t.Errorf("error:\n got %s\nwant %s", got, want)
	}
}
