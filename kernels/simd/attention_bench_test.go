package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"forge/gguf"
	"forge/kernels"
)

// BenchmarkAttention is a range of 8 pages for the queries of one decoded row and of a block of rows, layer by layer out of a
// cache of 64 MiB, as a step walks it: whole, and each of its three parts alone. B/s is of keys and values read; the share is of what the memory and the
// arithmetic allow, whichever is less. Of softmax there is no such peak, it tells numbers a second.
func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ per, dim, rows int }{{1, 128, 1}, {3, 64, 1}, {4, 256, 1}, {8, 64, 1}, {3, 64, 8}, {4, 128, 8}, {4, 256, 8}} {
		for _, kind := range []gguf.Type{gguf.F16, gguf.Q8_0} {
			for _, rung := range ladder() {
				for _, part := range []string{"whole", "keys", "softmax", "values"} {
					b.Run(fmt.Sprintf("%d rows of %d heads of %d/%v/%v/%s", c.rows, c.per, c.dim, kind, rung, part), func(b *testing.B) {
						benchAttention(b, rung, kind, c.per, c.dim, c.rows, part)
					})
				}
			}
		}
	}
}

func benchAttention(b *testing.B, rung isa, kind gguf.Type, per, dim, rows int, part string) {
	atLevel(b, rung)
	o, s := newBenchLookup(b, kind, per, dim, rows)
	defer o.r.pages[0].free()
	blk, n := block{run: run{0, rows}, n: rows}, rows*per
	bytes, macs := rangePages*o.cache.layerBytes(), 2*rangeSize*n*dim
	work := func(index int) { o.look(&blk, 0, index, s, &s.part) }
	switch part {
	case "keys":
		bytes, macs = bytes/2, macs/2
		work = func(index int) {
			pages := o.open(&blk, 0, index, s)
			for i := range pages {
				o.score(&blk, &pages[i], s)
			}
		}
	case "values":
		bytes, macs = bytes/2, macs/2
		work = func(index int) {
			pages := o.open(&blk, 0, index, s)
			for i := range pages {
				o.addValues(&blk, &pages[i], s, s.part.acc)
			}
		}
	case "softmax":
		// The weights of one round are the scores of the next: numbers from 0 to 1, again and again.
		for b.Loop() {
			softmaxRange(s.scores, n, rangePages, s.part.top, s.part.sum)
		}
		b.ReportMetric(float64(n)*rangeSize*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "Gnumbers/s")
		return
	}
	index, ranges, layerBytes := 0, len(o.r.batch.Seqs[0].Pages[0])/rangePages-1, o.cache.layerBytes()
	for b.Loop() {
		work(index)
		if index++; index == ranges {
			index, o.cache.at = 0, (o.cache.at+layerBytes)%(benchLayers*layerBytes)
		}
	}
	b.SetBytes(int64(bytes))
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(float64(macs)/seconds/1e9, "GMAC/s")
	l := limitsOf(rung)
	b.ReportMetric(100*max(float64(bytes)/l.Read, float64(macs)/l.FMA)/seconds, "%peak")
}

// benchLayers is how many layers' keys and values a page of the benchmark holds.
const benchLayers = 8

