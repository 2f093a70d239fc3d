package wasmbin

// memory.fill and memory.copy run for as long as the memory is large, a tenth of a second for 256 MiB, and nothing can
// interrupt an instruction. So each is replaced by a call of a function of the meter's that does the same in pieces and
// pays for one after the other. A length that reaches outside the memory traps as ever, if only at the piece that does.
// memory.grow and the lengths of the other bulk instructions are paid for in such functions too: a look at each of them
// would swell the guest's.
type bulkFuncs struct {
	list []bulkFunc // in the order of their indices
}

type bulkFunc struct {
	op    byte
	sub   uint32
	index uint64
	write func(w *rewriter, b []byte) []byte
}

// bulkPiece is a multiple of 1<<bytesShift, so that pieces cost what the whole does.
const bulkPiece = 256 << 10

// of gives the function that takes the place of an instruction, if one does.
func (f *bulkFuncs) of(w *rewriter, in *instr) (uint64, bool) {
	for _, have := range f.list {
		if have.op == in.op && have.sub == in.sub {
			return have.index, true
		}
	}
	operands := FuncType{Params: []ValueType{I32, I32, I32}}
	add := bulkFunc{op: in.op, sub: in.sub}
	switch {
	case in.op == opMemoryGrow:
		operands = FuncType{Params: []ValueType{I32}, Results: []ValueType{I32}}
		add.write = (*rewriter).growBody
	case in.op == opBulk && in.sub == bulkMemoryFill:
		add.write = (*rewriter).fillBody
	case in.op == opBulk && in.sub == bulkMemoryCopy:
		add.write = (*rewriter).copyBody
	default:
		return 0, false
	}
	add.index = w.add(operands)
	f.list = append(f.list, add)
	return add.index, true
}

// length gives the function that pays for the length on top of the stack and leaves it there.
func (f *bulkFuncs) length(w *rewriter, shift int) uint64 {
	for _, have := range f.list {
		if have.op == opNop && have.sub == uint32(shift) {
			return have.index
		}
	}
	add := bulkFunc{op: opNop, sub: uint32(shift), index: w.add(FuncType{Params: []ValueType{I32}, Results: []ValueType{I32}})}
	add.write = func(w *rewriter, b []byte) []byte {
		return append(w.chargeLength(append(b, 0, opLocalGet, 0), 0, shift), opEnd)
	}
	f.list = append(f.list, add)
	return add.index
}

// growBody is memory.grow: pages.
func (w *rewriter) growBody(b []byte) []byte {
	b = w.look(w.pays(append(b, 0), growUnits))
	return append(b, opLocalGet, 0, opMemoryGrow, 0, opEnd)
}

// Locals of the two functions: the instruction's operands and the length of a piece.
const (
	bulkTo byte = iota
	bulkFrom
	bulkLeft
	bulkNow
)

const (
	opI32Eqz  = 0x45
	opI32LtU  = 0x49
	opI32LeU  = 0x4d
	opI32Add  = 0x6a
	opI32Sub  = 0x6b
	bulkLocal = byte(I32)
)

// step writes local = local op by.
func step(b []byte, local, op, by byte) []byte {
	return append(b, opLocalGet, local, opLocalGet, by, op, opLocalSet, local)
}

// piece opens a loop over pieces: their length is min(left, bulkPiece), and is paid for.
func (w *rewriter) piece(b []byte) []byte {
	b = append(b, opLoop, typeVoid, opLocalGet, bulkLeft)
	b = putS(append(b, opI32Const), bulkPiece)
	b = append(b, opLocalGet, bulkLeft)
	b = putS(append(b, opI32Const), bulkPiece)
	b = append(b, opI32LtU, opSelect)
	b = w.chargeLength(b, uint64(bulkNow), -bytesShift)
	return append(b, opDrop)
}

// short writes the way of a length that is one piece, which is nearly every one: the instruction itself.
func (w *rewriter) short(b []byte, sub byte, memories ...byte) []byte {
	b = putS(append(b, opLocalGet, bulkLeft, opI32Const), bulkPiece)
	b = append(b, opI32LeU, opIf, typeVoid, opLocalGet, bulkLeft)
	b = append(w.chargeLength(b, uint64(bulkNow), -bytesShift), opDrop)
	b = append(b, opLocalGet, bulkTo, opLocalGet, bulkFrom, opLocalGet, bulkLeft, opBulk, sub)
	return append(append(b, memories...), opReturn, opEnd)
}

// fillBody is memory.fill: to, value, left.
func (w *rewriter) fillBody(b []byte) []byte {
	b = w.piece(w.short(append(b, 1, 1, bulkLocal), bulkMemoryFill, 0))
	b = append(b, opLocalGet, bulkTo, opLocalGet, bulkFrom, opLocalGet, bulkNow, opBulk, bulkMemoryFill, 0)
	b = step(b, bulkTo, opI32Add, bulkNow)
	b = step(b, bulkLeft, opI32Sub, bulkNow)
	return append(b, opLocalGet, bulkLeft, opBrIf, 0, opEnd, opEnd)
}

// copyBody is memory.copy: to, from, left. Pieces come in the order that does not overwrite what is still to be read:
// from the end if the destination lies behind the source.
func (w *rewriter) copyBody(b []byte) []byte {
	again := []byte{opLocalGet, bulkLeft, opBrIf, 0, opEnd}
	b = w.short(append(b, 1, 1, bulkLocal), bulkMemoryCopy, 0, 0)
	b = append(b, opLocalGet, bulkTo, opLocalGet, bulkFrom, opI32LeU, opIf, typeVoid)
	b = w.piece(b)
	b = append(b, opLocalGet, bulkTo, opLocalGet, bulkFrom, opLocalGet, bulkNow, opBulk, bulkMemoryCopy, 0, 0)
	b = step(b, bulkTo, opI32Add, bulkNow)
	b = step(b, bulkFrom, opI32Add, bulkNow)
	b = step(b, bulkLeft, opI32Sub, bulkNow)
	b = append(append(b, again...), opElse)
	b = w.piece(b)
	b = step(b, bulkLeft, opI32Sub, bulkNow)
	for _, local := range []byte{bulkTo, bulkFrom} {
		b = append(b, opLocalGet, local, opLocalGet, bulkLeft, opI32Add)
	}
	b = append(b, opLocalGet, bulkNow, opBulk, bulkMemoryCopy, 0, 0)
	return append(append(b, again...), opEnd, opEnd)
}
