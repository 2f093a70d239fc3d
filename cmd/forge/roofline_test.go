package main

import (
	"math"
	"testing"

	"forge/kernels"
)

// Ensure that what a machine can do with a model is what one works out by hand.
func TestRoofline(t *testing.T) {
	cost := kernels.Cost{WeightBytes: 600, BlockMACs: 3000, HalfMACs: 250, FloatMACs: 375}
	for _, c := range []struct {
		name   string
		test   benchTest
		bytes  int64 // weights and one sequence's cache
		rate   float64
		memory bool
	}{
		{"a token reads 700 bytes at 100 a second", benchTest{name: "tg8", n: 8, nSeq: 1}, 700, 1.0 / 7, true},
		{"4 sequences read the weights once and 4 caches", benchTest{name: "tg8x4", n: 8, nSeq: 4}, 1600, 4.0 / 46, true},
		{"4 sequences with small caches multiply for longer than they read", benchTest{name: "tg8x4", n: 8, nSeq: 4}, 650, 1.0 / 5, false},
		{"a long prompt takes 3000/1000 + 250/500 + 375/250 seconds a token", benchTest{name: "pp512", n: 512, nSeq: 1}, 600, 1.0 / 5, false},
		{"a prompt of one token reads the weights too", benchTest{name: "pp1", n: 1, nSeq: 1}, 600, 1.0 / 6, true},
	} {
		l := &benchLimits{Read: 100, FMA: 250, Halves: 500, Bytes: 1000}
		row := benchRow{Bytes: c.bytes, Samples: []float64{c.rate, c.rate / 2, c.rate / 4}}
		l.conclude(&row, &c.test, &cost)
		if math.Abs(l.Rate-c.rate) > 1e-9 || l.Memory != c.memory || math.Abs(l.Share-0.5) > 1e-9 {
			t.Errorf("%s: %+v, want %v tokens a second", c.name, l, c.rate)
		}
	}
}

// Ensure that a model in small pages gets a mend that is none it has had.
func TestLargePagesLine(t *testing.T) {
	for _, c := range []struct {
		share  float64
		copied bool
		want   string
	}{
		{0.996, false, "100 % of the model lies in large pages."},
		{0.5, true, "50 % of the model lies in large pages."},
		{0.042, false, "4 % of the model lies in large pages: use --no-mmap, or have the system's cache forget the file, so that it is read anew, with dd if=m.gguf iflag=nocache count=0"},
		{0, true, "0 % of the model lies in large pages: does /sys/kernel/mm/transparent_hugepage/enabled say never?"},
	} {
		if got := largePagesLine("m.gguf", c.share, c.copied); got != c.want {
			t.Errorf("%v, copied %v: got %q", c.share, c.copied, got)
		}
	}
}
