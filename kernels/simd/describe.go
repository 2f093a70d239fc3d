package simd

import (
	"fmt"
	"math"
	"strings"
)

// feature is something that a CPU may have and that kernels use or could use.
type feature struct {
	name string
	has  bool
}

// Fact is a line about this CPU: what it is about, and what is so.
type Fact struct{ About, Says string }

// Describe says what the CPU has, which kernels are used for which work, and why.
func Describe() []Fact {
	var has, lacks []string
	for _, f := range features() {
		if f.has {
			has = append(has, f.name)
		} else {
			lacks = append(lacks, f.name)
		}
	}
	facts := []Fact{{"threads", describeThreads()}}
	if len(has) > 0 {
		facts = append(facts, Fact{"has", strings.Join(has, " ")})
	}
	if len(lacks) > 0 {
		facts = append(facts, Fact{"lacks", strings.Join(lacks, " ")})
	}
	facts = append(facts, Fact{"kernels", describeRung()})
	if levelErr == nil {
		facts = append(facts, describeWork(level)...)
	}
	return facts
}

func describeThreads() string {
	s := fmt.Sprintf("%d: one for each core that this process may run on", Threads())
	if q := system.quota(); !math.IsInf(q, 1) {
		s += fmt.Sprintf(", and not more than the %.1f processors that its control group grants", q)
	}
	return s + " (-t N for another number)"
}

func describeRung() string {
	if levelErr != nil {
		return levelErr.Error()
	}
	why := "the highest rung whose features are all there"
	best := detectISA().best()
	switch {
	case level != best:
		why = fmt.Sprintf("forced by %s; without it %s", isaVariable, best)
	case level == isaScalar:
		why = "plain Go, for there are none for this CPU"
	}
	return fmt.Sprintf("%s, %s (%s=%s forces a rung)", level, why, isaVariable, ladderNames())
}

// describeWork says what serves how many rows of activations at once: a token of one sequence is one row.
func describeWork(i isa) []Fact {
	multiply := map[isa]string{isaAVX2: "VPMADDUBSW", isaVNNI: "VPDPBUSD", isaAVX512: "VPDPBUSD", isaNEON: "SMULL", isaDotProd: "SDOT"}[i]
	switch {
	case i == isaScalar:
		return nil
	case i == isaNEON, i == isaDotProd:
		return []Fact{
			{fmt.Sprintf("1 to %d rows", dotMax(false)), "weights in the order of memory, 128 bits, " + multiply},
			{"more", "panels of 16 weight rows, 128 bits, " + multiply},
			{"floats", "F32, F16 and BF16 as float32, FMLA of 128 bits"},
		}
	}
	words := "VPDPWSSD"
	if i == isaAVX2 {
		words = "VPMADDWD"
	}
	some, more, float := fmt.Sprintf("8 weight rows unpacked to registers, 256 bits, %s", multiply), "panels of 16 weight rows, 256 bits, "+multiply, "256"
	if i == isaAVX512 {
		some, more, float = "16 weight rows unpacked to registers, 512 bits, "+multiply, "panels of 32 weight rows, 512 bits, "+multiply, "512"
	}
	return []Fact{
		{fmt.Sprintf("1 or %d rows", dotRows), "weights in the order of memory, 256 bits, " + multiply + ": memory is the limit"},
		{fmt.Sprintf("%d to %d rows", dotRows+1, fewMax(i == isaAVX512)), some},
		{"more", more},
		{"floats", "F32, F16 and BF16 as float32, FMA of " + float + " bits"},
		{fmt.Sprintf("%d rows on", fixedRows), fmt.Sprintf("F16 and BF16 in block fixed point, %s bits, %s, unless --deterministic", float, words)},
	}
}
