package simd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"

	"forge/gguf"
)

// scaleAt lists where a format's block has its float16 scales; the rest of a random block may be any bytes.
var scaleAt = map[gguf.Type][]int{
	gguf.Q4_0: {0}, gguf.Q4_1: {0, 2}, gguf.Q5_0: {0}, gguf.Q5_1: {0, 2}, gguf.Q8_0: {0}, gguf.IQ4_NL: {0}, gguf.IQ4_XS: {0},
	gguf.Q2_K: {80, 82}, gguf.Q3_K: {108}, gguf.Q4_K: {0, 2}, gguf.Q5_K: {0, 2}, gguf.Q6_K: {208}, gguf.MXFP4: {},
}

func types() []gguf.Type {
	var ts []gguf.Type
	for t := range generics {
		ts = append(ts, t)
	}
	slices.Sort(ts)
	return ts
}

// rungs are the instruction sets of this CPU, fastest first, without plain Go.
func rungs() []isa {
	var r []isa
	have := detectISA()
	for i := isaCount - 1; i > isaScalar; i-- {
		if have[i] {
			r = append(r, i)
		}
	}
	return r
}

// fillWeights writes n random values of type t, with every bit of the integers in use.
func fillWeights(rng *rand.Rand, t gguf.Type, w []byte) {
	for i := range w {
		w[i] = byte(rng.Uint32())
	}
	half := func(at int) {
		binary.LittleEndian.PutUint16(w[at:], gguf.F32ToF16(float32(rng.NormFloat64())*0.02))
	}
	for b := 0; b < len(w); b += t.BlockBytes() {
		switch t {
		case gguf.F32:
			binary.LittleEndian.PutUint32(w[b:], math.Float32bits(float32(rng.NormFloat64())))
		case gguf.F16:
			half(b)
		case gguf.BF16:
			binary.LittleEndian.PutUint16(w[b:], gguf.F32ToBF16(float32(rng.NormFloat64())))
		case gguf.MXFP4:
			w[b] = byte(rng.IntN(8) + 118)
			if rng.IntN(50) == 0 {
				w[b] = byte(rng.IntN(3)) // the denormal scales
			}
		}
		for _, at := range scaleAt[t] {
			half(b + at)
		}
	}
}

func fillActs(rng *rand.Rand, n, k int) *acts {
	a := new(acts)
	a.resize(n, k)
	x := make([]float32, k)
	for r := range n {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
			if rng.IntN(40) == 0 {
				x[i] *= 20
			}
		}
		if r == 1 {
			clear(x[:min(k, 32)])
		}
		a.set(r, x)
	}
	return a
}

// guardActs moves a's memory against an unmapped page.
func guardActs(t testing.TB, a *acts, atEnd bool) {
	for _, m := range []*[]byte{&a.blocks, &a.lanes, &a.fixed} {
		b := guarded(t, len(*m), atEnd)
		copy(b, *m)
		*m = b
	}
	x := guardedFloats(t, len(a.x), atEnd)
	copy(x, a.x)
	a.x = x
}

func guardedFloats(t testing.TB, n int, atEnd bool) []float32 {
	b := guarded(t, 4*n, atEnd)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func sameBits(t *testing.T, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("output %d: %v (%#x), plain Go has %v (%#x)", i, got[i], math.Float32bits(got[i]), want[i],
				math.Float32bits(want[i]))
		}
	}
}

