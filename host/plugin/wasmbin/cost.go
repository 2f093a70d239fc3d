package wasmbin

// A weight is what one instruction costs, in quarters of a unit of fuel: an add is one unit, and what usually costs a
// compiler no instruction of its own (a constant, reading a local) is a quarter, so that a body made of nothing else
// still pays for the interpreter's time.
//
// Fuel has to bound time, so an instruction is priced by the worst that a hostile guest can make of it, not by its
// average: a load is a miss of the nearest caches, a branch a wrong prediction now and then, a division the slow
// operands. TestTimePerUnit prints what a unit takes at worst.
const (
	weightFree   = 0
	weightLocal  = 1
	weightOp     = 4
	weightBranch = 8
	weightSlow   = 16 // a few instructions: conversions with a range check, emulated lanes
	weightTable  = 24 // a jump through a table
	weightMemory = 32
	weightCall   = 32
	weightDivide = 64
	weightBulk   = 64 // the bytes are paid apart
	weightHost   = 512
)

// Fuel for the length of a bulk instruction: bytes are divided by 1<<bytesShift, table entries multiplied by
// 1<<entriesShift.
const (
	bytesShift   = 3
	entriesShift = 1
)

// growUnits pays for memory.grow: the allocator may move the whole memory.
const growUnits = 65536

func (m *Module) weight(in *instr) int64 {
	switch op := in.op; {
	case op == opNop || op == opBlock || op == opLoop || op == opElse || op == opEnd:
		return weightFree
	case op == opUnreachable || op == opReturn || op == opBr:
		return weightOp
	case op == opIf || op == opBrIf:
		return weightBranch
	case op == opBrTable:
		return weightTable
	case op == opCall && in.sub < uint32(len(m.Imports)):
		return weightHost
	case op == opCall:
		return weightCall
	case op == opCallIndirect:
		return weightCall + weightTable
	case op == opDrop || op >= opLocalGet && op <= opLocalTee || op >= opI32Const && op <= opF64Const:
		return weightLocal
	case op >= opLoadFirst && op <= opStoreLast:
		return weightMemory
	case op == opMemoryGrow:
		return weightBulk
	case op >= opNumericFirst && op <= opNumericLast:
		return numericWeight(op)
	case op == opBulk:
		return bulkWeight(in.sub)
	case op == opSIMD:
		return simdWeight(in.sub)
	}
	return weightOp // select, globals, memory.size
}

func numericWeight(op byte) int64 {
	switch {
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82: // div and rem of i32 and i64
		return weightDivide
	case op == 0x91, op == 0x95, op == 0x9f, op == 0xa3: // sqrt and div of f32 and f64
		return weightDivide
	case op >= 0x8d && op <= 0x90, op >= 0x9b && op <= 0x9e: // ceil, floor, trunc, nearest
		return weightBranch
	case op == 0x96, op == 0x97, op == 0xa4, op == 0xa5: // min, max
		return weightSlow
	case op >= 0xa8 && op <= 0xab, op >= 0xae && op <= 0xbf: // between integers and floats
		return weightSlow
	}
	return weightOp
}

func bulkWeight(sub uint32) int64 {
	switch {
	case sub <= bulkTruncLast:
		return weightSlow
	case sub == bulkDataDrop || sub == bulkElemDrop:
		return weightMemory
	}
	return weightBulk
}

func simdWeight(sub uint32) int64 {
	if form, _, _, _ := simd(sub); form == simdMem || form == simdMemLane {
		return weightMemory
	}
	switch sub {
	case 0x0c:
		return weightLocal
	case 0xe3, 0xe7, 0xef, 0xf3: // sqrt and div of f32x4 and f64x2
		return weightDivide
	case 0x62, 0x6b, 0x6c, 0x6d, 0xcc, 0xd5, // popcnt, shifts of i8x16, shr_s and mul of i64x2
		0xe8, 0xe9, 0xf4, 0xf5, // min, max
		0x9c, 0x9d, 0x9e, 0x9f, 0xbc, 0xbd, 0xbe, 0xbf, 0xdc, 0xdd, 0xde, 0xdf, 0xb5, // products of wider lanes
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff: // conversions
		return weightSlow
	case 0x0d, 0x0e, 0x53, 0x63, 0x83, 0xa3, 0xc3, 0x64, 0x84, 0xa4, 0xc4, // shuffles, any_true, all_true, bitmask
		0x5e, 0x5f, // demote, promote
		0x7c, 0x7d, 0x7e, 0x7f, 0x82, 0xba, // pairwise sums, q15mulr, dot
		0x67, 0x68, 0x69, 0x6a, 0x74, 0x75, 0x7a, 0x94: // rounding
		return weightBranch
	}
	return weightOp
}

// dynamic says how the length on top of the stack is priced: by a shift to the left (right if negative) of its value.
// memory.fill and memory.copy are priced in the functions that take their places.
func dynamic(in *instr) (shift int, ok bool) {
	if in.op != opBulk {
		return 0, false
	}
	switch in.sub {
	case bulkMemoryInit:
		return -bytesShift, true
	case bulkTableInit, bulkTableCopy:
		return entriesShift, true
	}
	return 0, false
}
