package host

import (
	"context"
	"fmt"
	"math"

	"forge/kernels"
)

// Score computes the logits after the positions of a text from `from` on and hands each row to f: position i predicts
// tokens[i+1]. The row holds only during the call.
func (e *Engine) Score(ctx context.Context, tokens []uint32, from int, f func(pos int, logits []float32) error) error {
	if len(tokens) > e.NCtx {
		return fmt.Errorf("the text is %d tokens long, the context holds %d: raise -c or cut the text", len(tokens), e.NCtx)
	}
	var err error
	if closed := e.exclusive(func() { err = e.score(ctx, tokens, from, f) }); closed != nil {
		return closed
	}
	return err
}

// scoreRows bounds the memory of logits: 64 rows of 262,144 are 64 MiB.
const scoreRows = 64

func (e *Engine) score(ctx context.Context, tokens []uint32, from int, f func(int, []float32) error) error {
	t := e.kv.newTables()
	defer e.kv.truncate(t, 0)
	seqID := e.nextSeq.Add(1)
	seqs := []uint64{seqID}
	if err := e.routing.start(ctx, seqs[0]); err != nil {
		return err
	}
	defer e.routing.end(context.WithoutCancel(ctx), seqs[0])
	var b kernels.Batch
	for t.n < len(tokens) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(tokens)-t.n, scoreRows, e.NBatch)
		if err := e.kv.extend(t, t.n+n); err != nil {
			return err
		}
		b.Rows, b.Seqs = b.Rows[:0], append(b.Seqs[:0], kernels.Seq{Pages: t.pages})
		for i := range n {
			b.Rows = append(b.Rows, kernels.Row{Pos: int32(t.n + i), Token: int32(tokens[t.n+i]), Want: t.n+i >= from})
		}
		out, err := e.compute(&b, seqs)
		if err == nil {
			err = e.routing.failed[0]
		}
		if err != nil {
			return err
		}
		first := t.n
		e.kv.advance(t, t.n+n)
		for pos := max(first, from); pos < t.n; pos++ {
			if err := f(pos, out[:e.NVocab]); err != nil {
				return err
			}
			out = out[e.NVocab:]
		}
	}
	return nil
}

// Divergence computes a text on two engines and gives for every position the Kullback-Leibler divergence of b's
// distribution from a's, sum p_a ln(p_a/p_b) in nats, beside both rows' negative log-likelihood of the next token.
func Divergence(ctx context.Context, a, b *Engine, tokens []uint32, f func(pos int, kl, nllA, nllB float64)) error {
	if a.NVocab != b.NVocab {
		return fmt.Errorf("%s has %d tokens, %s has %d: their distributions cannot be compared", a.File.Name, a.NVocab, b.File.Name, b.NVocab)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, used := make(chan []float32), make(chan struct{})
	errA := make(chan error, 1)
	go func() {
		errA <- a.Score(ctx, tokens, 0, func(_ int, logits []float32) error {
			select {
			case rows <- logits:
				<-used
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	errB := b.Score(ctx, tokens, 0, func(pos int, logits []float32) error {
		select {
		case la := <-rows:
			kl := klDivergence(la, logits)
			if pos+1 < len(tokens) {
				next := tokens[pos+1]
				f(pos, kl, LogSumExp(la)-float64(la[next]), LogSumExp(logits)-float64(logits[next]))
			}
			used <- struct{}{}
			return nil
		case err := <-errA:
			errA <- err
			return err
		}
	})
	cancel()
	if errB != nil {
		return errB
	}
	return <-errA
}

func klDivergence(a, b []float32) float64 {
	za, zb := LogSumExp(a), LogSumExp(b)
	kl := 0.0
	for i, la := range a {
		lp := float64(la) - za
		if p := math.Exp(lp); p > 0 {
			kl += p * (lp - (float64(b[i]) - zb))
		}
	}
	return kl
}
