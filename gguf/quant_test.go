package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// vectors reads testdata/NAME, made by testdata/make_vectors.py: records of a and b bytes.
func vectors(t *testing.T, kind string, typ Type, a, b int) (as, bs [][]byte) {
	t.Helper()
	name := fmt.Sprintf("testdata/%s_%s.bin", kind, strings.ToLower(typ.String()))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) == 0 || len(data)%(a+b) != 0 {
		t.Fatalf("%s: %d bytes are not records of %d", name, len(data), a+b)
	}
	for ; len(data) > 0; data = data[a+b:] {
		as, bs = append(as, data[:a]), append(bs, data[a:a+b])
	}
	return as, bs
}

func floats(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

func isNaN(bits uint32) bool { return bits&0x7fffffff > 0x7f800000 }

func TestDequantize_EqualsPythonBits(t *testing.T) {
	for _, typ := range Types() {
		if !typ.Supported() {
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			blocks, wants := vectors(t, "decode", typ, typ.BlockBytes(), 4*typ.BlockElems())
			got := make([]float32, typ.BlockElems())
			for i, block := range blocks {
				if err := Dequantize(typ, got, block); err != nil {
					t.Fatal(err)
				}
				for j, want := range floats(wants[i]) {
					g, w := math.Float32bits(got[j]), math.Float32bits(want)
					// What arithmetic makes of a NaN scale differs between CPUs; plain numbers must keep theirs.
					if isNaN(w) && isNaN(g) && typ.BlockElems() > 1 {
						continue
					}
					if g != w {
						t.Fatalf("block %d (% x), element %d: got %g (%#08x), want %g (%#08x)", i, block, j, got[j], g, want, w)
					}
				}
			}
			// All blocks in one call: no state between blocks, no block skipped.
			all := make([]float32, len(blocks)*typ.BlockElems())
			if err := Dequantize(typ, all, bytes.Join(blocks, nil)); err != nil {
				t.Fatal(err)
			}
			for j, want := range floats(bytes.Join(wants, nil)) {
				if g, w := math.Float32bits(all[j]), math.Float32bits(want); g != w && !(isNaN(g) && isNaN(w)) {
					t.Fatalf("all blocks at once, element %d: got %#08x, want %#08x", j, g, w)
				}
			}
		})
	}
}

func TestQuantize_EqualsPythonBytes(t *testing.T) {
	for _, typ := range []Type{F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, MXFP4} {
		t.Run(typ.String(), func(t *testing.T) {
			values, wants := vectors(t, "encode", typ, 4*typ.BlockElems(), typ.BlockBytes())
			got := make([]byte, typ.BlockBytes())
			for i, v := range values {
				if err := Quantize(typ, got, floats(v)); err != nil {
					t.Fatalf("block %d: %v", i, err)
				}
				if !bytes.Equal(got, wants[i]) {
					t.Fatalf("block %d %g:\n got % x\nwant % x", i, floats(v), got, wants[i])
				}
			}
		})
	}
}

// Every one of the 65,536 half-precision numbers against the formula of the standard in float64.
func TestF16_AllValues(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		got := F16ToF32(h)
		sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
		if h>>15 == 1 {
			sign = -1
		}
		var want float64
		switch {
		case exp == 31 && frac != 0:
			if got == got {
				t.Fatalf("%#04x: got %g, want NaN", h, got)
			}
			if back := F32ToF16(got); back != h {
				t.Fatalf("%#04x: NaN comes back as %#04x", h, back)
			}
			continue
		case exp == 31:
			want = math.Inf(int(sign))
		case exp == 0:
			want = sign * math.Ldexp(frac, -24)
		default:
			want = sign * math.Ldexp(1024+frac, exp-25)
		}
		if float64(got) != want || math.Signbit(float64(got)) != (sign < 0) {
			t.Fatalf("%#04x: got %g, want %g", h, got, want)
		}
		if back := F32ToF16(got); back != h {
			t.Fatalf("%#04x: comes back as %#04x", h, back)
		}
		if b := F32ToBF16(BF16ToF32(h)); b != h && !(h&0x7f80 == 0x7f80 && b == h|0x40) {
			t.Fatalf("bfloat16 %#04x: comes back as %#04x", h, b)
		}
	}
}

func TestDequantize_Refuses(t *testing.T) {
	for _, c := range []struct {
		typ  Type
		n, b int
		want string
	}{
		{Q4_0, 33, 18, "Q4_0 has blocks of 32 elements, 33 elements are not whole blocks"},
		{Q4_K, 256, 143, "256 elements of Q4_K are 144 bytes, not 143"},
		{Q4_K, 256, 288, "256 elements of Q4_K are 144 bytes, not 288"},
		{IQ2_XXS, 256, 66, "cannot decode IQ2_XXS: not supported yet"},
		{4, 32, 18, "cannot decode type 4: not supported yet"},
		{1 << 31, 32, 18, "cannot decode type 2147483648: not supported yet"},
	} {
		if err := Dequantize(c.typ, make([]float32, c.n), make([]byte, c.b)); err == nil || err.Error() != c.want {
			t.Errorf("%v: got %v, want %s", c.typ, err, c.want)
		}
	}
}

