package main

import (
	"fmt"
	"math"
)

// exponential holds the constants of exp32 in package simd's exp.go, in registers.
type exponential struct {
	low, high, log2e, ln2High, ln2Low, one, bias V
	polynomial                                   [6]V
}

func (a *asm) exponential() *exponential {
	e := &exponential{
		low: a.constant(-87.33654), high: a.constant(89), log2e: a.constant(math.Log2E), ln2High: a.constant(0.693359375),
		ln2Low: a.constant(-2.12194440e-4), one: a.constant(1), bias: a.vec(),
	}
	a.dwords(e.bias, 127)
	for i, c := range [...]float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		e.polynomial[i] = a.constant(c)
	}
	return e
}

// exp replaces x by e^x, step by step as exp32.
func (a *asm) exp(e *exponential, x V) {
	below, n, p, t := a.vec(), a.vec(), a.vec(), a.vec()
	a.greater(e.low, x, below)
	a.fmin(x, e.high, x)
	a.fmul(x, e.log2e, n)
	a.round(n, n)
	a.fmls(n, e.ln2High, x)
	a.fmls(n, e.ln2Low, x)
	a.move(p, e.polynomial[0])
	for _, c := range e.polynomial[1:] {
		a.move(t, c)
		a.fmla(p, x, t)
		p, t = t, p
	}
	a.fmul(x, x, t)
	a.fmla(p, t, x)
	a.fadd(x, e.one, x)
	a.toInt(n, n)
	a.addInt(n, e.bias, n)
	a.ins("VSHL", 23, n.at("S4"), n.at("S4"))
	a.fmul(x, n, x)
	a.bitClear(x, below, x)
	a.free(below, n, p, t)
}

// emitVectors writes the operations that work entry by entry, on groups of 8, of which there is at least one.
func emitVectors(a *asm) {
	each(a, "add", "y = a + b", 2, nil, func(x []V) { a.fadd(x[0], x[1], x[0]) })
	each(a, "mul", "y = a * b", 2, nil, func(x []V) { a.fmul(x[0], x[1], x[0]) })
	each(a, "mulAdd", "y = fma(a, b, y)", 3, nil, func(x []V) { a.fmla(x[0], x[1], x[2]); a.move(x[0], x[2]) })
	factors := func(n int, f []V) func(R) {
		return func(p R) {
			for i := range n {
				f[i] = a.vec()
				a.add(4*i, p, p)
				a.ins("VLD1R", mem(p, 0), list("S4", f[i]))
			}
		}
	}
	f := make([]V, 4)
	each(a, "scale", "y = f * a", 1, factors(1, f), func(x []V) { a.fmul(x[0], f[0], x[0]) })
	each(a, "scaleMul", "y = (f * a) * b", 2, factors(1, f), func(x []V) { a.fmul(x[0], f[0], x[0]); a.fmul(x[0], x[1], x[0]) })
	each(a, "fold", "y = fma(f_1, b, f_0 * a)", 2, factors(2, f), func(x []V) { a.fmul(x[0], f[0], x[0]); a.fmla(x[1], f[1], x[0]) })
	emitCurves(a)
	emitSumSquares(a)
	emitRotations(a)
}

// emitCurves writes the operations with an exponential inside.
func emitCurves(a *asm) {
	for _, gelu := range []bool{false, true} {
		name := map[bool]string{false: "silu", true: "geluTanh"}[gelu]
		var g *gate
		each(a, name, "y = act(a)", 1, func(R) { g = a.gate(gelu) }, func(x []V) { a.gated(g, x[0], x[0]) })
		var p [4]V // alpha, limit, -limit, bias
		each(a, name+"GLU", "y = act(alpha g) / alpha * (u + bias), f is alpha, limit, -limit, bias, each 16 times", 2, func(f R) {
			g = a.gate(gelu)
			for i := range p {
				p[i] = a.vec()
				a.load(mem(f, 64*i), p[i])
			}
		}, func(x []V) {
			a.fmin(x[0], p[1], x[0])
			a.fmin(x[1], p[1], x[1])
			a.fmax(x[1], p[2], x[1])
			a.fadd(x[1], p[3], x[1])
			t := a.vec()
			a.fmul(x[0], p[0], t)
			a.gated(g, x[0], t)
			a.fmul(x[0], x[1], x[0])
			a.free(t)
		})
	}
	emitTanh(a)
}

// gate holds the constants of gated32.
type gate struct {
	*exponential
	gelu         bool
	cube, linear V
}

func (a *asm) gate(gelu bool) *gate {
	g := &gate{exponential: a.exponential(), gelu: gelu}
	if gelu {
		g.cube, g.linear = a.constant(0.071354816), a.constant(1.5957691)
	}
	return g
}

// gated replaces x by x * sigmoid(z), where z is what of is for silu and 2 sqrt(2/pi) (of + 0.044715 of^3) for gelu_tanh. of
// may be x.
func (a *asm) gated(g *gate, x, of V) {
	z := a.vec()
	a.fneg(of, z)
	if g.gelu {
		t := a.vec()
		a.fmul(of, of, t)
		a.fmul(t, g.cube, t)
		a.fadd(t, g.linear, t)
		a.fmul(z, t, z)
		a.free(t)
	}
	a.exp(g.exponential, z)
	a.fadd(z, g.one, z)
	a.fdiv(x, z, x)
	a.free(z)
}

