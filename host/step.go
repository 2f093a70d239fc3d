package host

import (
	"time"

	"forge/host/plugin"
)

func (e *Engine) decodeFlags(s *sequence) plugin.DecodeFlags {
	if s.req.KeepSpecial {
		return 0
	}
	return plugin.SkipSpecial
}

// sample takes one token from a row through the sequence's chain; over says why the sequence ends here, if it does.
func (e *Engine) sample(s *sequence, logits []float32) (over string, err error) {
	if k := s.req.Logprobs; k > 0 {
		s.result.Logprobs = append(s.result.Logprobs, topLogprobs(logits, k))
	}
	if s.req.OnLogits != nil {
		s.req.OnLogits(logits)
	}
	if s.req.Observe != nil {
		s.chain.Observe(s.req.Observe)
		defer s.chain.Observe(nil)
	}
	row := plugin.Row{
		Logits: logits, Seq: s.id, Seed: s.req.Seed, Draw: &s.draw, Pos: len(s.tokens), NPrompt: s.nPrompt(), History: s.tokens, Params: s.params,
	}
	from := s.draw
	id, err := s.chain.Sample(s.ctx, &row)
	if err != nil {
		return "", err
	}
	if s.first.IsZero() {
		s.first = time.Now()
		s.result.Timings.ToFirstToken = s.first.Sub(s.started)
	}
	if id == plugin.Stop {
		return "stop", nil
	}
	token := uint32(id)
	s.tokens = append(s.tokens, token)
	if s.req.OnToken != nil {
		s.req.OnToken(token, from, s.draw)
	}
	if err := s.chain.Accept(s.ctx, s.id, token); err != nil {
		return "", err
	}
	if e.Vocab.Ends(token) && !s.req.IgnoreEOS {
		return "stop", nil
	}
	if s.piece, err = e.tok.Decode(s.ctx, s.piece[:0], s.tokens[len(s.tokens)-1:], &s.decode, e.decodeFlags(s)); err != nil {
		return "", err
	}
	if s.emit(s.piece, false) {
		return "stop text", nil
	}
	if n := len(s.tokens) - s.nPrompt(); s.req.MaxTokens >= 0 && n >= s.req.MaxTokens {
		return "length", nil
	}
	if len(s.tokens) >= e.NCtx {
		return "length", nil
	}
	return "", nil
}
