package simd

import (
	"math"
	"unsafe"

	"forge/kernels"
)

// Attention looks at a sequence's positions in ranges of 256. In a range every row has a softmax of its own: the scores of
// a block of rows and of all query heads that share a key head against each page, weights e^(score - highest), the weighted
// values. Ranges are then folded together in order, as an online softmax does (Milakov and Gimelshein 2018; Dao et al.
// 2022). Both products are of one form, [queries, k] * [k, columns] with the columns in lanes; kv.go has the layout.
//
// What a row computes depends on its own position alone: ranges begin at multiples of 256, pages are taken in order, each
// whole or cut to what the row sees. So its result has the same bits whatever rows share the block, and whether one worker
// walks all ranges or several share them: they do where blocks and heads alone are too few to keep all workers busy.

// blockRows is how many rows of one sequence are taken together: they share each page that is read.
const blockRows = 16

const (
	rangePages = 8
	rangeSize  = rangePages * kernels.PageSize
)

// block is a task's rows: n rows from the batch's row first on, of one sequence.
type block struct {
	run      run
	first, n int
}

// partial is what some queries have seen of some positions: the highest score, the sum of the weights e^(score - top), and
// the values by these weights.
type partial struct {
	top, sum []float32 // [queries]
	acc      []float32 // [queries, columns of V]
}

func (p *partial) grow(n, columns int) {
	p.top, p.sum, p.acc = grow(p.top, max(len(p.top), n)), grow(p.sum, max(len(p.sum), n)), grow(p.acc, max(len(p.acc), n*columns))
}

// attention is one worker's memory for it.
type attention struct {
	query        []float32 // [queries, HeadDimK], scaled
	scores       []float32 // [queries, rangeSize], then weights
	product      []float32 // [queries, PageSize]: of a block of entries, before or after its scales
	scales       []float32 // [PageSize]
	part, total  partial
	pages        [rangePages]seenPage
	stored       headPage    // that a row is stored to
	keys, values []float32   // a page's, as floats
	half         []uint16    // [HeadDimK]
	block        roundBuffer // that is being rounded
}

// floatQueries is how many queries make it worth to convert a page once for all. Not float16 with AVX2: there 2 numbers are
// converted for 12 sums, which Zen does beside the multiplications.
const floatQueries = 12

// forQueries gives the tile as so many queries are best multiplied with it; x is memory for one of floats.
func (t *tile) forQueries(n int, x []float32) tile {
	if n < floatQueries || t.kind == halfTile && level == isaAVX2 {
		return *t
	}
	return t.floats(x)
}

// grow makes room for one operation beside those that have it.
func (s *attention) grow(n, dk, columns int) {
	for _, x := range []struct {
		to   *[]float32
		size int
	}{{&s.scores, n * rangeSize}, {&s.product, n * kernels.PageSize}, {&s.scales, kernels.PageSize}, {&s.query, n * dk}} {
		*x.to = grow(*x.to, max(len(*x.to), x.size))
	}
	s.half = grow(s.half, max(len(s.half), dk))
	s.part.grow(n, columns)
	s.total.grow(n, columns)
	if n >= floatQueries {
		s.keys = grow(s.keys, max(len(s.keys), dk*kernels.PageSize))
		s.values = grow(s.values, max(len(s.values), kernels.PageSize*columns))
	}
}

// multiply: out[i, c] = fma(a[i, j], b[j, c], out[i, c]) for j in 0..k-1 in order, beginning with 0 unless add. Rows of out
// and a lie ldo and lda numbers apart; cols is a multiple of 16. Memory from ahead on is fetched meanwhile, as much as b has.
func multiply(out []float32, ldo int, a []float32, lda, n, k int, b tile, cols int, add bool, ahead *byte) {
	// The kernels trust their pointers: let Go check the last of each.
	_ = out[(n-1)*ldo+cols-1]
	_ = a[(n-1)*lda+k-1]
	_ = b.data[((k-1)*b.width+cols)*numberBytes[b.kind]-1]
	if multiplyTiles(out, ldo, a, lda, n, k, &b, cols, add, ahead) {
		return
	}
	for i := range n {
		for c := range cols {
			sum := float32(0)
			if add {
				sum = out[i*ldo+c]
			}
			for j := range k {
				sum = fma32(a[i*lda+j], b.number(j*b.width+c), sum)
			}
			out[i*ldo+c] = sum
		}
	}
}

