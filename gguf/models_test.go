package gguf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// openModel opens a model of the models folder, which is not part of the tree, or skips.
func openModel(t testing.TB, name string) *File {
	t.Helper()
	f, err := Open("../models/" + name)
	if os.IsNotExist(err) {
		t.Skipf("models/%s is not here", name)
	}
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

// Real models against listings by the Python package; see testdata/make_listing.py.
func TestModels(t *testing.T) {
	for _, name := range []string{"SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"} {
		t.Run(name, func(t *testing.T) {
			f := openModel(t, name)
			var lines []string
			for _, key := range f.Keys {
				v, _ := f.Get(key)
				kind, n := fmt.Sprint(uint32(v.Kind)), 1
				if a, err := v.Array(); err == nil {
					kind, n = fmt.Sprintf("9/%d", uint32(a.Elem())), a.Len()
				}
				lines = append(lines, fmt.Sprint("key ", key, " ", kind, " ", n, " ", digest(v.raw)))
			}
			for _, x := range f.Tensors {
				rows := int(x.Elems() / x.Dims[0])
				some, row := min(4, rows), x.Type.RowBytes(int(x.Dims[0]))
				ends := append(append([]byte(nil), x.Data()[:some*row]...), x.Data()[(rows-some)*row:]...)
				values := make([]float32, 2*some*int(x.Dims[0]))
				if err := Dequantize(x.Type, values, ends); err != nil {
					t.Fatal(err)
				}
				var b []byte
				for _, v := range values {
					b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
				}
				dims := strings.ReplaceAll(strings.Trim(fmt.Sprint(x.Dims), "[]"), " ", ",")
				lines = append(lines, fmt.Sprint("tensor ", x.Name, " ", x.Type, " ", dims, " ", x.Offset, " ", x.Size(), " ", digest(b)))
			}
			listing, err := os.ReadFile("testdata/" + strings.TrimSuffix(name, ".gguf") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(listing)), "\n")
			if len(lines) != len(want) {
				t.Errorf("%d lines, want %d", len(lines), len(want))
			}
			for i := range min(len(lines), len(want)) {
				if lines[i] != want[i] {
					t.Errorf("\n got %s\nwant %s", lines[i], want[i])
				}
			}
		})
	}
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b))[:16] }

func BenchmarkOpen(b *testing.B) {
	const name = "gemma-3-270m-q4_k_m.gguf"
	openModel(b, name)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open("../models/" + name)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// comparing is a writer that wants to be given exactly these bytes.
type comparing struct {
	want []byte
	at   int
}

func (c *comparing) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(c.want[c.at:], p) {
		return 0, fmt.Errorf("the %d bytes at offset %d differ", len(p), c.at)
	}
	c.at += len(p)
	return len(p), nil
}

// Files that llama.cpp wrote come out of our writer byte for byte.
func TestModels_RewrittenAreIdentical(t *testing.T) {
	for _, name := range []string{"SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"} {
		t.Run(name, func(t *testing.T) {
			f := openModel(t, name)
			w := NewWriter()
			for _, key := range f.Keys {
				v, _ := f.Get(key)
				w.Set(key, v)
			}
			for _, x := range f.Tensors {
				w.AddTensor(x.Name, x.Type, x.Dims, x.Data())
			}
			c := &comparing{want: f.data}
			if _, err := w.WriteTo(c); err != nil || c.at != len(f.data) {
				t.Errorf("%d of %d bytes are the same: %v", c.at, len(f.data), err)
			}
		})
	}
}
