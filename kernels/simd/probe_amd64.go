//go:build !purego

package simd

// probesFor returns the loops of a rung; the numbers of multiply-adds stand in the generated comments.
func probesFor(i isa) probes {
	switch i {
	case isaAVX2:
		return probes{read: probeReadAVX2, fma: probeFMAAVX2, bytes: probeBytesAVX2, fmaOps: 96, bytesOps: 1024}
	case isaVNNI:
		return probes{read: probeReadAVX2, fma: probeFMAAVX2, bytes: probeBytesVNNI, fmaOps: 96, bytesOps: 384}
	case isaAVX512:
		return probes{read: probeReadAVX512, fma: probeFMAAVX512, bytes: probeBytesAVX512, fmaOps: 192, bytesOps: 768}
	}
	return scalarProbes
}