// TestProductOverLadder compares every kernel of every rung with plain Go, bit for bit, over shapes that reach every tail,
// with weights, activations and outputs against unmapped pages.
func TestProductOverLadder(t *testing.T) {
	for _, typ := range types() {
		for _, rung := range rungs() {
			t.Run(fmt.Sprintf("%v/%v", typ, rung), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, uint64(typ)))
				p := products[rung][typ]
				if p.asm.elems == 0 {
					t.Fatal("no kernel")
				}
				for i, n := range []int{1, 3, 7, 8, 9, 15, 16, 17, 24, 33, 50} {
					for j, rows := range []int{1, 2, 3, 4, 5, 7, 9} {
						if os.Getenv("FORGE_TEST_ALL") == "" && (i+j)%4 != 0 {
							continue
						}
						ks := []int{32, 160, 256, 288, 480, 576, 768}
						if typ.BlockElems() == 256 {
							ks = []int{256, 512, 768}
						} else if typ.BlockElems() == 1 {
							ks = []int{1, 7, 8, 24, 37, 96, 64, 192}
						}
						testShape(t, rng, p, n, ks[(i+j)%len(ks)], rows, (i+j)%2 == 0)
					}
				}
				// More rows than few kernels take, tiles of each size, and an odd number of panels.
				for i, s := range [][3]int{{32, 256, 65}, {63, 768, 13}, {70, 512, 37}, {45, 1280, 50}, {33, 512, 48}, {24, 512, 64}, {5, 256, 16},
					{39, 768, 17}} {
					testShape(t, rng, p, s[0], s[1], s[2], i%2 == 0)
				}
				if typ.BlockElems() == 1 { // long stretches
					for i, k := range []int{8, 32, 56, 160} {
						testShape(t, rng, p, floatStream+5*i, k, 1, i%2 == 0)
					}
				}
			})
		}
	}
}

func testShape(t *testing.T, rng *rand.Rand, p *product, n, k, rows int, atEnd bool) {
	t.Helper()
	rowBytes := p.typ.RowBytes(k)
	w := guarded(t, n*rowBytes, atEnd)
	fillWeights(rng, p.typ, w)
	a := fillActs(rng, rows, k)
	guardActs(t, a, atEnd)
	want := make([]float32, rows*n)
	products[isaScalar][p.typ].rows(want, n, w, rowBytes, 0, n, a, 0, rows, new(scratch))
	got := guardedFloats(t, rows*n, atEnd)
	p.rows(got, n, w, rowBytes, 0, n, a, 0, rows, new(scratch))
	sameBits(t, got, want)

	// A share of it, with canaries all around, and every other time activations that have no lanes.
	if (n+rows)%2 == 0 {
		a.lanes = nil
	}
	const canary = 12345
	for i := range got {
		got[i] = canary
	}
	o0, o1 := rng.IntN(n), rng.IntN(n)+1
	r0, r1 := rng.IntN(rows), rng.IntN(rows)+1
	p.rows(got, n, w, rowBytes, o0, o1, a, r0, r1, new(scratch))
	if p.fixed() { // which depends on how many rows there are
		products[isaScalar][p.typ].rows(want, n, w, rowBytes, 0, n, a, r0, r1, new(scratch))
	}
	for i := range got {
		if o, r := i%n, i/n; o < o0 || o >= o1 || r < r0 || r >= r1 {
			want[i] = canary
		}
	}
	sameBits(t, got, want)
}

// TestProductOfDecodedWeights compares plain Go with what gguf decodes: the same sum in float64.
func TestProductOfDecodedWeights(t *testing.T) {
	for _, typ := range types() {
		t.Run(typ.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, uint64(typ)))
			const n, k = 20, 1024
			rowBytes := typ.RowBytes(k)
			w := make([]byte, n*rowBytes)
			fillWeights(rng, typ, w)
			a := fillActs(rng, 2, k)
			out := make([]float32, 2*n)
			products[isaScalar][typ].rows(out, n, w, rowBytes, 0, n, a, 0, 2, new(scratch))
			row := make([]float32, k)
			for i, got := range out {
				r, o := i/n, i%n
				if err := gguf.Dequantize(typ, row, w[o*rowBytes:(o+1)*rowBytes]); err != nil {
					t.Fatal(err)
				}
				var sum, size float64
				for j, v := range row {
					x := float64(a.x[r*k+j])
					if typ.BlockElems() > 1 {
						b := a.blocks[r*a.stride()+place(j/32, k/32)*actBlock:]
						d := math.Float32frombits(binary.LittleEndian.Uint32(b[actScale:]))
						x = float64(int8(b[j%32])) * float64(d)
					}
					sum += float64(v) * x
					size += math.Abs(float64(v) * x)
				}
				if math.Abs(sum-float64(got)) > 1e-6*size {
					t.Errorf("row %d, output %d: %v, decoded weights give %v (sum of sizes %v)", r, o, got, sum, size)
				}
			}
		})
	}
}

