package author

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"forge/abi"
	"forge/host/plugin"
)

// walker is a sequence under a constraint, and its tokens.
type walker struct {
	s       *session
	set     *constrained
	c       *plugin.Constraint
	v       *plugin.Vocab
	seq     uint64
	tokens  []uint32
	refused map[string]bool // tokens that were taken back, by the place where they stood
	row     [1]plugin.MaskRow
}

// begin starts a sequence. A guest that refuses the settings says so in the error.
func (s *session) begin(set *constrained, seq uint64) (*walker, error) {
	c, err := s.constraint(set.vocab)
	if err != nil {
		return nil, err
	}
	settings, err := s.mod.Settings(set.settings)
	if err != nil {
		return nil, err
	}
	w := &walker{s: s, set: set, c: c, v: set.vocab.Vocab, seq: seq, refused: map[string]bool{}}
	w.row[0] = plugin.MaskRow{Seq: seq, Mask: make([]uint32, (w.v.N+31)/32)}
	return w, c.Begin(s.ctx, seq, settings)
}

func (w *walker) end() error { return w.c.End(w.s.ctx, w.seq) }

// answer is what a constraint says of a place: comparable, and with the tokens that it allows.
type answer struct {
	text    string
	dead    bool // nothing may follow
	stop    bool
	rewind  int
	allowed func(id uint32) bool
}

// ask asks what may follow the drafts. A place where nothing may follow is an answer too.
func (w *walker) ask(drafts ...uint32) (*answer, error) {
	r := &w.row[0]
	r.Drafts = drafts
	if err := w.c.Mask(w.s.ctx, w.row[:]); err != nil {
		return nil, w.s.fault(err)
	}
	if r.Err != nil {
		outcome, err := w.s.settled("", r.Err)
		return &answer{text: outcome, dead: true, allowed: func(uint32) bool { return false }}, err
	}
	a := &answer{stop: r.Result == abi.MaskResultStop, rewind: r.Rewind, text: fmt.Sprint(r.Result, r.Hold, r.Rewind)}
	switch r.Result {
	case abi.MaskResultMask:
		mask := slices.Clone(r.Mask)
		a.text += digest(mask)
		a.allowed = func(id uint32) bool { return mask[id/32]>>(id%32)&1 == 1 }
	case abi.MaskResultAll:
		a.allowed = func(uint32) bool { return true }
	case abi.MaskResultForced:
		first := r.Forced[0]
		a.text += digest(r.Forced)
		a.allowed = func(id uint32) bool { return id == first }
	default:
		a.allowed = func(uint32) bool { return false }
	}
	return a, nil
}

// place says where a walk stands, for messages.
func (w *walker) place() string {
	if len(w.tokens) == 0 {
		return "at the beginning"
	}
	var text []byte
	i := uint32(0)
	pieces := map[uint32]string{}
	for p := range w.v.Pieces {
		pieces[i] = string(p)
		i++
	}
	for _, id := range w.tokens {
		text = append(text, pieces[id]...)
	}
	return fmt.Sprintf("behind %s (tokens %v)", quote(text), w.tokens[max(0, len(w.tokens)-8):])
}

func (w *walker) key(id uint32) string { return fmt.Sprint(w.tokens, id) }

// pick chooses an allowed token at random; half of the time one that may end things. False where there is none.
func (w *walker) pick(rng *rand.Rand, a *answer) (uint32, bool) {
	var list, closing []uint32
	id := uint32(0)
	for piece := range w.v.Pieces {
		if a.allowed(id) && (len(w.refused) == 0 || !w.refused[w.key(id)]) && !slices.Contains(w.v.EOG, id) {
			list = append(list, id)
			if len(piece) == 1 && strings.ContainsRune("\"}])\n. ", rune(piece[0])) {
				closing = append(closing, id)
			}
		}
		id++
	}
	if len(closing) > 0 && rng.IntN(2) == 0 {
		list = closing
	}
	if len(list) == 0 {
		return 0, false
	}
	return list[rng.IntN(len(list))], true
}

// accept adds a token that is allowed.
func (w *walker) accept(id uint32) error {
	if err := w.c.Accept(w.s.ctx, w.seq, id); err != nil {
		if e := w.s.refusal(err); e != nil {
			return &Fault{w.place(), fmt.Sprintf("the token %d is allowed, and then refused: %s", id, e.Why), "what the mask allows to be accepted"}
		}
		return at(w.place(), w.s.fault(err))
	}
	w.tokens = append(w.tokens, id)
	return nil
}

// step does what the answer says: false at an end of the walk.
func (w *walker) step(rng *rand.Rand, a *answer) (bool, error) {
	switch {
	case a.dead || a.stop:
		return false, nil
	case a.rewind > 0:
		n := len(w.tokens) - a.rewind
		first := w.tokens[n]
		if err := w.c.Rollback(w.s.ctx, w.seq, a.rewind); err != nil {
			return false, at(w.place(), w.s.fault(err))
		}
		w.tokens = w.tokens[:n]
		w.refused[w.key(first)] = true
		return true, nil
	}
	id, ok := w.pick(rng, a)
	if !ok {
		return false, nil
	}
	return true, w.accept(id)
}

// walk goes up to n steps at random and calls at every place what is to be done there.
func (w *walker) walk(rng *rand.Rand, n int, there func(a *answer) error) error {
	for range n {
		a, err := w.ask()
		if err != nil {
			return at(w.place(), err)
		}
		if err := there(a); err != nil {
			return at(w.place(), err)
		}
		on, err := w.step(rng, a)
		if err != nil || !on {
			return err
		}
	}
	return nil
}

// eachWalk runs f with a sequence of every vocabulary and settings that are taken.
func (s *session) eachWalk(check string, f func(w *walker, rng *rand.Rand) error) error {
	sets, err := s.constraintSets()
	if err != nil {
		return err
	}
	for _, set := range sets {
		w, err := s.begin(&set, 1)
		if s.refusal(err) != nil {
			continue
		}
		if err == nil {
			err = f(w, s.random(check+set.name))
		}
		if err == nil {
			err = w.end()
		}
		if err != nil {
			return at(set.name, s.fault(err))
		}
	}
	return nil
}

// fork makes a copy of a walk as another sequence.
func (w *walker) fork(seq uint64) (*walker, error) {
	f := *w
	f.seq, f.tokens = seq, slices.Clone(w.tokens)
	f.row[0] = plugin.MaskRow{Seq: seq, Mask: make([]uint32, len(w.row[0].Mask))}
	return &f, w.c.Fork(w.s.ctx, seq, w.seq)
}

// some gives a few tokens that are allowed, or that are not.
func (w *walker) some(rng *rand.Rand, a *answer, allowed bool, n int) []uint32 {
	var list []uint32
	for id := range uint32(w.v.N) {
		if a.allowed(id) == allowed {
			list = append(list, id)
		}
	}
	rng.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	return list[:min(n, len(list))]
}
