//go:build unix

package gguf

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapFile maps the file at path read-only. Pages come in when they are touched.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close() // the mapping outlives it
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	data, unmap, err = mapPages(int(file.Fd()), size)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cannot map it into memory: %w", path, err)
	}
	return data, unmap, nil
}

// newMemory gives n bytes that are not Go's, and with free goes back at once what they took.
func newMemory(n int) (data []byte, free func() error, err error) { return mapPages(-1, n) }

// protect makes memory as read-only as a mapped file. On Linux it also keeps it apart from its neighbours in smaps.
func protect(data []byte) error { return unix.Mprotect(data, unix.PROT_READ) }
