//go:build !purego

package simd

import "forge/gguf"

// gemms of 512 bits, by kind of panel: for 4, 5 and 6 activation rows.
var (
	gemmOffWide    = [3]wideGemm{gemmOffx4AVX512, gemmOffx5AVX512, gemmOffx6AVX512}
	gemmMinWide    = [3]wideGemm{gemmMinx4AVX512, gemmMinx5AVX512, gemmMinx6AVX512}
	gemmMinTwoWide = [3]wideGemm{gemmMinTwox4AVX512, gemmMinTwox5AVX512, gemmMinTwox6AVX512}
	gemmHalfWide   = [3]wideGemm{gemmHalfx4AVX512, gemmHalfx5AVX512, gemmHalfx6AVX512}
)

// A wide panel's bytes for a block of 32, by kind; the generator has the same.
const (
	widePanelOff  = 576
	widePanelMin  = 640
	widePanelTwo  = 704
	widePanelHalf = 704
)

// wideTable lists the kernels of 512 bits.
var wideTable = map[gguf.Type]wideSet{
	gguf.Q4_0:   {dot: dotQ4_0AVX512, pack: packQ4_0AVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 3},
	gguf.Q4_1:   {dot: dotQ4_1AVX512, pack: packQ4_1AVX512, gemm: gemmMinWide, panelBytes: widePanelMin},
	gguf.Q5_0:   {dot: dotQ5_0AVX512, pack: packQ5_0AVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 4},
	gguf.Q5_1:   {dot: dotQ5_1AVX512, pack: packQ5_1AVX512, gemm: gemmMinWide, panelBytes: widePanelMin},
	gguf.Q8_0:   {dot: dotQ8_0AVX512, pack: packQ8_0AVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 7},
	gguf.IQ4_NL: {dot: dotIQ4_NLAVX512, pack: packIQ4_NLAVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 7},
	gguf.IQ4_XS: {dot: dotIQ4_XSAVX512, pack: packIQ4_XSAVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 7},
	gguf.MXFP4:  {dot: dotMXFP4AVX512, pack: packMXFP4AVX512, gemm: gemmOffWide, panelBytes: widePanelOff, shift: 4},
	gguf.Q2_K:   {dot: dotQ2_KAVX512, pack: packQ2_KAVX512, gemm: gemmMinTwoWide, panelBytes: widePanelTwo},
	gguf.Q3_K:   {dot: dotQ3_KAVX512, pack: packQ3_KAVX512, gemm: gemmHalfWide, panelBytes: widePanelHalf, shift: 2},
	gguf.Q4_K:   {dot: dotQ4_KAVX512, pack: packQ4_KAVX512, gemm: gemmMinWide, panelBytes: widePanelMin},
	gguf.Q5_K:   {dot: dotQ5_KAVX512, pack: packQ5_KAVX512, gemm: gemmMinWide, panelBytes: widePanelMin},
	gguf.Q6_K:   {dot: dotQ6_KAVX512, pack: packQ6_KAVX512, gemm: gemmHalfWide, panelBytes: widePanelHalf, shift: 5},
}
