package kernels

import (
	"fmt"
	"math"
)

// Diff says how far the results of two devices lie apart.
type Diff struct {
	Max      float64 // largest absolute difference of two entries
	Mean     float64 // mean absolute difference
	Relative float64 // the root of the mean square of the differences over that of the first device's entries
	Scale    float64 // the root of the mean square of the first device's entries
	At       string  // where Max is: "step 2 entry 117: 1.5 and 1.25"
	Entries  int
}

// String writes the figures.
func (d Diff) String() string {
	return fmt.Sprintf("max %.3g, mean %.3g, relative %.3g over %d entries (%s)", d.Max, d.Mean, d.Relative, d.Entries, d.At)
}

// Compare runs the same batches on two devices and compares what Step returns; a is the measure. Each device gets as many
// pages as the batches' tables name. One NaN where the other device has a number makes Max infinite.
func Compare(a, b Device, seg *Segment, opt Options, batches []Batch) (Diff, error) {
	var d Diff
	ra, err := ready(a, seg, opt, batches)
	if err != nil {
		return d, err
	}
	defer ra.Close()
	rb, err := ready(b, seg, opt, batches)
	if err != nil {
		return d, err
	}
	defer rb.Close()
	squares, diffs := 0.0, 0.0
	for step := range batches {
		x, err := ra.Step(&batches[step])
		if err != nil {
			return d, fmt.Errorf("%s: step %d: %w", a.Name(), step, err)
		}
		y, err := rb.Step(&batches[step])
		if err != nil {
			return d, fmt.Errorf("%s: step %d: %w", b.Name(), step, err)
		}
		if len(x) != len(y) {
			return d, fmt.Errorf("step %d: %s returns %d entries, %s %d", step, a.Name(), len(x), b.Name(), len(y))
		}
		for i := range x {
			u, v := float64(x[i]), float64(y[i])
			diff := math.Abs(u - v)
			if math.IsNaN(u) && math.IsNaN(v) || u == v {
				diff = 0
			} else if math.IsNaN(diff) {
				diff = math.Inf(1)
			}
			if diff > d.Max || d.At == "" {
				d.Max, d.At = diff, fmt.Sprintf("step %d entry %d: %g and %g", step, i, u, v)
			}
			d.Mean += diff
			diffs += diff * diff
			squares += u * u
		}
		d.Entries += len(x)
	}
	if d.Entries > 0 {
		n := float64(d.Entries)
		d.Mean, d.Scale = d.Mean/n, math.Sqrt(squares/n)
		if diffs > 0 {
			d.Relative = math.Sqrt(diffs / squares)
		}
	}
	return d, nil
}

// Outputs runs the batches on a device and returns all that Step returns, one after the other.
func Outputs(dev Device, seg *Segment, opt Options, batches []Batch) ([]float32, error) {
	r, err := ready(dev, seg, opt, batches)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []float32
	for step := range batches {
		out, err := r.Step(&batches[step])
		if err != nil {
			return nil, fmt.Errorf("%s: step %d: %w", dev.Name(), step, err)
		}
		all = append(all, out...)
	}
	return all, nil
}

// ready compiles a segment and reserves the pages that the batches name.
func ready(dev Device, seg *Segment, opt Options, batches []Batch) (Runner, error) {
	r, err := dev.Compile(seg, opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dev.Name(), err)
	}
	pages := make([]int, len(seg.Program.Groups))
	for i := range batches {
		for _, s := range batches[i].Seqs {
			for g := range min(len(s.Pages), len(pages)) {
				for _, page := range s.Pages[g] {
					pages[g] = max(pages[g], int(page)+1)
				}
			}
		}
	}
	for g, n := range pages {
		if err := r.Reserve(g, n); err != nil {
			r.Close()
			return nil, fmt.Errorf("%s: %w", dev.Name(), err)
		}
	}
	return r, nil
}
