package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floats is a constant whose every lane is v.
func (e *emitter) floats(name string, v float32) operand.Mem {
	return e.dwords(name+"Float", math.Float32bits(v))
}

// exp replaces x by e^x, step by step as exp32 in package simd's exp.go.
func (e *emitter) exp(x vec) {
	n, p, t := e.vec(), e.vec(), e.vec()
	lowest := e.floats("expLow", -87.33654)
	clear := e.below(lowest, x)
	// The second source of min and max, the first operand here, wins where one is a NaN: it must be x.
	e.VMOVUPS(e.floats("expHigh", 89), t)
	e.VMINPS(x, t, x)
	e.VMOVUPS(lowest, t)
	e.VMAXPS(x, t, x)
	e.VMULPS(e.floats("log2e", math.Log2E), x, n)
	if e.wide {
		e.VRNDSCALEPS(imm(8), n, n)
	} else {
		e.VROUNDPS(imm(8), n, n)
	}
	e.VFNMADD231PS(e.floats("ln2High", 0.693359375), n, x)
	e.VFNMADD231PS(e.floats("ln2Low", -2.12194440e-4), n, x)
	e.VMOVUPS(e.floats("exp5", 1.9875691500e-4), p)
	e.VFMADD213PS(e.floats("exp4", 1.3981999507e-3), x, p)
	e.VFMADD213PS(e.floats("exp3", 8.3334519073e-3), x, p)
	e.VFMADD213PS(e.floats("exp2", 4.1665795894e-2), x, p)
	e.VFMADD213PS(e.floats("exp1", 1.6666665459e-1), x, p)
	e.VFMADD213PS(e.floats("exp0", 5.0000001201e-1), x, p)
	e.VMULPS(x, x, t)
	e.VFMADD213PS(x, t, p)
	e.VADDPS(e.floats("one", 1), p, p)
	e.VCVTPS2DQ(n, n)
	e.VPADDD(e.dwords("expBias", 127), n, n)
	e.VPSLLD(imm(23), n, n)
	e.VMULPS(n, p, p)
	clear(p, x)
}

// below compares x with a limit now and gives what later copies a result to x, 0 where x was below; a NaN is not.
func (e *emitter) below(limit operand.Mem, x vec) func(from, to vec) {
	if e.wide {
		k := e.K()
		e.VCMPPS(imm(5), limit, x, k) // not less than
		return func(from, to vec) { e.VMOVAPS_Z(from, k, to) }
	}
	less := e.YMM()
	e.VCMPPS(imm(1), limit, x, less)
	return func(from, to vec) { e.VANDNPS(from, less, to) }
}

// emitVectors writes the operations that work entry by entry. n counts vectors and is at least 1.
func emitVectors(e *emitter) {
	emitEach(e, "add", "y = a + b", 2, func(x []vec, _ operand.Mem) vec { e.VADDPS(x[1], x[0], x[0]); return x[0] })
	emitEach(e, "mul", "y = a * b", 2, func(x []vec, _ operand.Mem) vec { e.VMULPS(x[1], x[0], x[0]); return x[0] })
	emitFactors(e, "scale", "y = f * a", 1, 1, func(x, f []vec) vec { e.VMULPS(f[0], x[0], x[0]); return x[0] })
	emitFactors(e, "scaleMul", "y = (f * a) * b", 2, 1, func(x, f []vec) vec {
		e.VMULPS(f[0], x[0], x[0])
		e.VMULPS(x[1], x[0], x[0])
		return x[0]
	})
	emitEach(e, "mulAdd", "y = fma(a, b, y)", 3, func(x []vec, _ operand.Mem) vec { e.VFMADD231PS(x[1], x[0], x[2]); return x[2] })
	emitFactors(e, "fold", "y = fma(f_1, b, f_0 * a)", 2, 2, func(x, f []vec) vec {
		e.VMULPS(f[0], x[0], x[0])
		e.VFMADD231PS(f[1], x[1], x[0])
		return x[0]
	})
	emitCurves(e)
	emitSumSquares(e)
	emitRotateHalves(e)
	emitRotatePairs(e)
}

func further(m operand.Mem, bytes int) operand.Mem {
	m.Disp += bytes
	return m
}

// emitCurves writes the operations with an exponential inside, which are worth wider vectors.
func emitCurves(e *emitter) {
	for _, gelu := range []bool{false, true} {
		name := map[bool]string{false: "silu", true: "geluTanh"}[gelu]
		emitEach(e, name, "y = act(a)", 1, func(x []vec, _ operand.Mem) vec { return e.gated(x[0], x[0], gelu) })
		// The parameters: alpha, limit, -limit, up bias, each 16 times.
		emitEach(e, name+"GLU", "y = act(alpha g) / alpha * (u + bias), f is alpha, limit, -limit, bias, each 16 times", 2,
			func(x []vec, p operand.Mem) vec {
				g, u, t := x[0], x[1], e.vec()
				e.VMOVUPS(further(p, 64), t)
				e.VMINPS(g, t, g)
				e.VMINPS(u, t, u)
				e.VMOVUPS(further(p, 128), t)
				e.VMAXPS(u, t, u)
				e.VADDPS(further(p, 192), u, u)
				e.VMULPS(p, g, t)
				g = e.gated(g, t, gelu)
				e.VMULPS(u, g, g)
				return g
			})
	}
	emitEach(e, "tanh", "y = f * tanh(a / f), f 16 times the same", 1, func(x []vec, p operand.Mem) vec { return e.tanh(x[0], p) })
}

