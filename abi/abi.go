// Package abi holds the numbers, names and byte offsets of the plugin ABI, generated from v1.toml, with checked access
// to the bytes of frames and records.
//
// Nouns: a frame is the record that one call of a guest is given; a record is a fixed layout inside the guest's arena;
// a view (Row, Text, Op, ...) is a byte slice seen as such a record. Every access to a view is bounds-checked.
//
//	row := abi.Row(memory[ptr : ptr+abi.RowSize])
//	row.SetSelected(-1)
//
// Caveats: a view aliases the guest's memory and holds only until the guest's memory grows, so make it anew for a call.
package abi

import (
	_ "embed" // the definition itself
	"encoding/binary"
	"math"
	"strconv"
)

//go:generate go run ./gen

//go:embed v1.toml
var source []byte

// Source is v1.toml, the definition.
func Source() []byte { return source }

// Kind of plugin.
type Kind struct {
	Name, Marker string
	MaxPages     uint32
	Fuel         Fuel
}

// Fuel of calls: of forge_init Init, and of others Base + Per for each element of the work; of forge_init and forge_begin
// Text beside for each byte of their string settings.
type Fuel struct{ Init, Base, Per, Text int64 }

// Import is a function that guests with a capability may import.
type Import struct {
	Cap             uint64
	Module, Name    string
	Params, Results []string
}

// Export that a guest has.
type Export struct {
	Name     string
	Kinds    []string
	Required bool
	Frame    string
}

// KindByName finds a kind.
func KindByName(name string) (Kind, bool) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// String gives the status's name in v1.toml.
func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return strconv.Itoa(int(s))
}

func getU32(b []byte) uint32     { return binary.LittleEndian.Uint32(b) }
func putU32(b []byte, v uint32)  { binary.LittleEndian.PutUint32(b, v) }
func getI32(b []byte) int32      { return int32(getU32(b)) }
func putI32(b []byte, v int32)   { putU32(b, uint32(v)) }
func getU64(b []byte) uint64     { return binary.LittleEndian.Uint64(b) }
func putU64(b []byte, v uint64)  { binary.LittleEndian.PutUint64(b, v) }
func getI64(b []byte) int64      { return int64(getU64(b)) }
func putI64(b []byte, v int64)   { putU64(b, uint64(v)) }
func getF32(b []byte) float32    { return math.Float32frombits(getU32(b)) }
func putF32(b []byte, v float32) { putU32(b, math.Float32bits(v)) }
func getF64(b []byte) float64    { return math.Float64frombits(getU64(b)) }
func putF64(b []byte, v float64) { putU64(b, math.Float64bits(v)) }