// multiplyKernel is one row count's.
type multiplyKernel func(out *float32, ldo int, a *float32, lda int, b *byte, ldb, k, cols, add int, ahead *byte)

// multiplyTable has the kernels by kind of tile, for 1, 2, ... rows.
type multiplyTable [tileKinds][]multiplyKernel

// multiplyTiles does all n rows, no more at a time than there are kernels for and no tile much smaller than the others, or
// none.
func multiplyTiles(out []float32, ldo int, a []float32, lda, n, k int, b *tile, cols int, add bool, ahead *byte) bool {
	table, from, data := multiplyKernels(level, b.kind), 0, &b.data[0]
	if table == nil {
		return false
	}
	if add {
		from = 1
	}
	for tiles := (n + len(table) - 1) / len(table); tiles > 0; tiles-- {
		rows := (n + tiles - 1) / tiles
		table[rows-1](&out[0], ldo, &a[0], lda, data, b.rowBytes(), k, cols, from, ahead)
		ahead = data // once is enough
		if n -= rows; n > 0 {
			out, a = out[rows*ldo:], a[rows*lda:]
		}
	}
	return true
}

// softmaxRange turns n queries' scores of some pages, in rows of rangeSize, into weights e^(score - top), top being the
// highest, and adds them up. A score of -Inf gets the weight 0, also if there are no others.
func softmaxRange(scores []float32, n, pages int, top, sum []float32) {
	_, _, _ = scores[(n-1)*rangeSize+pages*kernels.PageSize-1], top[n-1], sum[n-1]
	if softmaxQueries(level, scores, n, pages, top, sum) {
		return
	}
	for i := range n {
		top[i], sum[i] = softmaxRangeGeneric(scores[i*rangeSize:][:pages*kernels.PageSize])
	}
}

// softmaxRangeGeneric adds the weights in 16 lanes, of each page the first half and the second together, then the lanes at a
// distance of 8, 4, 2 and 1.
func softmaxRangeGeneric(scores []float32) (top, sum float32) {
	top = scores[0]
	for _, v := range scores {
		if v > top {
			top = v
		}
	}
	from := top
	if from < -math.MaxFloat32 {
		from = -math.MaxFloat32
	}
	var s [16]float32
	for ; len(scores) > 0; scores = scores[kernels.PageSize:] {
		for i := range kernels.PageSize {
			scores[i] = exp32(scores[i] - from)
		}
		for l := range s {
			s[l] += scores[l] + scores[16+l]
		}
	}
	for d := 8; d > 0; d /= 2 {
		for l := range d {
			s[l] += s[d+l]
		}
	}
	return top, s[0]
}

// fold brings what n queries have seen further on into p.
func (p *partial) fold(q *partial, n, columns int) {
	for i := range n {
		if math.IsInf(float64(q.top[i]), -1) {
			continue // nothing of it is seen
		}
		acc, more := p.acc[i*columns:(i+1)*columns], q.acc[i*columns:(i+1)*columns]
		if math.IsInf(float64(p.top[i]), -1) {
			p.top[i], p.sum[i] = q.top[i], q.sum[i]
			copy(acc, more)
			continue
		}
		top := max(p.top[i], q.top[i])
		f, g := exp32(p.top[i]-top), exp32(q.top[i]-top)
		p.top[i], p.sum[i] = top, fma32(q.sum[i], g, float32(p.sum[i]*f))
		foldInto(acc, more, f, g)
	}
}

// lookup is one attention operation.
type lookup struct {
	kernels.AttentionAttrs
	r          *runner
	cache      *layerCache
	q, k, v, y kernels.ValueID
	rounded    *acts // of y, if only products read it
	sinks      []float32
	per        int // query heads of a key head
	parts      []lookupPart
	partials   []partial
}

