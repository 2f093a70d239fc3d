//go:build (!amd64 && !arm64) || purego

package simd

import "forge/gguf"

// architecture are the rungs that there are kernels for.
var architecture = []isa{}

func features() []feature { return nil }

func detectISA() isaSet { return isaSet{} }

func kernelsFor(gguf.Type, isa) kernelSet { return kernelSet{} }

func quantize(_ isa, blocks, lanes []byte, x []float32, first int) {
	quantizeGeneric(blocks, lanes, x, first)
}

func convertHalf(isa, []float32, []uint16) int { return 0 }

func roundHalf(isa, []uint16, []float32) int { return 0 }

func endFew(bool, *float32, int, *float32, int) {}

func sumFloat(*float32, int, *float32, int) {}
