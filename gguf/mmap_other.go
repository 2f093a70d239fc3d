//go:build !unix

package gguf

// mapFile reads the whole file at path: slower to open than a mapping and all in memory, otherwise the same.
func mapFile(path string) (data []byte, unmap func() error, err error) { return loadFile(path) }

func newMemory(n int) (data []byte, free func() error, err error) {
	return make([]byte, n), func() error { return nil }, nil
}

func protect([]byte) error { return nil }
