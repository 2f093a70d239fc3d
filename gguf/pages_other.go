//go:build !linux

package gguf

// checkRoom knows nothing of this system's memory.
func checkRoom(int) error { return nil }

// LargePages says how many of the file's bytes lie in large pages and how many are in memory at all. Only Linux tells.
func (f *File) LargePages() (large, resident int, ok bool) { return 0, 0, false }