func TestQuantize_Refuses(t *testing.T) {
	at := func(i int, v float32) []float32 {
		x := make([]float32, 64)
		x[i] = v
		return x
	}
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		typ  Type
		x    []float32
		b    int
		want string
	}{
		{Q8_0, at(40, inf), 68, "cannot encode Q8_0: element 40 is +Inf"},
		{Q4_1, at(3, float32(math.NaN())), 40, "cannot encode Q4_1: element 3 is NaN"},
		{Q4_0, at(63, 1e7), 36, "cannot encode Q4_0: elements 32 to 63: scale -1.25e+06 is beyond a 16-bit float"},
		{Q5_1, at(0, -70000), 48, "cannot encode Q5_1: elements 0 to 31: scale -70000 is beyond a 16-bit float"},
		{Q8_0, at(0, 1)[:40], 34, "Q8_0 has blocks of 32 elements, 40 elements are not whole blocks"},
		{Q8_0, at(0, 1), 34, "64 elements of Q8_0 are 68 bytes, not 34"},
		{IQ1_S, make([]float32, 256), 50, "cannot encode IQ1_S: not supported yet"},
	} {
		if err := Quantize(c.typ, make([]byte, c.b), c.x); err == nil || err.Error() != c.want {
			t.Errorf("%v: got %v, want %s", c.typ, err, c.want)
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	const n = 1 << 16 // elements; the bytes counted are those read
	rng := rand.New(rand.NewPCG(1, 2))
	for _, typ := range Types() {
		if !typ.Supported() {
			continue
		}
		b.Run(typ.String(), func(b *testing.B) {
			x, src, dst := make([]float32, n), make([]byte, typ.RowBytes(n)), make([]float32, n)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			if err := Quantize(typ, src, x); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := Dequantize(typ, dst, src); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/elem")
		})
	}
}

// The K and IQ4 encoders have no outside reference: ggml searches for better scales. What they must do is come back close,
// here in root mean square over normal noise. Codes spread evenly leave an error of a step over the square root of 12, and
// the step follows from the range, or the largest magnitude, to be expected in a sub-block of 16 or 32; 8% more is for
// scales that are themselves rounded. For the uneven codes the bounds are what was measured, plus 5%.
func TestQuantize_ComesBackClose(t *testing.T) {
	const range16, range32, most16, most32 = 3.53, 4.14, 2.05, 2.34
	even := func(span, codes float64) float64 { return 1.08 * span / codes / math.Sqrt(12) }
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		typ Type
		rms float64
	}{
		{F32, 0}, {F16, 0x1p-11}, {BF16, 0x1p-8}, {Q4_0, even(most32, 8)}, {Q4_1, even(range32, 15)}, {Q5_0, even(most32, 16)},
		{Q5_1, even(range32, 31)}, {Q8_0, even(most32, 127)}, {Q2_K, even(range16, 3)}, {Q3_K, even(most16, 4)},
		{Q4_K, even(range32, 15)}, {Q5_K, even(range32, 31)}, {Q6_K, even(most16, 32)}, {IQ4_NL, 0.084}, {IQ4_XS, 0.085}, {MXFP4, 0.123},
	} {
		x, y, b := make([]float32, 1<<14), make([]float32, 1<<14), make([]byte, c.typ.RowBytes(1<<14))
		roundTrip := func() {
			rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = byte(i), byte(j) }) // encoders must not rely on zeros
			if err := Quantize(c.typ, b, x); err != nil {
				t.Fatal(err)
			}
			if err := Dequantize(c.typ, y, b); err != nil {
				t.Fatal(err)
			}
		}
		roundTrip()
		if i := slices.IndexFunc(y, func(v float32) bool { return v != 0 }); i >= 0 {
			t.Errorf("%s: zeros come back with %g at %d", c.typ, y[i], i)
		}
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		roundTrip()
		var errs, all float64
		for i := range x {
			e := float64(x[i] - y[i])
			errs, all = errs+e*e, all+float64(x[i])*float64(x[i])
		}
		if rms := math.Sqrt(errs / all); rms > c.rms {
			t.Errorf("%s: relative error %.5f, at most %.5f is expected", c.typ, rms, c.rms)
		}
		// Values so small that scales vanish in half precision must not turn into anything large.
		for i := range x {
			x[i] *= 1e-40
		}
		roundTrip()
		if i := slices.IndexFunc(y, func(v float32) bool { return !(abs(v) < 1e-38) }); i >= 0 {
			t.Errorf("%s: %g comes back as %g", c.typ, x[i], y[i])
		}
	}
}