// emitTanh: f tanh(x / f), as tanh32 in exp.go.
func emitTanh(a *asm) {
	var e *exponential
	var f, signBit, small V
	var c [5]V
	each(a, "tanh", "y = f * tanh(a / f)", 1, func(p R) {
		e = a.exponential()
		f, signBit, small = a.vec(), a.vec(), a.constant(0.625)
		a.ins("VLD1R", mem(p, 0), list("S4", f))
		a.dwords(signBit, 1<<31)
		for i, v := range [...]float32{-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1} {
			c[i] = a.constant(v)
		}
	}, func(v []V) {
		x := v[0]
		sign, abs, t := a.vec(), a.vec(), a.vec()
		a.fdiv(x, f, x)
		a.and(x, signBit, sign)
		a.bitClear(x, signBit, abs)
		// 1 - 2 / (e^(2|x|) + 1)
		a.fadd(abs, abs, x)
		a.exp(e, x)
		a.fadd(x, e.one, x)
		a.fadd(e.one, e.one, t)
		a.fdiv(t, x, x)
		a.fsub(e.one, x, x)
		// |x| + |x|^3 P(x^2) below 0.625
		z, p := a.vec(), a.vec()
		a.fmul(abs, abs, z)
		a.move(p, c[0])
		for _, k := range c[1:] {
			a.move(t, k)
			a.fmla(p, z, t)
			p, t = t, p
		}
		a.fmul(z, abs, z)
		a.move(t, abs)
		a.fmla(p, z, t)
		a.greater(small, abs, z)
		a.pick(t, x, z)
		a.or(z, sign, z)
		a.fmul(z, f, x)
		a.free(sign, abs, t, z, p)
	})
}

// each is a loop over groups of 8: one makes x[0] of 4 entries of a, and b, and y where in is 3. Where there is a begin it runs
// before, and the function has f, what the operation's formula calls so.
func each(a *asm, name, doc string, in int, begin func(f R), one func(x []V)) {
	params := []string{"y *float32", "a *float32", "b *float32"}[:1+min(in, 2)]
	if begin != nil {
		params = append(params, "f *float32")
	}
	a.function(name+"NEON", fmt.Sprintf("is %s, for n groups of 8.", doc), append(params, "n int")...)
	y, n := a.param("y"), a.param("n")
	from := []R{a.param("a")}
	if in > 1 {
		from = append(from, a.param("b"))
	}
	x := [2][]V{a.sequence(in), a.sequence(in)}
	if begin != nil {
		f := a.param("f")
		begin(f)
	}
	a.loop("group", n, func() {
		for i, p := range from {
			a.loadPair(mem(p, 0), x[0][i], x[1][i])
			a.add(32, p, p)
		}
		if in > 2 {
			a.loadPair(mem(y, 0), x[0][2], x[1][2])
		}
		one(x[0])
		one(x[1])
		a.storePair(x[0][0], x[1][0], mem(y, 0))
		a.add(32, y, y)
	})
	a.ret()
}

func emitSumSquares(a *asm) {
	a.function("sumSquaresNEON", "adds to 8 lanes the squares of n groups of 8, in order.", "lanes *float32", "x *float32", "n int")
	lanes, x, n := a.param("lanes"), a.param("x"), a.param("n")
	sum, v := a.vecs(2), a.sequence(2)
	a.loadPair(mem(lanes, 0), sum[0], sum[1])
	a.loop("group", n, func() {
		a.ins("VLD1.P", mem(x, 32), list("S4", v...))
		for i := range v {
			a.fmul(v[i], v[i], v[i])
			a.fadd(sum[i], v[i], sum[i])
		}
	})
	a.storePair(sum[0], sum[1], mem(lanes, 0))
	a.ret()
}

// emitRotations: the pair (u, v) becomes (u cos - v sin, u sin + v cos).
func emitRotations(a *asm) {
	turn := func(u, v, c, s V) {
		t := a.vec()
		a.fmul(v, s, t)
		a.fmul(v, c, v)
		a.fmul(u, c, c)
		a.fmul(u, s, u)
		a.fadd(u, v, v)
		a.fsub(c, t, u)
		a.free(t)
	}
	params := []string{"y *float32", "x *float32", "cos *float32", "sin *float32"}
	a.function("rotateHalvesNEON", "turns the pairs (i, i+half) for n groups of 8.", append(params, "half int", "n int")...)
	y, x, cos, sin, half, n := a.param("y"), a.param("x"), a.param("cos"), a.param("sin"), a.param("half"), a.param("n")
	yFar, xFar := a.gp(), a.gp()
	a.addShifted(half, 2, y, yFar)
	a.addShifted(half, 2, x, xFar)
	u, v, c, s := a.sequence(2), a.sequence(2), a.sequence(2), a.sequence(2)
	a.loop("group", n, func() {
		a.ins("VLD1.P", mem(x, 32), list("S4", u...))
		a.ins("VLD1.P", mem(xFar, 32), list("S4", v...))
		a.ins("VLD1.P", mem(cos, 32), list("S4", c...))
		a.ins("VLD1.P", mem(sin, 32), list("S4", s...))
		for i := range u {
			turn(u[i], v[i], c[i], s[i])
		}
		a.ins("VST1.P", list("S4", u...), mem(y, 32))
		a.ins("VST1.P", list("S4", v...), mem(yFar, 32))
	})
	a.ret()

	a.function("rotatePairsNEON", "turns the pairs (2i, 2i+1) for n groups of 4 pairs.", append(params, "n int")...)
	y, x, cos, sin, n = a.param("y"), a.param("x"), a.param("cos"), a.param("sin"), a.param("n")
	pair := a.sequence(2)
	c, s = a.vecs(1), a.vecs(1)
	a.loop("group", n, func() {
		a.ins("VLD2.P", mem(x, 32), list("S4", pair...))
		a.ins("VLD1.P", mem(cos, 16), list("S4", c[0]))
		a.ins("VLD1.P", mem(sin, 16), list("S4", s[0]))
		turn(pair[0], pair[1], c[0], s[0])
		a.ins("VST2.P", list("S4", pair...), mem(y, 32))
	})
	a.ret()
}