// TestIntegerSums has one block, d = 1 and an activation scale of 1, so that outputs are the integer sums, at the values that
// come nearest to overflowing 16 bits.
func TestIntegerSums(t *testing.T) {
	for _, typ := range types() {
		k := typ.BlockElems()
		if k == 1 || typ == gguf.MXFP4 {
			continue
		}
		for _, fill := range []byte{0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0} {
			for _, x := range []float32{127, -127} {
				rowBytes := typ.RowBytes(k)
				w := make([]byte, 16*rowBytes)
				for i := range w {
					w[i] = fill
				}
				for o := range 16 {
					for i, at := range scaleAt[typ] {
						d := float32(1)
						if i == 1 {
							d = 0
						}
						binary.LittleEndian.PutUint16(w[o*rowBytes+at:], gguf.F32ToF16(d))
					}
				}
				a := new(acts)
				a.resize(4, k)
				row := make([]float32, k)
				for i := range row {
					row[i] = x
				}
				for r := range 4 {
					a.set(r, row)
				}
				values := make([]float32, k)
				if err := gguf.Dequantize(typ, values, w[:rowBytes]); err != nil {
					t.Fatal(err)
				}
				// Every block's sum is below 2^24, and so is the float64 sum of them: exact where the float order is.
				var want float64
				for _, v := range values {
					want += float64(v) * float64(x)
				}
				for _, rung := range append(rungs(), isaScalar) {
					for _, rows := range []int{1, 4} {
						out := make([]float32, 16*rows)
						products[rung][typ].rows(out, 16, w, rowBytes, 0, 16, a, 0, rows, new(scratch))
						for i, got := range out {
							if math.Abs(float64(got)-want) > 1e-6*math.Abs(want) {
								t.Fatalf("%v %v, bytes %#x, x %v, %d rows: output %d is %v, want %v", typ, rung, fill, x, rows, i, got,
									want)
							}
						}
					}
				}
			}
		}
	}
}

func TestQuantizeOverLadder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-40, 1e-38, 3e38, -3e38, inf, -inf, nan, 0.5, 1.5, 127, 126.5}
	for trial := range 400 {
		k := 32 * (1 + trial%5)
		x := guardedFloats(t, k, trial%2 == 0)
		scale := float32(math.Exp(rng.NormFloat64() * 10))
		for i := range x {
			x[i] = float32(rng.NormFloat64()) * scale
			if trial > 200 && rng.IntN(20) == 0 {
				x[i] = special[rng.IntN(len(special))]
			}
		}
		// As acts.round does it, and a group that is begun in its middle.
		first := []int{0, 3, 8 - trial%5 - 1}[trial%3]
		size := (first*32 + k + 255) / 256 * actGroup
		want := [2][]byte{make([]byte, size), make([]byte, size)}
		quantizeGeneric(want[0], want[1], x, first)
		for _, rung := range rungs() {
			got := [2][]byte{guarded(t, size, trial%2 == 0), guarded(t, size, trial%2 == 0)}
			quantize(rung, got[0], got[1], x, first)
			alone := guarded(t, size, trial%2 == 0)
			if quantize(rung, alone, nil, x, first); !bytes.Equal(alone, got[0]) {
				t.Fatalf("trial %d: blocks without lanes are %v, with them %v", trial, alone, got[0])
			}
			for part := range want {
				for i := 0; i < size; i += 4 {
					g, w := binary.LittleEndian.Uint32(got[part][i:]), binary.LittleEndian.Uint32(want[part][i:])
					f := func(v uint32) bool { return isFloatAt(part, i) && math.IsNaN(float64(math.Float32frombits(v))) }
					if g != w && !(f(g) && f(w)) {
						t.Fatalf("trial %d, %s byte %d: %#x, plain Go has %#x; first %d, x = %v", trial, []string{"blocks", "lanes"}[part], i,
							g, w, first, x)
					}
				}
			}
		}
	}
}

