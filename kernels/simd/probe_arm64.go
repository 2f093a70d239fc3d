//go:build !purego

package simd

// probesFor returns the loops of a rung; the numbers of multiply-adds stand in the generated comments.
func probesFor(i isa) probes {
	switch i {
	case isaNEON:
		return probes{read: probeReadNEON, fma: probeFMANEON, bytes: probeBytesNEON, fmaOps: 64, bytesOps: 256}
	case isaDotProd:
		return probes{read: probeReadNEON, fma: probeFMANEON, bytes: probeBytesDotProd, fmaOps: 64, bytesOps: 256}
	}
	return scalarProbes
}
