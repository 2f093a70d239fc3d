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

// use calls everything that a module of its kind can do and gives the first error; reached tells whether a call of the
// kind itself ran.
func use(ctx context.Context, m *Module) (reached bool, err error) {
	switch m.Kind() {
	case "tokenizer":
		tok, err := m.NewTokenizer(ctx, echoVocab())
		if err != nil {
			return false, err
		}
		defer tok.Close()
		_, err = tok.Encode(ctx, nil, []byte("text <special>"), true)
		if _, e := tok.Decode(ctx, nil, []uint32{1, 2, 256}, nil, Last); err == nil {
			err = e
		}
		return true, err
	case "template":
		tmpl, err := m.NewTemplate(ctx, "a", "b", "c")
		if err != nil {
			return false, err
		}
		defer tmpl.Close()
		_, err = tmpl.Render(ctx, []byte("{}"), time.Unix(0, 0))
		return true, err
	case "arch":
		_, err := m.BuildProgram(ctx, archInput(0))
		return true, err
	case "sampler", "processor":
		return useChain(ctx, m)
	case "constraint":
		return useConstraint(ctx, m)
	case "router":
		return useRouter(ctx, m)
	}
	return false, nil
}

func useChain(ctx context.Context, m *Module) (reached bool, err error) {
	var entries []ChainEntry
	for _, e := range m.Manifest().Entries {
		entries = append(entries, ChainEntry{m, e.Name})
	}
	v := echoVocab()
	c, err := m.r.NewChain(ctx, entries, v.N, WithVocab(v))
	if err != nil {
		return false, err
	}
	defer c.Close()
	draw := uint64(9)
	var data []byte
	for _, f := range []func() error{
		func() error { return c.Begin(ctx, 0, nil) },
		func() error { return c.AcceptPrompt(ctx, 0, 1, 2, 3) },
		func() error {
			_, err := c.Sample(ctx, &Row{Logits: logits(v.N), History: []uint32{1, 2, 3}, Draw: &draw})
			if err != nil && err.Error() == "the chain picks no token: end it with greedy or dist" {
				return nil
			}
			return err
		},
		func() error { return c.Accept(ctx, 0, 4) },
		func() error { return c.Rollback(ctx, 0, 1) },
		func() error { return c.Fork(ctx, 1, 0) },
		func() (e error) { data, e = c.Save(ctx, 0); return e },
		func() error { return c.Load(ctx, 2, nil, data) },
		func() error { return c.End(ctx, 0) },
	} {
		if e := f(); e != nil && err == nil {
			err = e
		}
	}
	return true, err
}

func useConstraint(ctx context.Context, m *Module) (reached bool, err error) {
	v := echoVocab()
	v.Pieces = v.Texts
	c, err := m.NewConstraint(ctx, v)
	if err != nil {
		return false, err
	}
	defer c.Close()
	row := []MaskRow{{Seq: 1, Mask: make([]uint32, (v.N+31)/32)}}
	var data []byte
	for _, f := range []func() error{
		func() error { return c.Begin(ctx, 1, nil) },
		func() error { return c.AcceptPrompt(ctx, 1, 5, 6) },
		func() error { return c.Accept(ctx, 1, 7) },
		func() error {
			if err := c.Mask(ctx, row); err != nil {
				return err
			}
			return row[0].Err
		},
		func() error {
			row[0].Drafts = []uint32{8, 9}
			if err := c.Validate(ctx, row); err != nil {
				return err
			}
			return row[0].Err
		},
		func() error { return c.Rollback(ctx, 1, 1) },
		func() error { return c.Fork(ctx, 2, 1) },
		func() (e error) { data, e = c.Save(ctx, 2); return e },
		func() error { return c.Load(ctx, 3, nil, data) },
		func() error { return c.End(ctx, 1) },
	} {
		if e := f(); e != nil && err == nil {
			err = e
		}
	}
	return true, err
}

func useRouter(ctx context.Context, m *Module) (reached bool, err error) {
	l := routeLayers()[0]
	r, err := m.NewRouter(ctx, []RouteLayer{l}, nil)
	if err != nil {
		return false, err
	}
	defer r.Close()
	_, _, err = r.Plan(ctx, l.Layer)
	if e := r.Route(ctx, l.Layer, routeBatch(l, 1)); err == nil {
		err = e
	}
	return true, err
}
