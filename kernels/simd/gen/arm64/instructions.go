package main

import (
	"fmt"
	"math"
)

// The instructions, each a method: destination last, as Go's assembler has it. Those of the first part it knows.

func (a *asm) move(to, from V)   { a.ins("VMOV", from.at("B16"), to.at("B16")) }
func (a *asm) and(x, y, to V)    { a.ins("VAND", x.at("B16"), y.at("B16"), to.at("B16")) }
func (a *asm) or(x, y, to V)     { a.ins("VORR", x.at("B16"), y.at("B16"), to.at("B16")) }
func (a *asm) addInt(x, y, to V) { a.ins("VADD", x.at("S4"), y.at("S4"), to.at("S4")) }

// zero does not wait for what v had, as an exclusive or of it with itself does on arm64.
func (a *asm) zero(v V) { a.word(0x6f00e400|uint32(v), "movi v%d.2d, #0000000000000000", v) }

// pick puts the bits of yes into to where mask has ones, those of no where it has zeros; mask is lost.
func (a *asm) pick(yes, no, mask V) { a.ins("VBSL", no.at("B16"), yes.at("B16"), mask.at("B16")) }

// keepWhere replaces the bits of to by those of other where mask has zeros.
func (a *asm) keepWhere(mask, other, to V) {
	a.ins("VBIF", mask.at("B16"), other.at("B16"), to.at("B16"))
}

// at is the register with an arrangement, lane one of its parts.
func (v V) at(arrangement string) string { return fmt.Sprintf("%v.%s", v, arrangement) }

func (v V) lane(size string, i int) string { return fmt.Sprintf("%v.%s[%d]", v, size, i) }

// dup fills a vector with one of its 4 parts of 32 bits.
func (a *asm) dup(from V, i int, to V) { a.ins("VDUP", from.lane("S", i), to.at("S4")) }

// dwords fills a vector with a constant of 32 bits, bytes with one of 8.
func (a *asm) dwords(v V, x uint32) {
	r := a.gp()
	a.ins("MOVD", fmt.Sprintf("$0x%08x", x), r)
	a.ins("VDUP", r, v.at("S4"))
	a.freeGP(r)
}

func (a *asm) bytes(v V, x byte) { a.ins("VMOVI", int(x), v.at("B16")) }

func (a *asm) constant(x float32) V {
	v := a.vec()
	a.dwords(v, math.Float32bits(x))
	return v
}

// load and store move a vector of 16 bytes, loadPair and storePair two; any address is good for the first, multiples of 16 are
// all the offsets of the second.
func (a *asm) load(m string, v V)         { a.ins("FMOVQ", m, v.q()) }
func (a *asm) store(v V, m string)        { a.ins("FMOVQ", v.q(), m) }
func (a *asm) loadPair(m string, x, y V)  { a.ins("FLDPQ", m, fmt.Sprintf("(%s, %s)", x.q(), y.q())) }
func (a *asm) storePair(x, y V, m string) { a.ins("FSTPQ", fmt.Sprintf("(%s, %s)", x.q(), y.q()), m) }

// loadHalf and loadByte load 2 bytes and 1 to the lowest part of a vector, the rest of which becomes 0.
func (a *asm) loadHalf(p R, offset int, v V) { a.loadSmall(0x7d400000, "h", p, offset, 2, v) }
func (a *asm) loadByte(p R, offset int, v V) { a.loadSmall(0x3d400000, "b", p, offset, 1, v) }

func (a *asm) loadSmall(code uint32, name string, p R, offset, size int, v V) {
	at := ""
	if offset != 0 {
		at = fmt.Sprintf(", #%d", offset)
	}
	a.word(code|uint32(offset/size)<<10|uint32(p)<<5|uint32(v), "ldr %s%d, [x%d%s]", name, v, p, at)
}

// zip interleaves the low halves of x and y: x0, y0, x1, y1, ...
func (a *asm) zip(arrangement string, x, y, to V) {
	a.ins("VZIP1", y.at(arrangement), x.at(arrangement), to.at(arrangement))
}

// addressing steps. add: to = r + n, of any size.
func (a *asm) add(n any, r, to R) { a.ins("ADD", n, r, to) }
func (a *asm) prefetch(r R)       { a.ins("PRFM", mem(r, 0), "PLDL1KEEP") }
func (a *asm) addShifted(r R, shift int, x, to R) {
	a.ins("ADD", fmt.Sprintf("%v<<%d", r, shift), x, to)
}

