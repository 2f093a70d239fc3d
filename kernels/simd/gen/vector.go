package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floats is a constant whose every lane is v.
func (e *emitter) floats(name string, v float32) operand.Mem {
	return e.dwords(name+"Float", math.Float32bits(v))
}

// exp replaces x by e^x, step by step as exp32 in package simd's exp.go.
func (e *emitter) exp(x ymm) {
	low, n, p, t := e.YMM(), e.YMM(), e.YMM(), e.YMM()
	lowest := e.floats("expLow", -87.33654)
	e.VCMPPS(imm(1), lowest, x, low) // x < lowest; false for a NaN
	// The second source of min and max, the first operand here, wins where one is a NaN: it must be x.
	e.VMOVUPS(e.floats("expHigh", 89), t)
	e.VMINPS(x, t, x)
	e.VMOVUPS(lowest, t)
	e.VMAXPS(x, t, x)
	e.VMULPS(e.floats("log2e", math.Log2E), x, n)
	e.VROUNDPS(imm(8), n, n)
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
	e.VANDNPS(p, low, x)
}

// emitVectors writes the operations that work entry by entry. n counts groups of 8 floats and is at least 1.
func emitVectors(e *emitter) {
	emitEach(e, "addAVX2", "y = a + b", 2, func(x []ymm, _ operand.Mem) ymm { e.VADDPS(x[1], x[0], x[0]); return x[0] })
	emitEach(e, "mulAVX2", "y = a * b", 2, func(x []ymm, _ operand.Mem) ymm { e.VMULPS(x[1], x[0], x[0]); return x[0] })
	scalar := func(x []ymm, p operand.Mem) ymm { e.VMULPS(p, x[0], x[0]); return x[0] }
	emitEach(e, "scaleAVX2", "y = f * a, f 8 times the same", 1, scalar)
	emitEach(e, "scaleMulAVX2", "y = (f * a) * b, f 8 times the same", 2, func(x []ymm, p operand.Mem) ymm {
		x[0] = scalar(x[:1], p)
		e.VMULPS(x[1], x[0], x[0])
		return x[0]
	})
	for _, gelu := range []bool{false, true} {
		name := map[bool]string{false: "silu", true: "geluTanh"}[gelu]
		emitEach(e, name+"AVX2", "y = act(a)", 1, func(x []ymm, _ operand.Mem) ymm { return e.gated(x[0], x[0], gelu) })
		// The parameters: alpha, limit, -limit, up bias, each 8 times.
		emitEach(e, name+"GLUAVX2", "y = act(alpha g) / alpha * (u + bias), f is alpha, limit, -limit, bias, each 8 times", 2,
			func(x []ymm, p operand.Mem) ymm {
				at := func(i int) operand.Mem { m := p; m.Disp = 32 * i; return m }
				g, u, t := x[0], x[1], e.YMM()
				e.VMOVUPS(at(1), t)
				e.VMINPS(g, t, g)
				e.VMINPS(u, t, u)
				e.VMOVUPS(at(2), t)
				e.VMAXPS(u, t, u)
				e.VADDPS(at(3), u, u)
				e.VMULPS(at(0), g, t)
				g = e.gated(g, t, gelu)
				e.VMULPS(u, g, g)
				return g
			})
	}
	emitEach(e, "tanhAVX2", "y = f * tanh(a / f), f 8 times the same", 1, func(x []ymm, p operand.Mem) ymm { return e.tanh(x[0], p) })
	emitSumSquares(e)
	emitRotateHalves(e)
	emitRotatePairs(e)
}

// gated gives g * sigmoid(z), where z is x for silu and 2 sqrt(2/pi) (x + 0.044715 x^3) for gelu_tanh. x may be g.
func (e *emitter) gated(g, x ymm, gelu bool) ymm {
	z := e.YMM()
	e.VXORPS(e.dwords("signBit", 1<<31), x, z)
	if gelu {
		t := e.YMM()
		e.VMULPS(x, x, t)
		e.VMULPS(e.floats("geluCube", 0.071354816), t, t)
		e.VADDPS(e.floats("geluLinear", 1.5957691), t, t)
		e.VMULPS(t, z, z)
	}
	e.exp(z)
	e.VADDPS(e.floats("one", 1), z, z)
	out := e.YMM()
	e.VDIVPS(z, g, out)
	return out
}

// tanh gives f tanh(x / f), as tanh32 in exp.go.
func (e *emitter) tanh(x ymm, f operand.Mem) ymm {
	sign, a, big, t := e.YMM(), e.YMM(), e.YMM(), e.YMM()
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
	z, p := e.YMM(), e.YMM()
	e.VMULPS(a, a, z)
	e.VMOVUPS(e.floats("tanh4", -5.70498872745e-3), p)
	e.VFMADD213PS(e.floats("tanh3", 2.06390887954e-2), z, p)
	e.VFMADD213PS(e.floats("tanh2", -5.37397155531e-2), z, p)
	e.VFMADD213PS(e.floats("tanh1", 1.33314422036e-1), z, p)
	e.VFMADD213PS(e.floats("tanh0", -3.33332819422e-1), z, p)
	e.VMULPS(a, z, z)
	e.VFMADD213PS(a, z, p)
	e.VCMPPS(imm(1), e.floats("tanhSmall", 0.625), a, t)
	e.VBLENDVPS(t, p, big, big)
	e.VORPS(sign, big, big)
	e.VMULPS(f, big, big)
	return big
}

// emitEach is a loop over groups of 8: y = one(x_0, ...), with a pointer to 8 floats or more of parameters.
func emitEach(e *emitter, name, doc string, in int, one func(x []ymm, p operand.Mem) ymm) {
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(name + ": " + doc + ", for n groups of 8.")
	names := []string{"a", "b"}[:in]
	sig := "func(y, a"
	if in == 2 {
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
	e.Load(e.Param("f"), f)
	e.Load(e.Param("n"), n)
	loop, at := e.label("group"), e.GP64()
	e.XORQ(at, at)
	e.Label(loop)
	var x []ymm
	for _, p := range from {
		v := e.YMM()
		e.VMOVUPS(operand.Mem{Base: p, Index: at, Scale: 1}, v)
		x = append(x, v)
	}
	v := one(x, operand.Mem{Base: f})
	e.VMOVUPS(v, operand.Mem{Base: y, Index: at, Scale: 1})
	e.ADDQ(operand.I32(32), at)
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
