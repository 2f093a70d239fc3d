package simd

import (
	"fmt"
	"os"
	"strings"
)

// isa is a rung of the ladder of instruction sets that kernels are written for. On x86 every rung but the first includes AVX2,
// not every rung the one below it: there are CPUs with AVX-512 VNNI and without AVX-VNNI. Every rung computes the same bits.
type isa int

const (
	isaScalar  isa = iota // plain Go, on any CPU
	isaAVX2               // AVX2 with FMA and F16C
	isaVNNI               // and AVX-VNNI, the VEX form of VPDPBUSD
	isaAVX512             // AVX2 and AVX-512 F, BW, DQ, VL and VNNI
	isaNEON               // arm64's Advanced SIMD
	isaDotProd            // and SDOT
	isaCount
)

var isaNames = [isaCount]string{"scalar", "avx2", "avxvnni", "avx512", "neon", "dotprod"}

// ladderNames are the rungs that this program has kernels for, whatever its CPU has: "scalar|avx2".
func ladderNames() string {
	names := []string{isaNames[isaScalar]}
	for _, i := range architecture {
		names = append(names, isaNames[i])
	}
	return strings.Join(names, "|")
}

func (i isa) String() string { return isaNames[i] }

// isaSet tells which rungs a CPU has.
type isaSet [isaCount]bool

// best is the highest rung of the set.
func (s isaSet) best() isa {
	for i := isaCount - 1; i > isaScalar; i-- {
		if s[i] {
			return i
		}
	}
	return isaScalar
}

// String lists the rungs for a message: "scalar, avx2 or avx512".
func (s isaSet) String() string {
	var names []string
	for i, has := range s {
		if has || i == int(isaScalar) {
			names = append(names, isaNames[i])
		}
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// isaVariable is the environment variable that holds the kernels to a lower rung than the CPU's.
const isaVariable = "FORGE_SIMD"

// level is the rung in use, levelErr what is wrong with the variable; productFor reports it.
var level, levelErr = chooseISA(os.Getenv(isaVariable), detectISA())

// chooseISA applies the variable's value to what the CPU has.
func chooseISA(wanted string, have isaSet) (isa, error) {
	if wanted == "" {
		return have.best(), nil
	}
	for i, name := range isaNames {
		switch {
		case name != wanted:
		case have[i] || isa(i) == isaScalar:
			return isa(i), nil
		default:
			return have.best(), fmt.Errorf("%s=%s: this CPU has no such instructions; unset it or choose %s", isaVariable, wanted, have)
		}
	}
	return have.best(), fmt.Errorf("%s=%s: no such instruction set; choose %s", isaVariable, wanted, have)
}
