package kernels

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"forge/gguf"
)

// Scalar is the device that defines every operation: plain Go, one short function an operation with its formula. Values
// and the cache are float32, sums are float64, so other devices are measured against it. A row's result does not depend
// on the other rows of the step. It takes every cache type that gguf can write: what is stored is rounded to that format.
type Scalar struct{}

// Name is "scalar".
func (Scalar) Name() string { return "scalar" }

// maxScratch bounds the values of one step.
const maxScratch = 16 << 30

// maxRowsLimit bounds Options.MaxRows.
const maxRowsLimit = 1 << 16

func checkOptions(seg *Segment, opt Options) error {
	if err := seg.Check(); err != nil {
		return err
	}
	if opt.MaxRows < 1 || opt.MaxRows > maxRowsLimit {
		return fmt.Errorf("MaxRows is %d, possible are 1 to %d", opt.MaxRows, maxRowsLimit)
	}
	if n := 4 * int64(seg.Program.Live()) * int64(opt.MaxRows); n > maxScratch {
		return fmt.Errorf("the program's values take %s with steps of %d rows, the limit is %s: use smaller steps",
			bytesText(n), opt.MaxRows, bytesText(maxScratch))
	}
	return opt.CheckRouters(seg.Program)
}

// Compile readies the vectors of the segment (norms, biases, factors); matrices are decoded as they are used.
func (Scalar) Compile(seg *Segment, opt Options) (Runner, error) {
	if err := checkOptions(seg, opt); err != nil {
		return nil, err
	}
	p := seg.Program
	r := &scalar{
		seg: seg, p: p, check: NewBatchCheck(seg, opt), last: p.LastUse(), pooled: p.pooled(), keyType: opt.KeyType, valueType: opt.ValueType, routers: opt.Routers,
		values: make([][]float32, len(p.Values)), routes: make([][]Route, len(p.Values)),
		vectors: map[WeightID][]float32{}, pages: make([][][]float32, len(p.Groups)),
	}
	threads := opt.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	r.workers = make([]scratch, min(threads, 256))
	for i := seg.First; i < seg.Last; i++ {
		if err := r.prepare(i); err != nil {
			return nil, fmt.Errorf("%s: %w", opName(i, &p.Ops[i]), err)
		}
	}
	r.layer0 = make([]int, len(p.Groups))
	for g := range p.Groups {
		for r.layer0[g] < len(p.Groups[g].Layers) && p.Groups[g].Layers[r.layer0[g]] < seg.First {
			r.layer0[g]++
		}
	}
	return r, nil
}

// scalar runs a segment.
type scalar struct {
	seg                *Segment
	p                  *Program
	check              *BatchCheck
	last               []int // for each value the operation after which it is dead
	pooled             bool
	keyType, valueType gguf.Type
	routers            map[int]Router
	vectors            map[WeightID][]float32
	workers            []scratch

	// of the step
	batch  *Batch
	chosen []int       // indices of the rows that want output
	runs   [][2]int    // first row and number of rows of each sequence
	values [][]float32 // [rows, width] while alive
	routes [][]Route   // [rows, top_k] while alive
	free   [][]float32 // buffers of dead values
	result []float32

	x64  []float64 // activations of a product
	sums []float64

	// pages[g][page] holds all layers of the segment: for each k[PageSize, WidthK], then v[PageSize, WidthV].
	pages  [][][]float32
	layer0 []int // the group's first layer in the segment
}

// scratch is what one worker needs.
type scratch struct {
	row    []float32 // a decoded row of a matrix
	block  []float64 // a block of them
	scores []float64
	query  []float64
	sum    []float64
	packed []byte // a row of the cache in its own format
	err    error
}

