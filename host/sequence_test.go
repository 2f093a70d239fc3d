package host

import (
	"math"
	"testing"
)

// Ensure that text before a stop text comes out, the stop text never, and what may begin one is held back.
func TestEmit_StopTexts(t *testing.T) {
	for _, c := range []struct {
		stops  []string
		pieces []string
		want   string
		stop   bool
	}{
		{nil, []string{"a", "b"}, "ab", false},
		{[]string{"END"}, []string{"one E", "N", "D two"}, "one ", true},
		{[]string{"END"}, []string{"one E", "N", "E"}, "one ENE", false},
		{[]string{"\n\n", "User:"}, []string{"x\n", "User", ":"}, "x\n", true},
		{[]string{"aab"}, []string{"aa", "ab"}, "a", true},
	} {
		var out []byte
		s := &sequence{req: &Request{Stop: c.stops, OnText: func(b []byte) { out = append(out, b...) }}}
		stopped := false
		for _, p := range c.pieces {
			if stopped {
				break
			}
			s.held = append(s.held, p...)
			stopped = firstStop(s.held, c.stops) >= 0
			s.show(false)
		}
		if !stopped {
			s.showRest()
		}
		if string(out) != c.want || stopped != c.stop || s.text.String() != c.want {
			t.Errorf("%q stops %q: got %q %v, want %q %v", c.pieces, c.stops, out, stopped, c.want, c.stop)
		}
	}
}

// Ensure that log probabilities are a log softmax, best first, equal ones by id.
func TestTopLogprobs(t *testing.T) {
	got, _ := topLogprobs([]float32{1, 3, float32(math.Inf(-1)), 3, 2}, 3)
	z := math.Log(math.Exp(1) + 2*math.Exp(3) + math.Exp(2))
	want := []Logprob{{1, 3 - z}, {3, 3 - z}, {4, 2 - z}}
	for i := range want {
		if got[i].ID != want[i].ID || math.Abs(got[i].Logprob-want[i].Logprob) > 1e-12 {
			t.Errorf("entry %d is %v, want %v", i, got[i], want[i])
		}
	}
}
