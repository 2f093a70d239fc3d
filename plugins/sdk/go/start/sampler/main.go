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
	for i := range rows {
		row := &rows[i]
		best, possible := likeliest(row.Logits.Slice(row.N))
		// Chance comes from the row's own generator: the same seed gives the same text.
		if u := row.Next(); possible < 2 || !(u < row.Param(0)) {
			continue
		}
		if row.Whole() { // candidate i is token i, and ids are not there yet
			number(row.IDs.Slice(row.N))
			row.Flags &^= forge.RowFlagWhole
		}
		remove(row.Logits.Slice(row.N), best)
		remove(row.IDs.Slice(row.N), best)
		row.N--
	}
	return forge.Ok
}

// Loops over candidates stand in small functions of their own: Go compiles a function into one loop over its parts, and fuel is
// paid for the whole of it each time around.

//go:noinline
func likeliest(logits []float32) (best, possible int) {
	highest := float32(math.Inf(-1))
	for i, logit := range logits {
		if logit > float32(math.Inf(-1)) {
			possible++
		}
		if logit > highest {
			best, highest = i, logit
		}
	}
	return best, possible
}

//go:noinline
func number(ids []uint32) {
	for i := range ids {
		ids[i] = uint32(i)
	}
}

func remove[T any](list []T, i int) { copy(list[i:], list[i+1:]) }

func main() {}
