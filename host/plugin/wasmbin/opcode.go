package wasmbin

// Opcodes that the walker or the meter treat by name; the others are ranges below.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opLoadFirst    = 0x28
	opStoreLast    = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opNumericFirst = 0x45
	opNumericLast  = 0xc4
	opBulk         = 0xfc
	opSIMD         = 0xfd
)

// Sub-opcodes of opBulk.
const (
	bulkTruncLast  = 7
	bulkMemoryInit = 8
	bulkDataDrop   = 9
	bulkMemoryCopy = 10
	bulkMemoryFill = 11
	bulkTableInit  = 12
	bulkElemDrop   = 13
	bulkTableCopy  = 14
)

// feature names what a refused opcode belongs to and how a plugin's author turns it off; both empty for an opcode that
// no specification known here assigns.
type feature struct{ name, mend string }

var (
	featThreads   = feature{"threads and atomics", "build without -pthread and -matomics"}
	featRelaxed   = feature{"relaxed SIMD", "build with -msimd128 alone, without -mrelaxed-simd"}
	featMemory64  = feature{"64-bit memory", "build for wasm32"}
	featMultiMem  = feature{"more than one memory", "build with one memory"}
	featException = feature{"exceptions", "build without -fwasm-exceptions"}
	featTailCall  = feature{"tail calls", "build without -mtail-call"}
	featRefs      = feature{"reference types", "build with -mno-reference-types and keep function pointers in one table"}
	featGC        = feature{"garbage-collected types", "build for linear memory"}
	featExtConst  = feature{"computed constants", "build without -mextended-const"}
	featWide      = feature{"wide arithmetic", "build without -mwide-arithmetic"}
)

func refusedOpcode(op byte) feature {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return featException
	case 0x12, 0x13, 0x15:
		return featTailCall
	case 0x14, 0x1c, 0x25, 0x26, 0xd0, 0xd1, 0xd2, 0xd4, 0xd5, 0xd6:
		return featRefs
	case 0xd3, 0xfb:
		return featGC
	case 0xfe:
		return featThreads
	}
	return feature{}
}

func refusedSub(op byte, sub uint32) feature {
	switch {
	case op == opBulk && sub >= 15 && sub <= 17:
		return featRefs
	case op == opBulk && sub >= 19 && sub <= 22:
		return featWide
	case op == opSIMD && sub >= 0x100 && sub <= 0x12f:
		return featRelaxed
	}
	return feature{}
}

// alignLog2 is the natural alignment of the memory instructions opLoadFirst..opStoreLast.
var alignLog2 = [...]byte{
	2, 3, 2, 3, // i32 i64 f32 f64 load
	0, 0, 1, 1, // i32 load8 load16
	0, 0, 1, 1, 2, 2, // i64 load8 load16 load32
	2, 3, 2, 3, // store
	0, 1, 0, 1, 2, // i32 store8 store16, i64 store8 store16 store32
}

// simdForm says which immediates follow a SIMD opcode.
type simdForm byte

const (
	simdNone simdForm = iota
	simdMem
	simdConst
	simdShuffle
	simdLane
	simdMemLane
)

// simd describes one SIMD opcode: the form, the natural alignment of a memory access, the number of lanes of a lane
// index, and the weight (see cost.go). ok is false for the numbers that SIMD128 leaves unassigned.
func simd(sub uint32) (form simdForm, align, lanes byte, ok bool) {
	switch {
	case sub == 0x00 || sub == 0x0b: // v128.load, v128.store
		return simdMem, 4, 0, true
	case sub <= 0x06: // load and extend
		return simdMem, 3, 0, true
	case sub <= 0x0a: // load8..64_splat
		return simdMem, byte(sub - 0x07), 0, true
	case sub == 0x0c:
		return simdConst, 0, 0, true
	case sub == 0x0d:
		return simdShuffle, 0, 32, true
	case sub >= 0x15 && sub <= 0x22: // extract_lane, replace_lane
		return simdLane, 0, [...]byte{16, 16, 16, 8, 8, 8, 4, 4, 2, 2, 4, 4, 2, 2}[sub-0x15], true
	case sub >= 0x54 && sub <= 0x5b: // load_lane, store_lane
		log := byte(sub-0x54) & 3
		return simdMemLane, log, 16 >> log, true
	case sub == 0x5c || sub == 0x5d: // load32_zero, load64_zero
		return simdMem, byte(sub - 0x5c + 2), 0, true
	case sub > 0xff:
		return 0, 0, 0, false
	}
	switch sub {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4,
		0xe2, 0xee:
		return 0, 0, 0, false
	}
	return simdNone, 0, 0, true
}
