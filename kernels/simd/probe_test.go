package simd

import (
	"fmt"
	"testing"
	"time"
)

// TestMeasureLimits wants numbers in the range of what CPUs can do, and more multiply-adds of bytes than of floats. Other programs
// may take the processor for all of a short measurement, so that longer ones follow.
func TestMeasureLimits(t *testing.T) {
	for _, rung := range ladder() {
		atLevel(t, rung)
		var wrong []string
		for each := time.Millisecond; each <= 64*time.Millisecond; each *= 4 {
			if wrong = implausible(t, rung, MeasureLimits(1, each)); wrong == nil {
				break
			}
		}
		for _, w := range wrong {
			t.Errorf("%v: %s", rung, w)
		}
	}
}

func implausible(t *testing.T, rung isa, l Limits) (wrong []string) {
	t.Logf("%v: read %.1f GB/s, %.1f G FP32, %.1f G word and %.1f G byte multiply-adds/s", rung, l.Read/1e9, l.FMA/1e9, l.Halves/1e9, l.Bytes/1e9)
	if l.Threads != 1 || l.Read < 1e8 || l.Read > 1e12 || l.FMA < 1e7 || l.FMA > 1e12 || l.Bytes < 1e7 || l.Bytes > 1e13 {
		wrong = append(wrong, fmt.Sprintf("implausible limits %+v", l))
	}
	if l.Halves < l.FMA || l.Halves > 3*l.FMA {
		wrong = append(wrong, fmt.Sprintf("%g multiply-adds of words, %g of floats", l.Halves, l.FMA))
	}
	if rung != isaScalar && l.Bytes < l.FMA {
		wrong = append(wrong, fmt.Sprintf("fewer multiply-adds of bytes (%g) than of floats (%g)", l.Bytes, l.FMA))
	}
	return wrong
}

// TestProbeReadStaysInside has memory that ends at an unmapped page, which the prefetches ahead may pass and no load.
func TestProbeReadStaysInside(t *testing.T) {
	m := guarded(t, 3*probePage, true)
	for _, rung := range ladder() {
		probesFor(rung).read(&m[0], 3)
	}
}
