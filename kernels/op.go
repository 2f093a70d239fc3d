// Package kernels holds the op vocabulary that models are written in, its scalar definition, and the contract that
// devices meet.
//
// Nouns: a Program is a list of Ops over named Weights and numbered Values; a Device compiles a Segment of it into a
// Runner; a Runner makes Steps over a Batch of rows from many sequences, whose keys and values live in pages that the
// caller numbers and the device owns.
//
//	runner, err := device.Compile(kernels.Whole(program), kernels.Options{MaxRows: 64})
//	logits, err := runner.Step(&kernels.Batch{Rows: rows, Seqs: seqs})
//
// Caveats: weights point into the mapped file and must outlive the runner; what Step returns holds until the next Step.
package kernels

// Spec describes an operation: the names of its slots.
type Spec struct {
	Name       string
	In, W, Out []string
	Attr       []AttrSpec
}

// AttrSpec describes an attribute: its type is i32, f32 or enum, with Names for an enum's values.
type AttrSpec struct {
	Name, Type string
	Names      []string
}

// String gives the operation's name.
func (c OpCode) String() string {
	if s, ok := Specs[c]; ok {
		return s.Name
	}
	return "unknown"
}
