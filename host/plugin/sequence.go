package plugin

import (
	"context"
	"fmt"
	"slices"

	"forge/abi"
)

// sequence is what the host knows of a sequence, and so can tell a guest.
type sequence struct {
	id      uint64
	in      *instance // that was told all of it, nil if none was
	params  []value
	tokens  []uint32 // accepted and not rolled back, prompt first
	nPrompt int
}

// known tells whether the sequence's instance is fit for calls about it.
func (s *sequence) known() bool { return s.in != nil && !s.in.dead }

func (g *tenant) stateError(id uint64, format string, args ...any) error {
	return &Error{Plugin: g.m.spec.Name, Call: fmt.Sprintf("sequence %d", id), Status: abi.StatusErrState,
		Why: fmt.Sprintf(format, args...)}
}

// of gives a sequence with an instance that knows it.
func (g *tenant) of(ctx context.Context, id uint64) (*sequence, error) {
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	s := g.seqs[id]
	switch {
	case s == nil:
		return nil, g.stateError(id, "was not begun")
	case !g.stateful():
		s.in = g.main
	case !s.known():
		if err := g.tell(ctx, s, g.main); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// tell makes an instance know a sequence: from its beginning, with settings and tokens.
func (g *tenant) tell(ctx context.Context, s *sequence, main *instance) (err error) {
	in := main
	if s.in != nil && s.in != main {
		s.in.discard()
	}
	s.in = nil
	if g.image() {
		if in, err = g.clone(ctx, main); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				in.discard()
			}
		}()
	}
	if err := g.life(ctx, in, in.life.begin, s, func(f abi.Seq) { g.putParams(in, f, s.params) }); err != nil {
		return err
	}
	s.in = in
	err = g.accept(ctx, in, s, 0, s.nPrompt, true)
	if err == nil {
		err = g.accept(ctx, in, s, s.nPrompt, len(s.tokens), false)
	}
	if err != nil {
		g.forget(ctx, s)
	}
	return err
}

// putParams writes a sequence's settings for forge_begin and forge_load.
func (g *tenant) putParams(in *instance, f abi.Seq, params []value) {
	in.rows.clear() // they lie there
	in.putSlots(g.params, g.strings, params)
	f.SetParams(in.base+g.params, uint32(len(params)))
}

