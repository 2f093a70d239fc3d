package simd

import (
	"fmt"
	"os"
)

// isa is a rung of the ladder of instruction sets that kernels are written for. A rung includes the ones below it, and
// every rung computes the same bits.
type isa int

const (
	isaScalar isa = iota // plain Go, on any CPU
	isaAVX2              // AVX2 with FMA and F16C
	isaVNNI              // and AVX-VNNI, the VEX form of VPDPBUSD
	isaCount
)

var isaNames = [isaCount]string{"scalar", "avx2", "avxvnni"}

func (i isa) String() string { return isaNames[i] }

// isaVariable is the environment variable that holds the kernels to a lower rung than the CPU's.
const isaVariable = "FORGE_SIMD"

// level is the rung in use, levelErr what is wrong with the variable; productFor reports it.
var level, levelErr = chooseISA(os.Getenv(isaVariable), detectISA())

// chooseISA applies the variable's value to what the CPU has.
func chooseISA(wanted string, have isa) (isa, error) {
	if wanted == "" {
		return have, nil
	}
	for i, name := range isaNames {
		if name != wanted {
			continue
		}
		if isa(i) > have {
			return have, fmt.Errorf("%s=%s: this CPU has kernels up to %s; unset it or choose that", isaVariable, wanted, have)
		}
		return isa(i), nil
	}
	return have, fmt.Errorf("%s=%s: no such instruction set; choose scalar, avx2 or avxvnni", isaVariable, wanted)
}
