package gguf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Type is the storage format of a tensor, with the number it has in files (ggml's enum).
// Numbers of formats that were removed stay unused for ever.
type Type uint32

// The formats with a mainline number. Supported tells which of them Dequantize reads.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

// format is one row of the registry. decode and encode are nil for formats that are only known by name:
// decode turns whole blocks into floats, encode turns one block of finite floats into bytes.
type format struct {
	name   string
	elems  int
	bytes  int
	decode func(dst []float32, src []byte)
	encode func(dst []byte, src []float32) error
}

// formats is indexed by Type; a row without a name is a number nobody uses.
var formats = [...]format{
	F32:     {"F32", 1, 4, decodeF32, encodeF32},
	F16:     {"F16", 1, 2, decodeF16, encodeF16},
	Q4_0:    {"Q4_0", 32, 18, decodeQ4_0, encodeQ4_0},
	Q4_1:    {"Q4_1", 32, 20, decodeQ4_1, encodeQ4_1},
	Q5_0:    {"Q5_0", 32, 22, decodeQ5_0, encodeQ5_0},
	Q5_1:    {"Q5_1", 32, 24, decodeQ5_1, encodeQ5_1},
	Q8_0:    {"Q8_0", 32, 34, decodeQ8_0, encodeQ8_0},
	Q8_1:    {"Q8_1", 32, 36, nil, nil},
	Q2_K:    {"Q2_K", 256, 84, decodeQ2_K, encodeQ2_K},
	Q3_K:    {"Q3_K", 256, 110, decodeQ3_K, encodeQ3_K},
	Q4_K:    {"Q4_K", 256, 144, decodeQ4_K, encodeQ4_K},
	Q5_K:    {"Q5_K", 256, 176, decodeQ5_K, encodeQ5_K},
	Q6_K:    {"Q6_K", 256, 210, decodeQ6_K, encodeQ6_K},
	Q8_K:    {"Q8_K", 256, 292, nil, nil},
	IQ2_XXS: {"IQ2_XXS", 256, 66, nil, nil},
	IQ2_XS:  {"IQ2_XS", 256, 74, nil, nil},
	IQ3_XXS: {"IQ3_XXS", 256, 98, nil, nil},
	IQ1_S:   {"IQ1_S", 256, 50, nil, nil},
	IQ4_NL:  {"IQ4_NL", 32, 18, decodeIQ4_NL, encodeIQ4_NL},
	IQ3_S:   {"IQ3_S", 256, 110, nil, nil},
	IQ2_S:   {"IQ2_S", 256, 82, nil, nil},
	IQ4_XS:  {"IQ4_XS", 256, 136, decodeIQ4_XS, encodeIQ4_XS},
	I8:      {"I8", 1, 1, nil, nil},
	I16:     {"I16", 1, 2, nil, nil},
	I32:     {"I32", 1, 4, nil, nil},
	I64:     {"I64", 1, 8, nil, nil},
	F64:     {"F64", 1, 8, nil, nil},
	IQ1_M:   {"IQ1_M", 256, 56, nil, nil},
	BF16:    {"BF16", 1, 2, decodeBF16, encodeBF16},
	TQ1_0:   {"TQ1_0", 256, 54, nil, nil},
	TQ2_0:   {"TQ2_0", 256, 66, nil, nil},
	MXFP4:   {"MXFP4", 32, 17, decodeMXFP4, encodeMXFP4},
	NVFP4:   {"NVFP4", 64, 36, nil, nil},
	Q1_0:    {"Q1_0", 128, 18, nil, nil},
	Q2_0:    {"Q2_0", 64, 18, nil, nil},
}

// removed holds the numbers that had a format once; files with them come from early or short-lived builds.
var removed = map[Type]string{
	4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}

// foreign holds formats that only the fork ik_llama.cpp writes; it uses the numbers from 133 to 399.
var foreign = map[Type]string{
	133: "Q6_0", 134: "IQ1_BN", 135: "IQ2_BN", 137: "IQ2_K", 138: "IQ3_K", 139: "IQ4_K", 140: "IQ5_K", 141: "IQ6_K", 144: "IQ4_KS",
	145: "IQ2_KS", 146: "IQ4_KSS", 152: "IQ5_KS", 153: "IQ2_KT", 154: "IQ3_KT", 155: "IQ4_KT", 156: "IQ3_KS", 157: "IQ2_KL", 158: "IQ1_KT",
}

const foreignFirst, foreignLast Type = 133, 399

func (t Type) format() *format {
	if uint64(t) < uint64(len(formats)) {
		return &formats[t]
	}
	return &format{}
}

// String is the format's name as users type it ("Q4_K"), or "type 139" for a number without one.
func (t Type) String() string {
	if f := t.format(); f.name != "" {
		return f.name
	}
	return "type " + strconv.FormatUint(uint64(t), 10)
}

// Known reports whether the name and block size of t are known, so that its tensors can be listed and copied.
func (t Type) Known() bool { return t.format().name != "" }

// Supported reports whether Dequantize reads t.
func (t Type) Supported() bool { return t.format().decode != nil }

// Quantizable reports whether Quantize writes t.
func (t Type) Quantizable() bool { return t.format().encode != nil }

// BlockElems is the number of elements in a block: 1 for plain numbers, 32 to 256 for quantised ones, 0 if t is not Known.
func (t Type) BlockElems() int { return t.format().elems }

// BlockBytes is the size of a block, 0 if t is not Known.
func (t Type) BlockBytes() int { return t.format().bytes }

// RowBytes is the size of n elements; n must be a multiple of BlockElems. It is 0 if t is not Known.
func (t Type) RowBytes(n int) int {
	f := t.format()
	if f.elems == 0 {
		return 0
	}
	return n / f.elems * f.bytes
}

// Types lists the known formats in the order of their numbers.
func Types() []Type {
	var ts []Type
	for i, f := range formats {
		if f.name != "" {
			ts = append(ts, Type(i))
		}
	}
	return ts
}

// ParseType finds a known format by its name in capitals or small letters.
func ParseType(name string) (Type, bool) {
	for i, f := range formats {
		if f.name != "" && strings.EqualFold(f.name, name) {
			return Type(i), true
		}
	}
	return 0, false
}

// Dequantize decodes whole blocks of src to dst. len(dst) must be a multiple of t's BlockElems and len(src) exactly
// RowBytes(len(dst)). The results have the same bits on every CPU, except that the payload of a NaN that comes of an infinite
// or NaN scale is the CPU's own.
func Dequantize(t Type, dst []float32, src []byte) error {
	f := t.format()
	if f.decode == nil {
		return fmt.Errorf("cannot decode %s: not supported yet", t)
	}
	if err := checkBlocks(t, len(dst), len(src)); err != nil {
		return err
	}
	f.decode(dst, src)
	return nil
}

// Quantize encodes src, a multiple of BlockElems long, to exactly RowBytes(len(src)) bytes of dst: the plain reference
// form of each format, round to nearest, without a search for better scales or weights of importance. F32, F16 and BF16
// take any value (F16 overflows to infinity); block formats refuse values that are not finite or too large for the scale.
func Quantize(t Type, dst []byte, src []float32) error {
	f := t.format()
	if f.encode == nil {
		return fmt.Errorf("cannot encode %s: not supported yet", t)
	}
	if err := checkBlocks(t, len(src), len(dst)); err != nil {
		return err
	}
	if f.elems == 1 {
		return f.encode(dst, src)
	}
	for i := 0; i < len(src); i += f.elems {
		block := src[i : i+f.elems]
		for j, x := range block {
			if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
				return fmt.Errorf("cannot encode %s: element %d is %g", t, i+j, x)
			}
		}
		n := i / f.elems
		if err := f.encode(dst[n*f.bytes:(n+1)*f.bytes], block); err != nil {
			return fmt.Errorf("cannot encode %s: elements %d to %d: %w", t, i, i+f.elems-1, err)
		}
	}
	return nil
}

func checkBlocks(t Type, elems, bytes int) error {
	if n := t.BlockElems(); elems%n != 0 {
		return fmt.Errorf("%s has blocks of %d elements, %d elements are not whole blocks", t, n, elems)
	}
	if n := t.RowBytes(elems); bytes != n {
		return fmt.Errorf("%d elements of %s are %d bytes, not %d", elems, t, n, bytes)
	}
	return nil
}
