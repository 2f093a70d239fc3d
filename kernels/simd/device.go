package simd

import (
	"fmt"

	"forge/gguf"
	"forge/kernels"
)

// Device is the CPU with its vector instructions.
type Device struct{}

// New gives the device.
func New() Device { return Device{} }

// Name is "simd".
func (Device) Name() string { return "simd" }

// Rung is the name of the instruction set that the kernels use.
func Rung() string { return level.String() }

// Compile lowers the segment to steps that allocate nothing.
func (Device) Compile(seg *kernels.Segment, opt kernels.Options) (kernels.Runner, error) {
	if err := seg.Check(); err != nil {
		return nil, err
	}
	if levelErr != nil {
		return nil, levelErr
	}
	if err := opt.CheckRouters(seg.Program); err != nil {
		return nil, err
	}
	if opt.MaxRows < 1 {
		return nil, fmt.Errorf("MaxRows is %d: a step has at least one row", opt.MaxRows)
	}
	threads := opt.Threads
	if threads <= 0 {
		threads = Threads()
	}
	r := &runner{
		seg: seg, maxRows: opt.MaxRows, prog: seg.Program, check: kernels.NewBatchCheck(seg, opt), pool: newPool(threads), scratch: make([]workerScratch, threads),
		layer0: make([]int, len(seg.Program.Groups)), acts: map[kernels.ValueID]*sharedActs{}, routers: opt.Routers,
		keyType: opt.KeyType, valueType: opt.ValueType, deterministic: opt.Deterministic,
	}
	if err := r.checkCache(); err != nil {
		r.pool.close()
		return nil, err
	}
	for g := range r.layer0 {
		for r.layer0[g] < len(r.prog.Groups[g].Layers) && r.prog.Groups[g].Layers[r.layer0[g]] < seg.First {
			r.layer0[g]++
		}
		r.pages = append(r.pages, newPageMemory(seg.Layers(g)*r.newLayerCache(g, 0).layerBytes()))
	}
	if err := r.lower(); err != nil {
		r.pool.close()
		return nil, err
	}
	return r, nil
}

// runner executes a segment.
type runner struct {
	seg      *kernels.Segment
	maxRows  int
	prog     *kernels.Program
	check    *kernels.BatchCheck
	pool     *pool
	steps    []stage
	work     string // what the step that is being lowered does
	account  account
	near     []stretch         // what the steps since the last product read
	products []int             // indices of these
	pending  []rowWork         // light operations that are not in a step yet
	dying    []kernels.ValueID // values that die in them

	values     []buffer // by value; those that never live at once share memory
	slots      []slot
	routes     []routing              // by value
	routers    map[int]kernels.Router // by operation
	expertWork *expertWork
	acts       map[kernels.ValueID]*sharedActs // of values that live, at compile time
	freeActs   []*sharedActs
	ropes      []*ropeTable
	scratch    []workerScratch

	// of the step
	batch  *kernels.Batch
	wanted []int32 // indices of the rows that want output
	index  []int32 // what indices gives, where it is not that
	runs   []run
	blocks []block
	err    error

	pages              []*pageMemory // by group
	keyType, valueType gguf.Type
	deterministic      bool
	layer0             []int // the group's first layer in the segment
}

// run is the rows of one sequence in the batch.
type run struct{ first, n int }

// workerScratch is one worker's memory.
type workerScratch struct {
	products scratch
	attention
}

// buffer is where a value lies.
type buffer struct {
	slot     int
	width    int
	selected bool
}

// slot is memory for values that do not live at once; it grows to the most rows seen.
type slot struct {
	width    int
	selected bool
	data     []float32
	busy     bool
}

// Step computes the batch.
func (r *runner) Step(b *kernels.Batch) ([]float32, error) {
	if err := r.check.Check(b); err != nil {
		return nil, err
	}
	r.begin(b)
	r.walk()
	if r.err != nil {
		return nil, r.err
	}
	r.evenScratch()
	return r.value(r.seg.Out), nil
}

// evenScratch gives every worker as much memory for products as the one with the most: who takes which chunk is chance,
// and a later step that deals otherwise must not allocate.
func (r *runner) evenScratch() {
	var panel, sums, rest, restOut, u, f int
	for i := range r.scratch {
		s := &r.scratch[i].products
		panel, sums = max(panel, cap(s.panel)), max(sums, cap(s.sums))
		u, f = max(u, cap(s.row.u)), max(f, cap(s.row.f))
		rest, restOut = max(rest, cap(s.rest)), max(restOut, cap(s.restOut))
	}
	for i := range r.scratch {
		s := &r.scratch[i].products
		if cap(s.panel) < panel {
			s.panel = alignedBytes(panel)
		}
		if cap(s.sums) < sums {
			s.sums = floatsOf(alignedBytes(4 * sums))
		}
		s.row.u, s.row.f = grow(s.row.u, u), grow(s.row.f, f)
		s.rest, s.restOut = grow(s.rest, rest), grow(s.restOut, restOut)
	}
}

