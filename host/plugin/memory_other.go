//go:build !unix

package plugin

// reserve is for systems that set addresses aside; this one has Go's memory.
func reserve(uint64) []byte { return nil }

func release([]byte) {}