// gated gives g * sigmoid(z), where z is x for silu and 2 sqrt(2/pi) (x + 0.044715 x^3) for gelu_tanh. x may be g.
func (e *emitter) gated(g, x vec, gelu bool) vec {
	z := e.vec()
	e.VXORPS(e.dwords("signBit", 1<<31), x, z)
	if gelu {
		t := e.vec()
		e.VMULPS(x, x, t)
		e.VMULPS(e.floats("geluCube", 0.071354816), t, t)
		e.VADDPS(e.floats("geluLinear", 1.5957691), t, t)
		e.VMULPS(t, z, z)
	}
	e.exp(z)
	e.VADDPS(e.floats("one", 1), z, z)
	out := e.vec()
	e.VDIVPS(z, g, out)
	return out
}

// tanh gives f tanh(x / f), as tanh32 in exp.go.
func (e *emitter) tanh(x vec, f operand.Mem) vec {
	sign, a, big, t := e.vec(), e.vec(), e.vec(), e.vec()
	e.VDIVPS(f, x, x)
	e.VANDPS(e.dwords("signBit", 1<<31), x, sign)
	e.VXORPS(sign, x, a)
	// 1 - 2 / (e^(2|x|) + 1)
	e.VADDPS(a, a, big)
	e.exp(big)
	e.VADDPS(e.floats("one", 1), big, big)
	e.VMOVUPS(e.floats("two", 2), t)
	e.VDIVPS(big, t, big)
	e.VMOVUPS(e.floats("one", 1), t)
	e.VSUBPS(big, t, big)
	// |x| + |x|^3 P(x^2) below 0.625
	z, p := e.vec(), e.vec()
	e.VMULPS(a, a, z)
	e.VMOVUPS(e.floats("tanh4", -5.70498872745e-3), p)
	e.VFMADD213PS(e.floats("tanh3", 2.06390887954e-2), z, p)
	e.VFMADD213PS(e.floats("tanh2", -5.37397155531e-2), z, p)
	e.VFMADD213PS(e.floats("tanh1", 1.33314422036e-1), z, p)
	e.VFMADD213PS(e.floats("tanh0", -3.33332819422e-1), z, p)
	e.VMULPS(a, z, z)
	e.VFMADD213PS(a, z, p)
	if small := e.floats("tanhSmall", 0.625); e.wide {
		k := e.K()
		e.VCMPPS(imm(1), small, a, k)
		e.VBLENDMPS(p, big, k, big)
	} else {
		e.VCMPPS(imm(1), small, a, t)
		e.VBLENDVPS(t, p, big, big)
	}
	e.VORPS(sign, big, big)
	e.VMULPS(f, big, big)
	return big
}

// emitEach is a loop over vectors: y = one(x_0, ...), with a pointer to a vector or more of parameters.
func emitEach(e *emitter, name, doc string, in int, one func(x []vec, p operand.Mem) vec) {
	emitLoop(e, name, doc, in, func(p operand.Mem) func(x []vec) vec {
		return func(x []vec) vec { return one(x, p) }
	})
}

// emitFactors is the same with so many single numbers as parameters.
func emitFactors(e *emitter, name, doc string, in, factors int, one func(x, f []vec) vec) {
	emitLoop(e, name, doc, in, func(p operand.Mem) func(x []vec) vec {
		f := make([]vec, factors)
		for i := range f {
			f[i] = e.vec()
			e.VBROADCASTSS(further(p, 4*i), f[i])
		}
		return func(x []vec) vec { return one(x, f) }
	})
}

