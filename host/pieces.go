package host

import (
	"context"
	"iter"
	"sync"
)

// lazyPieces gives the bytes that each token adds to a text. The tokenizer guest is asked for all of them once, when the
// first guest wants them. A tokenizer that fails gives none, which whoever lays them out reports.
func (e *Engine) lazyPieces() iter.Seq[[]byte] {
	e.pieces = sync.OnceValues(func() ([]byte, []uint32) {
		text, offsets, err := e.tok.Pieces(context.Background())
		if err != nil {
			return nil, nil
		}
		return text, offsets
	})
	return func(yield func([]byte) bool) {
		text, offsets := e.pieces()
		for i := 1; i < len(offsets); i++ {
			if !yield(text[offsets[i-1]:offsets[i]]) {
				return
			}
		}
	}
}
