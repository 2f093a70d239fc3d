package main

import "github.com/mmcloughlin/avo/operand"

// emitFetch asks for memory that the caller will read later.
func emitFetch(e *emitter) {
	const line = 64
	e.Function("fetchLines")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("fetchLines asks for n stretches of memory and waits for none: each is an address and a number of lines, at least one.")
	e.SignatureExpr("func(list *byte, n int)")
	list, n, at, lines := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("list"), list)
	e.Load(e.Param("n"), n)
	stretch, next := e.label("stretch"), e.label("line")
	e.Label(stretch)
	e.MOVQ(operand.Mem{Base: list}, at)
	e.MOVQ(operand.Mem{Base: list, Disp: 8}, lines)
	e.Label(next)
	e.PREFETCHT0(operand.Mem{Base: at})
	e.ADDQ(operand.I32(line), at)
	e.DECQ(lines)
	e.JNZ(operand.LabelRef(next))
	e.ADDQ(operand.I32(16), list)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(stretch))
	e.RET()
}
