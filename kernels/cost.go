package kernels

// Cost is the least that a program takes of a machine: no device can read fewer bytes for a row that is computed alone,
// nor do with fewer multiply-adds.
type Cost struct {
	WeightBytes int64 // of matrices, read once for a row that wants output; of experts as many as a row chooses
	RowMACs     int64 // with matrices, for a row that wants no output: in a long prompt the head's share is nothing
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
				c.RowMACs += elems(w.Shape)
			}
		case OpExperts:
			for _, id := range op.W[:3] {
				w := &p.Weights[id]
				n, chosen := int64(w.Shape[0]), int64(p.Values[op.In[1]].Width)
				c.WeightBytes += int64(len(w.Data)) / n * chosen
				c.RowMACs += elems(w.Shape) / n * chosen
			}
		}
	}
	return c
}

func elems(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}
