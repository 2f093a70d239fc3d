package plugin

import (
	"context"
	"fmt"

	"forge/abi"
)

// knows tells whether a guest with state has some for a sequence.
func (u *unit) knows(seq uint64) error {
	if u.seqs == nil {
		return nil
	}
	if _, ok := u.seqs[seq]; ok {
		return nil
	}
	if u.remade {
		return &Error{Plugin: u.m.spec.Name, Call: fmt.Sprintf("sequence %d", seq), Status: abi.StatusErrState,
			Why: "lost its state when the plugin was started anew after a fault: begin the sequence again"}
	}
	return &Error{Plugin: u.m.spec.Name, Call: fmt.Sprintf("sequence %d", seq), Status: abi.StatusErrState, Why: "was not begun"}
}

// Begin tells the guests that a sequence starts.
func (c *Chain) Begin(ctx context.Context, seq uint64) error {
	return c.each(ctx, func(u *unit) error {
		if err := u.sequence(ctx, u.begin, seq, 0, 0, nil); err != nil {
			return err
		}
		if u.seqs != nil {
			u.seqs[seq] = struct{}{}
		}
		return nil
	})
}

// Accept tells the guests which tokens were kept, prompt tokens included.
func (c *Chain) Accept(ctx context.Context, seq uint64, tokens ...uint32) error {
	return c.each(ctx, func(u *unit) error {
		if err := u.knows(seq); err != nil || u.accept.fn == nil {
			return err
		}
		// The ids' window carries the tokens, in pieces if they are more than a vocabulary.
		for rest := tokens; len(rest) > 0; {
			n := min(len(rest), c.nVocab)
			if err := u.sequence(ctx, u.accept, seq, 0, n, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// Rollback tells the guests that the last n tokens are taken back.
func (c *Chain) Rollback(ctx context.Context, seq uint64, n int) error {
	return c.each(ctx, func(u *unit) error {
		if err := u.knows(seq); err != nil {
			return err
		}
		return u.sequence(ctx, u.back, seq, 0, n, nil)
	})
}

// Fork tells the guests that a sequence starts as a copy of its parent.
func (c *Chain) Fork(ctx context.Context, seq, parent uint64) error {
	return c.each(ctx, func(u *unit) error {
		if err := u.knows(parent); err != nil {
			return err
		}
		if err := u.sequence(ctx, u.fork, seq, parent, 0, nil); err != nil {
			return err
		}
		if u.seqs != nil {
			u.seqs[seq] = struct{}{}
		}
		return nil
	})
}

// End tells the guests that a sequence is over.
func (c *Chain) End(ctx context.Context, seq uint64) error {
	return c.each(ctx, func(u *unit) error {
		if u.knows(seq) != nil {
			return nil
		}
		delete(u.seqs, seq)
		return u.sequence(ctx, u.end, seq, 0, 0, nil)
	})
}

// each calls f for every unit, and gives the first error that the plugin's policy does not pass over.
func (c *Chain) each(ctx context.Context, f func(*unit) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("the sampler chain is closed")
	}
	var first error
	for _, u := range c.units {
		err := u.ready(ctx)
		if err == nil {
			err = f(u)
		}
		if err != nil && first == nil && !u.m.skips(ctx, err) {
			first = err
		}
	}
	return first
}

// sequence calls one of the exports about sequences, if the guest has it.
func (u *unit) sequence(ctx context.Context, e export, seq, parent uint64, n int, tokens []uint32) error {
	if e.fn == nil {
		return nil
	}
	f := abi.Seq(u.in.frame(abi.SeqSize))
	f.SetSeq(seq)
	f.SetParent(parent)
	copy(u.in.at(u.ids, 4*uint32(len(tokens))), bytesOf(tokens))
	f.SetTokens(u.in.base+u.ids, uint32(n))
	f.SetCount(uint32(n))
	status, err := u.in.call(ctx, e, u.m.budget(n))
	if err == nil && status != abi.StatusOk {
		err = u.in.fault(e.name, status, "returned the status %s", status)
	}
	return err
}
