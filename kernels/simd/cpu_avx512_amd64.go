//go:build !purego

package simd

import "forge/gguf"

// wideTable lists the kernels of 512 bits.
var wideTable = map[gguf.Type]wideSet{
	gguf.Q4_0:   {dot: dotQ4_0AVX512},
	gguf.Q4_1:   {dot: dotQ4_1AVX512},
	gguf.Q5_0:   {dot: dotQ5_0AVX512},
	gguf.Q5_1:   {dot: dotQ5_1AVX512},
	gguf.Q8_0:   {dot: dotQ8_0AVX512},
	gguf.IQ4_NL: {dot: dotIQ4_NLAVX512},
	gguf.IQ4_XS: {dot: dotIQ4_XSAVX512},
	gguf.MXFP4:  {dot: dotMXFP4AVX512},
	gguf.Q2_K:   {dot: dotQ2_KAVX512},
	gguf.Q3_K:   {dot: dotQ3_KAVX512},
	gguf.Q4_K:   {dot: dotQ4_KAVX512},
	gguf.Q5_K:   {dot: dotQ5_KAVX512},
	gguf.Q6_K:   {dot: dotQ6_KAVX512},
}
