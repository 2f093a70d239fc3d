package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// written writes w to memory and reads it back.
func written(t *testing.T, w *Writer) *File {
	t.Helper()
	var out bytes.Buffer
	n, err := w.WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(out.Len()) {
		t.Fatalf("WriteTo reports %d bytes, wrote %d", n, out.Len())
	}
	f, err := Parse("written.gguf", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	walk(t, f)
	return f
}

func TestWriter_EveryKind(t *testing.T) {
	type named uint16
	for _, c := range []struct {
		value any
		kind  ValueType
		elem  ValueType
		want  string
	}{
		{uint8(255), KindUint8, 0, "255"}, {int8(-128), KindInt8, 0, "-128"}, {uint16(65535), KindUint16, 0, "65535"},
		{int16(-32768), KindInt16, 0, "-32768"}, {uint32(math.MaxUint32), KindUint32, 0, "4294967295"},
		{int32(math.MinInt32), KindInt32, 0, "-2147483648"}, {uint64(math.MaxUint64), KindUint64, 0, "18446744073709551615"},
		{int64(math.MinInt64), KindInt64, 0, "-9223372036854775808"}, {float32(1.5), KindFloat32, 0, "1.5"},
		{math.Inf(-1), KindFloat64, 0, "-Inf"}, {true, KindBool, 0, "true"}, {false, KindBool, 0, "false"},
		{"", KindString, 0, `""`}, {"a\x00\xff", KindString, 0, `"a\x00\xff"`},
		{-7, KindInt64, 0, "-7"}, {uint(7), KindUint64, 0, "7"}, {named(3), KindUint16, 0, "3"},

		{[]uint8{1, 2}, KindArray, KindUint8, "[1, 2]"}, {[]int8{-1}, KindArray, KindInt8, "[-1]"},
		{[]uint16{1}, KindArray, KindUint16, "[1]"}, {[]int16{-1}, KindArray, KindInt16, "[-1]"},
		{[]uint32{1}, KindArray, KindUint32, "[1]"}, {[]int32{-1}, KindArray, KindInt32, "[-1]"},
		{[]uint64{1}, KindArray, KindUint64, "[1]"}, {[]int64{-1}, KindArray, KindInt64, "[-1]"},
		{[]float32{0.5}, KindArray, KindFloat32, "[0.5]"}, {[]float64{0.5}, KindArray, KindFloat64, "[0.5]"},
		{[]bool{true, false}, KindArray, KindBool, "[true, false]"}, {[]string{"x", ""}, KindArray, KindString, `["x", ""]`},
		{[3]int32{1, 2, 3}, KindArray, KindInt32, "[1, 2, 3]"}, {[]named{9}, KindArray, KindUint16, "[9]"},
		{[]string{}, KindArray, KindString, "[]"}, {[]float32(nil), KindArray, KindFloat32, "[]"}, {[]any{}, KindArray, KindInt32, "[]"},
		{make([]uint8, 100), KindArray, KindUint8, "[0, 0, 0, 0, 0, 0, 0, 0, ... 100 in all]"},
		{strings.Repeat("s", 201), KindString, 0, `"` + strings.Repeat("s", 200) + `"...`},

		{[][]int32{{1}, {}, {2, 3}}, KindArray, KindArray, "[[1], [], [2, 3]]"}, {[][]string{}, KindArray, KindArray, "[]"},
		{[]any{int8(1), int8(2)}, KindArray, KindInt8, "[1, 2]"},
		{[]any{[]int8{1}, []string{"s"}}, KindArray, KindArray, `[[1], ["s"]]`},
		{[][][][]bool{{{{true}}}}, KindArray, KindArray, "[[[1 of array]]]"},
		{[][][][][][][][]bool{{{{{{{{true}}}}}}}}, KindArray, KindArray, "[[[1 of array]]]"}, // as deep as is accepted
	} {
		w := NewWriter()
		w.Set("key", c.value)
		f := written(t, w)
		v, found := f.Get("key")
		if !found || v.Kind != c.kind || v.elem != c.elem || v.String() != c.want {
			t.Errorf("%T %v: got %s of %s %s, want %s of %s %s", c.value, c.value, v.Kind, v.elem, v, c.kind, c.elem, c.want)
		}
		// A value that was read is written as it was, and as an element.
		again := NewWriter()
		again.Set("key", v)
		sameFile(t, written(t, again), f)
		if arr, err := v.Array(); err == nil {
			again.Set("key", arr)
			sameFile(t, written(t, again), f)
		}
		again.Set("key", []Value{v, v})
		if strings.Count(fmt.Sprintf("%T", c.value), "[]") == 8 {
			if _, err := again.WriteTo(io.Discard); err == nil || err.Error() != "writing GGUF: key key: arrays are nested more than 8 deep" {
				t.Errorf("nine levels: got %v", err)
			}
			continue
		}
		if a, _, err := written(t, again).Array("key"); err != nil || a.Elem() != c.kind || a.Len() != 2 {
			t.Errorf("%v as an element: got %d of %s, %v", c.value, a.Len(), a.Elem(), err)
		}
	}
}

func TestWriter_EveryType(t *testing.T) {
	for _, alignment := range []uint64{0, 8, 32, 4096} {
		w := NewWriter()
		if alignment != 0 {
			w.SetAlignment(alignment)
		}
		rng := rand.New(rand.NewPCG(3, 4))
		want := map[string][]byte{}
		for i, typ := range Types() {
			dims := []uint64{uint64(typ.BlockElems()), 3, 1, 2}[:1+i%4]
			size, err := dataSize(typ, dims)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, size)
			for j := range data {
				data[j] = byte(rng.Uint32())
			}
			want[typ.String()] = data
			if i%2 == 0 {
				w.AddTensor(typ.String(), typ, dims, data)
			} else {
				w.AddTensorFunc(typ.String(), typ, dims, func() (io.Reader, error) { return io.NopCloser(bytes.NewReader(data)), nil })
			}
		}
		for range 2 { // a Writer can be used again
			f := written(t, w)
			if f.Alignment != max(alignment, 8) && alignment != 0 || alignment == 0 && f.Alignment != 32 {
				t.Errorf("alignment %d: got %d", alignment, f.Alignment)
			}
			for i, typ := range Types() {
				x := f.Tensors[i]
				if x.Name != typ.String() || x.Type != typ || len(x.Dims) != 1+i%4 || !bytes.Equal(x.Data(), want[x.Name]) || x.Offset%f.Alignment != 0 {
					t.Errorf("alignment %d: tensor %s came back as %s %s %v", alignment, typ, x.Name, x.Type, x.Dims)
				}
			}
		}
	}
}

