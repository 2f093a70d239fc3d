package kernelstest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"forge/gguf"
	"forge/kernels"
)

// vocab is the number of tokens of every table: enough for rows to differ.
const vocab = 96

// Builder writes a program operation by operation over weights that it draws. Mistakes of the caller panic.
type Builder struct {
	Program kernels.Program
	Rand    *rand.Rand
	Layer   int
	types   []gguf.Type
	values  int
}

// NewBuilder begins a program; the name is the seed.
func NewBuilder(name string) *Builder {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Builder{Program: kernels.Program{Name: name}, Rand: rand.New(rand.NewPCG(h.Sum64(), 1)), Layer: -1}
}

// Attrs are the attributes of an operation, as the generated types have them.
type Attrs interface{ Set(*kernels.Op) }

// Op appends an operation and returns the value that it makes, -1 for output.
func (b *Builder) Op(code kernels.OpCode, attrs Attrs, w []kernels.WeightID, in ...kernels.ValueID) kernels.ValueID {
	op := kernels.Op{Code: code, Layer: b.Layer, In: in, W: w}
	if attrs != nil {
		attrs.Set(&op)
	}
	id := kernels.ValueID(-1)
	if code != kernels.OpOutput {
		id = kernels.ValueID(b.values)
		op.Out = []kernels.ValueID{id}
		b.values++
	}
	b.Program.Ops = append(b.Program.Ops, op)
	return id
}

// Weight draws a tensor: entries are normal with a deviation of 1/sqrt(row length), encoded plainly.
func (b *Builder) Weight(t gguf.Type, shape ...int) kernels.WeightID {
	n := shape[len(shape)-1]
	return b.Fill(t, func(int) float32 { return float32(b.Rand.NormFloat64() / math.Sqrt(float64(n))) }, shape...)
}

// Vector draws n F32 numbers around a middle.
func (b *Builder) Vector(middle float64, n int) kernels.WeightID {
	return b.Fill(gguf.F32, func(int) float32 { return float32(middle + 0.3*b.Rand.NormFloat64()) }, n)
}

// Fill makes a tensor of the entries that f gives.
func (b *Builder) Fill(t gguf.Type, f func(i int) float32, shape ...int) kernels.WeightID {
	x := make([]float32, elems(shape))
	for i := range x {
		x[i] = f(i)
	}
	data := make([]byte, t.RowBytes(len(x)))
	if err := gguf.Quantize(t, data, x); err != nil {
		panic(err)
	}
	return b.add(t, data, shape)
}

// Bits draws the blocks of a tensor bit by bit, so that every field of the format takes all its values. Blocks with
// entries that are not finite, above 1/sqrt(row length) or all tiny are drawn again.
func (b *Builder) Bits(t gguf.Type, shape ...int) kernels.WeightID {
	data := make([]byte, t.RowBytes(elems(shape)))
	x := make([]float32, t.BlockElems())
	limit := 4 / math.Sqrt(float64(shape[len(shape)-1]))
	for at := 0; at < len(data); {
		block := data[at : at+t.BlockBytes()]
		for i := range block {
			block[i] = byte(b.Rand.Uint32())
		}
		if err := gguf.Dequantize(t, x, block); err != nil {
			panic(err)
		}
		most := 0.0
		for _, v := range x {
			most = math.Max(most, math.Abs(float64(v))) // NaN and infinity stay
		}
		if most > limit/64 && most < limit {
			at += len(block)
		}
	}
	return b.add(t, data, shape)
}

func elems(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func (b *Builder) add(t gguf.Type, data []byte, shape []int) kernels.WeightID {
	id := kernels.WeightID(len(b.Program.Weights))
	b.Program.Weights = append(b.Program.Weights, kernels.Weight{Name: fmt.Sprintf("w%d", id), Type: t, Shape: shape, Data: data})
	if len(shape) > 1 {
		b.types = append(b.types, t)
	}
	return id
}

// Embed begins with a row of n normal numbers for each token, of the given deviation.
func (b *Builder) Embed(n int, deviation float64) kernels.ValueID {
	table := b.Fill(gguf.F32, func(int) float32 { return float32(deviation * b.Rand.NormFloat64()) }, vocab, n)
	return b.Op(kernels.OpEmbed, nil, []kernels.WeightID{table})
}

// Linear is weight x, without a bias.
func (b *Builder) Linear(t gguf.Type, nOut, nIn int, x kernels.ValueID) kernels.ValueID {
	return b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{b.Weight(t, nOut, nIn)}, x)
}