// lookupPart is a range of a block's positions for the queries of one key head.
type lookupPart struct{ block, head, index int }

func (r *runner) lowerAttention(i int, op *kernels.Op, sinks []float32) {
	a := op.Attention()
	o := &lookup{
		AttentionAttrs: a, r: r, q: op.In[0], k: op.In[1], v: op.In[2], y: op.Out[0], sinks: sinks, per: a.NHead / a.NHeadKV,
		cache: r.newLayerCache(r.prog.OpGroup[i], r.prog.OpLayer[i]-r.layer0[r.prog.OpGroup[i]]),
	}
	for w := range r.scratch {
		r.scratch[w].attention.grow(min(blockRows, r.maxRows)*o.per, a.HeadDimK, o.cache.columns)
	}
	r.reads(newStretch(unsafe.Pointer(o), int(unsafe.Sizeof(*o))), newStretch(unsafe.Pointer(o.cache), int(unsafe.Sizeof(*o.cache))))
	r.work = "store"
	r.eachRow(o.k, func(row, worker int) { r.store(o.cache, row, r.value(o.k), r.value(o.v), &r.scratch[worker].attention) })
	r.work = op.Code.String()
	width := a.NHead * a.HeadDimV
	made := r.readByProducts(o.y)
	if a.HeadDimV%roundedPart == 0 && made.any() {
		s := r.actsOf(o.y, width)
		s.of, s.rowWidth, s.rounded = o.y, width, made
		o.rounded = &s.acts
	}
	whole := func(worker, from, to int) {
		for t := from; t < to; t++ {
			// Later blocks see more and take longer: they go first, shared out in turn.
			k := r.pool.dealt(t, len(r.blocks)*a.NHeadKV)
			o.walk(&r.blocks[len(r.blocks)-1-k/a.NHeadKV], k%a.NHeadKV, &r.scratch[worker].attention)
		}
	}
	parts := func(worker, from, to int) {
		s := &r.scratch[worker].attention
		for t := from; t < to; t++ {
			p := &o.parts[t]
			b := &r.blocks[p.block]
			o.readQueries(b, p.head, s)
			o.look(b, p.head, p.index, s, &o.partials[t])
		}
	}
	readsFunc(r, whole)
	r.addStep(func() {
		if o.rounded != nil {
			o.rounded.alias(r.value(o.y), r.rows(o.y), width, made)
		}
		if !o.share() {
			r.pool.run(len(r.blocks)*a.NHeadKV, whole)
			return
		}
		r.pool.run(len(o.parts), parts)
		o.join(&r.scratch[0].attention)
	})
}

// tasksPerWorker is how many blocks and heads keep a worker busy to the end without sharing ranges.
const tasksPerWorker = 4

// share lists the parts where blocks and heads alone do not fill the workers.
func (o *lookup) share() bool {
	r := o.r
	if r.pool.n == 1 || len(r.blocks)*o.NHeadKV >= tasksPerWorker*r.pool.n {
		return false
	}
	o.parts = o.parts[:0]
	for b := range r.blocks {
		first, last := o.ranges(&r.blocks[b])
		for index := first; index <= last; index++ {
			for head := range o.NHeadKV {
				o.parts = append(o.parts, lookupPart{b, head, index})
			}
		}
	}
	if len(o.parts) == len(r.blocks)*o.NHeadKV {
		return false
	}
	for len(o.partials) < len(o.parts) {
		o.partials = append(o.partials, partial{})
	}
	for i := range o.parts {
		o.partials[i].grow(r.blocks[o.parts[i].block].n*o.per, o.cache.columns)
	}
	return true
}

