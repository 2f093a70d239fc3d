//go:build !linux

package simd

func newSlab(n int) ([]byte, error) { return alignedBytes(n), nil }

func freeSlab([]byte) {}
