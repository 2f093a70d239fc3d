package plugin

import (
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"forge/host/plugin/hostile"
	w "forge/host/plugin/wasmtest"
)

// chancesOf computes in float64 what a pick among the k best logits at a temperature goes by: the candidates, most
// probable first, with the logarithms of their probabilities.
func chancesOf(l []float32, k int, temp float64) []Chance {
	ids := make([]uint32, len(l))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortStableFunc(ids, func(a, b uint32) int { return cmp.Compare(l[b], l[a]) })
	ids = ids[:k]
	sum := 0.0
	for _, id := range ids {
		sum += math.Exp((float64(l[id]) - float64(l[ids[0]])) / temp)
	}
	var list []Chance
	for _, id := range ids {
		list = append(list, Chance{id, float32((float64(l[id])-float64(l[ids[0]]))/temp - math.Log(sum))})
	}
	return list
}

// Ensure that the shipped samplers that pick tell the probabilities that they pick by, after what stands before them, and
// that the pick is the same whether or not anybody wants to know.
func TestChances_Shipped(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	_, mods := loadShipped(t, r)
	const n = 4001
	l := logits(n)
	for _, c := range []struct {
		name     string
		entries  []string
		settings map[string]any
		want     []Chance
	}{
		{"after top_k and temperature", []string{"top_k", "temperature", "dist"}, map[string]any{"top_k": 7, "temp": 0.3}, chancesOf(l, 7, 0.3)},
		{"of the whole row", []string{"dist"}, nil, chancesOf(l, n, 1)},
		{"of a short table", []string{"top_k", "dist"}, map[string]any{"top_k": 3}, chancesOf(l, 3, 1)},
		{"of no choice", []string{"greedy"}, nil, chancesOf(l, 1, 1)},
		{"of no choice, by a plan", []string{"top_k", "greedy"}, map[string]any{"top_k": 20}, chancesOf(l, 1, 1)},
	} {
		entries, err := Resolve(mods, c.entries)
		if err != nil {
			t.Fatal(err)
		}
		chain := newChain(t, r, n, entries...)
		p, err := chain.Params(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		draw, silent := uint64(0), uint64(0)
		for range 20 {
			told := Chances{Want: 5}
			id, err := chain.Sample(ctx, &Row{Logits: l, Seed: 3, Draw: &draw, Params: p, Chances: &told})
			other, e := chain.Sample(ctx, &Row{Logits: l, Seed: 3, Draw: &silent, Params: p})
			if err != nil || e != nil || id != other || !told.Told {
				t.Fatalf("%s: %d, %v and unasked %d, %v; told: %v", c.name, id, err, other, e, told.Told)
			}
			picked := slices.IndexFunc(c.want, func(x Chance) bool { return x.ID == uint32(id) })
			if picked < 0 || math.Abs(float64(told.Logprob-c.want[picked].Logprob)) > 1e-5 {
				t.Fatalf("%s: %d was picked by %v, want one of %v", c.name, id, told.Logprob, c.want[:min(len(c.want), 7)])
			}
			if !slices.EqualFunc(told.Top, c.want[:min(len(c.want), 5)], func(a, b Chance) bool {
				return a.ID == b.ID && math.Abs(float64(a.Logprob-b.Logprob)) <= 1e-5
			}) {
				t.Fatalf("%s: the most probable are %v, want %v", c.name, told.Top, c.want[:min(len(c.want), 5)])
			}
		}
		if a := testing.AllocsPerRun(20, func() { chain.Sample(ctx, &Row{Logits: l, Seed: 3, Draw: &draw, Params: p}) }); a > 1 { // the row
			t.Errorf("%s: %v allocations where nobody asks", c.name, a)
		}
	}
}

// Ensure that a guest which was not granted logprobs, or does not accept it, is given no room for chances, and that its
// pick comes without them.
func TestChances_NotTold(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	wasm, err := os.ReadFile(filepath.Join(shipped, "sampler", "sampler.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	ungranted, err := r.Load(ctx, Spec{Name: "sampler", Kind: "sampler", Wasm: wasm, Grants: []string{"history"}})
	if err != nil {
		t.Fatal(err)
	}
	draw, told := uint64(0), Chances{Want: 3}
	if _, err := newChain(t, r, 10, ChainEntry{ungranted, "dist"}).Sample(ctx, &Row{Logits: logits(10), Draw: &draw, Chances: &told}); err != nil || told.Told {
		t.Errorf("a shipped sampler without the grant: %v, told %+v", err, told)
	}
	rows, top, picked := uint64(20), uint64(80), uint64(48) // abi/v1.toml: rows.rows, row.top and row.selected
	field := func(at uint64) []byte {
		return w.Cat(w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(rows), w.Raw(w.OpI32Load, 2), w.U(at))
	}
	code := w.OK(field(top), w.Raw(w.OpIf, w.TypeVoid, w.OpUnreachable, w.OpEnd), w.Store32(int(rows), int(picked), 0))
	for _, c := range []struct {
		manifest string
		grants   []string
	}{
		{"", nil},
		{"grants = [\"logprobs\"]\n", nil}, // it is no reason to refuse it
		{"grants = [\"logprobs\"]\n", []string{"logprobs"}}, // it accepts nothing
	} {
		g := w.Guest{Kind: "sampler", Manifest: c.manifest + "[[entries]]\nname = \"harm\"\n", Funcs: []w.Func{{Name: "sampler_harm", Code: code}}}
		m, err := r.Load(ctx, Spec{Name: "silent", Kind: "sampler", Wasm: g.Build(), Grants: c.grants})
		if err != nil {
			t.Fatal(err)
		}
		told = Chances{Want: 3, Told: true, Logprob: -1, Top: []Chance{{1, 1}}}
		id, err := newChain(t, r, 10, ChainEntry{m, hostile.Entry}).Sample(ctx, &Row{Logits: logits(10), Chances: &told})
		if id != 0 || err != nil || told.Told || len(told.Top) != 0 {
			t.Errorf("grants %v: %d, %v, told %+v", c.grants, id, err, told)
		}
	}
}