// join folds the parts of each block and head together in order.
func (o *lookup) join(s *attention) {
	for i := 0; i < len(o.parts); i += o.NHeadKV {
		// The parts of a block stand together, its heads side by side in each range.
		if i > 0 && o.parts[i].block == o.parts[i-1].block {
			continue
		}
		b := &o.r.blocks[o.parts[i].block]
		n := b.n * o.per
		for head := range o.NHeadKV {
			o.begin(b, head, &s.total)
			for t := i + head; t < len(o.parts) && o.parts[t].block == o.parts[i].block; t += o.NHeadKV {
				s.total.fold(&o.partials[t], n, o.cache.columns)
			}
			o.finish(b, head, &s.total)
		}
	}
}

// walk does all ranges of a block.
func (o *lookup) walk(b *block, head int, s *attention) {
	o.readQueries(b, head, s)
	first, last := o.ranges(b)
	if o.sinks == nil {
		// What is seen of the first range is all that is seen so far.
		o.look(b, head, first, s, &s.total)
		first++
	} else {
		o.begin(b, head, &s.total)
	}
	for index := first; index <= last; index++ {
		o.look(b, head, index, s, &s.part)
		s.total.fold(&s.part, b.n*o.per, o.cache.columns)
	}
	o.finish(b, head, &s.total)
}

// row gives a query's row of the batch, and its head.
func (o *lookup) row(b *block, head, i int) (row, h int) {
	return b.first + i/o.per, head*o.per + i%o.per
}

func (o *lookup) readQueries(b *block, head int, s *attention) {
	q, dk := o.r.value(o.q), o.HeadDimK
	size := o.per * dk // the queries of a row stand side by side
	for i := range b.n {
		row, h := o.row(b, head, i*o.per)
		scale(s.query[i*size:(i+1)*size], q[(row*o.NHead+h)*dk:][:size], o.Scale)
	}
}

// begin sets a partial to what is seen before any position: a sink, or nothing.
func (o *lookup) begin(b *block, head int, p *partial) {
	n := b.n * o.per
	for i := range n {
		p.top[i], p.sum[i] = float32(math.Inf(-1)), 0
		if o.sinks != nil {
			_, h := o.row(b, head, i)
			p.top[i], p.sum[i] = o.sinks[h], 1
		}
	}
	clear(p.acc[:n*o.cache.columns])
}

func (o *lookup) finish(b *block, head int, p *partial) {
	y, dv, columns := o.r.value(o.y), o.HeadDimV, o.cache.columns
	for i := range b.n * o.per {
		row, h := o.row(b, head, i)
		scale(y[(row*o.NHead+h)*dv:][:dv], p.acc[i*columns:][:dv], 1/p.sum[i])
		if last := (i+1)%o.per == 0; last && o.rounded != nil {
			o.rounded.roundPart(row, head*o.per*dv, (h+1)*dv)
		}
	}
}

// seenPage is a page of a range: a head's part of it, who sees what of it (seeing), and what will be looked at after its keys
// and after its values.
type seenPage struct {
	headPage
	number                 int
	scores                 int // where the page's begin in a row of them
	r0, r1, from, to       int
	afterKeys, afterValues *byte
}

// look gives what a block's queries see of one range.
func (o *lookup) look(b *block, head, index int, s *attention, to *partial) {
	n, columns := b.n*o.per, o.cache.columns
	pages := o.open(b, head, index, s)
	for i := range pages {
		o.score(b, &pages[i], s)
	}
	softmaxRange(s.scores, n, len(pages), to.top, to.sum)
	clear(to.acc[:n*columns])
	for i := range pages {
		o.addValues(b, &pages[i], s, to.acc)
	}
}

