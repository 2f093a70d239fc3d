//go:build (!amd64 && !arm64) || purego

package simd

import (
	"math"

	"forge/gguf"
)

// architecture are the rungs that there are kernels for.
var architecture = []isa{}

func features() []feature { return nil }

func detectISA() isaSet { return isaSet{} }

func kernelsFor(gguf.Type, isa) kernelSet { return kernelSet{} }

func quantize(_ isa, blocks, lanes []byte, x []float32, first int) {
	quantizeGeneric(blocks, lanes, x, first)
}

// fixedRows: here block fixed point gains nothing, and no number of rows is multiplied so.
const fixedRows = math.MaxInt

func roundFixed(_ isa, dst []byte, x []float32) { roundFixedGeneric(dst, x) }

func convertHalf(isa, []float32, []uint16) int { return 0 }

func roundHalf(isa, []uint16, []float32) int { return 0 }

func endFew(bool, *float32, int, *float32, int) {}

func sumFloat(*float32, int, *float32, int) {}
