package wasmbin

// memory.fill and memory.copy run for as long as the memory is large, a tenth of a second for 256 MiB, and nothing can
// interrupt an instruction. So each is replaced by a call of a function of the meter's that does the same in pieces and
// pays for one after the other. A length that reaches outside the memory traps as ever, if only at the piece that does.
type bulkFuncs struct{ fill, copy uint64 } // function indices, 0: not needed

// bulkPiece is a multiple of 1<<bytesShift, so that pieces cost what the whole does.
const bulkPiece = 256 << 10

var bulkType = FuncType{Params: []ValueType{I32, I32, I32}}

// of gives the function that takes the place of an instruction.
func (f *bulkFuncs) of(w *rewriter, in *instr) (uint64, bool) {
	index := &f.fill
	switch in.sub {
	case bulkMemoryFill:
	case bulkMemoryCopy:
		index = &f.copy
	default:
		return 0, false
	}
	if *index == 0 {
		*index = w.add(bulkType)
	}
	return *index, true
}

// bodies are the writers of the functions' bodies, in the order of their indices.
func (f *bulkFuncs) bodies(w *rewriter) []func([]byte) []byte {
	switch {
	case f.fill == 0 && f.copy == 0:
		return nil
	case f.fill == 0:
		return []func([]byte) []byte{w.copyBody}
	case f.copy == 0:
		return []func([]byte) []byte{w.fillBody}
	case f.fill < f.copy:
		return []func([]byte) []byte{w.fillBody, w.copyBody}
	}
	return []func([]byte) []byte{w.copyBody, w.fillBody}
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

// fillBody is memory.fill: to, value, left.
func (w *rewriter) fillBody(b []byte) []byte {
	b = w.piece(append(b, 1, 1, bulkLocal))
	b = append(b, opLocalGet, bulkTo, opLocalGet, bulkFrom, opLocalGet, bulkNow, opBulk, bulkMemoryFill, 0)
	b = step(b, bulkTo, opI32Add, bulkNow)
	b = step(b, bulkLeft, opI32Sub, bulkNow)
	return append(b, opLocalGet, bulkLeft, opBrIf, 0, opEnd, opEnd)
}

// copyBody is memory.copy: to, from, left. Pieces come in the order that does not overwrite what is still to be read:
// from the end if the destination lies behind the source.
func (w *rewriter) copyBody(b []byte) []byte {
	again := []byte{opLocalGet, bulkLeft, opBrIf, 0, opEnd}
	b = append(b, 1, 1, bulkLocal)
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
