package plugin

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLoad: bytes that are hardly a module, or a module that is hardly a guest, give an error and nothing worse.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.wasm"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(guest(f, filepath.Base(file[:len(file)-len(".wasm")])))
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		man, err := ReadManifest(wasm)
		if err != nil {
			return
		}
		r := newRuntime(t, RuntimeOptions{Log: func(string, string) {}})
		m, err := r.Load(ctx, Spec{Name: "fuzz", Kind: man.Kind, Wasm: wasm, Grants: []string{"log", "history", "vocab"}})
		if err != nil {
			return
		}
		// A mutant may well loop, and a tokenizer's fuel lasts for long.
		soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		use(soon, m)
	})
}

// use calls everything that a module of its kind can do; what it answers is its affair.
func use(ctx context.Context, m *Module) {
	switch m.Kind() {
	case "tokenizer":
		if tok, err := m.NewTokenizer(ctx, echoVocab()); err == nil {
			tok.Encode(ctx, nil, []byte("text <special>"), true)
			tok.Decode(ctx, nil, []uint32{1, 2, 256}, nil, Last)
		}
	case "template":
		if tmpl, err := m.NewTemplate(ctx, "a", "b", "c"); err == nil {
			tmpl.Render(ctx, []byte("{}"), time.Unix(0, 0))
		}
	case "arch":
		m.BuildProgram(ctx, archInput(0))
	case "sampler", "processor":
		var entries []ChainEntry
		for _, e := range m.Manifest().Entries {
			entries = append(entries, ChainEntry{m, e.Name})
		}
		c, err := m.r.NewChain(ctx, entries, 258, WithVocab(echoVocab()))
		if err != nil {
			return
		}
		defer c.Close()
		c.Begin(ctx, 0, nil)
		c.Accept(ctx, 0, 1, 2, 3)
		c.Sample(ctx, &Row{Logits: logits(258), History: []uint32{1, 2, 3}})
		c.Rollback(ctx, 0, 1)
		c.Fork(ctx, 1, 0)
		c.End(ctx, 0)
	}
}
