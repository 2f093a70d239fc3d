//go:build wasip1

// Command NAME is a sampler: with the probability `chance` the likeliest candidate is left out, so that the text takes a turn now
// and then. It stays where it is the only one that is possible.
package main

import (
	"math"

	forge "forge/plugins/sdk/go"
)

//go:wasmexport forge_sampler_1
func marker() {}

//go:wasmexport forge_init
func start(frame *forge.Init) forge.Status {
	frame.Accepted = frame.Offered & forge.CapWASI
	return forge.Ok
}

// Rows of many sequences come in one call. What depends on a row alone needs no state.
//
//go:wasmexport sampler_NAME
func sample(frame *forge.Rows) forge.Status {
	rows := frame.All()
	for r := range rows {
		row := &rows[r]
		logits := row.Logits.Slice(row.N)
		best, possible := 0, 0
		for i, logit := range logits {
			if logit > float32(math.Inf(-1)) {
				possible++
			}
			if logit > logits[best] {
				best = i
			}
		}
		// Chance comes from the row's own generator: the same seed gives the same text.
		if u := row.Next(); possible < 2 || !(u < row.Param(0)) {
			continue
		}
		i := -1
		row.Keep(func(uint32, float32) bool {
			i++
			return i != best
		})
	}
	return forge.Ok
}

func main() {}