// isFloatAt tells that a block, or a group's lanes, have a float at byte i.
func isFloatAt(part, i int) bool {
	if part == 0 {
		i %= actBlock
		return i == actScale || i == actDSum || i >= actDSum16
	}
	i %= actGroup
	return i < laneNegSum || i >= laneDSum16 && i < laneDSum16+64
}

// TestActsOfIncompleteGroup wants the blocks of an incomplete group at its end, behind zeros, also where memory held other
// activations before.
func TestActsOfIncompleteGroup(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	a := fillActs(rng, 2, 1024)
	x := slices.Clone(a.x[:320])
	a.resize(2, 320)
	a.set(1, x)
	stride := 2 * actGroup
	if a.stride() != stride {
		t.Fatalf("stride %d, want %d", a.stride(), stride)
	}
	blocks, lanes := a.blocks[stride:], a.lanes[stride:]
	alone := new(acts)
	alone.resize(1, 256)
	for b := range 10 {
		copy(alone.x, make([]float32, 256))
		copy(alone.x, x[32*b:32*b+32])
		alone.round(0)
		at := b
		if b >= 8 {
			at = 8 + 6 + b - 8
		}
		if got, want := blocks[at*actBlock:][:actBlock], alone.blocks[:actBlock]; !slices.Equal(got, want) {
			t.Errorf("block %d: %v, want %v", b, got, want)
		}
		if got, want := lanes[at/8*actGroup+laneScale+at%8*4:][:4], alone.lanes[laneScale:][:4]; !slices.Equal(got, want) {
			t.Errorf("lane of block %d: scale %v, want %v", b, got, want)
		}
	}
	for i, v := range blocks[8*actBlock : 14*actBlock] {
		if v != 0 {
			t.Fatalf("byte %d of the blocks before is %d", i, v)
		}
	}
}

func TestHalfConversions(t *testing.T) {
	src := guarded(t, 2*65536, true)
	h := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(src))), 65536)
	for i := range h {
		h[i] = uint16(i)
	}
	dst := guardedFloats(t, 65536, true)
	halfToFloat(dst, h)
	for i, got := range dst {
		if want := gguf.F16ToF32(h[i]); got != want && (got == got || want == want) {
			t.Fatalf("%#x: %v, want %v", h[i], got, want)
		}
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for n := range 40 {
		x, got := guardedFloats(t, n, true), guarded(t, 2*n, true)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()*8))
		}
		back := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(got))), n)
		floatToHalf(back, x)
		for i, v := range x {
			if want := gguf.F32ToF16(v); back[i] != want {
				t.Fatalf("%v: %#x, want %#x", v, back[i], want)
			}
		}
	}
}

func TestFMA32RoundsOnce(t *testing.T) {
	// Below the middle of two neighbours by 2^-70, which float64 cannot hold: rounding twice would go up to the even one.
	if got := fma32(0x1p-24*(1+0x1p-23), 1-0x1p-23, 1+0x1p-23); got != 1+0x1p-23 {
		t.Errorf("got %x, want %x", got, float32(1+0x1p-23))
	}
	a := float32(1 + 0x1p-12)
	if got, want := fma32(a, a, 0x1p-70), float32(1+0x1p-11+0x1p-23); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := fma32(a, a, -0x1p-70); got != 1+0x1p-11 {
		t.Errorf("got %x", got)
	}
	if got := fma32(float32(math.Inf(1)), 1, 1); !math.IsInf(float64(got), 1) {
		t.Errorf("got %v", got)
	}
}

func TestProductAllocatesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, typ := range types() {
		p, err := productFor(typ)
		if err != nil {
			t.Fatal(err)
		}
		const n, k, rows = 40, 512, 9
		w := make([]byte, n*typ.RowBytes(k))
		fillWeights(rng, typ, w)
		a, s, out := fillActs(rng, rows, k), new(scratch), make([]float32, rows*n)
		x := slices.Clone(a.x[:k])
		if got := testing.AllocsPerRun(3, func() {
			a.resize(rows, k)
			a.set(3, x)
			p.rows(out, n, w, typ.RowBytes(k), 0, n, a, 0, rows, s)
			p.rows(out, n, w, typ.RowBytes(k), 0, 5, a, 0, 1, s)
		}); got != 0 {
			t.Errorf("%v: %v allocations", typ, got)
		}
	}
}

