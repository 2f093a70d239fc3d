package gguf

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of a large page, or a multiple of it, on the machines that forge has kernels for.
const largePage = 2 << 20

// mapPages maps n bytes, of a file for reading, or of zeros for writing where fd is negative. They begin where a large page
// can: a system maps such pages only where address and offset in the file agree, which not every file system sees to.
func mapPages(fd, n int) (data []byte, unmap func() error, err error) {
	room, err := unix.Mmap(-1, 0, n+largePage, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, err
	}
	unmap = func() error { return unix.Munmap(room) }
	skip := int(-uintptr(unsafe.Pointer(&room[0])) & (largePage - 1))
	data = room[skip : skip+n : skip+n]
	prot, flags := unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED
	if fd < 0 {
		prot, flags = unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_FIXED
	}
	if _, err := unix.MmapPtr(fd, 0, unsafe.Pointer(&data[0]), uintptr(n), prot, flags); err != nil {
		_ = unmap() // the mapping's failure is the one to tell
		return nil, nil, err
	}
	// A kernel without large pages says no, and the small ones serve.
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE)
	return data, unmap, nil
}

// checkRoom refuses n bytes where memory and swap space have less left: the system would promise them, and end the process that
// comes to use them.
func checkRoom(n int) error {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil // not told: let it be tried
	}
	available, ok := kibibytes(info, "MemAvailable:")
	swap, _ := kibibytes(info, "SwapFree:")
	if free := available + swap; ok && n > free {
		return fmt.Errorf("%d are available", free)
	}
	return nil
}

// kibibytes finds a line such as "MemAvailable:    1234 kB" and gives the bytes.
func kibibytes(lines []byte, key string) (n int, ok bool) {
	for line := range bytes.Lines(lines) {
		fields := strings.Fields(string(line))
		if len(fields) == 3 && fields[0] == key && fields[2] == "kB" {
			n, err := strconv.Atoi(fields[1])
			return n << 10, err == nil
		}
	}
	return 0, false
}

// LargePages says how many of the file's bytes lie in large pages (of 2 MiB, where the processor has them) and how many are in
// memory at all, as /proc/self/smaps has it; what nobody has read yet is in neither. Only Linux tells.
//
// Matrices that are read from memory once a token come a tenth faster from large pages. A file that [Load] reads gets them, and
// one that [Open] maps if the system's cache has it in them: that it does when the file is read for the first time through such a
// mapping, or was written in chunks of some MiB, as a [Writer] writes it. What the cache has in small pages stays so until it
// leaves the cache.
func (f *File) LargePages() (large, resident int, ok bool) {
	if f.unmap == nil || len(f.data) == 0 {
		return 0, 0, false // not a mapping of ours
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, 0, false
	}
	defer maps.Close()
	begin := uint64(uintptr(unsafe.Pointer(&f.data[0])))
	return largePages(bufio.NewScanner(maps), begin, begin+uint64(len(f.data)))
}

// largePages sums up the mappings in smaps that share an address with begin to end.
func largePages(smaps *bufio.Scanner, begin, end uint64) (large, resident int, ok bool) {
	ours := false
	for smaps.Scan() {
		line := smaps.Bytes()
		var from, to uint64
		if n, _ := fmt.Sscanf(string(line), "%x-%x ", &from, &to); n == 2 {
			ours = from < end && begin < to
			continue
		}
		if !ours {
			continue
		}
		for _, key := range []string{"FilePmdMapped:", "ShmemPmdMapped:", "AnonHugePages:"} {
			n, _ := kibibytes(line, key)
			large += n
		}
		n, found := kibibytes(line, "Rss:")
		resident, ok = resident+n, ok || found
	}
	return large, resident, ok && smaps.Err() == nil
}
