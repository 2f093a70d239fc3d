package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/tools/fuzzcount"
)

// Programs as an architecture guest might write them, well meant or not: random operations over weights of every format,
// most of which fit together, and then a few fields changed to anything. What Check lets pass runs on the scalar device and
// on this one, with every weight at the edge of a page that must not be touched.

// chooser draws from the bytes of a fuzzed input, and zeros once they are used up.
type chooser struct{ b []byte }

func (c *chooser) byte() byte {
	if len(c.b) == 0 {
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

func (c *chooser) n(n int) int { return int(c.byte()) % n }

func (c *chooser) of(list ...int) int { return list[c.n(len(list))] }

func (c *chooser) u32() uint32 {
	return binary.LittleEndian.Uint32([]byte{c.byte(), c.byte(), c.byte(), c.byte()})
}

// guardedWeights keeps weights between programs: a mapping for each would take longer than the program.
type guardedWeights struct {
	testing.TB // of the program at hand, but mappings outlive it
	list       map[string]kernels.Weight
	unmap      []func()
}

// Cleanup is called by guarded.
func (g *guardedWeights) Cleanup(f func()) { g.unmap = append(g.unmap, f) }

// clear unmaps all weights once there are many: a process may have only so many mappings.
func (g *guardedWeights) clear() {
	if len(g.list) > 4000 {
		for _, f := range g.unmap {
			f()
		}
		g.unmap = nil
		clear(g.list)
	}
}

var weightTypes = []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.Q2_K,
	gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K, gguf.IQ4_NL, gguf.IQ4_XS, gguf.MXFP4}

// weight gives a weight of this type and shape, or F32 where the type's blocks do not fit. wild ones have random bits, so
// scales that are infinite or no number.
func (g *guardedWeights) weight(typ gguf.Type, wild, atEnd bool, shape ...int) kernels.Weight {
	n := shape[len(shape)-1]
	if !typ.Supported() || n%typ.BlockElems() != 0 {
		typ = gguf.F32
	}
	key := fmt.Sprint(typ, wild, atEnd, shape)
	if w, ok := g.list[key]; ok {
		return w
	}
	rows := 1
	for _, d := range shape[:len(shape)-1] {
		rows *= d
	}
	rng := rand.New(rand.NewPCG(7, uint64(len(key))))
	data := guarded(g, rows*typ.RowBytes(n), atEnd)
	x := make([]float32, rows*n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() / math.Sqrt(float64(n)))
	}
	if wild || gguf.Quantize(typ, data, x) != nil {
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
	}
	w := kernels.Weight{Name: key, Type: typ, Shape: shape, Data: data}
	g.list[key] = w
	return w
}

// programWriter writes one program.
type programWriter struct {
	*chooser
	pool    *guardedWeights
	p       *kernels.Program
	widths  []int // of the values
	routes  []int // experts that a value of routes chooses from, 0 for others
	wild    bool
	rowsCut bool
}

func (w *programWriter) weight(shape ...int) kernels.WeightID {
	typ := weightTypes[w.n(len(weightTypes))]
	if len(shape) == 1 {
		typ = gguf.F32
	}
	w.p.Weights = append(w.p.Weights, w.pool.weight(typ, w.wild, w.n(4) != 0, shape...))
	return kernels.WeightID(len(w.p.Weights) - 1)
}

// maybe gives a weight or none.
func (w *programWriter) maybe(shape ...int) kernels.WeightID {
	if w.n(2) == 0 {
		return -1
	}
	return w.weight(shape...)
}

// value picks an earlier value, a late one more likely.
func (w *programWriter) value() kernels.ValueID {
	n := len(w.widths)
	v := n - 1 - min(w.n(n+2), n-1)*w.n(2)
	for w.routes[v] > 0 { // routes are for experts
		v--
	}
	return kernels.ValueID(v)
}

// op appends an operation that makes a value of this width.
func (w *programWriter) op(code kernels.OpCode, width int, attrs interface{ Set(*kernels.Op) }, weights []kernels.WeightID, in ...kernels.ValueID) kernels.ValueID {
	op := kernels.Op{Code: code, Layer: w.n(3) - 1, In: in, W: weights}
	if attrs != nil {
		attrs.Set(&op)
	}
	id := kernels.ValueID(len(w.widths))
	if code == kernels.OpOutput {
		id = -1
	} else {
		op.Out = []kernels.ValueID{id}
		w.widths, w.routes = append(w.widths, width), append(w.routes, 0)
	}
	w.p.Ops = append(w.p.Ops, op)
	return id
}

func (w *programWriter) linear(nOut int, x kernels.ValueID) kernels.ValueID {
	return w.op(kernels.OpLinear, nOut, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{w.weight(nOut, w.widths[x]), w.maybe(nOut)}, x)
}

const programVocab = 40

func (w *programWriter) program() {
	w.wild = w.n(4) == 3
	n := w.of(32, 64, 96, 256, 8, 33, 1)
	w.op(kernels.OpEmbed, n, nil, []kernels.WeightID{w.weight(programVocab, n)})
	for range 1 + w.n(12) {
		w.step()
	}
	x := w.value()
	if w.n(3) > 0 {
		x = w.linear(w.of(programVocab, 31, 64, 200), x)
	}
	w.op(kernels.OpOutput, 0, kernels.OutputAttrs{Kind: kernels.OutputKind(w.n(2))}, nil, x)
}

