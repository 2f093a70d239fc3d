package simd

import (
	"math"
	"unsafe"

	"forge/gguf"
	"forge/kernels"
)

// Attention walks a sequence's pages with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): for each page
// the scores of a block of rows and of all query heads that share a key head, then the running maximum, sum and weighted
// values are brought up to date. Both products are of one form, [queries, k] * [k, columns] with the columns in lanes:
// keys lie transposed in their page, [HeadDimK, PageSize], values as they come, [PageSize, HeadDimV]. What a row computes
// depends on its own position alone: pages are taken in order, each whole or cut to what the row sees, so its result has
// the same bits whatever rows share the block.

// blockRows is how many rows of one sequence are taken together: they share each page that is read.
const blockRows = 8

// block is a task's rows: n rows from the batch's row first on, of one sequence.
type block struct {
	run      run
	first, n int
}

// piece is rows of one sequence whose positions lie in one page, from slot on.
type piece struct {
	first, n   int
	page, slot int
}

// attention is one worker's memory for it.
type attention struct {
	scores []float32 // [queries, PageSize]
	top    []float32 // [queries]: the highest score so far
	sum    []float32 // [queries]
	factor []float32 // [queries]: what the last page's maximum makes of earlier sums
	acc    []float32 // [queries, columns of V]
	query  []float32 // [queries, HeadDimK], scaled
	keys   []float32 // [HeadDimK, PageSize]
	values []float32 // [PageSize, columns of V]
	key    []uint16  // [HeadDimK]
}

// floatQueries is how many queries make it worth to convert a page once for all.
const floatQueries = 12

// grow makes room for one operation beside those that have it.
func (s *attention) grow(n, dk, columns int) {
	for _, x := range []struct {
		to   *[]float32
		size int
	}{{&s.scores, n * kernels.PageSize}, {&s.acc, n * columns}, {&s.query, n * dk}, {&s.top, n}, {&s.sum, n}, {&s.factor, n}} {
		*x.to = grow(*x.to, max(len(*x.to), x.size))
	}
	s.key = grow(s.key, max(len(s.key), dk))
	if n >= floatQueries {
		s.keys = grow(s.keys, max(len(s.keys), dk*kernels.PageSize))
		s.values = grow(s.values, max(len(s.values), kernels.PageSize*columns))
	}
}

// layerCache finds the keys and values of one layer in the pages of its group.
type layerCache struct {
	group    *kernels.KVGroup
	index    int
	at, size int // of the layer in a page
	columns  int // HeadDimV in whole vectors
}

// columnsOf rounds a head's size up to what the kernels take.
func columnsOf(dv int) int { return (dv + 15) &^ 15 }

// layerSize is how many numbers one layer has in a page of a group.
func layerSize(g *kernels.KVGroup) int {
	return kernels.PageSize * (g.WidthK + g.HeadsKV*columnsOf(g.HeadDimV))
}

// heads gives one head's keys [HeadDimK, PageSize] and values [PageSize, columns] in a page.
func (r *runner) heads(c *layerCache, page int32, head int) (k, v []uint16) {
	g := c.group
	layer := r.pages[c.index][page][c.at : c.at+c.size]
	nk, nv := kernels.PageSize*g.HeadDimK, kernels.PageSize*c.columns
	v = layer[kernels.PageSize*g.WidthK:]
	return layer[head*nk : (head+1)*nk], v[head*nv : (head+1)*nv]
}

// tile is a matrix of float16 or of float32 whose rows have width entries.
type tile struct {
	half  []uint16
	float []float32
	width int
}

func (t *tile) bytes() *byte {
	if t.half != nil {
		return (*byte)(unsafe.Pointer(unsafe.SliceData(t.half)))
	}
	return (*byte)(unsafe.Pointer(unsafe.SliceData(t.float)))
}

func (t *tile) rowBytes() int {
	if t.half != nil {
		return 2 * t.width
	}
	return 4 * t.width
}

// from cuts off the first rows and columns.
func (t *tile) from(row, column int) tile {
	if t.half != nil {
		return tile{half: t.half[row*t.width+column:], width: t.width}
	}
	return tile{float: t.float[row*t.width+column:], width: t.width}
}

func (t *tile) entry(i int) float32 {
	if t.half != nil {
		return gguf.F16ToF32(t.half[i])
	}
	return t.float[i]
}

