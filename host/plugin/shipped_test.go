package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const shipped = "../../plugins"

// loadShipped loads what plugins/default.toml asks for, as anyone's: by path, since host packages do not import plugins.
func loadShipped(t testing.TB, r *Runtime) (*Config, []*Module) {
	t.Helper()
	toml, err := os.ReadFile(filepath.Join(shipped, "default.toml"))
	if err != nil {
		t.Skip(err)
	}
	c, err := ParseConfig("default.toml", toml, func(file string) ([]byte, error) {
		found, err := filepath.Glob(filepath.Join(shipped, "*", strings.TrimPrefix(file, "shipped:")+".wasm"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("found %q, %v", found, err)
		}
		return os.ReadFile(found[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	var mods []*Module
	for _, s := range c.Plugins {
		m, err := r.Load(ctx, s)
		if err != nil {
			t.Error(err)
			continue
		}
		mods = append(mods, m)
	}
	return c, mods
}

func TestShipped(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		c, mods := loadShipped(t, r)
		entries, err := Resolve(mods, c.Chain)
		if err != nil {
			t.Fatal(err)
		}
		const n = 4001
		l := logits(n)
		order := highest(l)
		chain := newChain(t, r, n, entries...)
		p, err := chain.Params(map[string]any{"top_k": 5, "temp": 0.7})
		if err != nil {
			t.Fatal(err)
		}
		draw, again := uint64(0), uint64(0)
		row := &Row{Logits: l, Seed: 42, Draw: &draw, Params: p, History: []uint32{1, 2, 3}}
		for range 20 {
			id, err := chain.Sample(ctx, row)
			if err != nil || !slices.Contains(order[:5], id) {
				t.Fatalf("id %d of %v, %v", id, order[:5], err)
			}
			second, err := chain.Sample(ctx, &Row{Logits: l, Seed: 42, Draw: &again, Params: p, History: []uint32{1, 2, 3}})
			if err != nil || second != id || again != draw {
				t.Fatalf("the same draw gives %d and %d, counters %d and %d; %v", id, second, draw, again, err)
			}
		}
		if !r.opt.Interpreter {
			if a := testing.AllocsPerRun(50, func() { chain.Sample(ctx, row) }); a != 0 {
				t.Errorf("%v allocations in a call of Sample", a)
			}
		}
	})
}

func BenchmarkSampleShipped(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	c, mods := loadShipped(b, r)
	entries, err := Resolve(mods, c.Chain)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{49152, 131072, 262144} {
		chain := newChain(b, r, n, entries...)
		draw := uint64(0)
		row := &Row{Logits: logits(n), Draw: &draw, History: make([]uint32, 1000)}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chain.Sample(ctx, row); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(mods[0].Stats().Calls), "x")
		})
	}
	for _, m := range mods {
		if s := m.Stats(); s.Calls > 20 {
			b.Logf("%s: %.0f units a call", m.Name(), float64(s.Fuel)/float64(s.Calls))
		}
	}
}