// step writes an operation, with what it needs.
func (w *programWriter) step() {
	x := w.value()
	n := w.widths[x]
	act := kernels.Act(w.n(6))
	switch w.n(15) {
	case 0, 1:
		w.linear(w.of(32, 64, 128, 7, 256, 1), x)
	case 2:
		w.op(kernels.OpNorm, n, kernels.NormAttrs{Kind: kernels.NormKind(w.n(2)), Eps: 1e-5}, []kernels.WeightID{w.maybe(n), w.maybe(n)}, x)
	case 3:
		w.attention(x)
	case 4:
		w.experts(x)
	case 5:
		y := w.linear(n, x)
		w.op(kernels.OpGLU, n, kernels.GLUAttrs{Act: act, Alpha: 1, Limit: float32(w.n(3))}, nil, x, y)
	case 6:
		w.op(kernels.OpAct, n, kernels.ActAttrs{Act: act}, nil, x)
	case 7, 8:
		y := w.value()
		if w.widths[y] != n {
			y = x
		}
		w.op([]kernels.OpCode{kernels.OpAdd, kernels.OpMul}[w.n(2)], n, nil, nil, x, y)
	case 9:
		w.op(kernels.OpScale, n, kernels.ScaleAttrs{Factor: float32(w.n(9)) - 4}, nil, x)
	case 10:
		w.op(kernels.OpSoftcap, n, kernels.SoftcapAttrs{Cap: float32(1 + w.n(50))}, nil, x)
	case 11:
		first := w.n(n)
		width := 1 + w.n(n-first)
		w.op(kernels.OpView, width, kernels.ViewAttrs{Offset: first, Width: width}, nil, x)
	case 12:
		y := w.value()
		if n+w.widths[y] <= 4096 {
			w.op(kernels.OpConcat, n+w.widths[y], kernels.ConcatAttrs{Heads: 1}, nil, x, y)
		}
	case 13:
		if n >= 2 {
			rot := min(n&^1, 2*(1+w.n(32)))
			w.op(kernels.OpRope, n, kernels.RopeAttrs{Mode: kernels.RopeMode(w.n(2)), HeadDim: n, NRot: rot, First: w.n(n - rot + 1), Base: 10000, FreqScale: 1,
				AttnFactor: 1, BetaFast: 32, BetaSlow: 1, ExtFactor: float32(w.n(2)), NCtxOrig: 128}, []kernels.WeightID{w.maybe(rot / 2)}, x)
		}
	case 14:
		if !w.rowsCut && w.n(3) == 0 {
			w.rowsCut = true
			w.op(kernels.OpRows, n, nil, nil, x)
		}
	}
}

func (w *programWriter) attention(x kernels.ValueID) {
	dims := []int{8, 16, 32, 64, 128, 1, 24}
	dk, dv := dims[w.n(len(dims))], dims[w.n(len(dims))]
	kv := 1 + w.n(3)
	heads := kv * (1 + w.n(4))
	q, k, v := w.linear(heads*dk, x), w.linear(kv*dk, x), w.linear(kv*dv, x)
	causal := w.of(1, 1, 1, 0)
	w.op(kernels.OpAttention, heads*dv, kernels.AttentionAttrs{NHead: heads, NHeadKV: kv, HeadDimK: dk, HeadDimV: dv, Scale: float32(1 / math.Sqrt(float64(dk))),
		Causal: causal, Window: causal * w.of(0, 0, 1, 33, 64), Softcap: float32(w.of(0, 0, 30))}, []kernels.WeightID{w.maybe(heads)}, q, k, v)
}

func (w *programWriter) experts(x kernels.ValueID) {
	n := w.widths[x]
	experts, ff := w.of(4, 8, 16), w.of(32, 64, 5)
	scores := w.linear(experts, x)
	groups := w.of(1, 1, 2, 4)
	used := 1 + w.n(groups)
	k := 1 + w.n(experts/groups*used)
	routes := w.op(kernels.OpRoute, k, kernels.RouteAttrs{Score: kernels.RouteScore(w.n(3)), TopK: k, NGroup: groups, NGroupUsed: used, Renormalise: w.n(2), Factor: 1},
		[]kernels.WeightID{w.maybe(experts)}, scores)
	w.routes[routes] = experts
	gate, up, down := w.weight(experts, ff, n), w.weight(experts, ff, n), w.weight(experts, n, ff)
	w.op(kernels.OpExperts, n, kernels.ExpertsAttrs{Act: kernels.Act(w.n(6)), Alpha: 1}, []kernels.WeightID{gate, up, down}, x, routes)
}