// transpose turns 4 vectors of 4 parts of 32 bits: afterwards the i-th has the i-th part of each.
func (a *asm) transpose(v [4]V) {
	t := a.vecs(4)
	a.ins("VTRN1", v[1].at("S4"), v[0].at("S4"), t[0].at("S4")) // 00 10 02 12
	a.ins("VTRN2", v[1].at("S4"), v[0].at("S4"), t[1].at("S4")) // 01 11 03 13
	a.ins("VTRN1", v[3].at("S4"), v[2].at("S4"), t[2].at("S4"))
	a.ins("VTRN2", v[3].at("S4"), v[2].at("S4"), t[3].at("S4"))
	a.ins("VTRN1", t[2].at("D2"), t[0].at("D2"), v[0].at("D2"))
	a.ins("VTRN1", t[3].at("D2"), t[1].at("D2"), v[1].at("D2"))
	a.ins("VTRN2", t[2].at("D2"), t[0].at("D2"), v[2].at("D2"))
	a.ins("VTRN2", t[3].at("D2"), t[1].at("D2"), v[3].at("D2"))
	a.free(t...)
}

// The rest are words. three and two have their operands in the usual places; arrangements are for the comment.

func (a *asm) three(code uint32, name, out, in string, x, y, to V) {
	a.word(code|uint32(y)<<16|uint32(x)<<5|uint32(to), "%s v%d.%s, v%d.%s, v%d.%s", name, to, out, x, in, y, in)
}

func (a *asm) two(code uint32, name, out, in string, x, to V) {
	a.word(code|uint32(x)<<5|uint32(to), "%s v%d.%s, v%d.%s", name, to, out, x, in)
}

// element has one part of y, of 32 bits, for all of x.
func (a *asm) element(code uint32, name, in, part string, x, y V, i int, to V) {
	a.word(code|uint32(i&1)<<21|uint32(i>>1)<<11|uint32(y)<<16|uint32(x)<<5|uint32(to), "%s v%d.4s, v%d.%s, v%d.%s[%d]", name, to, x, in, y, part, i)
}

// Floats, 4 at a time.

func (a *asm) fadd(x, y, to V) { a.three(0x4e20d400, "fadd", "4s", "4s", x, y, to) }
func (a *asm) fsub(x, y, to V) { a.three(0x4ea0d400, "fsub", "4s", "4s", x, y, to) } // x - y
func (a *asm) fmul(x, y, to V) { a.three(0x6e20dc00, "fmul", "4s", "4s", x, y, to) }
func (a *asm) fdiv(x, y, to V) { a.three(0x6e20fc00, "fdiv", "4s", "4s", x, y, to) } // x / y

// fmax and fmin give a NaN if either is one.
func (a *asm) fmax(x, y, to V) { a.three(0x4e20f400, "fmax", "4s", "4s", x, y, to) }
func (a *asm) fmin(x, y, to V) { a.three(0x4ea0f400, "fmin", "4s", "4s", x, y, to) }

// fmla: to = fma(x, y, to), fmls: to = fma(-x, y, to).
func (a *asm) fmla(x, y, to V) { a.three(0x4e20cc00, "fmla", "4s", "4s", x, y, to) }
func (a *asm) fmls(x, y, to V) { a.three(0x4ea0cc00, "fmls", "4s", "4s", x, y, to) }

// faddp adds neighbours: x0+x1, x2+x3, y0+y1, y2+y3.
func (a *asm) faddp(x, y, to V) { a.three(0x6e20d400, "faddp", "4s", "4s", x, y, to) }

// greater and equal give ones or zeros.
func (a *asm) greater(x, y, to V) { a.three(0x6ea0e400, "fcmgt", "4s", "4s", x, y, to) } // x > y
func (a *asm) equal(x, y, to V)   { a.three(0x4e20e400, "fcmeq", "4s", "4s", x, y, to) }

func (a *asm) fmulPart(x, y V, i int, to V) { a.element(0x4f809000, "fmul", "4s", "s", x, y, i, to) }
func (a *asm) fmlaPart(x, y V, i int, to V) { a.element(0x4f801000, "fmla", "4s", "s", x, y, i, to) }

func (a *asm) fneg(x, to V)    { a.two(0x6ea0f800, "fneg", "4s", "4s", x, to) }
func (a *asm) round(x, to V)   { a.two(0x4e218800, "frintn", "4s", "4s", x, to) }
func (a *asm) fmaxv(x, to V)   { a.word(0x6e30f800|uint32(x)<<5|uint32(to), "fmaxv s%d, v%d.4s", to, x) }
func (a *asm) toInt(x, to V)   { a.two(0x4e21a800, "fcvtns", "4s", "4s", x, to) } // nearest, ties to even
func (a *asm) toFloat(x, to V) { a.two(0x4e21d800, "scvtf", "4s", "4s", x, to) }

// Float16: widen takes the low 4 of 8, widenHigh the high ones; narrow and narrowHigh fill them.
func (a *asm) widen(x, to V)      { a.two(0x0e217800, "fcvtl", "4s", "4h", x, to) }
func (a *asm) widenHigh(x, to V)  { a.two(0x4e217800, "fcvtl2", "4s", "8h", x, to) }
func (a *asm) narrow(x, to V)     { a.two(0x0e216800, "fcvtn", "4h", "4s", x, to) }
func (a *asm) narrowHigh(x, to V) { a.two(0x4e216800, "fcvtn2", "8h", "4s", x, to) }

