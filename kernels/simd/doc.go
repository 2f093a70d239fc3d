// Package simd computes the operations of package kernels on the CPU with its vector instructions.
//
// A product multiplies weight rows, read as they lie in the model file, with activation rows (acts) rounded to 8 bits; see
// product.go for the one order of float operations that all its kernels keep, product_fixed.go for what many rows do with F16
// and BF16, and cpu.go for the ladder of instruction sets.
// The assembly is written by the generators in gen (amd64) and gen/arm64, run by go generate; every kernel has an equal in
// plain Go, which is what other CPUs run and what the tests compare with.
//
// Caveats: kernels read weight memory through raw pointers, so the mapped file must outlive every call. Nothing here starts
// a goroutine or allocates once acts and scratch have seen their largest shape.
package simd

//go:generate go -C gen run .
//go:generate go -C gen run ./arm64
