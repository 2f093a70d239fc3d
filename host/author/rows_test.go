package author

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Ensure that rows come back as they were written, in the layout that numpy.save writes.
func TestRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.npy")
	rows := [][]float32{{1, -2.5, float32(math.Inf(1))}, {0, 3, -1}}
	w, err := NewRowWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write([]float32{1}); err == nil {
		t.Error("a short row is taken")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRows(path)
	if err != nil || len(got) != 2 || !slices.Equal(got[0], rows[0]) || !slices.Equal(got[1], rows[1]) {
		t.Errorf("%v, %v", got, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
	if !bytes.HasPrefix(data, []byte(want)) || data[127] != '\n' || len(data) != 128+24 {
		t.Errorf("%q", data)
	}
}

func TestRows_Errors(t *testing.T) {
	header := func(text string) string {
		return "\x93NUMPY\x01\x00" + string(rune(len(text))) + "\x00" + text
	}
	for _, c := range []struct{ data, want string }{
		{"", "not a NumPy array file"},
		{"GGUF____________", "not a NumPy array file"},
		{"\x93NUMPY\x02\x00\x10\x00", "version 2"},
		{"\x93NUMPY\x01\x00\x70\x00{", "header is cut off"},
		{header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"), "float32"},
		{header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"), "Fortran"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }"), "shape"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (2000000, 3), }"), "up to"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") + "12345678901234567890", "row 2 of 2"},
	} {
		if _, err := readRows(strings.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.data, err, c.want)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte("\x93NUMPY\x01\x00\x40\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"))
	f.Fuzz(func(t *testing.T, data []byte) { readRows(bytes.NewReader(data)) })
}
