// Package kernelstest holds the tests that every device runs: a table of small programs, one or a few for each operation,
// weight format and shape that is easy to get wrong, with the batches to run them on.
//
//	func TestDevice(t *testing.T) {
//		kernelstest.Against(t, MyDevice{}, kernels.Options{}, func(c *kernelstest.Case) float64 { return 1e-5 })
//	}
//
// Nouns: a [Case] is a checked program with batches; a [Builder] writes programs over random weights; a [Traffic] makes
// batches of many sequences with their page tables. All is drawn from fixed seeds.
package kernelstest

import (
	"strings"
	"testing"

	"forge/gguf"
	"forge/kernels"
)

// Case is a program and what to feed it, step after step.
type Case struct {
	Name    string
	Program *kernels.Program
	Batches []kernels.Batch
	MaxRows int
	Types   []gguf.Type // of the matrices: a device may round activations for some
	// Mixes is true where a row's result may depend on rows after it in its step (pool, attention that is not causal), so
	// that the step cannot be cut into smaller ones.
	Mixes bool
}

// Has tells whether the program has an operation.
func (c *Case) Has(code kernels.OpCode) bool {
	for i := range c.Program.Ops {
		if c.Program.Ops[i].Code == code {
			return true
		}
	}
	return false
}

// Quantised tells whether a matrix of the case has a block format.
func (c *Case) Quantised() bool {
	for _, t := range c.Types {
		if t.BlockElems() > 1 {
			return true
		}
	}
	return false
}

// Rows cuts each batch into steps of one row.
func (c *Case) Rows() []kernels.Batch {
	var cut []kernels.Batch
	for _, b := range c.Batches {
		for _, row := range b.Rows {
			cut = append(cut, kernels.Batch{Rows: []kernels.Row{row}, Seqs: b.Seqs})
		}
	}
	return cut
}

// Against runs every case on the scalar device and on dev. The relative difference (the root of the mean square of the
// differences over that of the results) must not exceed what allow returns; below 0 skips a case. In opt, MaxRows is the
// case's.
func Against(t *testing.T, dev kernels.Device, opt kernels.Options, allow func(c *Case) float64) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			limit := allow(c)
			if limit < 0 {
				t.Skip("not for this device")
			}
			opt.MaxRows = c.MaxRows
			diff, err := kernels.Compare(kernels.Scalar{}, dev, kernels.Whole(c.Program), opt, c.Batches)
			if err != nil {
				t.Fatal(err)
			}
			if !(diff.Relative <= limit) {
				t.Errorf("%v; allowed is %g\n%s", diff, limit, listing(c))
			}
		})
	}
}

// Invariant runs every case on dev twice, as it is and row by row: with Options.Deterministic the results must be the same
// bits, since a row's result does not depend on the other rows of its step.
func Invariant(t *testing.T, dev kernels.Device, opt kernels.Options) {
	opt.Deterministic = true
	for _, c := range Cases() {
		if c.Mixes {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			opt.MaxRows = c.MaxRows
			whole, err := kernels.Outputs(dev, kernels.Whole(c.Program), opt, c.Batches)
			if err != nil {
				t.Fatal(err)
			}
			cut, err := kernels.Outputs(dev, kernels.Whole(c.Program), opt, c.Rows())
			if err != nil {
				t.Fatal(err)
			}
			if len(whole) != len(cut) {
				t.Fatalf("%d entries, row by row %d", len(whole), len(cut))
			}
			for i := range whole {
				if whole[i] != cut[i] && (whole[i] == whole[i] || cut[i] == cut[i]) {
					t.Fatalf("entry %d is %g, row by row %g\n%s", i, whole[i], cut[i], listing(c))
				}
			}
		})
	}
}

func listing(c *Case) string {
	var text strings.Builder
	c.Program.Listing(&text)
	return text.String()
}
