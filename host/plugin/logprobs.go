package plugin

import (
	"fmt"
	"math"

	"forge/abi"
)

// MaxTop is the most candidates that a row's Chances can list.
const MaxTop = 128

// Chances are the probabilities that a token was picked by, as the sampler that picked it tells them: after everything
// that came before it in the chain, where the model's own are those of the logits.
type Chances struct {
	Want    int     // candidates to list beside the token picked, 1 to MaxTop
	Told    bool    // the sampler that picked is granted logprobs and told them; the rest is 0 if it is not
	Logprob float32 // of the token picked: natural logarithm, at most 0
	Top     []Chance
}

// Chance is one candidate. The most probable come first, the one that was picked among them if it is one of those.
type Chance struct {
	ID      uint32
	Logprob float32
}

// Rounding that a guest's logarithms and their sum are allowed.
const (
	logSlack = 1e-4
	sumSlack = 1e-2
)

// tells says whether the entries of a unit's instance tell the probabilities that they pick by.
func (u *unit) tells(in *instance) bool { return u.top != 0 && in.caps&abi.CapLogprobs != 0 }

// askChances has the guest tell the chances of a row, if it is wanted and the guest does.
func (u *unit) askChances(in *instance, r abi.Row, c *Chances) {
	if c == nil || c.Want < 1 || !u.tells(in) {
		return
	}
	r.SetTop(in.base + u.top)
	r.SetTopCap(uint32(min(c.Want, MaxTop)))
}

// readChances reads what a guest told about its pick, and says what is wrong with it.
func (u *unit) readChances(in *instance, r abi.Row, c *Chances) string {
	if c == nil {
		return ""
	}
	c.Told, c.Logprob, c.Top = false, 0, c.Top[:0]
	if c.Want < 1 || !u.tells(in) {
		return ""
	}
	// Not what the record says of room, which was the guest's to change.
	n, room := r.NTop(), uint32(min(c.Want, MaxTop))
	if n > room {
		return fmt.Sprintf("tells the chances of %d candidates, there was room for %d", n, room)
	}
	var ok bool
	if c.Logprob, ok = logProbability(r.Logprob()); !ok {
		return fmt.Sprintf("gives its pick the log probability %v", r.Logprob())
	}
	sum, last := 0.0, float32(0)
	for i := range n {
		b := abi.Logprob(in.at(u.top+i*abi.LogprobSize, abi.LogprobSize))
		one := Chance{ID: b.ID()}
		if one.Logprob, ok = logProbability(b.Logprob()); !ok {
			return fmt.Sprintf("gives candidate %d of the most probable the log probability %v", i, b.Logprob())
		}
		switch {
		case one.ID >= uint32(u.chain.nVocab):
			return fmt.Sprintf("tells the chance of the id %d, the vocabulary has %d", one.ID, u.chain.nVocab)
		case i > 0 && one.Logprob > last+logSlack:
			return fmt.Sprintf("lists candidate %d with the log probability %v behind one with %v", i, one.Logprob, last)
		}
		for _, earlier := range c.Top {
			if earlier.ID == one.ID {
				return fmt.Sprintf("tells the chance of the id %d twice", one.ID)
			}
		}
		c.Top = append(c.Top, one)
		last = one.Logprob
		sum += math.Exp(float64(one.Logprob))
	}
	if sum > 1+sumSlack {
		return fmt.Sprintf("tells chances that add up to %.3f", sum)
	}
	c.Told = true
	return ""
}

// logProbability takes the rounding off a logarithm; ok is false where it is none of a probability above 0.
func logProbability(x float32) (float32, bool) {
	if !(x <= logSlack && x >= -math.MaxFloat32) {
		return 0, false
	}
	return min(x, 0), true
}
