package host

import (
	"errors"
	"fmt"
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
	if s.constraints != nil {
		if over, again, err := e.settle(s); over != "" || again || err != nil {
			return over, err
		}
	}
	var likeliest []Logprob
	var lse float64
	if k := s.req.Logprobs; k > 0 { // before constraints change the row
		likeliest, lse = topLogprobs(logits, k)
	}
	if s.req.OnLogits != nil {
		s.req.OnLogits(logits)
	}
	if s.req.Observe != nil {
		s.chain.Observe(s.req.Observe)
		defer s.chain.Observe(nil)
	}
	if s.constraints != nil {
		if err := s.constraints.mask(logits, len(s.tokens)); err != nil {
			return "", err
		}
	}
	row := plugin.Row{
		Logits: logits, Seq: s.id, Seed: s.req.Seed, Draw: &s.draw, Pos: len(s.tokens), NPrompt: s.nPrompt(), History: s.tokens, Params: s.params,
	}
	if k := s.req.Chances; k > 0 {
		s.chances.Want = k
		row.Chances = &s.chances
	}
	id, err := s.chain.Sample(s.ctx, &row)
	if s.ctx.Err() != nil {
		return "cancelled", nil
	}
	if err != nil {
		return "", err
	}
	if s.first.IsZero() {
		s.first = time.Now()
		s.result.Timings.ToFirstToken = s.first.Sub(s.started)
	}
	switch {
	case id == plugin.Stop && s.constraints != nil && !s.constraints.mayEnd(e.Vocab.EOG):
		return "", errors.New("the sampler chain ends the answer where its constraint does not let it end")
	case id == plugin.Stop:
		return "stop", nil
	case s.constraints != nil && logits[id] == forbidden:
		return "", fmt.Errorf("the sampler chain picks the token %d, which a constraint forbids", id)
	}
	if err := s.addChances(); err != nil {
		return "", err
	}
	if s.req.Logprobs > 0 {
		s.result.Logprobs = append(s.result.Logprobs, likeliest)
		s.result.TokenLogprobs = append(s.result.TokenLogprobs, float64(logits[id])-lse)
	}
	return e.keep(s, uint32(id))
}

// addChances reports the probabilities that the next token was picked by.
func (s *sequence) addChances() error {
	switch {
	case s.req.Chances == 0:
		return nil
	case !s.chances.Told:
		return errors.New("the sampler that picks the token does not tell the probabilities that it picks by: it has to support logprobs and be granted it in plugins.toml")
	}
	c := Chances{Logprob: float64(s.chances.Logprob)}
	for _, one := range s.chances.Top {
		c.Top = append(c.Top, Logprob{one.ID, float64(one.Logprob)})
	}
	s.result.Chances = append(s.result.Chances, c)
	return nil
}

// keep adds a token to a sequence; over says why the sequence ends with it, if it does. A request that is cancelled
// meanwhile has the token whole.
func (e *Engine) keep(s *sequence, token uint32) (over string, err error) {
	c := s.constraints
	if c != nil {
		c.places = append(c.places, textPlace{s.text.Len() + len(s.held), s.decode})
	}
	s.tokens = append(s.tokens, token)
	if s.req.OnToken != nil {
		s.req.OnToken(Pick{ID: token, Pos: len(s.tokens) - 1, From: s.drawn, To: s.draw})
	}
	s.drawn = s.draw
	if err := s.chain.Accept(s.always, s.id, token); err != nil {
		return "", err
	}
	if c != nil {
		for i := range c.uses {
			if err := c.uses[i].of.Accept(s.always, s.id, token); err != nil {
				return "", err
			}
		}
	}
	if e.Vocab.Ends(token) && !s.req.IgnoreEOS {
		return "stop", nil
	}
	if s.piece, err = e.tok.Decode(s.always, s.piece[:0], s.tokens[len(s.tokens)-1:], &s.decode, e.decodeFlags(s)); err != nil {
		return "", err
	}
	s.held = append(s.held, s.piece...)
	if c != nil {
		c.unsure += len(s.piece)
	}
	if over = e.ends(s); over == "" {
		s.show(false)
		return "", nil
	}
	if again, err := e.settleLast(s); again || err != nil {
		return "", err
	}
	s.show(over == stopText)
	return over, nil
}

// stopText is why a sequence ended at one of its stop texts.
const stopText = "stop text"

// ends tells why a sequence ends with its last token, "" if it does not.
func (e *Engine) ends(s *sequence) string {
	n := len(s.tokens) - s.nPrompt()
	switch {
	case firstStop(s.held, s.req.Stop) >= 0:
		return stopText
	case s.req.MaxTokens >= 0 && n >= s.req.MaxTokens, len(s.tokens) >= e.NCtx:
		return "length"
	}
	return ""
}