func TestChooseISA(t *testing.T) {
	avx2, vnni := isaSet{isaAVX2: true}, isaSet{isaAVX2: true, isaVNNI: true}
	zen4, arm := isaSet{isaAVX2: true, isaAVX512: true}, isaSet{isaNEON: true}
	for _, c := range []struct {
		wanted string
		have   isaSet
		isa    isa
		err    string
	}{
		{"", isaSet{}, isaScalar, ""},
		{"", avx2, isaAVX2, ""},
		{"", zen4, isaAVX512, ""},
		{"scalar", vnni, isaScalar, ""},
		{"avx2", zen4, isaAVX2, ""},
		{"avx512", zen4, isaAVX512, ""},
		{"avxvnni", avx2, isaAVX2, "FORGE_SIMD=avxvnni: this CPU has no such instructions; unset it or choose scalar or avx2"},
		{"avxvnni", zen4, isaAVX512, "FORGE_SIMD=avxvnni: this CPU has no such instructions; unset it or choose scalar, avx2 or avx512"},
		{"", arm, isaNEON, ""},
		{"dotprod", arm, isaNEON, "FORGE_SIMD=dotprod: this CPU has no such instructions; unset it or choose scalar or neon"},
		{"neon", zen4, isaAVX512, "FORGE_SIMD=neon: this CPU has no such instructions; unset it or choose scalar, avx2 or avx512"},
		{"sse", vnni, isaVNNI, "FORGE_SIMD=sse: no such instruction set; choose scalar, avx2 or avxvnni"},
	} {
		got, err := chooseISA(c.wanted, c.have)
		if got != c.isa || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q on %v: %v, %v", c.wanted, c.have, got, err)
		}
	}
}

// resize makes room for n rows of k floats and drops what was there. It allocates only when more is needed than ever before.
func (a *acts) resize(n, k int) {
	if cap(a.x) < n*k {
		a.x = make([]float32, n*k)
	}
	a.alias(a.x[:n*k], n, k, forms{blocks: true, lanes: true, fixed: true})
}

// set makes x row r.
func (a *acts) set(r int, x []float32) {
	copy(a.x[r*a.k:(r+1)*a.k], x[:a.k])
	a.round(r)
}

// Parts of a row, rounded in any order over what was there before, are the row.
func TestRoundPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, rung := range rungs() {
		atLevel(t, rung)
		for _, k := range []int{32, 224, 256, 288, 576, 1184} {
			whole, parts := fillActs(rng, 1, k), fillActs(rng, 1, k)
			for i := range parts.blocks {
				parts.blocks[i], parts.lanes[i] = 0xff, 0xff
			}
			copy(parts.x, whole.x)
			cut := 32 * (1 + rng.IntN(k/32))
			parts.roundPart(0, cut, k)
			parts.roundPart(0, 0, cut)
			if unused := place(0, k/32) * actBlock; k < 256 && !bytes.Equal(parts.blocks[:unused], make([]byte, unused)) {
				t.Errorf("%v, %d entries: blocks before the first are not 0", rung, k)
			}
			for b := range k / 32 {
				at := place(b, k/32) * actBlock
				if !bytes.Equal(whole.blocks[at:at+actDSum16+8], parts.blocks[at:at+actDSum16+8]) {
					t.Errorf("%v, %d entries cut at %d: block %d differs", rung, k, cut, b)
				}
			}
			for g := 0; g < len(whole.lanes); g += actGroup {
				a, b := whole.lanes[g:g+actGroup], parts.lanes[g:g+actGroup]
				if end := laneDSum16 + 64; !bytes.Equal(a[:end], b[:end]) || !bytes.Equal(a[lanePairs:], b[lanePairs:]) {
					t.Errorf("%v, %d entries cut at %d: lanes differ", rung, k, cut)
				}
			}
		}
	}
}