// prepare decodes the small weights of an operation and refuses cache formats that cannot hold its heads.
func (r *scalar) prepare(i int) error {
	op := &r.p.Ops[i]
	for k, id := range op.W {
		if id < 0 || op.Code == OpEmbed || (op.Code == OpLinear && k == 0) || (op.Code == OpExperts && k < 3) || r.vectors[id] != nil {
			continue
		}
		w := &r.p.Weights[id]
		n := 1
		for _, d := range w.Shape {
			n *= d
		}
		v := make([]float32, n)
		if err := gguf.Dequantize(w.Type, v, w.Data); err != nil {
			return fmt.Errorf("weight %s: %w", printable(w.Name), err)
		}
		r.vectors[id] = v
	}
	if op.Code != OpAttention {
		return nil
	}
	a := op.Attention()
	if !fits(r.keyType, a.HeadDimK) || !fits(r.valueType, a.HeadDimV) {
		return fmt.Errorf("a cache of %s and %s cannot hold keys of %d and values of %d entries", r.keyType, r.valueType, a.HeadDimK, a.HeadDimV)
	}
	return nil
}

func fits(t gguf.Type, entries int) bool { return t.Quantizable() && entries%t.BlockElems() == 0 }

// vector is a decoded small weight, nil if the slot is empty.
func (r *scalar) vector(op *Op, k int) []float32 {
	if op.W[k] < 0 {
		return nil
	}
	return r.vectors[op.W[k]]
}

// Step runs the operations one after the other.
func (r *scalar) Step(b *Batch) ([]float32, error) {
	if err := r.check.Check(b); err != nil {
		return nil, err
	}
	r.begin(b)
	for i := r.seg.First; i < r.seg.Last; i++ {
		op := &r.p.Ops[i]
		if err := r.apply(i, op); err != nil {
			return nil, fmt.Errorf("%s: %w", opName(i, op), err)
		}
		r.release(i, op)
	}
	r.result = append(r.result[:0], r.values[r.seg.Out]...)
	for id := range r.values {
		r.drop(ValueID(id))
	}
	return r.result, nil
}

func (r *scalar) begin(b *Batch) {
	r.batch, r.chosen, r.runs = b, r.chosen[:0], r.runs[:0]
	for i := range b.Rows {
		if b.Rows[i].Want {
			r.chosen = append(r.chosen, i)
		}
		if i == 0 || b.Rows[i].Seq != b.Rows[i-1].Seq {
			r.runs = append(r.runs, [2]int{i, runOf(b.Rows, i)})
		}
	}
	if r.seg.In >= 0 {
		copy(r.alloc(r.seg.In), b.Hidden)
	}
}

// rows is how many rows a value has in this step.
func (r *scalar) rows(id ValueID) int {
	switch {
	case !r.p.Values[id].Selected:
		return len(r.batch.Rows)
	case r.pooled:
		return len(r.runs)
	}
	return len(r.chosen)
}

// indices says for each row of a value which row of the batch it is; a pooled one is its sequence's last.
func (r *scalar) indices(id ValueID) []int32 {
	var list []int32
	switch {
	case !r.p.Values[id].Selected:
		for i := range r.batch.Rows {
			list = append(list, int32(i))
		}
	case r.pooled:
		for _, run := range r.runs {
			list = append(list, int32(run[0]+run[1]-1))
		}
	default:
		for _, i := range r.chosen {
			list = append(list, int32(i))
		}
	}
	return list
}

// alloc gives a value its buffer [rows, width].
func (r *scalar) alloc(id ValueID) []float32 {
	n := r.rows(id) * r.p.Values[id].Width
	for k, buf := range r.free {
		if cap(buf) >= n && cap(buf) <= 2*n+1024 {
			r.free[k] = r.free[len(r.free)-1]
			r.free = r.free[:len(r.free)-1]
			r.values[id] = buf[:n]
			return r.values[id]
		}
	}
	r.values[id] = make([]float32, n)
	return r.values[id]
}

// release drops the values that no later operation reads.
func (r *scalar) release(i int, op *Op) {
	for _, ids := range [][]ValueID{op.In, op.Out} {
		for _, id := range ids {
			if id >= 0 && id != r.seg.Out && r.last[id] <= i {
				r.drop(id)
			}
		}
	}
}

// drop keeps a dead value's buffer for later ones, but not many: steps differ in size.
func (r *scalar) drop(id ValueID) {
	if r.values[id] == nil {
		return
	}
	if len(r.free) == 16 {
		copy(r.free, r.free[1:])
		r.free = r.free[:15]
	}
	r.free = append(r.free, r.values[id])
	r.values[id] = nil
}

