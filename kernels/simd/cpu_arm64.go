//go:build !purego

package simd

import (
	"math"

	"golang.org/x/sys/cpu"
)

// architecture are the rungs that there are kernels for.
var architecture = []isa{isaNEON, isaDotProd}

func features() []feature {
	return []feature{{"asimd", cpu.ARM64.HasASIMD}, {"asimddp", cpu.ARM64.HasASIMDDP}}
}

// detectISA tells what the CPU and the operating system have.
func detectISA() (s isaSet) {
	s[isaNEON] = cpu.ARM64.HasASIMD
	s[isaDotProd] = s[isaNEON] && cpu.ARM64.HasASIMDDP
	return s
}

func quantize(i isa, blocks, lanes []byte, x []float32, first int) {
	if i == isaScalar || len(x) == 0 {
		quantizeGeneric(blocks, lanes, x, first)
		return
	}
	quantizeNEON(&blocks[0], &lanes[0], &x[0], first, len(x)/32)
}

// fixedRows: here block fixed point gains nothing, and no number of rows is multiplied so.
const fixedRows = math.MaxInt

func roundFixed(_ isa, dst []byte, x []float32) { roundFixedGeneric(dst, x) }

// convertHalf fills dst from float16, 8 at a time; what is left is for the caller.
func convertHalf(i isa, dst []float32, src []uint16) int {
	n := len(dst) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	halfToFloatNEON(&dst[0], &src[0], n)
	return 8 * n
}

func roundHalf(i isa, dst []uint16, src []float32) int {
	n := len(dst) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	floatToHalfNEON(&dst[0], &src[0], n)
	return 8 * n
}