// newBenchLookup makes an operation over a cache that no processor's cache holds, whose queries see nearly all of it.
func newBenchLookup(b *testing.B, kind gguf.Type, per, dim, rows int) (*lookup, *attention) {
	g := kernels.KVGroup{WidthK: dim, WidthV: dim, HeadsKV: 1, HeadDimK: dim, HeadDimV: dim}
	r := &runner{prog: &kernels.Program{Groups: []kernels.KVGroup{g}}, keyType: kind, valueType: kind, batch: &kernels.Batch{Seqs: []kernels.Seq{{Pages: [][]int32{nil}}}}}
	c := r.newLayerCache(0, 0)
	r.pages = []*pageMemory{newPageMemory(benchLayers * c.layerBytes())}
	pages := 64 << 20 / (benchLayers * c.layerBytes()) / rangePages * rangePages
	if err := r.pages[0].reserve(pages); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(16, 1))
	first := r.pages[0].at(0) // random, and the others like it
	for i := 0; i < len(first); i += 2 {
		binary.LittleEndian.PutUint16(first[i:], gguf.F32ToF16(float32(rng.NormFloat64()/4)))
	}
	for p := range pages {
		copy(r.pages[0].at(int32(p)), first)
		r.batch.Seqs[0].Pages[0] = append(r.batch.Seqs[0].Pages[0], int32(p))
	}
	for i := range rows {
		r.batch.Rows = append(r.batch.Rows, kernels.Row{Pos: int32(pages*kernels.PageSize - rows + i)})
	}
	o := &lookup{AttentionAttrs: kernels.AttentionAttrs{NHead: per, NHeadKV: 1, HeadDimK: dim, HeadDimV: dim, Causal: 1}, r: r, cache: c, per: per}
	s := new(attention)
	s.grow(rows*per, dim, c.columns)
	for i := range s.query {
		s.query[i] = float32(rng.NormFloat64()) / 20
	}
	for i := range s.scores {
		s.scores[i] = float32(math.Abs(rng.NormFloat64())) / 1e3
	}
	return o, s
}

// BenchmarkStore is a row of keys and values that goes into the cache: bytes of floats read.
func BenchmarkStore(b *testing.B) {
	const heads, dim = 4, 128
	for _, kind := range []gguf.Type{gguf.F16, gguf.Q8_0} {
		for _, rung := range ladder() {
			b.Run(fmt.Sprintf("%v/%v", kind, rung), func(b *testing.B) {
				atLevel(b, rung)
				g := kernels.KVGroup{WidthK: heads * dim, WidthV: heads * dim, HeadsKV: heads, HeadDimK: dim, HeadDimV: dim}
				r := &runner{prog: &kernels.Program{Groups: []kernels.KVGroup{g}}, keyType: kind, valueType: kind}
				r.batch = &kernels.Batch{Rows: make([]kernels.Row, 1), Seqs: []kernels.Seq{{Pages: [][]int32{{0}}}}}
				c, s := r.newLayerCache(0, 0), new(attention)
				s.grow(1, dim, c.columns)
				r.pages = []*pageMemory{newPageMemory(c.layerBytes())}
				if err := r.pages[0].reserve(1); err != nil {
					b.Fatal(err)
				}
				defer r.pages[0].free()
				x := benchNumbers(heads * dim)
				b.SetBytes(2 * 4 * heads * dim)
				for b.Loop() {
					r.store(c, 0, x, x, s)
					r.batch.Rows[0].Pos = (r.batch.Rows[0].Pos + 1) % kernels.PageSize
				}
			})
		}
	}
}

// BenchmarkShortAttention is a decoded row that sees few pages, which are in the caches: what lies around the products counts.
func BenchmarkShortAttention(b *testing.B) {
	for _, seen := range []int{20, 64, 120} {
		for _, rung := range ladder() {
			b.Run(fmt.Sprintf("%d positions/%v", seen, rung), func(b *testing.B) {
				atLevel(b, rung)
				const per, dim = 3, 64
				o, s := newBenchLookup(b, gguf.F16, per, dim, 1)
				defer o.r.pages[0].free()
				x := benchNumbers(per * dim)
				o.r.values = []buffer{{slot: 0, width: per * dim}, {slot: 1, width: per * dim}}
				o.r.slots = []slot{{data: x}, {data: make([]float32, per*dim)}}
				o.q, o.y = 0, 1
				o.rounded = new(acts)
				o.rounded.alias(o.r.slots[1].data, 1, per*dim, forms{blocks: true})
				o.r.batch.Rows[0].Pos = int32(seen - 1)
				blk := block{run: run{0, 1}, n: 1}
				for b.Loop() {
					o.walk(&blk, 0, s)
				}
			})
		}
	}
}
