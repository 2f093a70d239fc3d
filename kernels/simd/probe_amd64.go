//go:build !purego

package simd

// probesFor returns the loops of a rung; the numbers of multiply-adds stand in the generated comments.
func probesFor(i isa) probes {
	switch i {
	case isaAVX2:
		return probes{read: probeReadAVX2, fma: probeFMAAVX2, bytes: probeBytesAVX2, words: probeWordsAVX2, fmaOps: 96, bytesOps: 1024, wordsOps: 192}
	case isaVNNI:
		return probes{read: probeReadAVX2, fma: probeFMAAVX2, bytes: probeBytesVNNI, words: probeWordsVNNI, fmaOps: 96, bytesOps: 384, wordsOps: 192}
	case isaAVX512:
		return probes{read: probeReadAVX512, fma: probeFMAAVX512, bytes: probeBytesAVX512, words: probeWordsAVX512, fmaOps: 192, bytesOps: 768, wordsOps: 384}
	}
	return scalarProbes
}
