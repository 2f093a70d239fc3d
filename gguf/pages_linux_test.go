package gguf

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// Ensure that files begin where a large page can, and that all of a loaded one is in memory.
func TestLargePages(t *testing.T) {
	path, want := bigFile(t)
	for name, open := range map[string]func(string) (*File, error){"Open": Open, "Load": Load} {
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(unsafe.Pointer(&f.data[0])); at%(2<<20) != 0 {
			t.Errorf("%s: the bytes begin at %#x", name, at)
		}
		large, resident, ok := f.LargePages()
		if !ok {
			t.Skip("this system does not tell")
		}
		if large > resident || name == "Load" && (resident < len(want) || resident > len(want)+2<<20) {
			t.Errorf("%s: %d bytes of %d in large pages, the file has %d", name, large, resident, len(want))
		}
		f.Close()
		if _, _, ok := f.LargePages(); ok {
			t.Errorf("%s: a closed file has large pages", name)
		}
	}
	f, err := Parse("parsed", want)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := f.LargePages(); ok {
		t.Error("bytes that came to Parse are not the file's")
	}
}

// Ensure that the mappings of the file's addresses are summed up and no others.
func TestLargePages_Sum(t *testing.T) {
	const smaps = `7f0000000000-7f0000200000 r--s 00000000 fe:00 42   /before
Rss:                 100 kB
FilePmdMapped:       100 kB
7f0000200000-7f0000600000 r--s 00000000 fe:00 42   /models/a b.gguf
Size:               4096 kB
Rss:                4000 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:      2048 kB
VmFlags: rd mr mw me ms hg
7f0000600000-7f0000700000 r--p 00000000 00:00 0
Rss:                  12 kB
AnonHugePages:         8 kB
7f0000700000-7f0000800000 r--p 00000000 00:00 0
Rss:                1000 kB
AnonHugePages:      1000 kB
`
	for _, c := range []struct {
		begin, end      uint64
		large, resident int
		ok              bool
	}{
		{0x7f0000200000, 0x7f0000600000, 2048 << 10, 4000 << 10, true},
		{0x7f0000200000, 0x7f0000600001, 2056 << 10, 4012 << 10, true},
		{0x7f00001fffff, 0x7f0000200001, 2148 << 10, 4100 << 10, true},
		{0x7f0000800000, 0x7f0000900000, 0, 0, false},
	} {
		large, resident, ok := largePages(bufio.NewScanner(strings.NewReader(smaps)), c.begin, c.end)
		if large != c.large || resident != c.resident || ok != c.ok {
			t.Errorf("%#x to %#x: got %d of %d, %v", c.begin, c.end, large, resident, ok)
		}
	}
}

// Ensure that a file larger than memory is refused before a byte of it is read.
func TestLoad_NoRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "huge.gguf")
	const size = 1 << 43
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Skip("no sparse file of this size:", err)
	}
	_, err := Load(path)
	begin, end := fmt.Sprintf("%s: a copy of the file takes %d bytes of memory, ", path, size), ": leave --no-mmap out, then the file is read where it lies"
	if err == nil || !strings.HasPrefix(err.Error(), begin) || !strings.HasSuffix(err.Error(), end) {
		t.Errorf("got %v, want %s...%s", err, begin, end)
	}
}
