package simd

import (
	"testing"
	"time"
)

// TestMeasureLimits wants numbers in the range of what CPUs can do, and more multiply-adds of bytes than of floats.
func TestMeasureLimits(t *testing.T) {
	for _, rung := range ladder() {
		atLevel(t, rung)
		l := MeasureLimits(1, time.Millisecond)
		t.Logf("%v: read %.1f GB/s, %.1f G FP32, %.1f G word and %.1f G byte multiply-adds/s", rung, l.Read/1e9, l.FMA/1e9, l.Halves/1e9, l.Bytes/1e9)
		if l.Threads != 1 || l.Read < 1e8 || l.Read > 1e12 || l.FMA < 1e7 || l.FMA > 1e12 || l.Bytes < 1e7 || l.Bytes > 1e13 {
			t.Errorf("%v: implausible limits %+v", rung, l)
		}
		if l.Halves < l.FMA || l.Halves > 3*l.FMA {
			t.Errorf("%v: %g multiply-adds of words, %g of floats", rung, l.Halves, l.FMA)
		}
		if rung != isaScalar && l.Bytes < l.FMA {
			t.Errorf("%v: fewer multiply-adds of bytes (%g) than of floats (%g)", rung, l.Bytes, l.FMA)
		}
	}
}

// TestProbeReadStaysInside has memory that ends at an unmapped page, which the prefetches ahead may pass and no load.
func TestProbeReadStaysInside(t *testing.T) {
	m := guarded(t, 3*probePage, true)
	for _, rung := range ladder() {
		probesFor(rung).read(&m[0], 3)
	}
}
