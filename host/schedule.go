package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"forge/host/plugin"
	"forge/kernels"
)

// Generate runs a request to its end. Requests from several goroutines share the steps, up to Options.NSeq at once.
// When ctx is cancelled the answer so far is returned with Finish "cancelled".
func (e *Engine) Generate(ctx context.Context, req *Request) (*Result, error) {
	n := len(req.Prompt)
	if n == 0 {
		return nil, errors.New("the prompt is empty: there is nothing to continue (this model's vocabulary adds no BOS token; give at least one character)")
	}
	if n >= e.NCtx {
		return nil, fmt.Errorf("the prompt is %d tokens long, the context holds %d: raise -c to at least %d or shorten the prompt", n, e.NCtx, n+1)
	}
	for _, t := range req.Prompt {
		if int(t) >= e.NVocab {
			return nil, fmt.Errorf("token id %d is not in the vocabulary of %d tokens", t, e.NVocab)
		}
	}
	entries := req.Samplers
	if entries == nil {
		entries = e.DefaultChain()
	}
	chain, err := e.chain(ctx, entries)
	if err != nil {
		return nil, err
	}
	chosen, settings, err := e.modules.constraintSettings(req)
	if err != nil {
		return nil, err
	}
	params, err := chain.Params(settings)
	if err != nil {
		return nil, err
	}
	if params.WantsVocab() {
		e.pieces() // here, so that the loop need not wait for them
	}
	s := &sequence{ctx: ctx, always: context.WithoutCancel(ctx), req: req, chain: chain, params: params, id: e.nextSeq.Add(1), started: time.Now(), done: make(chan error, 1)}
	s.tokens = make([]uint32, n, n+max(req.MaxTokens, 0))
	copy(s.tokens, req.Prompt)
	if n > 1 {
		// The answer continues the prompt: a blank in front of it belongs to it.
		s.decode = plugin.MidText()
	}
	// A grammar is read here, so that the loop need not wait for it.
	defer s.release()
	if err := e.constrain(ctx, s, chosen); err != nil {
		return nil, err
	}
	select {
	case e.submit <- s:
	case <-e.stop:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := <-s.done; err != nil {
		return nil, err
	}
	return &s.result, nil
}

var errClosed = errors.New("the engine is closed")

// exclusive runs f between two steps.
func (e *Engine) exclusive(f func()) error {
	done := make(chan struct{})
	select {
	case e.jobs <- func() { f(); close(done) }:
		<-done
		return nil
	case <-e.stop:
		return errClosed
	}
}

// loop owns the runner, the cache and the chains: every step is made here.
func (e *Engine) loop() {
	defer close(e.ended)
	var running, waiting []*sequence
	for {
		if len(running) == 0 && len(waiting) == 0 {
			select {
			case s := <-e.submit:
				waiting = append(waiting, s)
			case f := <-e.jobs:
				f()
				continue
			case <-e.stop:
				return
			}
		}
	drain:
		for {
			select {
			case s := <-e.submit:
				waiting = append(waiting, s)
			case f := <-e.jobs:
				f()
			case <-e.stop:
				for _, s := range append(running, waiting...) {
					s.done <- errClosed
				}
				return
			default:
				break drain
			}
		}
		for len(waiting) > 0 && len(running) < e.opt.NSeq {
			s := waiting[0]
			waiting = waiting[1:]
			if err := e.admit(s); err != nil {
				s.done <- err
				continue
			}
			running = append(running, s)
		}
		running = slices.DeleteFunc(running, func(s *sequence) bool {
			if s.ctx.Err() != nil {
				e.finish(s, "cancelled", nil)
				return true
			}
			return false
		})
		if len(running) == 0 {
			continue
		}
		running = e.step(running)
	}
}

// admit gives a sequence its page tables: a session's, cut back to the common beginning, or new ones.
func (e *Engine) admit(s *sequence) error {
	if ses := s.req.Session; ses != nil && ses.tables != nil {
		s.tables, ses.tables = ses.tables, nil
		common := 0
		// The last prompt token is computed again in any case: its logits are wanted.
		for common < min(len(ses.tokens), s.tables.n, len(s.tokens)-1) && ses.tokens[common] == s.tokens[common] {
			common++
		}
		if !e.kv.canTruncate(s.tables, common) || e.routing.stateful() {
			common = 0 // a router that keeps count must see every row
		}
		e.kv.truncate(s.tables, common)
	} else {
		s.tables = e.kv.newTables()
	}
	if err := e.routing.start(s.ctx, s.id); err != nil {
		return err
	}
	if err := s.chain.Begin(s.ctx, s.id, s.params); err != nil {
		return err
	}
	return s.chain.AcceptPrompt(s.ctx, s.id, s.tokens...)
}

// finish answers a sequence's request and gives its pages back, or to the session.
func (e *Engine) finish(s *sequence, reason string, err error) {
	if cause := s.ctx.Err(); cause != nil && errors.Is(err, cause) {
		reason, err = "cancelled", nil // amid a guest's call rather than between two steps: the answer so far counts
	}
	if err == nil && reason == "cancelled" {
		_, err = e.settleLast(s) // what has to be taken back is, and the rest is shown
	}
	if err == nil && reason != stopText {
		if s.piece, err = e.tok.Decode(s.always, s.piece[:0], nil, &s.decode, e.decodeFlags(s)|plugin.Last); err == nil {
			s.held = append(s.held, s.piece...)
			s.showRest()
		}
	}
	if err := s.chain.End(s.always, s.id); err != nil && reason == "" {
		reason = "stop"
	}
	if err := e.routing.end(s.always, s.id); err != nil && reason == "" {
		reason = "stop"
	}
	if reason == stopText {
		reason = "stop"
	}
	if ses := s.req.Session; ses != nil && err == nil {
		ses.tables, ses.tokens = s.tables, s.tokens
	} else {
		e.kv.truncate(s.tables, 0)
	}
	now := time.Now()
	s.result.Text, s.result.Finish = s.text.String(), reason
	s.result.Tokens = s.tokens[s.nPrompt():]
	s.result.Prompt = s.req.Prompt
	t := &s.result.Timings
	if n := len(s.result.Tokens); n > 1 {
		t.DecodeTokens, t.DecodeTime = n-1, now.Sub(s.first)
	}
	s.done <- err
}

// CloseSession gives a session's pages back.
func (e *Engine) CloseSession(ses *Session) error {
	return e.exclusive(func() {
		if ses.tables != nil {
			e.kv.truncate(ses.tables, 0)
			ses.tables, ses.tokens = nil, nil
		}
	})
}

// compose fills the batch: a row of every sequence that decodes, then as much prompt as fits.
func (e *Engine) compose(running []*sequence) []*sequence {
	b := &e.batch
	b.Rows, b.Seqs, e.seqIDs = b.Rows[:0], b.Seqs[:0], e.seqIDs[:0]
	var in []*sequence
	add := func(s *sequence, n int) {
		err := e.kv.extend(s.tables, s.tables.n+n)
		if err != nil {
			s.rows = -1
			e.finish(s, "", err)
			return
		}
		s.index, s.rows = int32(len(b.Seqs)), n
		b.Seqs, e.seqIDs = append(b.Seqs, kernels.Seq{Pages: s.tables.pages}), append(e.seqIDs, s.id)
		for i := range n {
			pos := s.tables.n + i
			b.Rows = append(b.Rows, kernels.Row{Seq: s.index, Pos: int32(pos), Token: int32(s.tokens[pos]), Want: pos == len(s.tokens)-1})
		}
		in = append(in, s)
	}
	for _, s := range running {
		if s.rows = 0; len(s.tokens)-s.tables.n == 1 {
			add(s, 1)
		}
	}
	for _, s := range running {
		if n := min(len(s.tokens)-s.tables.n, e.NBatch-len(b.Rows)); s.rows == 0 && n > 0 {
			add(s, n)
		}
	}
	return in
}

// step computes one batch, samples where a token is due, and returns the sequences that go on.
func (e *Engine) step(running []*sequence) []*sequence {
	in := e.compose(running)
	if len(in) == 0 {
		return slices.DeleteFunc(running, func(s *sequence) bool { return s.rows == -1 })
	}
	began := time.Now()
	wait := askMasks(in) // while the device computes
	logits, err := e.compute(&e.batch, e.seqIDs)
	wait()
	if err != nil {
		for _, s := range in {
			s.rows = -1
			e.finish(s, "", fmt.Errorf("device %s: %w", e.opt.Device.Name(), err))
		}
		return slices.DeleteFunc(running, func(s *sequence) bool { return s.rows == -1 })
	}
	row := 0
	for _, s := range in {
		s.result.Timings.SequencesPeak = max(s.result.Timings.SequencesPeak, len(in))
		e.kv.advance(s.tables, s.tables.n+s.rows)
		if s.first.IsZero() {
			s.result.Timings.PromptTokens += s.rows
			s.result.Timings.PromptTime += time.Since(began)
		}
		over, err := "", e.routing.failed[int(s.index)]
		if s.tables.n == len(s.tokens) {
			if err == nil {
				over, err = e.sample(s, logits[row*e.NVocab:(row+1)*e.NVocab])
			}
			row++
		}
		if err != nil || over != "" {
			s.rows = -1
			e.finish(s, over, err)
		}
	}
	return slices.DeleteFunc(running, func(s *sequence) bool { return s.rows == -1 })
}
