package kernels

import "forge/gguf"

// ValueID names a value of a program, WeightID a weight; -1 is none.
type (
	ValueID  int32
	WeightID int32
)

// Weight is a tensor of the file, or a part of one, as it is stored. Shape is row-major: [n], [n_out, n_in] or
// [n_expert, n_out, n_in].
type Weight struct {
	Name  string
	Type  gguf.Type
	Shape []int
	Data  []byte
}

// Value is what one operation makes and others read: for each row Width floats, or, for Routes, Width chosen experts
// with their weights.
type Value struct {
	Width    int
	Routes   bool
	Selected bool // holds only the rows that want output
}

// Op is one operation. Which inputs, weights and attributes it has stands in Specs[Code]; attributes are read through
// the generated accessors (op.Norm().Eps).
type Op struct {
	Code  OpCode
	Layer int // -1 outside the layers; for messages and placement only
	In    []ValueID
	Out   []ValueID
	W     []WeightID
	Attr  [MaxAttrs]uint32
}

// KVGroup is a set of attention operations whose caches have the same geometry and window and so share page tables.
type KVGroup struct {
	Window   int // 0: all positions
	WidthK   int // floats of one position: heads * head size
	WidthV   int
	Layers   []int // indices into Program.Ops
	HeadsKV  int
	HeadDimK int
	HeadDimV int
}

// Program is a model as a list of operations over named weights. Check fills Values and Groups.
type Program struct {
	Name    string // the architecture's name, for messages
	Weights []Weight
	Ops     []Op
	Values  []Value
	Groups  []KVGroup
	// OpGroup[i] and OpLayer[i] say, for an attention operation i, its group and its index in the group's Layers.
	OpGroup, OpLayer []int
}
