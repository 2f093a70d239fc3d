package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// parts is a small file in pieces, so that a case can spoil one of them. Counts are those of the pieces unless given.
type parts struct {
	magic          string
	version        uint32
	nTensors, nKey uint64
	keys, tensors  [][]byte
	data           []byte
}

// le joins numbers (little-endian), strings (with their length) and raw bytes.
func le(fields ...any) []byte {
	var b bytes.Buffer
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(f)))
			b.WriteString(f)
		case int:
			panic("give the width of a number")
		default:
			if err := binary.Write(&b, binary.LittleEndian, f); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

func keyBytes(name string, kind ValueType, fields ...any) []byte {
	return append(le(name, kind), le(fields...)...)
}

func tensorBytes(name string, t Type, offset uint64, dims ...uint64) []byte {
	return le(name, uint32(len(dims)), dims, t, offset)
}

// goodParts is valid: three keys, two tensors, data to the last byte.
func goodParts() *parts {
	return &parts{
		magic: magic, version: 3, nTensors: math.MaxUint64, nKey: math.MaxUint64,
		keys: [][]byte{
			keyBytes("general.architecture", KindString, "llama"),
			keyBytes("general.alignment", KindUint32, uint32(32)),
			keyBytes("names", KindArray, KindString, uint64(2), "a", "bc"),
		},
		tensors: [][]byte{
			tensorBytes("a.weight", F32, 0, 4, 2),
			tensorBytes("b.weight", Q8_0, 32, 32),
		},
		data: make([]byte, 32+34),
	}
}

func (p *parts) bytes() []byte {
	if p.nTensors == math.MaxUint64 {
		p.nTensors = uint64(len(p.tensors))
	}
	if p.nKey == math.MaxUint64 {
		p.nKey = uint64(len(p.keys))
	}
	b := append([]byte(p.magic), le(p.version, p.nTensors, p.nKey)...)
	b = append(b, bytes.Join(p.keys, nil)...)
	b = append(b, bytes.Join(p.tensors, nil)...)
	b = append(b, make([]byte, -len(b)&31)...)
	return append(b, p.data...)
}

