package plugin

import (
	"context"

	"forge/abi"
)

// Provoke calls each entry of a chain as no host does that keeps to the ABI, but as a guest must bear: with no rows, and
// with a frame that ends behind its head. The guest may refuse; an error says that it did worse. For checking a module:
// the chain has no use afterwards.
func (c *Chain) Provoke(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stages {
		u := s.unit
		if err := u.ready(ctx); err != nil {
			return err
		}
		for _, e := range s.entries {
			fn := u.main.fns[e.fn]
			for _, spoil := range []func(abi.Rows){
				func(f abi.Rows) { f.SetNRows(0) },
				func(f abi.Rows) { abi.Head(f).SetSize(abi.HeadSize) },
			} {
				row := &Row{Logits: make([]float32, c.nVocab), Params: c.defaults}
				t := table{n: uint32(c.nVocab), flags: whole}
				u.bring(u.main, row, t)
				u.frame(u.main, row, 0, t)
				f := abi.Rows(u.main.at(0, abi.RowsSize))
				spoil(f)
				if _, err := u.main.call(ctx, fn, u.m.budget(c.nVocab)); err != nil && u.main.dead {
					return err
				}
			}
		}
	}
	return nil
}