// Case ends the program with x and checks it.
func (b *Builder) Case(x kernels.ValueID, batches []kernels.Batch) *Case {
	b.Layer = -1
	b.Op(kernels.OpOutput, kernels.OutputAttrs{}, nil, x)
	c := &Case{Name: b.Program.Name, Program: &b.Program, Batches: batches, Types: b.types, MaxRows: 1}
	if err := c.Program.Check(); err != nil {
		panic(c.Name + ": " + err.Error())
	}
	for i := range batches {
		c.MaxRows = max(c.MaxRows, len(batches[i].Rows))
	}
	for i := range c.Program.Ops {
		op := &c.Program.Ops[i]
		c.Mixes = c.Mixes || op.Code == kernels.OpPool || (op.Code == kernels.OpAttention && op.Attention().Causal == 0)
	}
	return c
}

// Traffic makes steps for the sequences of one program, page tables included. Pages are handed out in a mixed order and,
// in groups with a window, taken back and used again.
type Traffic struct {
	rand   *rand.Rand
	groups []kernels.KVGroup
	free   [][]int32
	seqs   []sequence
}

type sequence struct {
	pos   int
	pages [][]int32
}

// NewTraffic begins with n empty sequences. The windows are those of the program's attention operations, in the order in
// which Check makes groups of them.
func NewTraffic(b *Builder, n int) *Traffic {
	t := &Traffic{rand: b.Rand, seqs: make([]sequence, n)}
	probe := b.Program // an ended copy tells the groups
	probe.Ops = append(append([]kernels.Op{}, probe.Ops...), kernels.Op{Code: kernels.OpOutput, Layer: -1, In: []kernels.ValueID{kernels.ValueID(b.values - 1)}})
	if err := probe.Check(); err != nil {
		panic(b.Program.Name + ": " + err.Error())
	}
	t.groups = probe.Groups
	for range t.groups {
		var pages []int32
		for _, page := range b.Rand.Perm(64) {
			pages = append(pages, int32(page))
		}
		t.free = append(t.free, pages)
	}
	for i := range t.seqs {
		t.seqs[i].pages = make([][]int32, len(t.groups))
	}
	return t
}

// Run is n rows of sequence Seq.
type Run struct{ Seq, N int }

// Step makes the batch of the given runs, in their order. The last row of a run wants output, others do at random.
func (t *Traffic) Step(runs ...Run) kernels.Batch {
	var b kernels.Batch
	for _, run := range runs {
		s := &t.seqs[run.Seq]
		for i := range run.N {
			b.Rows = append(b.Rows, kernels.Row{Seq: int32(run.Seq), Pos: int32(s.pos + i), Token: t.rand.Int32N(vocab), Want: i == run.N-1 || t.rand.IntN(3) == 0})
		}
		for g := range t.groups {
			t.pages(s, g, run.N)
		}
		s.pos += run.N
	}
	for i := range t.seqs {
		var tables kernels.Seq
		for _, pages := range t.seqs[i].pages {
			tables.Pages = append(tables.Pages, append([]int32{}, pages...))
		}
		b.Seqs = append(b.Seqs, tables)
	}
	return b
}

// pages gives a sequence what its next n rows need and takes back what they no longer see.
func (t *Traffic) pages(s *sequence, g, n int) {
	if window := t.groups[g].Window; window > 0 {
		for p := range max(0, s.pos-window+1) / kernels.PageSize {
			if s.pages[g][p] >= 0 {
				t.free[g] = append(t.free[g], s.pages[g][p])
				s.pages[g][p] = -1
			}
		}
	}
	for len(s.pages[g])*kernels.PageSize < s.pos+n {
		s.pages[g] = append(s.pages[g], t.free[g][0])
		t.free[g] = t.free[g][1:]
	}
}

// Jump lets a sequence go on at a later position, in programs without a cache.
func (t *Traffic) Jump(seq, pos int) { t.seqs[seq].pos = pos }
