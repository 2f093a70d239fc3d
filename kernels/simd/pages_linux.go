package simd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hugePage is the size to which slabs are aligned, as far as their own size suggests it.
const hugePage = 2 << 20

// newSlab maps n bytes of zeros and asks for large pages.
func newSlab(n int) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("%d bytes for keys and values: %w", n, err)
	}
	if n >= hugePage {
		// A system without large pages says no, and the small ones serve.
		_ = unix.Madvise(m, unix.MADV_HUGEPAGE)
	}
	return m, nil
}

func freeSlab(m []byte) { _ = unix.Munmap(m) }
