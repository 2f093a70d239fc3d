package gguf

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// all_kinds.gguf was written by the Python package; see testdata/make_vectors.py.
func openAllKinds(t *testing.T) *File {
	t.Helper()
	f, err := Open("testdata/all_kinds.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFile_EveryKindFromPython(t *testing.T) {
	f := openAllKinds(t)
	walk(t, f)
	for i, c := range []struct {
		key  string
		kind ValueType
		want string // as Value.String shows it
	}{
		{"general.architecture", KindString, `"forge-test"`},
		{"k.uint8", KindUint8, "250"},
		{"k.int8", KindInt8, "-5"},
		{"k.uint16", KindUint16, "65000"},
		{"k.int16", KindInt16, "-30000"},
		{"k.uint32", KindUint32, "4000000000"},
		{"k.int32", KindInt32, "-2000000000"},
		{"k.float32", KindFloat32, "0.1"},
		{"k.bool", KindBool, "true"},
		{"k.string", KindString, `"grüße, 世界"`},
		{"k.uint64", KindUint64, "18446744073709551615"},
		{"k.int64", KindInt64, "-9223372036854775808"},
		{"k.float64", KindFloat64, "0.1"},
		{"k.strings", KindArray, `["a", "", "ccc"]`},
		{"k.ints", KindArray, "[1, -2, 3]"},
		{"k.floats", KindArray, "[0.5, -0.25]"},
		{"k.bools", KindArray, "[true, false]"},
		{"k.nested", KindArray, "[[1, 2], [3], [-4, 5, 6]]"},
	} {
		v, found := f.Get(c.key)
		if !found || f.Keys[i] != c.key || v.Kind != c.kind || v.String() != c.want {
			t.Errorf("key %d %s: got %v, %s %s, want %s %s", i, f.Keys[i], found, v.Kind, v, c.kind, c.want)
		}
	}
	var listed []string
	for _, x := range f.Tensors {
		row := make([]float32, x.Elems())
		if err := Dequantize(x.Type, row, x.Data()); err != nil {
			t.Fatal(err)
		}
		listed = append(listed, fmt.Sprint(x.Name, " ", x.Type, x.Dims, x.Offset, " from ", row[0], " to ", row[len(row)-1]))
	}
	want := `a.f32 F32 [32 2] 0 from -20 to 43
b.f16 F16 [32 2] 256 from -20 to 43
c.q4_0 Q4_0 [32 2] 384 from -20 to 43
c.q8_0 Q8_0 [32 2] 448 from -19.99878 to 43.005127
d.vector F32 [3] 544 from 1 to 3`
	if got := strings.Join(listed, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFile_Getters(t *testing.T) {
	f := openAllKinds(t)
	get := func(x any, found bool, err error) string {
		if err != nil {
			return "error " + err.Error()
		}
		return fmt.Sprint(x, " ", found)
	}
	uintOf := func(key string) string { x, ok, err := f.Uint(key); return get(x, ok, err) }
	intOf := func(key string) string { x, ok, err := f.Int(key); return get(x, ok, err) }
	floatOf := func(key string) string { x, ok, err := f.Float(key); return get(x, ok, err) }
	boolOf := func(key string) string { x, ok, err := f.Bool(key); return get(x, ok, err) }
	strOf := func(key string) string { x, ok, err := f.Str(key); return get(x, ok, err) }
	array := func(key string) Array {
		a, ok, err := f.Array(key)
		if err != nil || !ok {
			t.Fatal(key, ok, err)
		}
		return a
	}
	uintsOf := func(key string) string { x, err := array(key).Uints(); return get(x, true, err) }
	intsOf := func(key string) string { x, err := array(key).Ints(); return get(x, true, err) }
	floatsOf := func(key string) string { x, err := array(key).Floats(); return get(x, true, err) }
	boolsOf := func(key string) string { x, err := array(key).Bools(); return get(x, true, err) }
	stringsOf := func(key string) string { x, err := array(key).Strings(); return get(x, true, err) }
	arrayOf := func(key string) string { x, ok, err := f.Array(key); return get(x, ok, err) }

	const file = "error testdata/all_kinds.gguf: key "
	for _, c := range []struct {
		call func(string) string
		key  string
		want string
	}{
		{uintOf, "absent", "0 false"}, {intOf, "absent", "0 false"}, {floatOf, "absent", "0 false"},
		{boolOf, "absent", "false false"}, {strOf, "absent", " false"}, {arrayOf, "absent", "[] false"},

		{uintOf, "k.uint8", "250 true"}, {uintOf, "k.uint16", "65000 true"}, {uintOf, "k.uint32", "4000000000 true"},
		{uintOf, "k.uint64", "18446744073709551615 true"},
		{uintOf, "k.int8", file + "k.int8 is -5, an unsigned integer is wanted"},
		{uintOf, "k.int64", file + "k.int64 is -9223372036854775808, an unsigned integer is wanted"},
		{uintOf, "k.float32", file + "k.float32 is of kind float32, an unsigned integer is wanted"},
		{uintOf, "k.bool", file + "k.bool is of kind bool, an unsigned integer is wanted"},
		{uintOf, "k.ints", file + "k.ints is of kind array of int32, an unsigned integer is wanted"},

		{intOf, "k.uint8", "250 true"}, {intOf, "k.int8", "-5 true"}, {intOf, "k.int16", "-30000 true"},
		{intOf, "k.int32", "-2000000000 true"}, {intOf, "k.int64", "-9223372036854775808 true"}, {intOf, "k.uint32", "4000000000 true"},
		{intOf, "k.uint64", file + "k.uint64 is 18446744073709551615, more than a signed integer holds"},
		{intOf, "k.string", file + "k.string is of kind string, an integer is wanted"},

		{floatOf, "k.float32", "0.10000000149011612 true"}, {floatOf, "k.float64", "0.1 true"},
		{floatOf, "k.uint8", file + "k.uint8 is of kind uint8, a float is wanted"},
		{boolOf, "k.bool", "true true"}, {boolOf, "k.uint8", file + "k.uint8 is of kind uint8, a bool is wanted"},
		{strOf, "k.string", "grüße, 世界 true"}, {strOf, "k.bools", file + "k.bools is of kind array of bool, a string is wanted"},
		{arrayOf, "k.uint8", file + "k.uint8 is of kind uint8, an array is wanted"},

		{intsOf, "k.ints", "[1 -2 3] true"}, {floatsOf, "k.floats", "[0.5 -0.25] true"}, {boolsOf, "k.bools", "[true false] true"},
		{stringsOf, "k.strings", "[a  ccc] true"},
		{uintsOf, "k.ints", file + "k.ints element 1 is -2, an unsigned integer is wanted"},
		{uintsOf, "k.strings", file + "k.strings is of kind array of string, an array of unsigned integers is wanted"},
		{intsOf, "k.nested", file + "k.nested is of kind array of array, an array of integers is wanted"},
		{floatsOf, "k.ints", file + "k.ints is of kind array of int32, an array of floats is wanted"},
		{boolsOf, "k.ints", file + "k.ints is of kind array of int32, an array of bools is wanted"},
		{stringsOf, "k.bools", file + "k.bools is of kind array of bool, an array of strings is wanted"},
	} {
		if got := c.call(c.key); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.key, got, c.want)
		}
	}
}

func TestArray_Walks(t *testing.T) {
	f := openAllKinds(t)
	a, _, _ := f.Array("k.strings")
	var seen []string
	a.Each(func(i int, s []byte) bool { seen = append(seen, fmt.Sprint(i, string(s), cap(s))); return i < 1 })
	if want := []string{"0a1", "10"}; !slices.Equal(seen, want) {
		t.Errorf("strings: got %q, want %q", seen, want)
	}
	if n := testing.AllocsPerRun(10, func() { a.Each(func(int, []byte) bool { return true }) }); n != 0 {
		t.Errorf("walking strings took %g allocations", n)
	}
	n, _, _ := f.Array("k.nested")
	seen = nil
	n.EachArray(func(i int, inner Array) bool {
		x, err := inner.Ints()
		seen = append(seen, fmt.Sprint(i, inner.Elem(), inner.Len(), x, err))
		return i < 1
	})
	if want := []string{"0 int32 2 [1 2] <nil>", "1 int32 1 [3] <nil>"}; !slices.Equal(seen, want) {
		t.Errorf("arrays: got %q, want %q", seen, want)
	}
	ints, _, _ := f.Array("k.ints")
	if got, want := ints.Bytes(), []byte{1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 3, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("bytes: got % x, want % x", got, want)
	}
	ints.Each(func(int, []byte) bool { t.Error("Each called for integers"); return false })
	ints.EachArray(func(int, Array) bool { t.Error("EachArray called for integers"); return false })
}

// Every format that is known opens; the one that reads it says what it lacks.
func TestTensor_CheckSupported(t *testing.T) {
	for _, typ := range Types() {
		p := goodParts()
		p.tensors = [][]byte{tensorBytes("blk.0.ffn_up.weight", typ, 0, 256)}
		p.data = make([]byte, typ.RowBytes(256))
		f, err := Parse("model.gguf", p.bytes())
		if err != nil {
			t.Fatal(err)
		}
		want := "<nil>"
		if !typ.Supported() {
			want = fmt.Sprintf("model.gguf: tensor blk.0.ffn_up.weight is %s (%d): not supported yet", typ, uint32(typ))
		}
		if got := fmt.Sprint(f.Tensor("blk.0.ffn_up.weight").CheckSupported()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := fmt.Sprint((&Tensor{Name: "blk.0.ffn_up.weight", Type: IQ2_XXS, file: &File{Name: "m"}}).CheckSupported()); got !=
		"m: tensor blk.0.ffn_up.weight is IQ2_XXS (16): not supported yet" {
		t.Error(got)
	}
}

func TestTypes(t *testing.T) {
	supported := []Type{F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16, MXFP4}
	for _, typ := range Types() {
		back, ok := ParseType(strings.ToLower(typ.String()))
		if !ok || back != typ || !typ.Known() || typ.Supported() != slices.Contains(supported, typ) || typ.Quantizable() != typ.Supported() {
			t.Errorf("%s: parsed as %v %v, known %v, supported %v, quantizable %v", typ, back, ok, typ.Known(), typ.Supported(), typ.Quantizable())
		}
		if removed[typ] != "" || foreign[typ] != "" {
			t.Errorf("%s is also removed or foreign", typ)
		}
	}
	for _, c := range []struct {
		typ  Type
		want string
	}{
		{Q4_K, "Q4_K true true 256 144 576"}, {Q8_1, "Q8_1 true false 32 36 1152"}, {F16, "F16 true true 1 2 2048"},
		{4, "type 4 false false 0 0 0"}, {math.MaxUint32, "type 4294967295 false false 0 0 0"},
	} {
		if got := fmt.Sprint(c.typ, c.typ.Known(), c.typ.Supported(), c.typ.BlockElems(), c.typ.BlockBytes(), c.typ.RowBytes(1024)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if _, ok := ParseType(""); ok {
		t.Error("the empty name is a type")
	}
}

func TestOpen_Refuses(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty.gguf": "", "text.gguf": "hello", "short.gguf": "GGUF\x03\x00\x00\x00"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, want string }{
		{"empty.gguf", "DIR/empty.gguf: the file is empty"},
		{"text.gguf", `DIR/text.gguf: not a GGUF file: it begins with "hell", not with "GGUF"`},
		{"short.gguf", "DIR/short.gguf: the header takes 24 bytes, the file has 8: the file is truncated or damaged"},
		{"", "DIR: this is a folder, not a GGUF file"},
	} {
		_, err := Open(filepath.Join(dir, c.name))
		if want := strings.Replace(filepath.FromSlash(c.want), "DIR", dir, 1); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none.gguf")); !os.IsNotExist(err) || !strings.Contains(err.Error(), "none.gguf") {
		t.Errorf("missing file: got %v", err)
	}
}

func TestFile_Close(t *testing.T) {
	f, err := Open("testdata/all_kinds.gguf")
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := f.Str("k.string")
	x := f.Tensors[0]
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, found := f.Get("k.string"); found {
		t.Error("a closed file has a key")
	}
	if x.Data() != nil || name != "grüße, 世界" {
		t.Errorf("after Close: data %v, string %q", x.Data(), name)
	}
}
