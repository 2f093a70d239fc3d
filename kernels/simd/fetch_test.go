package simd

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"forge/kernels"
	"forge/kernels/kernelstest"
)

// TestFetchStaysInside has a list that ends at an unmapped page, which nothing may read, and stretches that begin before one and
// lie in it, for which the processor may ask.
func TestFetchStaysInside(t *testing.T) {
	page := guarded(t, 4096, true)
	const n, size = 3, int(unsafe.Sizeof(stretch{}))
	list := unsafe.Slice((*stretch)(unsafe.Pointer(unsafe.SliceData(guarded(t, n*size, true)))), n)
	for _, rung := range ladder() {
		atLevel(t, rung)
		for i := range list {
			list[i] = newStretch(unsafe.Pointer(&page[4096-1-i]), 1+i*100)
		}
		fetch(list)
		fetch(nil)
	}
}

// TestMerged counts the lines of stretches one by one.
func TestMerged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	memory := alignedBytes(100 * line)
	for range 200 {
		var list []stretch
		lines := map[uintptr]bool{}
		for range rng.IntN(12) {
			from := rng.IntN(len(memory))
			part := memory[from:min(len(memory), from+rng.IntN(5*line))]
			list = append(list, stretchOf(part))
			for i := range part {
				lines[uintptr(unsafe.Pointer(&part[i]))/line] = true
			}
		}
		total, last := 0, uintptr(0)
		for i, s := range merged(list) {
			if i > 0 && s.first() <= last {
				t.Fatalf("a stretch begins in line %d, the one before ended before line %d", s.first(), last)
			}
			for l := s.first(); l < s.end(); l++ {
				if !lines[l] {
					t.Fatalf("line %d of no stretch", l)
				}
				total++
			}
			last = s.end()
		}
		if total != len(lines) {
			t.Fatalf("%d lines, want %d", total, len(lines))
		}
	}
}

// TestNear looks for the operands of each operation among what the steps of whole models fetch.
func TestNear(t *testing.T) {
	models := 0
	for _, c := range kernelstest.Cases() {
		if !strings.HasPrefix(c.Name, "model/") {
			continue
		}
		models++
		r := open(t, c, kernels.Options{MaxRows: c.MaxRows, Threads: 1}).(*runner)
		lines := map[uintptr]bool{}
		for i := range r.steps {
			for _, s := range r.steps[i].near {
				if s.lines < 1 {
					t.Fatalf("%s: an empty stretch, for which the kernel has no end", c.Name)
				}
				for l := s.first(); l < s.end(); l++ {
					lines[l] = true
				}
			}
		}
		for i := range c.Program.Ops {
			for _, id := range c.Program.Ops[i].In {
				if id < 0 {
					continue
				}
				if at := uintptr(unsafe.Pointer(&r.values[id])); !lines[at/line] {
					t.Errorf("%s: operation %d: nobody fetches where value %d lies", c.Name, i, id)
				}
			}
		}
	}
	if models == 0 {
		t.Error("no models among the cases")
	}
}