// emitLoop has a loop whose body begin gives, after what is to be done once with the parameters.
func emitLoop(e *emitter, name, doc string, in int, begin func(p operand.Mem) func(x []vec) vec) {
	name += e.isaName()
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s: %s, for n groups of %d.", name, doc, e.size()/4))
	names := []string{"a", "b"}[:min(in, 2)]
	sig := "func(y, a"
	if in > 1 {
		sig += ", b"
	}
	e.SignatureExpr(sig + ", f *float32, n int)")
	y, f, n := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("y"), y)
	var from []reg.GPVirtual
	for _, name := range names {
		p := e.GP64()
		e.Load(e.Param(name), p)
		from = append(from, p)
	}
	if in > 2 {
		from = append(from, y)
	}
	e.Load(e.Param("f"), f)
	e.Load(e.Param("n"), n)
	loop, at := e.label("group"), e.GP64()
	e.XORQ(at, at)
	one := begin(operand.Mem{Base: f})
	e.Label(loop)
	var x []vec
	for _, p := range from {
		v := e.vec()
		e.VMOVUPS(operand.Mem{Base: p, Index: at, Scale: 1}, v)
		x = append(x, v)
	}
	v := one(x)
	e.VMOVUPS(v, operand.Mem{Base: y, Index: at, Scale: 1})
	e.ADDQ(operand.I32(int32(e.size())), at)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

func emitSumSquares(e *emitter) {
	e.Function("sumSquaresAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("sumSquaresAVX2: lanes[i%8] += x[i]^2 for n groups of 8, in order.")
	e.SignatureExpr("func(lanes, x *float32, n int)")
	lanes, x, n := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("lanes"), lanes)
	e.Load(e.Param("x"), x)
	e.Load(e.Param("n"), n)
	sum, v := e.YMM(), e.YMM()
	e.VMOVUPS(operand.Mem{Base: lanes}, sum)
	loop := e.label("group")
	e.Label(loop)
	e.VMOVUPS(operand.Mem{Base: x}, v)
	e.VMULPS(v, v, v)
	e.VADDPS(v, sum, sum)
	e.ADDQ(operand.I32(32), x)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VMOVUPS(sum, operand.Mem{Base: lanes})
	e.VZEROUPPER()
	e.RET()
}

// rotation loads the parameters of the rotations: vectors of y, x, cos, sin, and the count.
func (e *emitter) rotation(name, doc string) (y, x, cos, sin, n reg.GPVirtual) {
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(name + doc)
	e.SignatureExpr("func(y, x, cos, sin *float32, half, n int)")
	y, x, cos, sin, n = e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("y"), y)
	e.Load(e.Param("x"), x)
	e.Load(e.Param("cos"), cos)
	e.Load(e.Param("sin"), sin)
	e.Load(e.Param("n"), n)
	return y, x, cos, sin, n
}

func emitRotateHalves(e *emitter) {
	y, x, cos, sin, n := e.rotation("rotateHalvesAVX2", " turns the pairs (i, i+half) for n groups of 8.")
	half, at := e.GP64(), e.GP64()
	e.Load(e.Param("half"), half)
	e.XORQ(at, at)
	yFar, xFar := e.GP64(), e.GP64()
	e.LEAQ(operand.Mem{Base: y, Index: half, Scale: 4}, yFar)
	e.LEAQ(operand.Mem{Base: x, Index: half, Scale: 4}, xFar)
	loop := e.label("group")
	e.Label(loop)
	mem := func(p reg.GPVirtual) operand.Mem { return operand.Mem{Base: p, Index: at, Scale: 1} }
	u, v, c, s, t := e.YMM(), e.YMM(), e.YMM(), e.YMM(), e.YMM()
	e.VMOVUPS(mem(x), u)
	e.VMOVUPS(mem(xFar), v)
	e.VMOVUPS(mem(cos), c)
	e.VMOVUPS(mem(sin), s)
	e.VMULPS(s, v, t)
	e.VMULPS(c, v, v)
	e.VMULPS(c, u, c)
	e.VMULPS(s, u, u)
	e.VSUBPS(t, c, t)
	e.VADDPS(v, u, u)
	e.VMOVUPS(t, mem(y))
	e.VMOVUPS(u, mem(yFar))
	e.ADDQ(operand.I32(32), at)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

func emitRotatePairs(e *emitter) {
	y, x, cos, sin, n := e.rotation("rotatePairsAVX2", " turns the pairs (2i, 2i+1) for n groups of 4 pairs.")
	twice := e.load(e.dwordList("twice", [8]uint32{0, 0, 1, 1, 2, 2, 3, 3}))
	loop := e.label("group")
	e.Label(loop)
	v, w, c, s := e.YMM(), e.YMM(), e.YMM(), e.YMM()
	e.VBROADCASTF128(operand.Mem{Base: cos}, c)
	e.VBROADCASTF128(operand.Mem{Base: sin}, s)
	e.VPERMPS(c, twice, c)
	e.VPERMPS(s, twice, s)
	e.VMOVUPS(operand.Mem{Base: x}, v)
	e.VPERMILPS(imm(0xb1), v, w)
	e.VMULPS(c, v, v)
	e.VMULPS(s, w, w)
	e.VADDSUBPS(w, v, v)
	e.VMOVUPS(v, operand.Mem{Base: y})
	e.ADDQ(operand.I32(32), x)
	e.ADDQ(operand.I32(32), y)
	e.ADDQ(operand.I32(16), cos)
	e.ADDQ(operand.I32(16), sin)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}
