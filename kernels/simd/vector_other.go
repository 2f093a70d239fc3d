//go:build (!amd64 && !arm64) || purego

package simd

import "forge/kernels"

func addGroups(isa, []float32, []float32, []float32) int { return 0 }

func mulGroups(isa, []float32, []float32, []float32) int { return 0 }

func scaleGroups(isa, []float32, []float32, float32) int { return 0 }

func scaleMulGroups(isa, []float32, []float32, []float32, float32) int { return 0 }

func tanhGroups(isa, []float32, []float32, float32) int { return 0 }

func sumSquaresGroups(isa, *[8]float32, []float32) int { return 0 }

func gluGroups(isa, []float32, []float32, []float32, kernels.Act, *gluParams) int { return 0 }

func actGroups(isa, []float32, []float32, kernels.Act) int { return 0 }

func rotateHalvesGroups(isa, []float32, []float32, []float32, []float32) int { return 0 }

func rotatePairsGroups(isa, []float32, []float32, []float32, []float32) int { return 0 }

func softmaxQueries(isa, []float32, int, int, []float32, []float32) bool { return false }

func multiplyKernels(isa, tileKind) []multiplyKernel { return nil }

func mulAddGroups(isa, []float32, []float32, []float32) int { return 0 }

func foldGroups(isa, []float32, []float32, float32, float32) int { return 0 }

func int8Groups(isa, []float32, []byte) int { return 0 }

func fetchLines(*byte, int) {}
