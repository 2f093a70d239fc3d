package model

import (
	"strings"
	"testing"

	"forge/gguf"
	"forge/host/plugin"
	"forge/kernels"
)

// Ensure that an architecture guest cannot have the host make transposed weights without end.
func TestTransposeRoom(t *testing.T) {
	src := kernels.Weight{Name: "w", Type: gguf.F32, Shape: []int{6, 5}, Data: make([]byte, 120)}
	room := 300
	var weights []kernels.Weight
	weights = append(weights, src)
	for i := range 3 {
		w, err := bindWeight(nil, weights, plugin.WeightRecord{Kind: 2, Source: 0}, &room)
		switch {
		case i < 2 && (err != nil || len(w.Data) != 120 || w.Shape[0] != 5):
			t.Errorf("transpose %d: %v, %v", i, w.Shape, err)
		case i == 2 && (err == nil || !strings.Contains(err.Error(), "transpose of w: all transposed weights together would take more than 8 times the file")):
			t.Errorf("transpose %d: %v", i, err)
		}
	}
}