// spoil changes fields to anything.
func (w *programWriter) spoil() {
	for range w.n(3) * w.n(3) {
		op := &w.p.Ops[w.n(len(w.p.Ops))]
		v := w.u32()
		if w.n(2) == 0 {
			v %= 64
		}
		switch w.n(8) {
		case 0:
			op.Code = kernels.OpCode(v % 20)
		case 1:
			if len(op.In) > 0 {
				op.In[w.n(len(op.In))] = kernels.ValueID(int32(v))
			}
		case 2:
			if len(op.W) > 0 {
				op.W[w.n(len(op.W))] = kernels.WeightID(int32(v))
			}
		case 3:
			op.Layer = int(int32(v))
		case 4:
			k := &w.p.Weights[w.n(len(w.p.Weights))]
			k.Shape = append([]int{int(v)}, k.Shape[1:]...)
		case 5:
			k := &w.p.Weights[w.n(len(w.p.Weights))]
			k.Type = gguf.Type(v % 40)
		default:
			op.Attr[w.n(kernels.MaxAttrs)] = v
		}
	}
}

var programWeights = guardedWeights{list: map[string]kernels.Weight{}}

// runProgram makes a program of an input and tells whether Check accepts it; if so it runs on both devices.
func runProgram(t testing.TB, input []byte) (accepted bool) {
	programWeights.TB = t
	programWeights.clear()
	w := &programWriter{chooser: &chooser{input}, pool: &programWeights, p: &kernels.Program{Name: "random"}}
	w.program()
	w.spoil()
	p := w.p
	if p.Check() != nil {
		return false
	}
	if p.Live() > 1<<18 {
		return true
	}
	batches := programBatches(p)
	var reference []float32
	for i, rung := range ladder() {
		old := level
		level = rung
		out, err := kernels.Outputs(New(), kernels.Whole(p), kernels.Options{MaxRows: 8, Threads: 1, KeyType: gguf.F16, ValueType: gguf.F16}, batches)
		level = old
		if err != nil {
			t.Fatalf("%v: %v\n%s", rung, err, programText(p))
		}
		if i == 0 {
			reference = out
		} else if k := firstDifference(out, reference); k >= 0 && !w.wild && finite(reference) { // rungs differ in what NaN does
			t.Fatalf("entry %d is %v on %v, %v on %v\n%s", k, out[k], rung, reference[k], ladder()[0], programText(p))
		}
	}
	scalar, err := kernels.Outputs(kernels.Scalar{}, kernels.Whole(p), kernels.Options{MaxRows: 8, Threads: 1, KeyType: gguf.F16, ValueType: gguf.F16}, batches)
	if err != nil {
		t.Fatalf("scalar: %v\n%s", err, programText(p))
	}
	if len(scalar) != len(reference) {
		t.Fatalf("%d entries, scalar has %d\n%s", len(reference), len(scalar), programText(p))
	}
	return true
}

// programBatches is a prompt of two sequences, and then a step of each.
func programBatches(p *kernels.Program) []kernels.Batch {
	var seqs []kernels.Seq
	for s := range int32(2) {
		pages := make([][]int32, len(p.Groups))
		for g := range pages {
			pages[g] = []int32{s}
		}
		seqs = append(seqs, kernels.Seq{Pages: pages})
	}
	vocab := int32(programVocab)
	for i := range p.Ops {
		if op := &p.Ops[i]; op.Code == kernels.OpEmbed {
			vocab = min(vocab, int32(p.Weights[op.W[0]].Shape[0]))
		}
	}
	row := func(seq, pos int32, want bool) kernels.Row {
		return kernels.Row{Seq: seq, Pos: pos, Token: (seq*7 + pos*3 + vocab - 1) % vocab, Want: want}
	}
	return []kernels.Batch{
		{Rows: []kernels.Row{row(0, 0, false), row(0, 1, true), row(0, 2, true), row(1, 0, true)}, Seqs: seqs},
		{Rows: []kernels.Row{row(0, 3, true)}, Seqs: seqs},
		{Rows: []kernels.Row{row(0, 4, true), row(1, 1, true)}, Seqs: seqs},
	}
}

func firstDifference(a, b []float32) int {
	if len(a) != len(b) {
		return 0
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i
		}
	}
	return -1
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func programText(p *kernels.Program) string {
	var text strings.Builder
	p.Listing(&text)
	return text.String()
}

func randomInput(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 4))
	input := make([]byte, 40+rng.IntN(400))
	for i := range input {
		input[i] = byte(rng.Uint32())
	}
	return input
}

// TestRandomPrograms runs a fixed number of programs and wants 30 % of them accepted, so that it is known to test
// something.
func TestRandomPrograms(t *testing.T) {
	n := 400
	if os.Getenv("FORGE_TEST_ALL") != "" {
		n = 20_000
	}
	accepted := 0
	for seed := range uint64(n) {
		if runProgram(t, randomInput(seed)) {
			accepted++
		}
	}
	t.Logf("%d of %d programs accepted", accepted, n)
	if accepted < n*3/10 {
		t.Errorf("only %d of %d programs are accepted", accepted, n)
	}
}

// FuzzProgram is the same on the fuzzer's inputs.
func FuzzProgram(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(randomInput(seed))
	}
	count := fuzzcount.New(f, "programs are accepted", 30)
	f.Fuzz(func(t *testing.T, input []byte) { count.Add(runProgram(t, input)) })
}
