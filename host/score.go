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
	e.nextSeq++
	seqs := []uint64{e.nextSeq}
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

// Bench computes steps without sampling, as benchmarks of other engines do: first a cache of depth positions, untimed,
// then what run does with Prefill and Decode.
func (e *Engine) Bench(depth int, run func(b *Bench) error) error {
	var err error
	if closed := e.exclusive(func() {
		e.nextSeq++
		b := &Bench{e: e, tables: e.kv.newTables(), seqs: [1]uint64{e.nextSeq}}
		defer e.kv.truncate(b.tables, 0)
		if err = e.routing.start(context.Background(), e.nextSeq); err != nil {
			return
		}
		defer e.routing.end(context.Background(), e.nextSeq)
		if err = b.Prefill(depth); err == nil {
			err = run(b)
		}
	}); closed != nil {
		return closed
	}
	return err
}

// Bench is a sequence of arbitrary tokens.
type Bench struct {
	e      *Engine
	tables *pageTables
	batch  kernels.Batch
	seqs   [1]uint64
	token  uint32
}

// Prefill computes n positions in steps of the batch size, wanting the last row's logits of each step.
func (b *Bench) Prefill(n int) error {
	for n > 0 {
		rows := min(n, b.e.NBatch)
		if err := b.step(rows); err != nil {
			return err
		}
		n -= rows
	}
	return nil
}

// Decode computes n positions one at a time.
func (b *Bench) Decode(n int) error {
	for range n {
		if err := b.step(1); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) step(rows int) error {
	if err := b.e.kv.extend(b.tables, b.tables.n+rows); err != nil {
		return err
	}
	b.batch.Rows, b.batch.Seqs = b.batch.Rows[:0], append(b.batch.Seqs[:0], kernels.Seq{Pages: b.tables.pages})
	for i := range rows {
		// Any tokens do; these walk through the vocabulary.
		b.token = (b.token*1664525 + 1013904223) % uint32(b.e.NVocab)
		b.batch.Rows = append(b.batch.Rows, kernels.Row{Pos: int32(b.tables.n + i), Token: int32(b.token), Want: i == rows-1})
	}
	if _, err := b.e.compute(&b.batch, b.seqs[:]); err != nil {
		return err
	}
	if err := b.e.routing.failed[0]; err != nil {
		return err
	}
	b.e.kv.advance(b.tables, b.tables.n+rows)
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
