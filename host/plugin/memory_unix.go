//go:build unix

package plugin

import "golang.org/x/sys/unix"

// reserve sets n bytes of addresses aside, zero and without pages until they are touched; nil if the system does not want to.
func reserve(n uint64) []byte {
	room, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return room
}

// release gives them back.
func release(room []byte) {
	if room != nil {
		unix.Munmap(room) // of a mapping of reserve, which cannot fail
	}
}
