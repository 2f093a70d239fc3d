package kernels

// Cost is the least that a program takes of a machine: no device can read fewer bytes for a row that is computed alone,
// nor do with fewer multiply-adds.
type Cost struct {
	WeightBytes int64 // of matrices, read once for a row that wants output; of experts as many as a row chooses
	// Multiply-adds with matrices of block formats, of F16 and BF16, and of F32, for a row that wants no output: in a long
	// prompt the head's share is nothing.
	BlockMACs, HalfMACs, FloatMACs int64
}

// Cost counts what the operations do with matrices. The row of an embedding, vectors and attention are left out.
func (p *Program) Cost() Cost {
	var c Cost
	for i := range p.Ops {
		op := &p.Ops[i]
		switch op.Code {
		case OpLinear:
			w := &p.Weights[op.W[0]]
			c.WeightBytes += int64(len(w.Data))
			if !p.Values[op.In[0]].Selected {
				c.multiply(w, 1)
			}
		case OpExperts:
			for _, id := range op.W[:3] {
				w := &p.Weights[id]
				share := float64(p.Values[op.In[1]].Width) / float64(w.Shape[0])
				c.WeightBytes += int64(float64(len(w.Data)) * share)
				c.multiply(w, share)
			}
		}
	}
	return c
}

// multiply counts a row's products with a share of a weight.
func (c *Cost) multiply(w *Weight, share float64) {
	n := 1
	for _, d := range w.Shape {
		n *= d
	}
	to := &c.FloatMACs
	switch {
	case w.Type.BlockElems() > 1:
		to = &c.BlockMACs
	case w.Type.BlockBytes() == 2:
		to = &c.HalfMACs
	}
	*to += int64(float64(n) * share)
}