// begin readies the lists of the batch and room for its rows.
func (r *runner) begin(b *kernels.Batch) {
	r.batch, r.err = b, nil
	r.wanted, r.runs, r.blocks = r.wanted[:0], r.runs[:0], r.blocks[:0]
	for i := range b.Rows {
		if b.Rows[i].Want {
			r.wanted = append(r.wanted, int32(i))
		}
		if i == 0 || b.Rows[i].Seq != b.Rows[i-1].Seq {
			r.runs = append(r.runs, run{first: i})
		}
		r.runs[len(r.runs)-1].n++
	}
	for _, u := range r.runs {
		for at := 0; at < u.n; at += blockRows {
			r.blocks = append(r.blocks, block{run: u, first: u.first + at, n: min(blockRows, u.n-at)})
		}
	}
	for i := range r.slots {
		s := &r.slots[i]
		if n := r.rowsOf(s.selected) * s.width; len(s.data) < n {
			s.data = make([]float32, n)
		}
	}
	if r.seg.In >= 0 {
		copy(r.value(r.seg.In), b.Hidden)
	}
}

func (r *runner) rowsOf(selected bool) int {
	switch {
	case !selected:
		return len(r.batch.Rows)
	case r.check.Pooled():
		return len(r.runs)
	}
	return len(r.wanted)
}

// indices says for each row of a value which row of the batch it is; a pooled one is its sequence's last.
func (r *runner) indices(id kernels.ValueID) []int32 {
	if r.prog.Values[id].Selected && !r.check.Pooled() {
		return r.wanted
	}
	r.index = grow(r.index, r.rows(id))
	for i := range r.index {
		if r.index[i] = int32(i); r.prog.Values[id].Selected {
			r.index[i] = int32(r.runs[i].first + r.runs[i].n - 1)
		}
	}
	return r.index
}

// rows is how many rows a value has in this step.
func (r *runner) rows(id kernels.ValueID) int { return r.rowsOf(r.prog.Values[id].Selected) }

// value is [rows, width].
func (r *runner) value(id kernels.ValueID) []float32 {
	b := &r.values[id]
	return r.slots[b.slot].data[:r.rowsOf(b.selected)*b.width]
}

// place gives a value memory; drop gives it back at compile time.
func (r *runner) place(id kernels.ValueID) {
	v := r.prog.Values[id]
	best := -1
	for i := range r.slots {
		s := &r.slots[i]
		if s.busy || s.selected != v.Selected {
			continue
		}
		// The closest in size; a slot may grow to twice what it is, not more.
		if fits := s.width <= 2*v.Width && v.Width <= 2*s.width; fits && (best < 0 || abs(s.width-v.Width) < abs(r.slots[best].width-v.Width)) {
			best = i
		}
	}
	if best < 0 {
		r.slots = append(r.slots, slot{selected: v.Selected})
		best = len(r.slots) - 1
	}
	s := &r.slots[best]
	s.busy, s.width = true, max(s.width, v.Width)
	r.values[id] = buffer{slot: best, width: v.Width, selected: v.Selected}
}

func (r *runner) drop(id kernels.ValueID) {
	r.slots[r.values[id].slot].busy = false
	r.dropActs(id)
}

func abs(n int) int { return max(n, -n) }

// Reserve makes pages some at a time: what is there does not move.
func (r *runner) Reserve(group, n int) error {
	if err := r.check.Reserve(group, n); err != nil {
		return err
	}
	return r.pages[group].reserve(n)
}

// CopyPage copies all layers of a page.
func (r *runner) CopyPage(group int, dst, src int32) error {
	if err := r.check.CheckPages(group, dst, src); err != nil {
		return err
	}
	copy(r.pages[group].at(dst), r.pages[group].at(src))
	return nil
}

// PageBytes is what the formats of keys and values take.
func (r *runner) PageBytes(group int) int {
	if group < 0 || group >= len(r.pages) {
		return 0
	}
	return r.pages[group].pageBytes
}

// Close ends the workers.
func (r *runner) Close() error {
	if r.steps != nil {
		r.pool.close()
		r.steps = nil
		for _, m := range r.pages {
			m.free()
		}
	}
	return nil
}