// open finds a head's part of the pages of a range that any row of the block sees. All their keys are looked at, then all
// their values, then likely the next range's keys, or the next head's.
func (o *lookup) open(b *block, head, index int, s *attention) []seenPage {
	table := o.r.batch.Seqs[o.r.batch.Rows[b.first].Seq].Pages[o.cache.index]
	memory := o.r.pages[o.cache.index]
	begin, end := o.seenPages(b)
	first, last := max(begin, index*rangePages), min(end, (index+1)*rangePages-1)
	pages := s.pages[:last-first+1]
	for i := range pages {
		p := &pages[i]
		o.cache.head(&p.headPage, memory.at(table[first+i]), head)
		p.number, p.scores = first+i, i*kernels.PageSize
		p.r0, p.r1, p.from, p.to = o.seeing(b, p.number)
		if i > 0 {
			pages[i-1].afterKeys, pages[i-1].afterValues = unsafe.SliceData(p.keys.data), unsafe.SliceData(p.values.data)
		}
	}
	p := &pages[len(pages)-1]
	p.afterKeys, p.afterValues = unsafe.SliceData(pages[0].values.data), unsafe.SliceData(p.values.data)
	switch {
	case last < end:
		p.afterValues = &memory.at(table[last+1])[o.cache.headAt(head)]
	case head+1 < o.NHeadKV:
		p.afterValues = &memory.at(table[begin])[o.cache.headAt(head+1)]
	}
	return pages
}

// seeing gives the rows of a block, first..last-1, that see something of a page, and the positions of it, from..to-1, that any
// of them sees. Later rows see neither earlier beginnings nor earlier ends.
func (o *lookup) seeing(b *block, page int) (first, last, from, to int) {
	last = b.n
	for ; first < last; first++ {
		if f, t := o.seesOf(page, b, b.first+first); f < t {
			from = f
			break
		}
	}
	for ; first < last; last-- {
		if f, t := o.seesOf(page, b, b.first+last-1); f < t {
			to = t
			break
		}
	}
	return first, last, from, to
}

// score makes a page's scores; what a row does not see is -Inf.
func (o *lookup) score(b *block, p *seenPage, s *attention) {
	keys := p.keys.forQueries(b.n*o.per, s.keys)
	scores := s.scores[p.scores:]
	if p.r0 < p.r1 {
		// Scores of what some row does not see are made with those of the others and dropped.
		c0, c1 := p.from&^15, (p.to+15)&^15
		q0, q1 := p.r0*o.per, p.r1*o.per
		o.multiplyKeys(scores[q0*rangeSize+c0:], s, q0, q1-q0, &keys, p, c0, c1)
		if o.Softcap != 0 {
			for q := q0; q < q1; q++ {
				part := scores[q*rangeSize:][c0:c1]
				softcap(part, part, o.Softcap)
			}
		}
	}
	for i := range b.n {
		if from, to := o.seesOf(p.number, b, b.first+i); from > 0 || to < kernels.PageSize {
			for q := i * o.per; q < (i+1)*o.per; q++ {
				fillOutside(scores[q*rangeSize:][:kernels.PageSize], from, to, float32(math.Inf(-1)))
			}
		}
	}
}

// fillOutside sets what is not in from..to-1.
func fillOutside(x []float32, from, to int, v float32) {
	for i := range min(from, len(x)) {
		x[i] = v
	}
	for i := max(from, to, 0); i < len(x); i++ {
		x[i] = v
	}
}

// multiplyKeys makes the scores of n queries from the given one on with columns c0 to c1-1 of a page, whose keys may be
// floats.
func (o *lookup) multiplyKeys(scores []float32, s *attention, first, n int, keys *tile, p *seenPage, c0, c1 int) {
	dk, ahead := o.HeadDimK, p.afterKeys
	query := s.query[first*dk:]
	if p.keyScales == nil {
		multiply(scores, rangeSize, query, dk, n, dk, keys.from(0, c0), c1-c0, false, ahead)
		return
	}
	// A position's scale goes for a block of 32 entries: the products of each block, times the scales, are added up.
	scales := s.scales[:c1-c0]
	for b := 0; b < dk/cacheBlock; b++ {
		multiply(s.product, kernels.PageSize, query[b*cacheBlock:], dk, n, cacheBlock, keys.from(b*cacheBlock, c0), c1-c0, false, ahead)
		ahead = (*byte)(unsafe.Add(unsafe.Pointer(ahead), cacheBlock*kernels.PageSize))
		halfToFloat(scales, p.keyScales[b*kernels.PageSize+c0:][:c1-c0])
		for i := range n {
			to := scores[i*rangeSize:][:c1-c0]
			if product := s.product[i*kernels.PageSize:][:c1-c0]; b == 0 {
				mul(to, product, scales)
			} else {
				mulAdd(to, product, scales)
			}
		}
	}
}

