package kernels

import (
	"math"

	"forge/gguf"
)

// attention stores the keys and values of all rows, then lets each row and head look at what it sees.
//
//	y[h] = sum_p softmax_p(cap(scale * q[h] k[p, h/g])) v[p, h/g],  g = n_head / n_head_kv
//
// with cap(s) = softcap * tanh(s / softcap) if softcap is not 0. p runs over the row's own and earlier positions (all that
// the sequence has if it is not causal), the last window of them if window is not 0; a sink adds e^sink to the
// denominator. Sources: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries); Xiao et al. 2023 (sinks).
func (r *scalar) attention(y, q, k, v []float32, i int, op *Op) error {
	a, sinks, g := op.Attention(), r.vector(op, 0), r.p.OpGroup[i]
	c := cache{group: &r.p.Groups[g], pages: r.pages[g], layer: r.p.OpLayer[i] - r.layer0[g]}
	for row := range r.batch.Rows {
		if err := r.store(&c, r.batch.Seqs[r.batch.Rows[row].Seq].Pages[g], row, k, v); err != nil {
			return err
		}
	}
	return r.parallel(len(r.batch.Rows)*a.NHead, func(s *scratch, task int) {
		row, h := task/a.NHead, task%a.NHead
		pos := int(r.batch.Rows[row].Pos)
		first, last := firstVisible(pos, a.Window), pos
		if a.Causal == 0 {
			last = r.lastOf(row)
		}
		var sink *float32
		if sinks != nil {
			sink = &sinks[h]
		}
		table := r.batch.Seqs[r.batch.Rows[row].Seq].Pages[g]
		out, query := y[task*a.HeadDimV:(task+1)*a.HeadDimV], q[task*a.HeadDimK:(task+1)*a.HeadDimK]
		attend(out, query, &c, table, h/(a.NHead/a.NHeadKV), first, last, sink, a, s)
	})
}

// attend is the formula for one row and head.
func attend(y, q []float32, c *cache, table []int32, headKV, first, last int, sink *float32, a AttentionAttrs, s *scratch) {
	s.query, s.scores, s.sum = grow(s.query, len(q)), grow(s.scores, last-first+1), grow(s.sum, len(y))
	widen(s.query, q)
	most := math.Inf(-1)
	if sink != nil {
		most = float64(*sink)
	}
	for p := first; p <= last; p++ {
		score, k := 0.0, c.key(table, p, headKV)
		for d, v := range s.query {
			score += v * float64(k[d])
		}
		if score *= float64(a.Scale); a.Softcap != 0 {
			score = softcapped(score, float64(a.Softcap))
		}
		s.scores[p-first] = score
		most = max(most, score)
	}
	total := 0.0
	if sink != nil {
		total = math.Exp(float64(*sink) - most)
	}
	clear(s.sum)
	for p := first; p <= last; p++ {
		weight := math.Exp(s.scores[p-first] - most)
		total += weight
		for d, v := range c.value(table, p, headKV) {
			s.sum[d] += weight * float64(v)
		}
	}
	for d := range y {
		y[d] = float32(s.sum[d] / total)
	}
}

// lastOf is the last position that the sequence of a row has in this step.
func (r *scalar) lastOf(row int) int {
	return int(r.batch.Rows[row+runOf(r.batch.Rows, row)-1].Pos)
}

// cache is one layer of a group's pages.
type cache struct {
	group *KVGroup
	pages [][]float32
	layer int
}

// at gives the keys and values of one position, [WidthK] and [WidthV].
func (c *cache) at(table []int32, pos int) (k, v []float32) {
	g := c.group
	page := c.pages[table[pos/PageSize]][c.layer*PageSize*(g.WidthK+g.WidthV):]
	slot := pos % PageSize
	v = page[PageSize*g.WidthK:]
	return page[slot*g.WidthK : (slot+1)*g.WidthK], v[slot*g.WidthV : (slot+1)*g.WidthV]
}

func (c *cache) key(table []int32, pos, head int) []float32 {
	k, _ := c.at(table, pos)
	return k[head*c.group.HeadDimK : (head+1)*c.group.HeadDimK]
}

func (c *cache) value(table []int32, pos, head int) []float32 {
	_, v := c.at(table, pos)
	return v[head*c.group.HeadDimV : (head+1)*c.group.HeadDimV]
}

// store writes the keys and values of one row to its page, rounded to the cache's format.
func (r *scalar) store(c *cache, table []int32, row int, k, v []float32) error {
	g := c.group
	toK, toV := c.at(table, int(r.batch.Rows[row].Pos))
	copy(toK, k[row*g.WidthK:])
	copy(toV, v[row*g.WidthV:])
	if err := r.roundTo(r.keyType, toK); err != nil {
		return err
	}
	return r.roundTo(r.valueType, toV)
}

// roundTo rounds x to what a format can hold.
func (r *scalar) roundTo(t gguf.Type, x []float32) error {
	if t == gguf.F32 {
		return nil
	}
	s := &r.workers[0]
	s.packed = grow(s.packed, t.RowBytes(len(x)))
	if err := gguf.Quantize(t, s.packed, x); err != nil {
		return err
	}
	return gguf.Dequantize(t, x, s.packed)
}