// accept tells an instance the tokens from .. to-1 of a sequence, in as many calls as their window wants.
func (g *tenant) accept(ctx context.Context, in *instance, s *sequence, from, to int, prompt bool) error {
	if in.life.accept.fn == nil {
		return nil
	}
	for at := from; at < to; {
		n := min(to-at, tokenRoom)
		copy(in.at(g.tokens, 4*uint32(n)), bytesOf(s.tokens[at:at+n]))
		err := g.life(ctx, in, in.life.accept, s, func(f abi.Seq) {
			f.SetTokens(in.base+g.tokens, uint32(n))
			f.SetCount(uint32(n))
			f.SetPos(uint32(at))
			if prompt {
				f.SetFlags(uint32(abi.SeqFlagPrompt))
			}
		})
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// life calls one of the exports about sequences, if the guest has it; fill completes the frame.
func (g *tenant) life(ctx context.Context, in *instance, e export, s *sequence, fill func(abi.Seq)) error {
	if e.fn == nil {
		return nil
	}
	f := abi.Seq(in.frame(abi.SeqSize))
	f.SetSeq(s.id)
	f.SetPos(uint32(len(s.tokens)))
	budget := g.m.budget(0)
	if fill != nil {
		fill(f)
		_, n := f.Params()
		budget = g.m.budget(int(f.Count()))
		if n > 0 || e == in.life.begin {
			budget = g.m.beginBudget(s.params)
		}
	}
	status, err := in.call(ctx, e, budget)
	if err == nil && status != abi.StatusOk {
		err = in.fault(e.name, status, "returned the status %s", status)
	}
	return err
}

// begin starts a sequence; one of the same number ends.
func (g *tenant) begin(ctx context.Context, id uint64, params []value) error {
	if err := g.ready(ctx); err != nil {
		return err
	}
	if g.seqs[id] != nil {
		if err := g.end(ctx, id); err != nil {
			return err
		}
	}
	s := &sequence{id: id, params: params}
	if g.stateful() {
		if err := g.tell(ctx, s, g.main); err != nil {
			return err
		}
	}
	g.seqs[id] = s
	return nil
}

// add appends tokens to a sequence. An instance that does not know the sequence hears of them with the rest of it.
func (g *tenant) add(ctx context.Context, id uint64, tokens []uint32, prompt bool) error {
	s := g.seqs[id]
	switch {
	case s == nil:
		return g.stateError(id, "was not begun")
	case prompt && s.nPrompt < len(s.tokens):
		return g.stateError(id, "has picked tokens, the prompt stands before them")
	}
	from := len(s.tokens)
	s.tokens = append(s.tokens, tokens...)
	if prompt {
		s.nPrompt = len(s.tokens)
	}
	if !g.stateful() || !s.known() {
		return nil
	}
	err := g.accept(ctx, s.in, s, from, len(s.tokens), prompt)
	if err != nil {
		g.forget(ctx, s)
	}
	return err
}

// rollback takes the newest n tokens back.
func (g *tenant) rollback(ctx context.Context, id uint64, n int) error {
	s := g.seqs[id]
	switch {
	case s == nil:
		return g.stateError(id, "was not begun")
	case n < 0 || n > len(s.tokens):
		return g.stateError(id, "has %d tokens, %d cannot be taken back", len(s.tokens), n)
	case n == 0:
		return nil
	}
	was := len(s.tokens)
	s.tokens = s.tokens[:was-n]
	s.nPrompt = min(s.nPrompt, len(s.tokens))
	if !g.stateful() || !s.known() {
		return nil
	}
	if in := s.in; in.life.rollback.fn != nil {
		err := g.life(ctx, in, in.life.rollback, s, func(f abi.Seq) {
			f.SetCount(uint32(n))
			f.SetPos(uint32(was))
		})
		if err == nil || in.dead {
			return err
		}
	}
	g.forget(ctx, s) // to be told again without them
	return nil
}

// forget makes a sequence unknown to its instance.
func (g *tenant) forget(ctx context.Context, s *sequence) {
	if s.known() {
		if g.image() {
			s.in.discard()
		} else if err := g.life(ctx, s.in, s.in.life.end, s, nil); err != nil && !s.in.dead {
			s.in.discard() // it does not let go: the others are told to a new one
		}
	}
	s.in = nil
}

// fork starts a sequence as a copy of another.
func (g *tenant) fork(ctx context.Context, id, parent uint64) error {
	p := g.seqs[parent]
	if p == nil {
		return g.stateError(parent, "was not begun")
	}
	if g.seqs[id] != nil {
		return g.stateError(id, "was begun already")
	}
	s := &sequence{id: id, params: p.params, tokens: slices.Clone(p.tokens), nPrompt: p.nPrompt}
	if g.stateful() {
		if _, err := g.of(ctx, parent); err != nil {
			return err
		}
		if err := g.copyState(ctx, s, p); err != nil {
			return err
		}
	}
	g.seqs[id] = s
	return nil
}

// copyState makes an instance know a new sequence as it knows its parent.
func (g *tenant) copyState(ctx context.Context, s, parent *sequence) (err error) {
	in := parent.in
	if g.image() {
		s.in, err = g.clone(ctx, in)
		return err
	}
	if in.life.fork.fn != nil {
		err := g.life(ctx, in, in.life.fork, s, func(f abi.Seq) { f.SetParent(parent.id) })
		if err == nil {
			s.in = in
		}
		if err == nil || in.dead {
			return err
		}
	}
	return g.tell(ctx, s, in)
}

// end forgets a sequence.
func (g *tenant) end(ctx context.Context, id uint64) error {
	s := g.seqs[id]
	if s == nil {
		return nil
	}
	delete(g.seqs, id)
	if !s.known() || !g.stateful() {
		return nil
	}
	if g.image() {
		s.in.discard()
		return nil
	}
	return g.life(ctx, s.in, s.in.life.end, s, nil)
}
