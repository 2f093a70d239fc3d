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
	data, err = unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cannot map it into memory: %w", path, err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