func TestWriter_SetAgainKeepsThePlace(t *testing.T) {
	w := NewWriter()
	w.Set("a", int8(1))
	w.Set("b", int8(2))
	w.Set("a", "three")
	f := written(t, w)
	if v, _, err := f.Str("a"); fmt.Sprint(f.Keys) != "[a b]" || v != "three" || err != nil {
		t.Errorf("got %v, a = %q, %v", f.Keys, v, err)
	}
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

func TestWriter_Refuses(t *testing.T) {
	deep := any([]int32{1})
	for range 8 {
		deep = []any{deep}
	}
	tensor := func(name string, typ Type, size int, dims ...uint64) func(*Writer) {
		return func(w *Writer) { w.AddTensor(name, typ, dims, make([]byte, size)) }
	}
	set := func(key string, v any) func(*Writer) { return func(w *Writer) { w.Set(key, v) } }
	from := func(r io.Reader, err error) func(*Writer) {
		return func(w *Writer) {
			w.AddTensorFunc("t", F32, []uint64{2}, func() (io.Reader, error) { return r, err })
		}
	}
	for _, c := range []struct {
		spoil func(*Writer)
		want  string
	}{
		{set("", 1), `key "": a name must not be empty`},
		{set(strings.Repeat("k", 65536), 1), `key "` + strings.Repeat("k", 80) + `"...: its name has 65536 bytes, 65535 are accepted at most`},
		{set("k", nil), "key k: a value of Go type <nil> has no kind in GGUF"},
		{set("k", map[string]int{}), "key k: a value of Go type map[string]int has no kind in GGUF"},
		{set("k", []struct{}{}), "key k: a value of Go type struct {} has no kind in GGUF"},
		{set("k", []any{int8(1), "s"}), "key k: element 1 is of kind string, those before it int8"},
		{set("k", []any{nil}), "key k: element 0: a value of Go type <nil> has no kind in GGUF"},
		{set("k", deep), "key k: arrays are nested more than 8 deep"},
		{set("k", Value{}), "key k: the Value is not from a file"},
		{set("general.alignment", uint32(33)), "key general.alignment: is 33, not a power of two from 8 to 16777216"},
		{set("general.alignment", "32"), "key general.alignment: an unsigned integer is wanted"},
		{func(w *Writer) { w.SetAlignment(0) }, "key general.alignment: is 0, not a power of two from 8 to 16777216"},
		{tensor("", F32, 4, 1), `tensor "": a name must not be empty`},
		{tensor("t", F32, 4), "tensor t: it has 0 dimensions, not 1 to 4"},
		{tensor("t", F32, 4, 1, 1, 1, 1, 1), "tensor t: it has 5 dimensions, not 1 to 4"},
		{tensor("t", F32, 4, 2), "tensor t: F32 of shape [2] has 8 bytes, 4 are given"},
		{tensor("t", Q8_0, 34, 16), "tensor t: its rows of 16 elements are not whole blocks of Q8_0, which have 32"},
		{tensor("t", 4, 34, 32), "tensor t: its type 4 (Q4_2) was removed from the format: quantise the model again with current software"},
		{tensor("good", F32, 4, 1), "tensor good: it is added twice"},
		{from(nil, errors.New("gone")), "tensor t: gone"},
		{from(strings.NewReader("1234567"), nil), "tensor t: its data end after 7 bytes, 8 are needed"},
		{from(strings.NewReader("123456789"), nil), "tensor t: its data go on after the 8 bytes of its shape"},
	} {
		w := NewWriter()
		w.Set("good", "key")
		w.AddTensor("good", F32, []uint64{1}, make([]byte, 4))
		c.spoil(w)
		if w.err != nil {
			w.Set("later", nil) // the first error is the one told
		}
		_, err := w.WriteTo(io.Discard)
		if want := "writing GGUF: " + c.want; err == nil || err.Error() != want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}
	for after := range 130 {
		w := NewWriter()
		w.Set("good", "key")
		w.AddTensor("good", F32, []uint64{1}, make([]byte, 4))
		if _, err := w.WriteTo(&failing{after}); (err == nil) != (after >= 128) {
			t.Errorf("space for %d bytes: got %v", after, err)
		}
	}
}

// pieces keeps what it is given, call by call. It can read by itself, as a file can, and in pieces of its own.
type pieces struct{ got [][]byte }

func (p *pieces) Write(b []byte) (int, error) {
	p.got = append(p.got, bytes.Clone(b))
	return len(b), nil
}

func (p *pieces) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{r}, make([]byte, 32<<10))
}

// Ensure that a file is written in chunks of 4 MiB, however long its head and tensors are.
func TestWriter_Chunks(t *testing.T) {
	for _, head := range []int{10, 5 << 20} {
		w := NewWriter()
		w.Set("text", strings.Repeat("x", head))
		w.AddTensor("small", F32, []uint64{8}, make([]byte, 32))
		data := make([]byte, 12<<20)
		for i := range data {
			data[i] = byte(i >> 8)
		}
		w.AddTensor("large", I8, []uint64{uint64(len(data))}, data)
		var out pieces
		n, err := w.WriteTo(&out)
		if err != nil {
			t.Fatal(err)
		}
		for i, piece := range out.got {
			if last := i == len(out.got)-1; last != (len(piece) != 4<<20) {
				t.Errorf("head of %d bytes: call %d of %d writes %d bytes", head, i+1, len(out.got), len(piece))
			}
		}
		f, err := Parse("chunks.gguf", bytes.Join(out.got, nil))
		if err != nil || n != int64(len(f.data)) || !bytes.Equal(f.Tensor("large").Data(), data) {
			t.Errorf("head of %d bytes: %d bytes written, other data or %v", head, n, err)
		}
	}
}
