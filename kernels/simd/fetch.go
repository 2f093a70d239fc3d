package simd

import (
	"cmp"
	"slices"
	"unsafe"

	"forge/kernels"
)

// While a token is computed every weight goes through the caches once and drives out what the steps keep for themselves, as their
// operands and lists. Each of these is needed once a token, by a step that runs for a microsecond, and waits for memory, one
// behind the other, would be much of it. So what the steps behind a product read is asked for when the product begins, all at once.
//
// That is for memory that is found by following pointers. What is read in order, as small weights are, the processor fetches
// ahead by itself; and keys and values are so much that asking for them takes as long as waiting for them.

// line is what a cache takes from memory at a time.
const line = 64

// stretch is memory that is worth to be fetched ahead. fetchLines reads it, and wants one line at least.
type stretch struct {
	at    unsafe.Pointer
	lines int
}

func newStretch(at unsafe.Pointer, bytes int) stretch {
	if bytes == 0 {
		return stretch{}
	}
	return stretch{at, (int(uintptr(at)%line) + bytes + line - 1) / line}
}

func stretchOf[T any](x []T) stretch {
	return newStretch(unsafe.Pointer(unsafe.SliceData(x)), len(x)*int(unsafe.Sizeof(*new(T))))
}

// fetch asks for memory; nothing depends on whether it comes.
func fetch(list []stretch) {
	if len(list) > 0 && level != isaScalar {
		fetchLines((*byte)(unsafe.Pointer(&list[0])), len(list))
	}
}

// reads notes what a step that is being lowered will read.
func (r *runner) reads(list ...stretch) { r.near = append(r.near, list...) }

// readsFunc notes what f has captured, the most usual amount of it.
func readsFunc[F any](r *runner, f F) {
	r.reads(newStretch(*(*unsafe.Pointer)(unsafe.Pointer(&f)), 2*line))
}

// readsOf notes an operation's operands.
func (r *runner) readsOf(op *kernels.Op) {
	for _, ids := range [][]kernels.ValueID{op.In, op.Out} {
		for _, id := range ids {
			if id >= 0 {
				r.reads(stretchOf(r.values[id : id+1]))
			}
		}
	}
}

// addProduct adds a step with big matrices, which fetches for those up to the next one.
func (r *runner) addProduct(f func()) {
	r.addStep(f)
	r.endNear()
}

// endNear hands what was noted to the last product, or to the first step where there is none yet.
func (r *runner) endNear() {
	last := len(r.steps) - 1
	if last < 0 {
		return
	}
	if len(r.products) == 0 {
		r.products = append(r.products, 0)
	}
	s := &r.steps[r.products[len(r.products)-1]]
	s.near, r.near = slices.Clone(r.near), r.near[:0]
	r.products = append(r.products, last)
}

// linkNear ends lowering: it adds to what each product fetches the steps themselves, and the list of what the next product fetches.
func (r *runner) linkNear() {
	for i := len(r.products) - 2; i >= 0; i-- {
		s, next := &r.steps[r.products[i]], r.products[i+1]
		s.near = merged(append(s.near, stretchOf(r.steps[r.products[i]+1:next+1]), stretchOf(r.steps[next].near)))
	}
}

// merged drops empty stretches and makes one of those that share lines or stand side by side.
func merged(list []stretch) []stretch {
	list = slices.DeleteFunc(list, func(s stretch) bool { return s.lines == 0 })
	slices.SortFunc(list, func(a, b stretch) int { return cmp.Compare(a.first(), b.first()) })
	var all []stretch
	for _, s := range list {
		if n := len(all); n > 0 && s.first() <= all[n-1].end() {
			all[n-1].lines = int(max(all[n-1].end(), s.end()) - all[n-1].first())
			continue
		}
		all = append(all, s)
	}
	return all
}

// first and end number the lines.
func (s *stretch) first() uintptr { return uintptr(s.at) / line }
func (s *stretch) end() uintptr   { return s.first() + uintptr(s.lines) }
