package gguf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// bigFile writes a file of several chunks and gives its path and bytes.
func bigFile(t *testing.T) (path string, want []byte) {
	t.Helper()
	data := make([]byte, 3*chunk+12345)
	for i := range data {
		data[i] = byte(i>>20 ^ i>>10 ^ i)
	}
	w := NewWriter()
	w.Set("general.architecture", "llama")
	w.AddTensor("a.weight", I8, []uint64{uint64(len(data))}, data)
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "big.gguf")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, out.Bytes()
}

// Ensure that a file in memory is what the mapped one is, to the byte.
func TestLoad_SameAsOpen(t *testing.T) {
	big, _ := bigFile(t)
	for _, path := range []string{"testdata/all_kinds.gguf", big} {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(opened.data, want) || !bytes.Equal(loaded.data, want) || cap(opened.data) != len(want) || cap(loaded.data) != len(want) {
			t.Errorf("%s: Open or Load has other bytes than the file", path)
		}
		walk(t, loaded)
		sameFile(t, loaded, opened)
		for _, f := range []*File{opened, loaded} {
			if err := f.Close(); err != nil || f.data != nil {
				t.Errorf("%s: closing: %v", path, err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("%s: closing again: %v", path, err)
			}
		}
	}
}

// Ensure that a loaded file needs no file any more.
func TestLoad_FileGone(t *testing.T) {
	path, want := bigFile(t)
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.data, want) {
		t.Error("the bytes changed with the file")
	}
}

// Ensure that what cannot be opened cannot be loaded, for the same reason.
func TestLoad_Errors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := goodParts().bytes()
	for _, c := range []struct{ path, want string }{
		{dir, "this is a folder, not a GGUF file"},
		{file("empty.gguf", nil), "the file is empty"},
		{file("text.gguf", []byte("text")), `not a GGUF file: it begins with "text", not with "GGUF"`},
		{file("cut.gguf", good[:len(good)-1]), "tensor b.weight: its data (34 bytes at offset 32 of the tensor data) end past the file, which has 65 there: the file is truncated or damaged"},
	} {
		for name, open := range map[string]func(string) (*File, error){"Open": Open, "Load": Load} {
			if _, err := open(c.path); err == nil || err.Error() != c.path+": "+c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
	}
	missing := filepath.Join(dir, "missing.gguf")
	_, openErr := Open(missing)
	_, loadErr := Load(missing)
	if !os.IsNotExist(loadErr) || loadErr.Error() != openErr.Error() {
		t.Errorf("a missing file: Load says %v, Open %v", loadErr, openErr)
	}
}

// Ensure that a file that gets shorter while it is read is said to, and one that cannot be read ends the work.
func TestReadAll_Errors(t *testing.T) {
	path, want := bigFile(t)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, len(want)+2*chunk)
	err = readAll(file, data[:len(want)+1])
	if msg := fmt.Sprintf("%s: it ends at offset %d now, it was longer when it was opened: another program writes it", path, len(want)); err == nil || err.Error() != msg {
		t.Errorf("got %v, want %s", err, msg)
	}
	if err := readAll(file, data); err == nil {
		t.Error("two chunks past the end: no error")
	}
	file.Close()
	if err := readAll(file, data); err == nil {
		t.Error("a closed file: no error")
	}
}
