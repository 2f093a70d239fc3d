//go:build unix

package simd

import (
	"testing"

	"golang.org/x/sys/unix"
)

// guarded returns n bytes that end at an unmapped page, or begin right after one.
func guarded(t testing.TB, n int, atEnd bool) []byte {
	page := unix.Getpagesize()
	body := (n + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, body+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	for _, edge := range [][]byte{m[:page], m[page+body:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if atEnd {
		return m[page+body-n : page+body : page+body]
	}
	return m[page : page+n : page+n]
}
