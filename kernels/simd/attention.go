package simd

import (
	"fmt"
	"math"

	"forge/kernels"
)

// Attention walks a sequence's pages with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): for each page
// the scores of a block of rows and of all query heads that share a key head, then the running maximum, sum and weighted
// values are brought up to date. What a row computes depends on its own position alone: pages are taken in order, each
// whole or cut to what the row sees, so its result has the same bits whatever rows share the block.

// blockRows is how many rows of one sequence are taken together: they share each page that is read.
const blockRows = 8

// block is a task's rows: n rows from the batch's row first on, of one sequence.
type block struct {
	run      run
	first, n int
}

// attention is one worker's memory for it.
type attention struct {
	scores []float32 // [queries, PageSize]
	max    []float32 // [queries]
	sum    []float32 // [queries]
	acc    []float32 // [queries, HeadDimV]
	query  []float32 // [queries, HeadDimK], scaled
}

// grow makes room for n queries.
func (s *attention) grow(n, dk, dv int) {
	if len(s.max) < n {
		s.max, s.sum, s.scores = make([]float32, n), make([]float32, n), make([]float32, n*kernels.PageSize)
	}
	if len(s.query) < n*dk {
		s.query = make([]float32, n*dk)
	}
	if len(s.acc) < n*dv {
		s.acc = make([]float32, n*dv)
	}
}

// layerCache finds the keys and values of one layer in the pages of its group.
type layerCache struct {
	group    *kernels.KVGroup
	index    int
	at, size int // of the layer in a page
}

// heads gives one head's keys [PageSize, HeadDimK] and values [PageSize, HeadDimV] in a page.
func (r *runner) heads(c *layerCache, page int32, head int) (k, v []uint16) {
	g := c.group
	layer := r.pages[c.index][page][c.at : c.at+c.size]
	nk, nv := kernels.PageSize*g.HeadDimK, kernels.PageSize*g.HeadDimV
	v = layer[kernels.PageSize*g.WidthK:]
	return layer[head*nk : (head+1)*nk], v[head*nv : (head+1)*nv]
}

func (r *runner) lowerAttention(i int, op *kernels.Op, sinks []float32) error {
	a := op.Attention()
	if a.HeadDimK > maxHeadDim || a.HeadDimV > maxHeadDim {
		return fmt.Errorf("heads of %d and %d entries: the simd device takes up to %d", a.HeadDimK, a.HeadDimV, maxHeadDim)
	}
	q, k, v, y := op.In[0], op.In[1], op.In[2], op.Out[0]
	c := &layerCache{index: r.prog.OpGroup[i], group: &r.prog.Groups[r.prog.OpGroup[i]]}
	c.size = kernels.PageSize * (c.group.WidthK + c.group.WidthV)
	c.at = c.size * (r.prog.OpLayer[i] - r.layer0[c.index])
	r.eachRow(k, func(row int) { r.store(c, row, r.value(k), r.value(v)) })
	task := func(worker int) {
		for t := r.pool.take(); t < len(r.blocks)*a.NHeadKV; t = r.pool.take() {
			// Later blocks see more and take longer: they go first.
			b := &r.blocks[len(r.blocks)-1-t/a.NHeadKV]
			r.attend(c, b, t%a.NHeadKV, r.value(y), r.value(q), sinks, &a, &r.scratch[worker].attention)
		}
	}
	r.steps = append(r.steps, func() { r.pool.run(task) })
	return nil
}

// store writes one row's keys and values to its page.
func (r *runner) store(c *layerCache, row int, k, v []float32) {
	g, at := c.group, &r.batch.Rows[row]
	page, slot := r.batch.Seqs[at.Seq].Pages[c.index][at.Pos/kernels.PageSize], int(at.Pos)%kernels.PageSize
	for h := range g.HeadsKV {
		toK, toV := r.heads(c, page, h)
		floatToHalf(toK[slot*g.HeadDimK:(slot+1)*g.HeadDimK], k[row*g.WidthK+h*g.HeadDimK:][:g.HeadDimK])
		floatToHalf(toV[slot*g.HeadDimV:(slot+1)*g.HeadDimV], v[row*g.WidthV+h*g.HeadDimV:][:g.HeadDimV])
	}
}