func TestParse_Good(t *testing.T) {
	for _, version := range []uint32{2, 3} {
		p := goodParts()
		p.version = version
		f, err := Parse("good.gguf", p.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if f.Version != version || !slices.Equal(f.Keys, []string{"general.architecture", "general.alignment", "names"}) || len(f.Tensors) != 2 {
			t.Errorf("version %d: got %+v", version, f)
		}
	}
}

// nested is the value of arrays within arrays, depth levels, the innermost one empty.
func nested(depth int) []byte {
	var b []byte
	for range depth - 1 {
		b = append(b, le(KindArray, uint64(1))...)
	}
	return append(b, le(KindInt8, uint64(0))...)
}

// Each case spoils one thing in the good file; the message is compared whole.
func TestParse_Malformed(t *testing.T) {
	const huge = 1 << 62
	key := func(kind ValueType, fields ...any) func(*parts) {
		return func(p *parts) { p.keys[2] = keyBytes("names", kind, fields...) }
	}
	tensor := func(b []byte) func(*parts) { return func(p *parts) { p.tensors[1] = b } }
	head := func(version uint32) func(*parts) { return func(p *parts) { p.version = version } }
	starts := func(s string) func(*parts) { return func(p *parts) { p.magic = s } }
	align := func(kind ValueType, v any) func(*parts) {
		return func(p *parts) { p.keys[1] = keyBytes("general.alignment", kind, v) }
	}
	typed := func(n uint32) func(*parts) { return tensor(tensorBytes("b.weight", Type(n), 32, 256)) }

	for _, c := range []struct {
		name  string
		spoil func(*parts)
		want  string
	}{
		{"magic", starts("GGUX"), `not a GGUF file: it begins with "GGUX", not with "GGUF"`},
		{"magic byte-swapped", starts("FUGG"), "big-endian GGUF is not supported: convert the model again for little-endian machines"},
		{"magic of GGML", starts("tjgg"), "this is a GGML file from before GGUF: convert the model again with a current converter"},
		{"magic of zip", starts("PK\x03\x04"), "this is a zip archive, perhaps a PyTorch checkpoint: convert it to GGUF first"},
		{"LFS pointer", starts("version https://git-lfs.github.com/spec/v1"), "this is a git LFS pointer, not the model: fetch the model with git lfs pull"},
		{"safetensors", starts("\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":"), "this seems to be a safetensors file: convert it to GGUF first"},
		{"version 0", head(0), "GGUF version 0 is unknown (2 and 3 are supported)"},
		{"version 1", head(1), "GGUF version 1 is not supported (2 and 3 are): convert the model again with a current converter"},
		{"version 99", head(99), "GGUF version 99 is unknown (2 and 3 are supported)"},
		{"version byte-swapped", head(0x03000000), "big-endian GGUF is not supported: convert the model again for little-endian machines"},

		{"key count absurd", func(p *parts) { p.nKey = huge },
			"the header counts 4611686018427387904 keys, the 298 bytes after it hold 21 at most"},
		{"key count one too many", func(p *parts) { p.nKey = 4 },
			"tensor 1 of 2, at offset 172: its name: at offset 180 a string takes 562949953421312 bytes, 142 are left: the file is truncated or damaged"},
		{"key count one too few", func(p *parts) { p.nKey = 2 }, "tensor names, at offset 102: it has 9 dimensions, not 1 to 4"},
		{"tensor count absurd", func(p *parts) { p.nTensors = huge },
			"the header counts 4611686018427387904 tensors, the 298 bytes after it hold 9 at most"},
		{"tensor count one too many", func(p *parts) { p.nTensors = 3 }, "tensor 3 of 3, at offset 238: its name: it is empty"},

		{"key longer than the file", func(p *parts) { p.keys[0] = le(uint64(500), []byte("general")) },
			"key 1 of 3, at offset 24: its name: at offset 32 a string takes 500 bytes, 258 are left: the file is truncated or damaged"},
		{"key length overflows", func(p *parts) { p.keys[0] = le(uint64(math.MaxUint64), []byte("general")) },
			"key 1 of 3, at offset 24: its name: at offset 32 a string takes 18446744073709551615 bytes, 258 are left: the file is truncated or damaged"},
		{"key longer than allowed", func(p *parts) { p.keys[0] = keyBytes(strings.Repeat("k", 65536), KindUint8, uint8(1)) },
			"key 1 of 3, at offset 24: its name: it has 65536 bytes, 65535 are accepted at most"},
		{"key empty", func(p *parts) { p.keys[0] = keyBytes("", KindUint8, uint8(1)) },
			"key 1 of 3, at offset 24: its name: it is empty"},
		{"key twice", func(p *parts) { p.keys[2] = p.keys[0] },
			"key general.architecture is given twice, the second time at offset 102"},
		{"key with control characters, twice", func(p *parts) { p.keys[0] = keyBytes("a\x1b[2J", KindInt8, int8(1)); p.keys[2] = p.keys[0] },
			`key "a\x1b[2J" is given twice, the second time at offset 75`},
		{"key long, twice", func(p *parts) {
			p.keys[0] = keyBytes(strings.Repeat("k", 300), KindInt8, int8(1))
			p.keys[2] = p.keys[0]
		},
			`key "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"... is given twice, the second time at offset 370`},

		{"kind unknown", key(13, uint64(0)), "key names, at offset 102: the value has kind 13, which does not exist"},
		{"kind absurd", key(0xffffffff, uint64(0)),
			"key names, at offset 102: the value has kind 4294967295, which does not exist"},
		{"bool 2", key(KindBool, uint8(2)), "key names, at offset 102: the bool is 2, not 0 or 1"},
		{"bool 2 in an array", key(KindArray, KindBool, uint64(3), []byte{0, 1, 2}),
			"key names, at offset 102: element 2: the bool is 2, not 0 or 1"},
		{"string longer than the file", key(KindString, uint64(1000), []byte("abc")),
			"key names, at offset 102: at offset 127 a string takes 1000 bytes, 163 are left: the file is truncated or damaged"},
		{"string length overflows", key(KindString, uint64(math.MaxUint64-7), []byte("abc")),
			"key names, at offset 102: at offset 127 a string takes 18446744073709551608 bytes, 163 are left: the file is truncated or damaged"},
		{"array of unknown kind", key(KindArray, uint32(77), uint64(1), uint64(0)),
			"key names, at offset 102: the array has elements of kind 77, which does not exist"},
		{"array length absurd", key(KindArray, KindUint32, uint64(huge)),
			"key names, at offset 102: at offset 131 an array of 4611686018427387904 elements of kind uint32 takes at least 4 bytes each, 159 are left: the file is truncated or damaged"},
		{"array length overflows", key(KindArray, KindUint64, uint64(1<<61+1)),
			"key names, at offset 102: at offset 131 an array of 2305843009213693953 elements of kind uint64 takes at least 8 bytes each, 159 are left: the file is truncated or damaged"},
		{"array longer than the file", key(KindArray, KindUint8, uint64(1000)),
			"key names, at offset 102: at offset 131 an array of 1000 elements of kind uint8 takes at least 1 bytes each, 159 are left: the file is truncated or damaged"},
		{"array of strings absurd", key(KindArray, KindString, uint64(huge)),
			"key names, at offset 102: at offset 131 an array of 4611686018427387904 elements of kind string takes at least 8 bytes each, 159 are left: the file is truncated or damaged"},
		{"array string past the end", key(KindArray, KindString, uint64(2), "a", uint64(4000)),
			"key names, at offset 102: element 1: at offset 148 a string takes 4000 bytes, 174 are left: the file is truncated or damaged"},
		{"array of arrays absurd", key(KindArray, KindArray, uint64(huge)),
			"key names, at offset 102: at offset 131 an array of 4611686018427387904 elements of kind array takes at least 12 bytes each, 159 are left: the file is truncated or damaged"},
		{"nested one too deep", key(KindArray, nested(9)), "key names, at offset 102: arrays are nested more than 8 deep"},
		{"nested a thousand deep", key(KindArray, nested(1000)), "key names, at offset 102: arrays are nested more than 8 deep"},
		{"error within nested", key(KindArray, KindArray, uint64(2), KindInt8, uint64(0), KindBool, uint64(1), uint8(7)),
			"key names, at offset 102: element 1: element 0: the bool is 7, not 0 or 1"},

		{"alignment 0", align(KindUint32, uint32(0)), "key general.alignment is 0, not a power of two from 8 to 16777216"},
		{"alignment not a power of two", align(KindUint32, uint32(48)),
			"key general.alignment is 48, not a power of two from 8 to 16777216"},
		{"alignment too small", align(KindUint32, uint32(4)), "key general.alignment is 4, not a power of two from 8 to 16777216"},
		{"alignment huge", align(KindUint32, uint32(1<<31)),
			"key general.alignment is 2147483648, not a power of two from 8 to 16777216"},
		{"alignment huger", align(KindUint64, uint64(1<<63)),
			"key general.alignment is 9223372036854775808, not a power of two from 8 to 16777216"},
		{"alignment negative", align(KindInt32, int32(-32)), "key general.alignment is -32, an unsigned integer is wanted"},
		{"alignment a string", align(KindString, "32"), "key general.alignment is of kind string, an unsigned integer is wanted"},
		{"split", func(p *parts) {
			p.keys = append(p.keys, keyBytes("split.no", KindUint16, uint16(1)), keyBytes("split.count", KindUint16, uint16(3)))
		}, "split files are not supported yet: this is part 2 of 3; join them with llama-gguf-split --merge"},
		{"split count a float", func(p *parts) { p.keys = append(p.keys, keyBytes("split.count", KindFloat32, float32(3))) },
			"key split.count is of kind float32, an unsigned integer is wanted"},

		{"tensor name empty", tensor(tensorBytes("", F32, 32, 8)), "tensor 2 of 2, at offset 198: its name: it is empty"},
		{"tensor name past the end", tensor(le(uint64(1<<40), []byte("b"))),
			"tensor 2 of 2, at offset 198: its name: at offset 206 a string takes 1099511627776 bytes, 84 are left: the file is truncated or damaged"},
		{"tensor name too long", tensor(tensorBytes(strings.Repeat("t", 65536), F32, 32, 8)),
			"tensor 2 of 2, at offset 198: its name: it has 65536 bytes, 65535 are accepted at most"},
		{"tensor twice", tensor(tensorBytes("a.weight", F32, 32, 8)),
			"tensor a.weight is given twice, the second time at offset 198"},
		{"tensor type unknown", typed(43),
			"tensor b.weight, at offset 198: its type 43 is unknown: the file is damaged or newer than this program"},
		{"tensor type absurd", typed(0xffffffff),
			"tensor b.weight, at offset 198: its type 4294967295 is unknown: the file is damaged or newer than this program"},
		{"tensor type removed", typed(4),
			"tensor b.weight, at offset 198: its type 4 (Q4_2) was removed from the format: quantise the model again with current software"},
		{"tensor type removed, repacked", typed(31),
			"tensor b.weight, at offset 198: its type 31 (Q4_0_4_4) was removed from the format: quantise the model again with current software"},
		{"tensor type of a fork", typed(139),
			"tensor b.weight, at offset 198: its type 139 (IQ4_K) exists only in ik_llama.cpp: use a file in a format of llama.cpp"},
		{"tensor type of a fork, repacked", typed(202),
			"tensor b.weight, at offset 198: its type 202 (a repacked format) exists only in ik_llama.cpp: use a file in a format of llama.cpp"},
		{"no dimensions", tensor(tensorBytes("b.weight", F32, 32)),
			"tensor b.weight, at offset 198: it has 0 dimensions, not 1 to 4"},
		{"five dimensions", tensor(tensorBytes("b.weight", F32, 32, 1, 1, 1, 1, 1)),
			"tensor b.weight, at offset 198: it has 5 dimensions, not 1 to 4"},
		{"dimensions absurd", tensor(le("b.weight", uint32(math.MaxUint32))),
			"tensor b.weight, at offset 198: it has 4294967295 dimensions, not 1 to 4"},
		{"dimension zero", tensor(tensorBytes("b.weight", F32, 32, 8, 0)),
			"tensor b.weight, at offset 198: its shape [8 0] has a zero"},
		{"elements overflow 64 bits", tensor(tensorBytes("b.weight", F32, 32, 1<<32, 1<<32, 2)),
			"tensor b.weight, at offset 198: its shape [4294967296 4294967296 2] has more elements than a file can hold"},
		{"bytes overflow 64 bits", tensor(tensorBytes("b.weight", F64, 32, 1<<61)),
			"tensor b.weight, at offset 198: its shape [2305843009213693952] has more elements than a file can hold"},
		{"elements wrap to a small number", tensor(tensorBytes("b.weight", F32, 32, 1<<32+1, 1<<32)),
			"tensor b.weight, at offset 198: its shape [4294967297 4294967296] has more elements than a file can hold"},
		{"row not of whole blocks", tensor(tensorBytes("b.weight", Q8_0, 32, 33)),
			"tensor b.weight, at offset 198: its rows of 33 elements are not whole blocks of Q8_0, which have 32"},
		{"row not of whole blocks, tensor is", tensor(tensorBytes("b.weight", Q8_0, 32, 16, 2)),
			"tensor b.weight, at offset 198: its rows of 16 elements are not whole blocks of Q8_0, which have 32"},
		{"offset misaligned", tensor(tensorBytes("b.weight", Q8_0, 40, 32)),
			"tensor b.weight: its offset 40 is not a multiple of the alignment 32"},
		{"offset past the end", tensor(tensorBytes("b.weight", Q8_0, 3200, 32)),
			"tensor b.weight: its data (34 bytes at offset 3200 of the tensor data) end past the file, which has 66 there: the file is truncated or damaged"},
		{"offset overflows", tensor(tensorBytes("b.weight", Q8_0, math.MaxUint64-31, 32)),
			"tensor b.weight: its data (34 bytes at offset 18446744073709551584 of the tensor data) end past the file, which has 66 there: the file is truncated or damaged"},
		{"data past the end", tensor(tensorBytes("b.weight", Q8_0, 32, 64)),
			"tensor b.weight: its data (68 bytes at offset 32 of the tensor data) end past the file, which has 66 there: the file is truncated or damaged"},
		{"data overlap", tensor(tensorBytes("b.weight", Q8_0, 0, 32)),
			"tensors a.weight (32 bytes at offset 0) and b.weight (at offset 0) overlap"},
		{"data overlap, out of order", func(p *parts) {
			p.tensors = [][]byte{tensorBytes("b.weight", Q8_0, 32, 32), tensorBytes("c.weight", F32, 64, 0x1), tensorBytes("a.weight", F32, 0, 9)}
			p.data = make([]byte, 68)
		}, "tensors a.weight (36 bytes at offset 0) and b.weight (at offset 32) overlap"},
		{"unsupported type past the end", typed(uint32(IQ2_XXS)),
			"tensor b.weight: its data (66 bytes at offset 32 of the tensor data) end past the file, which has 66 there: the file is truncated or damaged"},

		{"counts forged in a large file", func(p *parts) { p.nKey, p.nTensors, p.data = 1<<20, 1<<20, make([]byte, 40<<20) },
			"key 5 of 1048576, at offset 172: its name: at offset 180 a string takes 562949953421312 bytes, 41943116 are left: the file is truncated or damaged"},
		{"data missing", func(p *parts) { p.data = nil },
			"tensor a.weight: its data (32 bytes at offset 0 of the tensor data) end past the file, which has 0 there: the file is truncated or damaged"},
		{"data one byte short", func(p *parts) { p.data = p.data[1:] },
			"tensor b.weight: its data (34 bytes at offset 32 of the tensor data) end past the file, which has 65 there: the file is truncated or damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := goodParts()
			c.spoil(p)
			data := p.bytes()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("bad.gguf", data)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatalf("no error, want %s", c.want)
			}
			if want := "bad.gguf: " + c.want; err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("refusing the file took %d bytes", n)
			}
		})
	}
}

