// Command arm64 writes the arm64 assembly of package simd and its stubs, as the program above it does for amd64.
//
// It has no library beneath it: asm.go is all the assembler that the kernels need. Registers have numbers in the order in
// which a function asks for them, and loops over rows and vectors are Go loops. What Go's assembler has no mnemonic for is
// a WORD with the instruction behind it as a comment. The order of float operations is fixed in package simd's product.go,
// exp.go and vector.go, and everything here follows it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	for _, o := range outputs {
		if err := write(o.name, o.emit); err != nil {
			fmt.Fprintf(os.Stderr, "gen: %s: %v\n", o.name, err)
			os.Exit(1)
		}
	}
}

var outputs = []struct {
	name string
	emit func(a *asm)
}{
	{"acts", emitActs},
	{"vector", emitVectors},
	{"attention", emitAttention},
	{"float", emitFloats},
	{"dot_neon", func(a *asm) { emitDots(a, neon) }},
	{"dot_dotprod", func(a *asm) { emitDots(a, dotProd) }},
	{"pack", emitPacks},
	{"gemm_neon", func(a *asm) { emitGemms(a, neon) }},
	{"gemm_dotprod", func(a *asm) { emitGemms(a, dotProd) }},
	{"probe", emitProbes},
	{"fetch", emitFetch},
}

// write runs one emitter and leaves NAME_arm64.s and its Go stubs in package simd.
func write(name string, emit func(*asm)) error {
	a := new(asm)
	emit(a)
	if a.err != nil {
		return a.err
	}
	base := filepath.Join("..", name)
	if err := os.WriteFile(base+"_arm64.s", a.source(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+"_stubs_arm64.go", a.stubs(), 0o644)
}
