package host

import (
	"context"
	"errors"

	"forge/kernels"
)

// Bench computes steps without sampling, as benchmarks of other engines do: first a cache of depth positions for each of
// nSeq sequences, untimed, then what run does with Prefill and Decode.
func (e *Engine) Bench(nSeq, depth int, run func(b *Bench) error) error {
	var err error
	if closed := e.exclusive(func() {
		b := &Bench{e: e}
		for range nSeq {
			t := e.kv.newTables()
			defer e.kv.truncate(t, 0)
			seqID := e.nextSeq.Add(1)
			b.tables, b.seqs = append(b.tables, t), append(b.seqs, seqID)
			if err = e.routing.start(context.Background(), seqID); err != nil {
				return
			}
			defer e.routing.end(context.Background(), seqID)
		}
		for i := range b.tables {
			if err = b.prefill(i, depth); err != nil {
				return
			}
		}
		err = run(b)
	}); closed != nil {
		return closed
	}
	return err
}

// Bench is sequences of arbitrary tokens.
type Bench struct {
	e      *Engine
	tables []*pageTables
	seqs   []uint64 // of tables, for the routers
	batch  kernels.Batch
	token  uint32
}

// Prefill computes n positions of the first sequence in steps of the batch size, wanting the last row's logits of each step.
func (b *Bench) Prefill(n int) error { return b.prefill(0, n) }

func (b *Bench) prefill(seq, n int) error {
	for n > 0 {
		rows := min(n, b.e.NBatch)
		if err := b.step(seq, 1, rows); err != nil {
			return err
		}
		n -= rows
	}
	return nil
}

// Decode computes n positions of every sequence, one of each at a time.
func (b *Bench) Decode(n int) error {
	for range n {
		if err := b.step(0, len(b.tables), 1); err != nil {
			return err
		}
	}
	return nil
}

// step computes rows positions of each of nSeq sequences, from the first on.
func (b *Bench) step(first, nSeq, rows int) error {
	tables := b.tables[first : first+nSeq]
	b.batch.Rows, b.batch.Seqs = b.batch.Rows[:0], b.batch.Seqs[:0]
	for s, t := range tables {
		if err := b.e.kv.extend(t, t.n+rows); err != nil {
			return err
		}
		b.batch.Seqs = append(b.batch.Seqs, kernels.Seq{Pages: t.pages})
		for i := range rows {
			// Any tokens do; these walk through the vocabulary.
			b.token = (b.token*1664525 + 1013904223) % uint32(b.e.NVocab)
			b.batch.Rows = append(b.batch.Rows, kernels.Row{Seq: int32(s), Pos: int32(t.n + i), Token: int32(b.token), Want: i == rows-1})
		}
	}
	if _, err := b.e.compute(&b.batch, b.seqs[first:first+nSeq]); err != nil {
		return err
	}
	for _, err := range b.e.routing.failed {
		return err
	}
	for _, t := range tables {
		b.e.kv.advance(t, t.n+rows)
	}
	return nil
}

// Profile opens an account of where the device's time goes, or closes it; Account reads it.
func (b *Bench) Profile(on bool) error {
	p, ok := b.e.runner.(kernels.Profiler)
	if !ok {
		return errors.New("device " + b.e.opt.Device.Name() + " keeps no account of its time")
	}
	p.Profile(on)
	return nil
}

// Account is what Profile gathered.
func (b *Bench) Account() []kernels.WorkTime {
	if p, ok := b.e.runner.(kernels.Profiler); ok {
		return p.Account()
	}
	return nil
}

// CacheBytes is what a row at position depth reads of keys and values.
func (e *Engine) CacheBytes(depth int) int64 {
	total := int64(0)
	for g, group := range e.Program.Groups {
		seen := depth
		if group.Window > 0 {
			seen = min(seen, group.Window)
		}
		total += int64(e.runner.PageBytes(g)) * int64(seen) / kernels.PageSize
	}
	return total
}
