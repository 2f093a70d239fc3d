package plugin

import (
	"encoding/binary"
	"math"
	"unsafe"
)

func putU32(b []byte, v uint32)  { binary.LittleEndian.PutUint32(b, v) }
func getU32(b []byte) uint32     { return binary.LittleEndian.Uint32(b) }
func putF64(b []byte, v float64) { binary.LittleEndian.PutUint64(b, math.Float64bits(v)) }

// bytesOf sees numbers as the bytes that guests read. NewRuntime refuses machines where they differ.
func bytesOf[T float32 | float64 | uint32 | uint64](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}