// walk reads everything a file offers, as its users do.
func walk(t *testing.T, f *File) {
	t.Helper()
	var array func(a Array)
	array = func(a Array) {
		n := 0
		a.Each(func(i int, s []byte) bool { n++; return true })
		a.EachArray(func(i int, inner Array) bool { n++; array(inner); return true })
		if (a.Elem() == KindString || a.Elem() == KindArray) && n != a.Len() {
			t.Fatalf("an array of %d %ss gave %d", a.Len(), a.Elem(), n)
		}
		_, _ = a.Uints()
		_, _ = a.Ints()
		_, _ = a.Floats()
		_, _ = a.Bools()
		_, _ = a.Strings()
	}
	for _, key := range f.Keys {
		v, ok := f.Get(key)
		if !ok {
			t.Fatalf("key %q is listed and not found", key)
		}
		_ = v.String()
		_, _ = v.Uint()
		_, _ = v.Int()
		_, _ = v.Float()
		_, _ = v.Bool()
		_, _ = v.Str()
		if a, err := v.Array(); err == nil {
			array(a)
		}
	}
	for _, x := range f.Tensors {
		if f.Tensor(x.Name) != x {
			t.Fatalf("tensor %q is listed and not found", x.Name)
		}
		data := x.Data()
		if uint64(len(data)) != x.Size() || cap(data) != len(data) || len(data) != x.Type.RowBytes(int(x.Elems())) {
			t.Fatalf("tensor %q: %d bytes, capacity %d, want %d", x.Name, len(data), cap(data), x.Size())
		}
		if x.CheckSupported() == nil {
			row := make([]float32, x.Dims[0])
			if err := Dequantize(x.Type, row, data[:x.Type.RowBytes(len(row))]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Ensure that a file cut anywhere is refused: the good file has no byte to spare.
func TestParse_CutAnywhere(t *testing.T) {
	data := goodParts().bytes()
	for n := range data {
		if _, err := Parse("cut.gguf", data[:n:n]); err == nil || !strings.HasPrefix(err.Error(), "cut.gguf: ") {
			t.Errorf("%d of %d bytes: got %v", n, len(data), err)
		}
	}
}

// Ensure that any single changed byte gives an error or a file that can be read to the end.
func TestParse_ByteChangedAnywhere(t *testing.T) {
	good := goodParts().bytes()
	for i := range good {
		for _, to := range []byte{0, 1, 0x7f, 0x80, 0xff, good[i] + 1, good[i] ^ 0x20} {
			data := bytes.Clone(good)
			data[i] = to
			if f, err := Parse("changed.gguf", data); err == nil {
				walk(t, f)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(goodParts().bytes())
	for _, spoil := range []func(*parts){
		func(p *parts) { p.keys = append(p.keys, keyBytes("n", KindArray, nested(8))) },
		func(p *parts) { p.keys[2] = keyBytes("b", KindArray, KindBool, uint64(3), []byte{0, 1, 1}) },
		func(p *parts) { p.keys[1] = keyBytes(alignmentKey, KindUint64, uint64(8)) },
		func(p *parts) { p.tensors[1] = tensorBytes("b", Q4_K, 32, 256); p.data = make([]byte, 32+144) },
		func(p *parts) { p.keys, p.tensors, p.data = nil, nil, nil },
	} {
		p := goodParts()
		spoil(p)
		f.Add(p.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.gguf", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Fatalf("message with control characters: %q", err)
			}
			return
		}
		walk(t, file)
		// What can be read can be written, and reads the same.
		w := NewWriter()
		for _, key := range file.Keys {
			v, _ := file.Get(key)
			w.Set(key, v)
		}
		for _, x := range file.Tensors {
			w.AddTensor(x.Name, x.Type, x.Dims, x.Data())
		}
		var out bytes.Buffer
		if _, err := w.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.gguf", out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		sameFile(t, again, file)
	})
}

// sameFile compares all of two files but the order of data and the kind of the alignment.
func sameFile(t *testing.T, got, want *File) {
	t.Helper()
	if !slices.Equal(got.Keys, want.Keys) || got.Alignment != want.Alignment || len(got.Tensors) != len(want.Tensors) {
		t.Fatalf("got keys %q, alignment %d, %d tensors, want %q, %d, %d",
			got.Keys, got.Alignment, len(got.Tensors), want.Keys, want.Alignment, len(want.Tensors))
	}
	for _, key := range want.Keys {
		g, _ := got.Get(key)
		w, _ := want.Get(key)
		if key != alignmentKey && (g.Kind != w.Kind || g.elem != w.elem || g.n != w.n || !bytes.Equal(g.raw, w.raw)) {
			t.Fatalf("key %q: got %s %s, want %s %s", key, g.Kind, g, w.Kind, w)
		}
	}
	for i, w := range want.Tensors {
		g := got.Tensors[i]
		if g.Name != w.Name || g.Type != w.Type || !slices.Equal(g.Dims, w.Dims) || !bytes.Equal(g.Data(), w.Data()) {
			t.Fatalf("tensor %q: got %v %v, want %q %v %v, or other data", g.Name, g.Type, g.Dims, w.Name, w.Type, w.Dims)
		}
	}
}
