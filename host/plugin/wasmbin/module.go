package wasmbin

import (
	"fmt"
	"strings"
)

// Kind is what an import or an export names, in the numbering of the binary format.
type Kind byte

// The four kinds of the core format.
const (
	Func Kind = iota
	Table
	Memory
	Global
)

// String is the keyword of the text format.
func (k Kind) String() string {
	switch k {
	case Func:
		return "func"
	case Table:
		return "table"
	case Memory:
		return "memory"
	case Global:
		return "global"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// ValueType is a number or vector type, in the numbering of the binary format.
type ValueType byte

// The value types that a checked module may use.
const (
	I32  ValueType = 0x7f
	I64  ValueType = 0x7e
	F32  ValueType = 0x7d
	F64  ValueType = 0x7c
	V128 ValueType = 0x7b
)

// String is the keyword of the text format.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return fmt.Sprintf("type %#02x", byte(t))
}

// FuncType is the signature of a function.
type FuncType struct {
	Params, Results []ValueType
}

// String is the form of the messages: (i32, i32) -> i64, with () for no result.
func (t FuncType) String() string {
	list := func(ts []ValueType) string {
		names := make([]string, len(ts))
		for i, v := range ts {
			names[i] = v.String()
		}
		return strings.Join(names, ", ")
	}
	if len(t.Results) == 1 {
		return "(" + list(t.Params) + ") -> " + t.Results[0].String()
	}
	return "(" + list(t.Params) + ") -> (" + list(t.Results) + ")"
}

func (t FuncType) equal(o FuncType) bool {
	return string(typeBytes(t.Params)) == string(typeBytes(o.Params)) &&
		string(typeBytes(t.Results)) == string(typeBytes(o.Results))
}

func typeBytes(ts []ValueType) []byte {
	b := make([]byte, len(ts))
	for i, t := range ts {
		b[i] = byte(t)
	}
	return b
}

// Import is one function that the module asks the host for; Check refuses every other kind.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FuncType
}

// Export is one thing that the module offers the host.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32   // in the index space of its kind, imports counted first
	Type  FuncType // of a Func; empty otherwise
}

// Module is what Check learned about a module.
type Module struct {
	Imports []Import
	Exports []Export
	Custom  map[string][]byte // custom sections by name; the slices alias the checked bytes

	HasMemory            bool
	MemoryMin, MemoryMax uint32 // pages of 65,536 bytes; MemoryMax only if HasMax
	HasMax               bool
	TableMin             uint32 // entries, 0 without a table

	NFuncs     int // functions with a body, imports not counted
	MaxFuncOps int // instructions of the longest body
	Start      bool

	MutableGlobals  []ValueType // of the guest's own mutable globals, in their order
	MutatesSegments bool        // some function drops a segment or writes to the table

	hasTable  bool
	types     []FuncType
	funcs     []uint32 // type index of every function, imports first
	globals   []globalType
	elemFuncs []uint32 // every function that some table may hold, with repetitions
	nElems    int
	nData     uint32
	hasCount  bool
	start     uint32
	names     map[uint32]string // of functions, for messages: exports and imports first, then the name section
	nameBase  int

	sections []section
	digest   uint64 // of the bytes that were checked

	bodiesRead bool // and not skipped
}

type globalType struct {
	typ     ValueType
	mutable bool
}

// FuncNamed finds an exported function.
func (m *Module) FuncNamed(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Kind == Func && e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Limits bound what a module may ask for. A zero field takes the default of [DefaultLimits], so that no size is ever
// unbounded by omission.
type Limits struct {
	MaxModuleBytes uint32
	MaxTypes       uint32
	MaxTypeValues  uint32 // parameters of a type, and results of it
	MaxImports     uint32
	MaxFunctions   uint32
	MaxGlobals     uint32
	MaxExports     uint32
	MaxTable       uint32 // entries of the table, and of all element segments together
	MaxData        uint32 // data segments
	MaxPages       uint32 // the memory's minimum; the host bounds growth itself
	MaxFuncBytes   uint32 // body of one function
	MaxFuncLocals  uint32 // parameters included
	MaxFuncNesting uint32 // blocks within blocks

	// A compiler joins values where paths meet, at worst every local at every label, so not the size of a file but
	// these products decide its time and memory: 26 kilobytes of a thousand nested loops over a thousand locals take
	// wazero 23 seconds. Within the defaults the worst function found takes about a second and a half; C, Rust and Go
	// guests stay below a fifth of each.
	MaxFuncLoops   uint32
	MaxLoopNesting uint32
	MaxLoopMerges  uint32 // locals and loop parameters, summed over the loops of a function
	MaxFuncMerges  uint32 // locals and operands, summed over all labels and branches of a function
	MaxTotalMerges uint32 // MaxLoopMerges for the whole module

	// SkipBodies leaves the functions' bodies unread: for a module that passed all of it before. What the bodies say
	// (MaxFuncOps, MutatesSegments) stays zero, and Meter must not follow.
	SkipBodies bool

	// AllowImports says whether an import is granted, its signature included. Nil grants none.
	AllowImports func(Import) bool
}

// DefaultLimits returns the limits of an ordinary guest: a module in C, Rust or AssemblyScript stays far below them
// and a standard Go guest, about two megabytes, still fits. No import is granted.
func DefaultLimits() Limits {
	return Limits{
		MaxModuleBytes: 4 << 20,
		MaxTypes:       2048,
		MaxTypeValues:  64,
		MaxImports:     64,
		MaxFunctions:   16384,
		MaxGlobals:     1024,
		MaxExports:     1024,
		MaxTable:       65536,
		MaxData:        32768,
		MaxPages:       256,
		MaxFuncBytes:   256 << 10,
		MaxFuncLocals:  2048,
		MaxFuncNesting: 8192,
		MaxFuncLoops:   256,
		MaxLoopNesting: 64,
		MaxLoopMerges:  1 << 14,
		MaxFuncMerges:  1 << 18,
		MaxTotalMerges: 1 << 17,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, d *uint32 }{
		{&l.MaxModuleBytes, &d.MaxModuleBytes},
		{&l.MaxTypes, &d.MaxTypes},
		{&l.MaxTypeValues, &d.MaxTypeValues},
		{&l.MaxImports, &d.MaxImports},
		{&l.MaxFunctions, &d.MaxFunctions},
		{&l.MaxGlobals, &d.MaxGlobals},
		{&l.MaxExports, &d.MaxExports},
		{&l.MaxTable, &d.MaxTable},
		{&l.MaxData, &d.MaxData},
		{&l.MaxPages, &d.MaxPages},
		{&l.MaxFuncBytes, &d.MaxFuncBytes},
		{&l.MaxFuncLocals, &d.MaxFuncLocals},
		{&l.MaxFuncNesting, &d.MaxFuncNesting},
		{&l.MaxFuncLoops, &d.MaxFuncLoops},
		{&l.MaxLoopNesting, &d.MaxLoopNesting},
		{&l.MaxLoopMerges, &d.MaxLoopMerges},
		{&l.MaxFuncMerges, &d.MaxFuncMerges},
		{&l.MaxTotalMerges, &d.MaxTotalMerges},
	} {
		if *f.v == 0 {
			*f.v = *f.d
		}
	}
	return l
}

// refillName is the field of the import that Meter adds on request.
const refillName = "__refill"