// multiply: out[i, c] = fma(a[i, j], b[j, c], out[i, c]) for j in 0..k-1 in order. Rows of out and a lie ldo and lda entries
// apart; cols is a multiple of 16.
func multiply(out []float32, ldo int, a []float32, lda, n, k int, b tile, cols int) {
	// The kernels trust their pointers: let Go check the last of each.
	_ = out[(n-1)*ldo+cols-1]
	_ = a[(n-1)*lda+k-1]
	if b.half != nil {
		_ = b.half[(k-1)*b.width+cols-1]
	} else {
		_ = b.float[(k-1)*b.width+cols-1]
	}
	if multiplyTiles(level, out, ldo, a, lda, n, k, &b, cols) {
		return
	}
	for j := range k {
		for c := range cols {
			v := b.entry(j*b.width + c)
			for i := range n {
				out[i*ldo+c] = fma32(a[i*lda+j], v, out[i*ldo+c])
			}
		}
	}
}

// softmaxPage turns the scores of n queries into weights e^(score - top) after bringing top, the highest so far, up to date;
// sum is multiplied by factor = e^(old top - top) and the weights are added. A score of -Inf gets the weight 0.
func softmaxPage(scores []float32, n int, top, sum, factor []float32) {
	_, _, _, _ = scores[n*kernels.PageSize-1], top[n-1], sum[n-1], factor[n-1]
	if softmaxPages(level, scores, n, top, sum, factor) {
		return
	}
	for i := range n {
		softmaxPageGeneric(scores[i*kernels.PageSize:(i+1)*kernels.PageSize], &top[i], &sum[i], &factor[i])
	}
}

// softmaxPageGeneric adds the weights in 8 lanes of ((0+1) + (2+3)), then the lanes at a distance of 4, 2 and 1.
func softmaxPageGeneric(scores []float32, top, sum, factor *float32) {
	old, most := *top, *top
	for _, v := range scores {
		most = max(most, v)
	}
	*top, *factor = most, 1
	if old != most {
		*factor = exp32(old - most)
	}
	for i, v := range scores {
		scores[i] = exp32(v - most)
	}
	var s [8]float32
	for l := range s {
		s[l] = (scores[l] + scores[8+l]) + (scores[16+l] + scores[24+l])
	}
	for l := range 4 {
		s[l] += s[4+l]
	}
	*sum = float32(*sum**factor) + ((s[0] + s[2]) + (s[1] + s[3]))
}

func (r *runner) lowerAttention(i int, op *kernels.Op, sinks []float32) {
	a := op.Attention()
	q, k, v, y := op.In[0], op.In[1], op.In[2], op.Out[0]
	c := &layerCache{index: r.prog.OpGroup[i], group: &r.prog.Groups[r.prog.OpGroup[i]], columns: columnsOf(a.HeadDimV)}
	c.size = layerSize(c.group)
	c.at = c.size * (r.prog.OpLayer[i] - r.layer0[c.index])
	for w := range r.scratch {
		r.scratch[w].attention.grow(min(blockRows, r.maxRows)*a.NHead/a.NHeadKV, a.HeadDimK, c.columns)
	}
	store := func(worker int) {
		for t := r.pool.take(); t < len(r.pieces)*a.NHeadKV; t = r.pool.take() {
			r.store(c, &r.pieces[t/a.NHeadKV], t%a.NHeadKV, r.value(k), r.value(v), r.scratch[worker].attention.key[:a.HeadDimK])
		}
	}
	r.addStep(func() {
		if len(r.batch.Rows)*(c.group.WidthK+c.group.WidthV) > serialWork {
			r.pool.run(store)
			return
		}
		r.pool.alone(store)
	})
	task := func(worker int) {
		for t := r.pool.take(); t < len(r.blocks)*a.NHeadKV; t = r.pool.take() {
			// Later blocks see more and take longer: they go first.
			b := &r.blocks[len(r.blocks)-1-t/a.NHeadKV]
			r.attend(c, b, t%a.NHeadKV, r.value(y), r.value(q), sinks, &a, &r.scratch[worker].attention)
		}
	}
	r.addStep(func() { r.pool.run(task) })
}

