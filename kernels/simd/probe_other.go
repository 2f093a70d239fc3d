//go:build (!amd64 && !arm64) || purego

package simd

func probesFor(isa) probes { return scalarProbes }
