package simd

import (
	"math"
	"slices"

	"forge/kernels"
)

// ropeTable holds cos and sin of a step's rows for one set of rope attributes: all layers that turn alike share it.
type ropeTable struct {
	attrs   kernels.RopeAttrs
	factors []float32
	turns   []float64
	rows    []float32 // [rows, 2, pairs]: cosines, then sines
}

// ropeTable finds or makes the table for these attributes, and its step.
func (r *runner) ropeTable(a kernels.RopeAttrs, factors []float32) *ropeTable {
	key := a
	key.Mode, key.HeadDim, key.First = 0, 0, 0
	for _, t := range r.ropes {
		if t.attrs == key && slices.Equal(t.factors, factors) {
			return t
		}
	}
	t := &ropeTable{attrs: key, factors: factors, turns: kernels.Turns(a, factors)}
	r.ropes = append(r.ropes, t)
	r.addRowWork(rowWork{
		work: r.work, width: 16 * len(t.turns), // a sine is so much dearer than an addition
		before: func() { t.grow(len(r.batch.Rows)) },
		row:    func(row, _ int) { t.fill(row, int(r.batch.Rows[row].Pos)) },
	})
	return t
}

func (t *ropeTable) grow(rows int) {
	if n := rows * 2 * len(t.turns); len(t.rows) < n {
		t.rows = make([]float32, n)
	}
}

func (t *ropeTable) fill(row, pos int) {
	n := len(t.turns)
	cos, sin := t.rows[row*2*n:row*2*n+n], t.rows[row*2*n+n:(row+1)*2*n]
	for i, turn := range t.turns {
		s, c := math.Sincos(float64(pos) * turn)
		cos[i], sin[i] = float32(c*float64(t.attrs.AttnFactor)), float32(s*float64(t.attrs.AttnFactor))
	}
}

// rotateHalves turns the pairs (i, i+n/2); cs is n/2 cosines, then n/2 sines.
func rotateHalves(y, x, cs []float32) {
	n := len(x) / 2
	cos, sin, lo, hi := cs[:n], cs[n:2*n], x[:n], x[n:2*n]
	ylo, yhi := y[:n], y[n:2*n]
	for i := rotateHalvesGroups(level, y, x, cos, sin); i < n; i++ {
		u, v := lo[i], hi[i]
		ylo[i], yhi[i] = float32(u*cos[i])-float32(v*sin[i]), float32(u*sin[i])+float32(v*cos[i])
	}
}

// rotatePairs turns the pairs (2i, 2i+1).
func rotatePairs(y, x, cs []float32) {
	n := len(x) / 2
	cos, sin := cs[:n], cs[n:2*n]
	for i := rotatePairsGroups(level, y, x, cos, sin); i < n; i++ {
		u, v := x[2*i], x[2*i+1]
		y[2*i], y[2*i+1] = float32(u*cos[i])-float32(v*sin[i]), float32(u*sin[i])+float32(v*cos[i])
	}
}
