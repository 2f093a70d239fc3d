package simd

import (
	"slices"
	"strings"

	"forge/kernels"
)

// Light operations compute each row of their result from the same row of what they read: norms, additions, rotations,
// rounding. Those that follow each other become one step that takes rows one by one through all of them: workers meet once
// at its end and not after each, and a row stays in the first-level cache. Since rows then run ahead of each other, the
// values that such a step reads keep their memory to its end.

// rowWork is one light operation.
type rowWork struct {
	work     string
	selected bool   // it works on the rows that want output
	width    int    // numbers of a row
	before   func() // what the caller does alone first; nil: nothing
	row      func(row, worker int)
}

// serialWork is how many numbers of a light operation one processor does rather than share out.
const serialWork = 8192

// rowChunk is how many rows a worker takes at a time. Neighbouring rows write the same cache lines of a page of keys, so
// it is not one.
const rowChunk = 8

// eachRow adds a light operation over the rows of a value.
func (r *runner) eachRow(x kernels.ValueID, f func(row, worker int)) {
	v := r.prog.Values[x]
	r.addRowWork(rowWork{work: r.work, selected: v.Selected, width: v.Width, row: f})
}

// eachPart adds a light operation over stretches of rows, from..to-1 counted over all rows of a value. Rows too wide for one
// worker are cut.
func (r *runner) eachPart(x kernels.ValueID, f func(from, to int)) {
	width := r.prog.Values[x].Width
	if width <= serialWork {
		r.eachRow(x, func(row, _ int) { f(row*width, (row+1)*width) })
		return
	}
	const span = 4096
	task := func(_, from, to int) { f(from*span, min(len(r.value(x)), to*span)) }
	r.addStep(func() { r.pool.run((len(r.value(x))+span-1)/span, task) })
}

func (r *runner) addRowWork(w rowWork) {
	if len(r.pending) > 0 && r.pending[0].selected != w.selected {
		r.flush()
	}
	readsFunc(r, w.row)
	if w.before != nil {
		readsFunc(r, w.before)
	}
	r.pending = append(r.pending, w)
}

// flush makes a step of the light operations that wait, and gives back the memory of the values that died in it.
func (r *runner) flush() {
	if len(r.pending) > 0 {
		r.steps = append(r.steps, r.rowStage(slices.Clone(r.pending)))
		r.pending = r.pending[:0]
	}
	for _, id := range r.dying {
		r.drop(id)
	}
	r.dying = r.dying[:0]
}

func (r *runner) rowStage(all []rowWork) stage {
	var names []string
	width := 0
	for i := range all {
		width = max(width, all[i].width)
		if !slices.Contains(names, all[i].work) {
			names = append(names, all[i].work)
		}
	}
	through := func(from, to, worker int) {
		for row := from; row < to; row++ {
			for i := range all {
				all[i].row(row, worker)
			}
		}
	}
	selected := all[0].selected
	task := func(worker, from, to int) { through(from*rowChunk, min(r.rowsOf(selected), to*rowChunk), worker) }
	r.reads(stretchOf(all))
	readsFunc(r, through)
	run := func() {
		for i := range all {
			if all[i].before != nil {
				all[i].before()
			}
		}
		if n := r.rowsOf(selected); n*width <= serialWork {
			through(0, n, 0)
		} else {
			r.pool.run((n+rowChunk-1)/rowChunk, task)
		}
	}
	readsFunc(r, run)
	return stage{work: strings.Join(names, "+"), run: run}
}

// serial adds a step that the caller does alone.
func (r *runner) serial(f func()) { r.addStep(f) }

// addStep adds a step that shares its work out itself.
func (r *runner) addStep(f func()) {
	r.flush()
	readsFunc(r, f)
	r.steps = append(r.steps, stage{work: r.work, run: f})
}