// apply runs one operation.
func (r *scalar) apply(i int, op *Op) error {
	if op.Code == OpOutput {
		return nil
	}
	if op.Code == OpRoute {
		return r.route(i, op)
	}
	y := r.alloc(op.Out[0])
	var x, z []float32
	if len(op.In) > 0 {
		x = r.values[op.In[0]]
	}
	if len(op.In) > 1 && op.In[1] >= 0 {
		z = r.values[op.In[1]]
	}
	switch op.Code {
	case OpEmbed:
		return r.embed(y, op)
	case OpNorm:
		r.norm(y, x, op)
	case OpLinear:
		return r.linear(y, x, op)
	case OpRope:
		r.rope(y, x, op)
	case OpAttention:
		return r.attention(y, x, z, r.values[op.In[2]], i, op)
	case OpGLU:
		glu(y, x, z, op.GLU())
	case OpAct:
		act(y, x, op.Act().Act)
	case OpAdd:
		add(y, x, z)
	case OpMul:
		mul(y, x, z, r.p.Values[op.In[1]].Width == 1 && r.p.Values[op.In[0]].Width != 1, r.p.Values[op.In[0]].Width)
	case OpScale:
		scale(y, x, op.Scale().Factor)
	case OpSoftcap:
		softcap(y, x, op.Softcap().Cap)
	case OpView:
		view(y, x, r.p.Values[op.In[0]].Width, op.View())
	case OpConcat:
		r.concat(y, op)
	case OpExperts:
		return r.experts(y, x, op)
	case OpRows:
		r.pick(y, x, op)
	case OpPool:
		r.pool(y, x, op)
	default:
		return fmt.Errorf("the scalar device has no such operation")
	}
	return nil
}

// Reserve makes pages, each its own slice: growing moves nothing.
func (r *scalar) Reserve(group, n int) error {
	if err := r.check.Reserve(group, n); err != nil {
		return err
	}
	size := r.PageBytes(group) / 4
	if size > 0 && n > maxKV/4/size {
		return fmt.Errorf("group %d: %d pages of %s are more than %s", group, n, bytesText(int64(4*size)), bytesText(maxKV))
	}
	for len(r.pages[group]) < n {
		r.pages[group] = append(r.pages[group], make([]float32, size))
	}
	return nil
}

// maxKV bounds the cache of one group.
const maxKV = 1 << 40

// CopyPage copies all layers of a page.
func (r *scalar) CopyPage(group int, dst, src int32) error {
	if err := r.check.CheckPages(group, dst, src); err != nil {
		return err
	}
	copy(r.pages[group][dst], r.pages[group][src])
	return nil
}

// PageBytes counts four bytes a number, whatever format the numbers are rounded to.
func (r *scalar) PageBytes(group int) int { return pageBytes(r.seg, group) }

func pageBytes(seg *Segment, group int) int {
	if group < 0 || group >= len(seg.Program.Groups) {
		return 0
	}
	g := &seg.Program.Groups[group]
	return 4 * PageSize * seg.Layers(group) * (g.WidthK + g.WidthV)
}

// Close gives the memory up.
func (r *scalar) Close() error {
	r.pages, r.values, r.free, r.vectors = make([][][]float32, len(r.p.Groups)), make([][]float32, len(r.p.Values)), nil, nil
	r.check = NewBatchCheck(r.seg, Options{})
	return nil
}

// parallel runs f for every task, on as many goroutines as there are workers; f gets a scratch that is its own meanwhile.
func (r *scalar) parallel(tasks int, f func(s *scratch, task int)) error {
	n := min(len(r.workers), tasks)
	var next atomic.Int64
	work := func(s *scratch) {
		s.err = nil
		for t := int(next.Add(1)) - 1; t < tasks; t = int(next.Add(1)) - 1 {
			f(s, t)
		}
	}
	var wait sync.WaitGroup
	for k := 1; k < n; k++ {
		wait.Go(func() { work(&r.workers[k]) })
	}
	if n > 0 {
		work(&r.workers[0])
	}
	wait.Wait()
	for k := range n {
		if r.workers[k].err != nil {
			return r.workers[k].err
		}
	}
	return nil
}

// grow returns a slice of n entries, s itself if it is large enough; entries are left as they are.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
