package model

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"forge/host/plugin"
	"forge/kernels"
)

// RouteAttrs are a layer's routing as the operation route has it.
func RouteAttrs(l *plugin.RouteLayer) kernels.RouteAttrs {
	a := kernels.RouteAttrs{Score: kernels.RouteScore(l.Score), TopK: l.TopK, NGroup: l.NGroup, NGroupUsed: l.NGroupUsed, Factor: l.Factor}
	if l.Renormalise {
		a.Renormalise = 1
	}
	return a
}

// Probes is how many rows a plan is compared on.
const Probes = 64

// ComparePlan wants the same experts from plan and guest for rows of all kinds, and weights that differ by roundings at most.
func ComparePlan(ctx context.Context, router *plugin.Router, planned *plugin.RouteLayer) error {
	n, k := planned.NExperts, planned.TopK
	b := plugin.RouteBatch{N: Probes, Scores: ProbeScores(n), Seqs: make([]uint64, Probes), Positions: make([]uint32, Probes),
		IDs: make([]uint32, Probes*k), Weights: make([]float32, Probes*k)}
	for i := range b.Positions {
		b.Positions[i] = uint32(i)
	}
	if err := router.Begin(ctx, 0); err != nil {
		return err
	}
	if err := router.Route(ctx, planned.Layer, &b); err != nil {
		return err
	}
	var bias []float32
	if planned.UseBias {
		bias = planned.Bias
	}
	answer, weightOf := make([]kernels.Route, 0, k), make(map[int]float32, k)
	for row := range Probes {
		scores := b.Scores[row*n : (row+1)*n]
		answer = kernels.ChooseExperts(answer[:0], scores, bias, RouteAttrs(planned))
		clear(weightOf)
		for i := row * k; i < (row+1)*k; i++ {
			weightOf[int(b.IDs[i])] = b.Weights[i]
		}
		for _, want := range answer {
			got, chosen := weightOf[want.Expert]
			if !chosen {
				return fmt.Errorf("the plan chooses expert %d for row %d of the probes, the router does not", want.Expert, row)
			}
			if d := math.Abs(float64(got) - float64(want.Weight)); !(d <= 1e-6*math.Abs(float64(want.Weight))+1e-30) {
				return fmt.Errorf("the plan gives expert %d the weight %v for row %d of the probes, the router %v", want.Expert, want.Weight, row, got)
			}
		}
	}
	return nil
}

// ProbeScores are Probes rows of n scores: normal ones of several sizes, with ties, all the same, in order, one that stands out, and
// numbers as large and as small as there are.
func ProbeScores(n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	x := make([]float32, Probes*n)
	for row := range Probes {
		for i := range n {
			v := &x[row*n+i]
			switch row % 8 {
			case 0, 1, 2:
				*v = float32(rng.NormFloat64() * []float64{0.1, 1, 8}[row%8])
			case 3:
				*v = float32(rng.IntN(4) - 2)
			case 4:
				*v = float32(row-4) * -3
			case 5:
				if *v = float32(i) / 8; row%16 > 8 {
					*v = -*v
				}
			case 6:
				if i == row%n {
					*v = float32(row)
				}
			default:
				*v = float32([]float64{3e38, -3e38, 1e-40, -1e-40, 700, -700, 0, 88}[rng.IntN(8)])
			}
		}
	}
	return x
}