// Bfloat16: the bits, 16 further up.
func (a *asm) widenBF(x, to V) {
	a.word(0x2e613800|uint32(x)<<5|uint32(to), "shll v%d.4s, v%d.4h, #16", to, x)
}
func (a *asm) widenBFHigh(x, to V) {
	a.word(0x6e613800|uint32(x)<<5|uint32(to), "shll2 v%d.4s, v%d.8h, #16", to, x)
}

// Integers.

func (a *asm) bitClear(x, mask, to V) { a.three(0x4e601c00, "bic", "16b", "16b", x, mask, to) } // x and not mask
func (a *asm) negInt(x, to V)         { a.two(0x6ea0b800, "neg", "4s", "4s", x, to) }

// addNeighbours of 32 bits: x0+x1, x2+x3, y0+y1, y2+y3; addNeighbours16 the same of 16.
func (a *asm) addNeighbours(x, y, to V)   { a.three(0x4ea0bc00, "addp", "4s", "4s", x, y, to) }
func (a *asm) addNeighbours16(x, y, to V) { a.three(0x4e60bc00, "addp", "8h", "8h", x, y, to) }

// signed and signedHigh widen bytes to 16 bits, signed16 and signed16High those to 32.
func (a *asm) signed(x, to V)       { a.lengthen(0x0f08a400, "sshll", "8h", "8b", x, to) }
func (a *asm) signedHigh(x, to V)   { a.lengthen(0x4f08a400, "sshll2", "8h", "16b", x, to) }
func (a *asm) signed16(x, to V)     { a.lengthen(0x0f10a400, "sshll", "4s", "4h", x, to) }
func (a *asm) signed16High(x, to V) { a.lengthen(0x4f10a400, "sshll2", "4s", "8h", x, to) }

func (a *asm) lengthen(code uint32, name, out, in string, x, to V) {
	a.word(code|uint32(x)<<5|uint32(to), "%s v%d.%s, v%d.%s, #0", name, to, out, x, in)
}

// cut32 and cut16 keep the low half of every part.
func (a *asm) cut32(x, to V)     { a.two(0x0e612800, "xtn", "4h", "4s", x, to) }
func (a *asm) cut32High(x, to V) { a.two(0x4e612800, "xtn2", "8h", "4s", x, to) }
func (a *asm) cut16(x, to V)     { a.two(0x0e212800, "xtn", "8b", "8h", x, to) }
func (a *asm) cut16High(x, to V) { a.two(0x4e212800, "xtn2", "16b", "8h", x, to) }

// sumBytes adds 16 signed bytes to 16 bits.
func (a *asm) sumBytes(x, to V) {
	a.word(0x4e303800|uint32(x)<<5|uint32(to), "saddlv h%d, v%d.16b", to, x)
}

// mulBytes multiplies the low 8 bytes to 16 bits, mulBytesHigh the high ones; mulAddBytes and mulAddBytesHigh add that to to.
func (a *asm) mulBytes(x, y, to V)        { a.three(0x0e20c000, "smull", "8h", "8b", x, y, to) }
func (a *asm) mulBytesHigh(x, y, to V)    { a.three(0x4e20c000, "smull2", "8h", "16b", x, y, to) }
func (a *asm) mulAddBytes(x, y, to V)     { a.three(0x0e208000, "smlal", "8h", "8b", x, y, to) }
func (a *asm) mulAddBytesHigh(x, y, to V) { a.three(0x4e208000, "smlal2", "8h", "16b", x, y, to) }

// pairs adds neighbours of 16 bits to 32, addPairs adds that to to.
func (a *asm) pairs(x, to V)    { a.two(0x4e602800, "saddlp", "4s", "8h", x, to) }
func (a *asm) addPairs(x, to V) { a.two(0x4e606800, "sadalp", "4s", "8h", x, to) }

// sdot adds, in every part of 32 bits, the products of its four bytes; sdotPart has the bytes of one part of y for all.
func (a *asm) sdot(x, y, to V)              { a.three(0x4e809400, "sdot", "4s", "16b", x, y, to) }
func (a *asm) sdotPart(x, y V, i int, to V) { a.element(0x4f80e000, "sdot", "16b", "4b", x, y, i, to) }

// mulPart multiplies integers of 32 bits, mulAddPart adds that.
func (a *asm) mulPart(x, y V, i int, to V)    { a.element(0x4f808000, "mul", "4s", "s", x, y, i, to) }
func (a *asm) mulAddPart(x, y V, i int, to V) { a.element(0x6f800000, "mla", "4s", "s", x, y, i, to) }
func (a *asm) mulInt(x, y, to V)              { a.three(0x4ea09c00, "mul", "4s", "4s", x, y, to) }
func (a *asm) mulAddInt(x, y, to V)           { a.three(0x4ea09400, "mla", "4s", "4s", x, y, to) }
