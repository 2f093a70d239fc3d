//go:build wasip1

// Command margin keeps the candidates whose logit is at most `margin` below the best one's.
package main

import (
	"math"

	forge "forge/plugins/sdk/go"
)

//go:wasmexport forge_sampler_1
func marker() {}

//go:wasmexport forge_init
func start(*forge.Init) forge.Status { return forge.Ok }

//go:wasmexport sampler_margin
func margin(frame *forge.Rows) forge.Status {
	rows := frame.All()
	for i := range rows {
		row := &rows[i]
		best := float32(math.Inf(-1))
		for _, logit := range row.Logits.Slice(row.N) {
			if logit > best {
				best = logit
			}
		}
		least := best - float32(row.Param(0))
		row.Keep(func(_ uint32, logit float32) bool { return !(logit < least) })
	}
	return forge.Ok
}

func main() {}
