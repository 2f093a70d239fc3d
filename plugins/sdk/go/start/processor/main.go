//go:build wasip1

// Command NAME is a processor: a token is made less likely right after itself, by `penalty`.
package main

import forge "forge/plugins/sdk/go"

//go:wasmexport forge_processor_1
func marker() {}

//go:wasmexport forge_init
func start(frame *forge.Init) forge.Status {
	frame.Accepted = frame.Offered & (forge.CapWASI | forge.CapHistory)
	if frame.Accepted&forge.CapHistory == 0 {
		return forge.Fail(&frame.Head, forge.ErrConfig, "it looks at the tokens so far: grant it history")
	}
	return forge.Ok
}

// A processor sees whole rows: logit i is that of token i.
//
//go:wasmexport processor_NAME
func process(frame *forge.Rows) forge.Status {
	rows := frame.All()
	for i := range rows {
		row := &rows[i]
		history := row.History.Slice()
		if len(history) == 0 {
			continue
		}
		if newest := history[len(history)-1]; newest < row.N {
			row.Logits.Slice(row.N)[newest] -= float32(row.Param(0))
		}
	}
	return forge.Ok
}

func main() {}