// store writes one head's keys and values of a piece to its page.
func (r *runner) store(c *layerCache, p *piece, head int, k, v []float32, key []uint16) {
	g := c.group
	page := r.batch.Seqs[r.batch.Rows[p.first].Seq].Pages[c.index][p.page]
	keys, values := r.heads(c, page, head)
	for i := range p.n {
		row, slot := p.first+i, p.slot+i
		floatToHalf(key, k[row*g.WidthK+head*g.HeadDimK:][:g.HeadDimK])
		for d, x := range key {
			keys[d*kernels.PageSize+slot] = x
		}
		floatToHalf(values[slot*c.columns:][:g.HeadDimV], v[row*g.WidthV+head*g.HeadDimV:][:g.HeadDimV])
	}
}

// attend computes a block of rows for the query heads that share key head headKV.
func (r *runner) attend(c *layerCache, b *block, headKV int, y, q, sinks []float32, a *kernels.AttentionAttrs, s *attention) {
	per := a.NHead / a.NHeadKV // query heads of a key head
	n, dk, dv := b.n*per, a.HeadDimK, a.HeadDimV
	widthQ, widthY := a.NHead*dk, a.NHead*dv
	for i := range n {
		row, h := b.first+i/per, headKV*per+i%per
		scale(s.query[i*dk:(i+1)*dk], q[row*widthQ+h*dk:][:dk], a.Scale)
		s.top[i], s.sum[i] = float32(math.Inf(-1)), 0
		if sinks != nil {
			s.top[i], s.sum[i] = sinks[h], 1
		}
	}
	clear(s.acc[:n*c.columns])
	first, _ := r.sees(b, b.first, a)
	_, last := r.sees(b, b.first+b.n-1, a)
	table := r.batch.Seqs[r.batch.Rows[b.first].Seq].Pages[c.index]
	for p := first / kernels.PageSize; p <= last/kernels.PageSize; p++ {
		k, v := r.heads(c, table[p], headKV)
		keys, values := tile{half: k, width: kernels.PageSize}, tile{half: v, width: c.columns}
		if n >= floatQueries {
			keys = tile{float: s.keys[:len(k)], width: kernels.PageSize}
			values = tile{float: s.values[:len(v)], width: c.columns}
			halfToFloat(keys.float, k)
			halfToFloat(values.float, v)
		}
		// Rows that see the same part of the page go together.
		for i := 0; i < b.n; {
			from, to := r.seesOf(p, b, b.first+i, a)
			rows := 1
			for ; i+rows < b.n; rows++ {
				if f, t := r.seesOf(p, b, b.first+i+rows, a); f != from || t != to {
					break
				}
			}
			if from < to {
				s.page(i*per, rows*per, from, to, keys, values, dk, c.columns, a.Softcap)
			}
			i += rows
		}
	}
	for i := range n {
		row, h := b.first+i/per, headKV*per+i%per
		scale(y[row*widthY+h*dv:][:dv], s.acc[i*c.columns:][:dv], 1/s.sum[i])
	}
}

// page takes the positions from..to-1 of a page for n queries from first on.
func (s *attention) page(first, n, from, to int, keys, values tile, dk, columns int, cap float32) {
	scores := s.scores[first*kernels.PageSize : (first+n)*kernels.PageSize]
	clear(scores)
	// Scores beside from..to-1 are made in whole vectors and dropped.
	c0, c1 := from&^15, (to+15)&^15
	multiply(scores[c0:], kernels.PageSize, s.query[first*dk:], dk, n, dk, keys.from(0, c0), c1-c0)
	if cap != 0 {
		softcap(scores, scores, cap)
	}
	if from > 0 || to < kernels.PageSize {
		for i := range n {
			row := scores[i*kernels.PageSize : (i+1)*kernels.PageSize]
			fill(row[:from], float32(math.Inf(-1)))
			fill(row[to:], float32(math.Inf(-1)))
		}
	}
	softmaxPage(scores, n, s.top[first:], s.sum[first:], s.factor[first:])
	for i, f := range s.factor[first : first+n] {
		if f != 1 {
			acc := s.acc[(first+i)*columns : (first+i+1)*columns]
			scale(acc, acc, f)
		}
	}
	multiply(s.acc[first*columns:], columns, scores[from:], kernels.PageSize, n, to-from, values.from(from, 0), columns)
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
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

// seesOf is the part of a page that a row sees: positions from..to-1 of it, none if from >= to.
func (r *runner) seesOf(page int, b *block, row int, a *kernels.AttentionAttrs) (from, to int) {
	first, last := r.sees(b, row, a)
	start := page * kernels.PageSize
	return max(first-start, 0), min(last-start+1, kernels.PageSize)
}
