//go:build unix && !linux

package gguf

import "golang.org/x/sys/unix"

// mapPages maps n bytes, of a file for reading, or of zeros for writing where fd is negative.
func mapPages(fd, n int) (data []byte, unmap func() error, err error) {
	prot, flags := unix.PROT_READ, unix.MAP_SHARED
	if fd < 0 {
		prot, flags = unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE
	}
	data, err = unix.Mmap(fd, 0, n, prot, flags)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