// attend computes a block of rows for the query heads that share key head headKV.
func (r *runner) attend(c *layerCache, b *block, headKV int, y, q, sinks []float32, a *kernels.AttentionAttrs, s *attention) {
	per := a.NHead / a.NHeadKV // query heads of a key head
	n, dk, dv := b.n*per, a.HeadDimK, a.HeadDimV
	s.grow(n, dk, dv)
	widthQ, widthY := a.NHead*dk, a.NHead*dv
	for i := range n {
		row, h := b.first+i/per, headKV*per+i%per
		scale(s.query[i*dk:(i+1)*dk], q[row*widthQ+h*dk:][:dk], a.Scale)
		s.max[i], s.sum[i] = float32(math.Inf(-1)), 0
		if sinks != nil {
			s.max[i], s.sum[i] = sinks[h], 1
		}
	}
	clear(s.acc[:n*dv])
	first, _ := r.sees(b, b.first, a)
	_, last := r.sees(b, b.first+b.n-1, a)
	table := r.batch.Seqs[r.batch.Rows[b.first].Seq].Pages[c.index]
	for p := first / kernels.PageSize; p <= last/kernels.PageSize; p++ {
		keys, values := r.heads(c, table[p], headKV)
		scoresOf(s.scores, s.query, keys, n, dk)
		if a.Softcap != 0 {
			softcap(s.scores[:n*kernels.PageSize], s.scores[:n*kernels.PageSize], a.Softcap)
		}
		for i := range n {
			from, to := r.sees(b, b.first+i/per, a)
			from, to = max(from-p*kernels.PageSize, 0), min(to-p*kernels.PageSize+1, kernels.PageSize)
			scores := s.scores[i*kernels.PageSize : (i+1)*kernels.PageSize]
			if from >= to {
				clear(scores)
				continue
			}
			s.update(i, scores, from, to, dv)
		}
		addValues(s.acc, s.scores, values, n, dv)
	}
	for i := range n {
		row, h := b.first+i/per, headKV*per+i%per
		scale(y[row*widthY+h*dv:][:dv], s.acc[i*dv:(i+1)*dv], 1/s.sum[i])
	}
}

// sees gives the first and last position that a row looks at.
func (r *runner) sees(b *block, row int, a *kernels.AttentionAttrs) (first, last int) {
	pos := int(r.batch.Rows[row].Pos)
	first, last = 0, pos
	if a.Window > 0 {
		first = max(0, pos-a.Window+1)
	}
	if a.Causal == 0 {
		last = int(r.batch.Rows[b.run.first+b.run.n-1].Pos)
	}
	return first, last
}

// update turns the scores from..to-1 of a page into weights e^(score-max), the others into 0, and rescales what was
// summed before if the maximum has risen.
func (s *attention) update(i int, scores []float32, from, to, dv int) {
	top := s.max[i]
	for _, v := range scores[from:to] {
		top = max(top, v)
	}
	if top > s.max[i] {
		f := expf(s.max[i] - top)
		s.sum[i] *= f
		acc := s.acc[i*dv : (i+1)*dv]
		scale(acc, acc, f)
		s.max[i] = top
	}
	clear(scores[:from])
	clear(scores[to:])
	total := float32(0)
	for j := from; j < to; j++ {
		scores[j] = expf(scores[j] - top)
		total += scores[j]
	}
	s.sum[i] += total
}

func expf(x float32) float32 { return float32(math.Exp(float64(x))) }

// scoresOf: scores[i, j] = query[i] . key[j] for n queries and the positions of a page.
func scoresOf(scores, query []float32, keys []uint16, n, dk int) {
	var key [maxHeadDim]float32
	for j := range kernels.PageSize {
		k := key[:dk]
		halfToFloat(k, keys[j*dk:(j+1)*dk])
		for i := range n {
			q, total := query[i*dk:(i+1)*dk], float32(0)
			for d, v := range q {
				total += v * k[d]
			}
			scores[i*kernels.PageSize+j] = total
		}
	}
}

// maxHeadDim bounds a head's size; lowering refuses larger ones.
const maxHeadDim = 1024

// addValues: acc[i] += sum_j weights[i, j] * value[j]
func addValues(acc, weights []float32, values []uint16, n, dv int) {
	var value [maxHeadDim]float32
	for j := range kernels.PageSize {
		v := value[:dv]
		halfToFloat(v, values[j*dv:(j+1)*dv])
		for i := range n {
			w := weights[i*kernels.PageSize+j]
			if w == 0 {
				continue
			}
			to := acc[i*dv : (i+1)*dv]
			for d := range to {
				to[d] += w * v[d]
			}
		}
	}
}
