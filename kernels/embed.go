package kernels

import "forge/gguf"

// embed: y[i] = table[token of row i]
func (r *scalar) embed(y []float32, op *Op) error {
	table := &r.p.Weights[op.W[0]]
	n := table.Shape[1]
	rowBytes := table.Type.RowBytes(n)
	for i, row := range r.batch.Rows {
		at := int(row.Token) * rowBytes
		if err := gguf.Dequantize(table.Type, y[i*n:(i+1)*n], table.Data[at:at+rowBytes]); err != nil {
			return err
		}
	}
	return nil
}
