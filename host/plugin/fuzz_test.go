package plugin

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forge/host/plugin/hostile"
	w "forge/host/plugin/wasmtest"
	"forge/tools/fuzzcount"
)

// seed is a module that mutations begin with, and where its code lies.
type seed struct {
	wasm       []byte
	begin, end int
}

// seedModules are the guests of testdata and those hostile ones that load.
func seedModules(t testing.TB) []seed {
	files, err := filepath.Glob(filepath.Join("testdata", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var list []seed
	for _, file := range files {
		list = append(list, seedOf(guest(t, strings.TrimSuffix(filepath.Base(file), ".wasm"))))
	}
	for _, h := range hostile.Modules() {
		if len(h.Wasm) < 4096 && (h.Want == "" || h.Want[0] == 's' || h.Want[0] == 'r' || h.Want[0] == 'c') {
			list = append(list, seedOf(h.Wasm))
		}
	}
	return list
}

func seedOf(wasm []byte) seed {
	for at := 8; at < len(wasm); {
		size, n := binary.Uvarint(wasm[at+1:])
		begin := at + 1 + n
		if wasm[at] == w.SecCode {
			return seed{wasm, begin, begin + int(size)}
		}
		at = begin + int(size)
	}
	return seed{wasm, 8, len(wasm)}
}

// mutant changes a few bytes of a seed: edits are read five bytes at a time, where, how and what. Most hit the code, whose
// operands may have any value, so that many a mutant still loads.
func mutant(seeds []seed, which uint16, edits []byte) []byte {
	s := seeds[int(which)%len(seeds)]
	wasm := bytes.Clone(s.wasm)
	for ; len(edits) >= 5; edits = edits[5:] {
		begin, end := s.begin, min(s.end, len(wasm))
		if edits[2]>>3 == 0 { // anywhere
			begin, end = 8, len(wasm)
		}
		if end <= begin {
			break
		}
		at := begin + int(binary.LittleEndian.Uint16(edits))*(end-begin)>>16
		next := func(first, last byte) (int, bool) { // the next byte like these that has one behind it
			for k := at; k < end-1; k++ {
				if wasm[k] >= first && wasm[k] <= last {
					return k, true
				}
			}
			return 0, false
		}
		switch edits[2] % 20 {
		case 0:
			wasm[at] = edits[3]
		case 8, 9, 10, 11, 12, 13, 14, 15: // another constant
			if k, ok := next(w.OpI32Const, w.OpI32Const); ok && wasm[k+1] < 0x80 {
				wasm[k+1] = edits[3] & 0x7f
			}
		case 16, 17, 18, 19: // other arithmetic
			if k, ok := next(w.OpI32Add, 0x78); ok {
				wasm[k] = w.OpI32Add + edits[3]%15
			}
		case 1:
			wasm[at] ^= 1 << (edits[3] % 8)
		case 2:
			wasm[at]++
		case 3:
			wasm[at]--
		case 4: // swap with a neighbour
			to := min(len(wasm)-1, at+1+int(edits[3]%4))
			wasm[at], wasm[to] = wasm[to], wasm[at]
		case 5: // another instruction of the same shape, most likely
			wasm[at] = wasm[at]&0xf0 | edits[3]&0x0f
		case 6: // a piece of the module in another place
			n := min(int(edits[3]%16), len(wasm)-at)
			copy(wasm[at:at+n], wasm[begin+int(edits[4])*(end-begin)>>8:])
		case 7:
			if edits[4] < 8 { // seldom: what follows is shifted, and the sizes are wrong
				wasm = slices.Delete(wasm, at, at+1)
			}
		}
	}
	return wasm
}

// runMutant loads a mutant and calls all of it; reached tells whether a call of its kind ran.
func runMutant(t testing.TB, r *Runtime, wasm []byte) (reached bool) {
	man, err := ReadManifest(wasm)
	if err != nil {
		return false
	}
	m, err := r.Load(ctx, Spec{Name: "fuzz", Kind: man.Kind, Wasm: wasm, Grants: []string{"log", "history", "vocab", "wasi", "logprobs"}})
	if err != nil {
		if len(err.Error()) > 2000 {
			t.Fatalf("a sentence of %d bytes: %.200s", len(err.Error()), err)
		}
		return false
	}
	// A mutant may well loop, and a tokenizer's fuel lasts for long.
	soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	reached, _ = use(soon, m)
	return reached
}

// TestMutants runs a fixed number of mutants and wants a tenth of them to get as far as a call, so that it is known to
// test something.
func TestMutants(t *testing.T) {
	n := 300
	if os.Getenv("FORGE_TEST_ALL") != "" {
		n = 20_000
	}
	seeds := seedModules(t)
	rng := rand.New(rand.NewPCG(8, 9))
	r := newRuntime(t, RuntimeOptions{Log: func(string, string) {}})
	reached := 0
	for i := range n {
		edits := make([]byte, 5*(1+rng.IntN(4)))
		for k := range edits {
			edits[k] = byte(rng.Uint32())
		}
		if runMutant(t, r, mutant(seeds, uint16(rng.Uint32()), edits)) {
			reached++
		}
		if i%500 == 499 { // compiled modules stay until the runtime ends
			r = newRuntime(t, RuntimeOptions{Log: func(string, string) {}})
		}
	}
	t.Logf("%d of %d mutants reach a call", reached, n)
	if reached < n/10 {
		t.Errorf("only %d of %d mutants reach a call", reached, n)
	}
}

// FuzzMutant is the same on the fuzzer's inputs.
func FuzzMutant(f *testing.F) {
	seeds := seedModules(f)
	for i := range seeds {
		f.Add(uint16(i), []byte{})
		f.Add(uint16(i), []byte{0, 0x80, 0, 1, 0, 0, 0xa0, 2, 0, 0, 0, 0xc0, 1, 3, 0})
	}
	count := fuzzcount.New(f, "mutants reach a call", 10)
	f.Fuzz(func(t *testing.T, which uint16, edits []byte) {
		r := newRuntime(t, RuntimeOptions{Log: func(string, string) {}})
		edits = edits[:min(len(edits), 20)] // more than four break every module
		count.Add(runMutant(t, r, mutant(seeds, which, edits)))
	})
}

// spliced puts a few bytes over those of a seed, or seldom between them, which no section's size survives. They go anywhere,
// to sizes, counts and names as well as code, but every other time behind the code, where data and the manifest lie.
func spliced(seeds []seed, which, at uint16, patch []byte, how byte) []byte {
	s := seeds[int(which)%len(seeds)]
	begin := 8
	if how%2 == 0 && s.end < len(s.wasm) {
		begin = s.end
	}
	where := begin + int(at)*(len(s.wasm)-begin)>>16
	patch = patch[:min(len(patch), 1+int(how>>1)%3, len(s.wasm)-where)]
	wasm := bytes.Clone(s.wasm)
	if how < 16 {
		return slices.Insert(wasm, where, patch...)
	}
	copy(wasm[where:], patch)
	return wasm
}

// FuzzLoad: modules with a few wrong bytes anywhere give an error, or run, and nothing worse. Few of them get as far as a
// call, for which FuzzMutant is; here those count whose sections and manifest can be read, so that their insides are tried.
func FuzzLoad(f *testing.F) {
	seeds := seedModules(f)
	for i := range seeds {
		f.Add(uint16(i), uint16(i*997), []byte{0x7f}, byte(16+i))
		f.Add(uint16(i), uint16(i*997), []byte{1}, byte(0))
	}
	count := fuzzcount.New(f, "modules have a manifest that can be read", 10)
	f.Fuzz(func(t *testing.T, which, at uint16, patch []byte, how byte) {
		wasm := spliced(seeds, which, at, patch, how)
		runMutant(t, newRuntime(t, RuntimeOptions{Log: func(string, string) {}}), wasm)
		_, err := ReadManifest(wasm)
		count.Add(err == nil)
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
	// Behind it stands one that picks the first candidate, to which it leaves its table.
	picker, err := m.r.Load(ctx, Spec{Name: "picker", Kind: "sampler", Wasm: hostile.Picker()})
	if err != nil {
		return false, err
	}
	entries = append(entries, ChainEntry{picker, "first"})
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
			_, err := c.Sample(ctx, &Row{Logits: logits(v.N), History: []uint32{1, 2, 3}, Draw: &draw, Chances: &Chances{Want: 4}})
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
