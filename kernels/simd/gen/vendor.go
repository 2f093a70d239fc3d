package main

import "github.com/mmcloughlin/avo/reg"

// emitVendor asks the processor who made it: the first four letters of CPUID's leaf 0.
func emitVendor(e *emitter) {
	e.Function("cpuVendor")
	e.Attributes(nosplit)
	e.Doc("cpuVendor is EBX of CPUID's leaf 0: four letters of the maker's name.")
	e.SignatureExpr("func() uint32")
	e.XORL(reg.EAX, reg.EAX)
	e.XORL(reg.ECX, reg.ECX)
	e.CPUID()
	e.Store(reg.EBX, e.ReturnIndex(0))
	e.RET()
}
