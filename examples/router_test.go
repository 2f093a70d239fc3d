package examples_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"forge/gguf/randmodel"
	"forge/host"
	"forge/host/plugin"
	"forge/kernels"
	"forge/plugins"
)

// expertsModel writes a small model with random weights, 12 experts a layer of which a token takes 3.
func expertsModel(t *testing.T) (path string, shape randmodel.Shape) {
	t.Helper()
	shape = randmodel.Models()["qwen3moe"]
	path = filepath.Join(t.TempDir(), "experts.gguf")
	if err := shape.Write(path); err != nil {
		t.Fatal(err)
	}
	return path, shape
}

// openRouter opens a model on the scalar device with one of the examples in charge of its experts; log gets its lines.
func openRouter(t *testing.T, path, module string, config map[string]any, nBatch int, log func(line string)) *host.Engine {
	t.Helper()
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{Log: func(_, line string) { log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := plugin.ParseConfig("default.toml", plugins.Default(), func(file string) ([]byte, error) {
		return plugins.Shipped()[file[len("shipped:"):]], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if module != "" {
		wasm, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		m, err := plugin.ReadManifest(wasm)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Plugins, cfg.Router = append(cfg.Plugins, plugin.Spec{Name: m.Name, Kind: m.Kind, Wasm: wasm, Grants: m.Grants, Config: config}), m.Name
	}
	e, err := host.Open(ctx, path, host.Options{Device: kernels.Scalar{}, Runtime: rt, Plugins: cfg, NBatch: nBatch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		rt.Close(ctx)
	})
	return e
}

func logits(t *testing.T, e *host.Engine, tokens []uint32) (rows []float32) {
	t.Helper()
	err := e.Score(context.Background(), tokens, 0, func(_ int, logits []float32) error {
		rows = append(rows, logits...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// choices computes tokens on the scalar device, without any plugin routing, and gives for each layer and position the
// experts that the operation chose.
func choices(t *testing.T, e *host.Engine, tokens []uint32) map[[2]int][]int {
	t.Helper()
	all := map[[2]int][]int{}
	p := e.Program
	routers := map[int]kernels.Router{}
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Code != kernels.OpRoute {
			continue
		}
		n, a := p.Values[op.In[0]].Width, op.Route()
		routers[i] = func(c *kernels.RouteCall) error {
			for row, at := range c.Rows {
				chosen := kernels.ChooseExperts(nil, c.Scores[row*n:(row+1)*n], nil, a)
				copy(c.Out[row*a.TopK:], chosen)
				for _, r := range chosen {
					key := [2]int{op.Layer, int(c.Batch.Rows[at].Pos)}
					all[key] = append(all[key], r.Expert)
				}
			}
			return nil
		}
	}
	r, err := kernels.Scalar{}.Compile(kernels.Whole(p), kernels.Options{MaxRows: len(tokens), Routers: routers})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := kernels.Batch{Seqs: []kernels.Seq{{}}}
	for g := range p.Groups {
		pages := make([]int32, len(tokens)/kernels.PageSize+1)
		for i := range pages {
			pages[i] = int32(i)
		}
		if err := r.Reserve(g, len(pages)); err != nil {
			t.Fatal(err)
		}
		b.Seqs[0].Pages = append(b.Seqs[0].Pages, pages)
	}
	for i, token := range tokens {
		b.Rows = append(b.Rows, kernels.Row{Pos: int32(i), Token: int32(token)})
	}
	if _, err := r.Step(&b); err != nil {
		t.Fatal(err)
	}
	return all
}

// readRecord reads the lines of the recorder: layer and position to experts.
func readRecord(t *testing.T, lines []string) map[[2]int][]int {
	t.Helper()
	all := map[[2]int][]int{}
	for _, line := range lines {
		head, items, ok := strings.Cut(line, ":")
		layer, err := strconv.Atoi(strings.TrimPrefix(head, "layer "))
		if !ok || err != nil {
			t.Fatalf("the line %q", line)
		}
		for _, item := range strings.Fields(items) {
			var seq, pos int
			var ids string
			if _, err := fmt.Sscanf(item, "%d@%d=%s", &seq, &pos, &ids); err != nil || seq == 0 {
				t.Fatalf("the item %q: %v", item, err)
			}
			for _, id := range strings.Split(ids, ",") {
				n, err := strconv.Atoi(id)
				if err != nil {
					t.Fatal(err)
				}
				all[[2]int{layer, pos}] = append(all[[2]int{layer, pos}], n)
			}
		}
	}
	return all
}

// Ensure that the recorder tells every choice, as the operation makes it, and changes nothing.
func TestRecord(t *testing.T) {
	path, shape := expertsModel(t)
	tokens := shape.Tokens(90)
	var lines []string
	var mu sync.Mutex
	e := openRouter(t, path, "router-record/record.wasm", nil, 64, func(line string) {
		mu.Lock()
		lines = append(lines, line)
		mu.Unlock()
	})
	got := logits(t, e, tokens)
	plain := openRouter(t, path, "", nil, 64, func(string) {})
	if !slices.Equal(got, logits(t, plain, tokens)) {
		t.Error("with the recorder the logits are others")
	}
	want := choices(t, plain, tokens)
	if record := readRecord(t, lines); len(want) != 3*90 || !maps.EqualFunc(record, want, slices.Equal) {
		t.Errorf("%d choices are recorded, %d were made, or they differ", len(record), len(want))
	}
	lines = nil
	logits(t, openRouter(t, path, "router-record/record.wasm", map[string]any{"layer": 1}, 64, func(line string) { lines = append(lines, line) }), tokens)
	if record := readRecord(t, lines); len(record) != 90 || len(record[[2]int{1, 89}]) != 3 {
		t.Errorf("of one layer %d choices are recorded", len(record))
	}
}

// unevenness is the entropy that an even load has less that of the counts, in nats.
func unevenness(counts []int) float64 {
	total, h := 0, 0.0
	for _, c := range counts {
		total += c
	}
	for _, c := range counts {
		if p := float64(c) / float64(total); p > 0 {
			h -= p * math.Log(p)
		}
	}
	return math.Log(float64(len(counts))) - h
}

// balanced routes rows of scores that favour the experts from one on, in calls of the given numbers of rows, and gives the
// choices.
func balanced(t *testing.T, r *plugin.Router, own *plugin.RouteLayer, seq uint64, favour, first, rows int, cuts ...int) []uint32 {
	t.Helper()
	var ids []uint32
	for at, cut := 0, 0; at < rows; cut++ {
		n := min(cuts[cut%len(cuts)], rows-at)
		c := plugin.RouteBatch{N: n, Scores: make([]float32, n*own.NExperts), Seqs: make([]uint64, n), Positions: make([]uint32, n),
			IDs: make([]uint32, n*own.TopK), Weights: make([]float32, n*own.TopK)}
		for i := range n {
			c.Seqs[i], c.Positions[i] = seq, uint32(first+at+i)
			for e := range own.NExperts {
				c.Scores[i*own.NExperts+(e+favour)%own.NExperts] = float32(math.Sin(float64((first+at+i)*7+e*e)))/4 - float32(e)/8
			}
		}
		if err := r.Route(context.Background(), own.Layer, &c); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.IDs...)
		at += n
	}
	return ids
}

// Ensure that the balancer spreads a load that leans to a few experts, and answers by
// nothing but the sequence: however its rows are cut, beside others, and after positions are taken back.
func TestBalance(t *testing.T) {
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	wasm, err := os.ReadFile("router-balance/balance.wasm")
	if err != nil {
		t.Fatal(err)
	}
	own := &plugin.RouteLayer{Layer: 2, NExperts: 16, TopK: 2, NGroup: 1, NGroupUsed: 1, Renormalise: true, Factor: 1}
	router := func(strength float64) *plugin.Router {
		m, err := rt.Load(ctx, plugin.Spec{Name: "balance", Kind: "router", Wasm: wasm, Config: map[string]any{"strength": strength}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.NewRouter(ctx, []plugin.RouteLayer{*own}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		for _, seq := range []uint64{1, 2, 3} {
			if err := r.Begin(ctx, seq); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	load := func(ids []uint32) []int {
		counts := make([]int, 16)
		for _, id := range ids {
			counts[id]++
		}
		return counts
	}
	const rows = 300
	off, gentle, hard := balanced(t, router(0), own, 1, 0, 0, rows, 64), balanced(t, router(1), own, 1, 0, 0, rows, 64), balanced(t, router(100), own, 1, 0, 0, rows, 64)
	a, b, c := unevenness(load(off)), unevenness(load(gentle)), unevenness(load(hard))
	t.Logf("unevenness: off %.3f, gently %.3f, hard %.3f nats", a, b, c)
	if !(a > 0.5 && b < a && c < 0.02) {
		t.Error("the load is not spread as it should be")
	}
	if !slices.Equal(off[:2], gentle[:2]) || !slices.Equal(off[:2], hard[:2]) {
		t.Error("the first token, before which nothing was counted, does not go where its scores say")
	}

	r := router(1)
	var piece []uint32
	for at := 0; at < rows; at += 10 { // sequences 1 and 2 take turns; 2 goes its own way
		piece = append(piece, balanced(t, r, own, 1, 0, at, 10, 1, 3)...)
		balanced(t, r, own, 2, 5, at+5000, 10, 10)
	}
	if !slices.Equal(piece, gentle) {
		t.Error("cut otherwise and beside another sequence it chooses others")
	}
	// Drafts that were taken back: positions 270 to 299 were others first.
	again := balanced(t, r, own, 3, 0, 0, 270, 30)
	balanced(t, r, own, 3, 9, 270, 30, 30)
	if again = append(again, balanced(t, r, own, 3, 0, 270, 30, 1)...); !slices.Equal(again, gentle) {
		t.Error("positions that were taken back left a trace")
	}
	// A sequence that ended leaves room and no trace.
	for seq := uint64(10); seq < 100; seq++ {
		if err := r.Begin(ctx, seq); err != nil {
			t.Fatal(err)
		}
		if got := balanced(t, r, own, seq, 0, 0, 20, 20); !slices.Equal(got, gentle[:40]) {
			t.Fatal("a new sequence is routed by what another left")
		}
		if err := r.End(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
}

// Ensure that a model routed by the balancer gives the same logits in one step and row by row, and others than without.
func TestBalance_Model(t *testing.T) {
	path, shape := expertsModel(t)
	tokens := shape.Tokens(60)
	quiet := func(string) {}
	config := map[string]any{"strength": 3.0}
	whole := logits(t, openRouter(t, path, "router-balance/balance.wasm", config, 64, quiet), tokens)
	if !slices.Equal(whole, logits(t, openRouter(t, path, "router-balance/balance.wasm", config, 1, quiet), tokens)) {
		t.Error("row by row the logits are others")
	}
	if slices.Equal(whole, logits(t, openRouter(t, path, "", nil, 64, quiet), tokens)) {
		t.Error("the balancer changes nothing")
	}
}