// addValues adds a page's values by their weights.
func (o *lookup) addValues(b *block, p *seenPage, s *attention, acc []float32) {
	values := p.values.forQueries(b.n*o.per, s.values)
	// Rows that begin at one position go on together.
	r0, r1, from := p.r0, p.r1, p.from
	if r1 == r0+1 {
		o.multiplyValues(acc[r0*o.per*o.cache.columns:], s, r0*o.per, o.per, &values, p, from, p.to)
		return
	}
	for r0 < r1 {
		end, next := r0+1, 0
		for ; end < r1; end++ {
			if next, _ = o.seesOf(p.number, b, b.first+end); next != from {
				break
			}
		}
		o.addRows(b, r0, end, from, &values, p, s, acc)
		r0, from = end, next
	}
}

// addRows adds the values from a position on for the rows r0 to r1-1 of a block: what the first of them sees for all, what is
// left for each half of them, so that most is added for many rows at once.
func (o *lookup) addRows(b *block, r0, r1, from int, values *tile, p *seenPage, s *attention, acc []float32) {
	for {
		if _, to := o.seesOf(p.number, b, b.first+r0); from < to {
			o.multiplyValues(acc[r0*o.per*o.cache.columns:], s, r0*o.per, (r1-r0)*o.per, values, p, from, to)
			from = to
		}
		if _, to := o.seesOf(p.number, b, b.first+r1-1); from >= to {
			return
		}
		half := (r0 + r1 + 1) / 2
		o.addRows(b, r0, half, from, values, p, s, acc)
		r0 = half
	}
}

// multiplyValues adds positions from..to-1 of a page's values, which may be floats, by the weights of n queries from the given
// one on.
func (o *lookup) multiplyValues(acc []float32, s *attention, first, n int, values *tile, p *seenPage, from, to int) {
	columns, ahead := o.cache.columns, p.afterValues
	weights := s.scores[first*rangeSize+p.scores+from:]
	if p.valueScales == nil {
		multiply(acc, columns, weights, rangeSize, n, to-from, values.from(from, 0), columns, true, ahead)
		return
	}
	scales := s.scales[:to-from]
	for b := 0; b < columns/cacheBlock; b++ {
		halfToFloat(scales, p.valueScales[b*kernels.PageSize+from:][:to-from])
		for q := range n {
			mul(s.product[q*kernels.PageSize:][:to-from], weights[q*rangeSize:][:to-from], scales)
		}
		multiply(acc[b*cacheBlock:], columns, s.product, kernels.PageSize, n, to-from, values.from(from, b*cacheBlock), cacheBlock, true, ahead)
		ahead = (*byte)(unsafe.Add(unsafe.Pointer(ahead), cacheBlock*kernels.PageSize))
	}
}

// sees gives the first and last position that a row looks at.
func (o *lookup) sees(b *block, row int) (first, last int) {
	pos := int(o.r.batch.Rows[row].Pos)
	first, last = 0, pos
	if o.Window > 0 {
		first = max(0, pos-o.Window+1)
	}
	if o.Causal == 0 {
		last = int(o.r.batch.Rows[b.run.first+b.run.n-1].Pos)
	}
	return first, last
}

// seesOf is the part of a page that a row sees: positions from..to-1 of it, none if from >= to.
func (o *lookup) seesOf(page int, b *block, row int) (from, to int) {
	first, last := o.sees(b, row)
	start := page * kernels.PageSize
	return max(first-start, 0), min(last-start+1, kernels.PageSize)
}

// seenPages gives the first and last page that any row of a block sees, ranges the same in ranges.
func (o *lookup) seenPages(b *block) (first, last int) {
	from, _ := o.sees(b, b.first)
	_, to := o.sees(b, b.first+b.n-1)
	return from / kernels.PageSize, to / kernels.PageSize
}

func (o *lookup) ranges(b *block) (first, last int) {
	first, last = o.seenPages(b)
	return first / rangePages, last / rangePages
}
