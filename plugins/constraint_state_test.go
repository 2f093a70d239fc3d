package plugins_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"forge/abi"
)

// lifeSettings are what the tests of states run on: with loops, recursion, counts and banned texts.
var lifeSettings = []settings{
	{schema: `{"type":"array","items":{"type":"object","properties":{"a":{"type":"string","maxLength":90},"b":{"type":["integer","null"]}},"required":["b"]}}`},
	{grammar: "root ::= \"(\" root \")\" root | [a-c]{0,70} \"x\"?"},
	{regex: `((ab|c)*d){2,90}`, banned: `["DD","cab"]`},
	{choice: `["abcd","abd","bcd"]`},
	{banned: `["abc","bb"]`},
	{schema: `{}`},
}

// A model of a sequence is what it was told: everything follows from that.
type told struct {
	set    settings
	tokens []uint32
	prompt []bool
}

func (m *told) clone() *told {
	return &told{m.set, slices.Clone(m.tokens), slices.Clone(m.prompt)}
}

// replay tells a fresh sequence all of it.
func (m *told) replay(t *testing.T, c *constrainer, seq uint64) {
	t.Helper()
	if err := c.begin(seq, m.set); err != nil {
		t.Fatal(err)
	}
	for i, id := range m.tokens {
		accept := c.accept
		if m.prompt[i] {
			accept = c.acceptPrompt
		}
		if err := accept(seq, id); err != nil {
			t.Fatal(err)
		}
	}
}

// Ensure that after any accepts, rollbacks, forks, saves and loads a sequence answers as one that was only ever told what
// counts, that asking with drafts changes nothing, and that drafts are judged as the masks after them do.
func TestConstraint_Life(t *testing.T) {
	steps := 3000
	if os.Getenv("FORGE_TEST_ALL") != "" {
		steps = 100000
	}
	c := openConstraint(t, byteVocab("ab", "abc", "aa", "{\"", "\":", "\"a\"", "[{", "}]", "},", "12", "null", "cd", "))", "((", "bbb", "x"), 1<<16)
	fresh := openConstraint(t, c.vocab, 1<<16)
	rng := rand.New(rand.NewPCG(9, 4))
	seqs := map[uint64]*told{}
	begin := func(id uint64) {
		seqs[id] = &told{set: lifeSettings[rng.IntN(len(lifeSettings))]}
		if err := c.begin(id, seqs[id].set); err != nil {
			t.Fatal(err)
		}
	}
	check := func(id uint64) (answer, []uint32) {
		seqs[id].replay(t, fresh, 1)
		got, err := c.ask(id)
		if err != nil {
			t.Fatal(err)
		}
		want, err := fresh.ask(1)
		if err != nil {
			t.Fatal(err)
		}
		if got.result != want.result || got.hold != want.hold || got.rewind != want.rewind || !slices.Equal(got.mask, want.mask) {
			t.Fatalf("sequence %d answers %v %s, a fresh one told the same %v %s", id, got, c.allowed(got), want, fresh.allowed(want))
		}
		var next []uint32
		for token := range uint32(len(c.vocab.pieces)) {
			if got.result == abi.MaskResultAll || got.result == abi.MaskResultMask && got.allows(token) {
				next = append(next, token)
			}
		}
		return got, next
	}
	for step := range steps {
		id := uint64(rng.IntN(6))
		m := seqs[id]
		if m == nil {
			begin(id)
			continue
		}
		switch n := rng.IntN(20); {
		case n < 10:
			got, next := check(id)
			if got.result == abi.MaskResultRewind {
				if err := c.rollback(id, int(got.rewind)); err != nil {
					t.Fatal(err)
				}
				keep := len(m.tokens) - int(got.rewind)
				m.tokens, m.prompt = m.tokens[:keep], m.prompt[:keep]
				continue
			}
			if len(next) == 0 || len(m.tokens) > 400 {
				begin(id)
				continue
			}
			token := next[rng.IntN(len(next))]
			if token == c.vocab.eog[0] && rng.IntN(4) > 0 {
				continue
			}
			if err := c.accept(id, token); err != nil {
				t.Fatalf("step %d, %+v: token %q: %v", step, m.set, c.vocab.pieces[token], err)
			}
			m.tokens, m.prompt = append(m.tokens, token), append(m.prompt, false)
		case n < 12:
			if err := c.acceptPrompt(id, 5, 6); err != nil {
				t.Fatal(err)
			}
			m.tokens, m.prompt = append(m.tokens, 5, 6), append(m.prompt, true, true)
		case n < 14:
			back := rng.IntN(len(m.tokens)/2 + 1)
			if err := c.rollback(id, back); err != nil {
				t.Fatal(err)
			}
			m.tokens, m.prompt = m.tokens[:len(m.tokens)-back], m.prompt[:len(m.prompt)-back]
		case n < 15:
			child := uint64(rng.IntN(6))
			if child != id {
				if err := c.fork(child, id); err != nil {
					t.Fatal(err)
				}
				seqs[child] = m.clone()
			}
		case n < 16:
			saved, err := c.save(id)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.end(id); err != nil {
				t.Fatal(err)
			}
			if _, err := c.ask(id); err == nil {
				t.Fatal("a sequence that ended still answers")
			}
			if err := c.load(id, m.set, saved); err != nil {
				t.Fatal(err)
			}
		case n < 17:
			begin(id)
		default:
			got, next := check(id)
			if got.result == abi.MaskResultRewind {
				continue
			}
			// A draft of tokens that fit, with one at some place that may not.
			var drafts []uint32
			fits := 0
			for range 1 + rng.IntN(4) {
				token := uint32(rng.IntN(len(c.vocab.pieces)))
				if len(next) > 0 && rng.IntN(4) > 0 {
					token = next[rng.IntN(len(next))]
				}
				a, err := c.ask(id, drafts...)
				if err != nil {
					t.Fatal(err)
				}
				ok := a.result == abi.MaskResultAll || a.result == abi.MaskResultMask && a.allows(token)
				if drafts = append(drafts, token); !ok {
					break
				}
				// A banned text that ends in a draft is no fault of the mask's.
				if b := (&told{m.set, append(slices.Clone(m.tokens), drafts...), append(slices.Clone(m.prompt), make([]bool, len(drafts))...)}); m.set.banned != "" {
					b.replay(t, fresh, 2)
					if a, err := fresh.ask(2); err != nil || a.result == abi.MaskResultRewind {
						break
					}
				}
				fits++
				next = nil
				if a, err = c.ask(id, drafts...); err != nil {
					t.Fatal(err)
				}
				for token := range uint32(len(c.vocab.pieces)) {
					if a.result == abi.MaskResultAll || a.result == abi.MaskResultMask && a.allows(token) {
						next = append(next, token)
					}
				}
			}
			if n, err := c.validate(id, drafts...); err != nil || n != fits {
				t.Fatalf("%+v: %d of the drafts %v fit (%v), by masks %d", m.set, n, drafts, err, fits)
			}
			check(id)
		}
	}
}

// Ensure that bytes which were not saved are refused, whatever they are.
func TestConstraint_LoadsNothingElse(t *testing.T) {
	c := openConstraint(t, byteVocab(), 1<<16)
	set := settings{regex: "ab*"}
	if err := c.begin(1, set); err != nil {
		t.Fatal(err)
	}
	if err := c.accept(1, 'a', 'b'); err != nil {
		t.Fatal(err)
	}
	saved, err := c.save(1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range saved {
		if err := c.load(2, set, saved[:i]); err == nil {
			t.Errorf("%d of %d bytes are loaded", i, len(saved))
		}
	}
	for i := range saved {
		bad := slices.Clone(saved)
		bad[i] ^= 0x40
		c.load(2, set, bad) // may be a sequence too; must not trap
	}
	if err := c.load(2, settings{regex: "b"}, saved); err == nil {
		t.Error("tokens that do not fit the settings are loaded")
	}
	if err := c.load(2, set, saved); err != nil {
		t.Error(err)
	}
}

// Ensure that a banned text is taken back from the token in which it begins, that the text that may begin one is held
// back, and that capital and small letters are the same.
func TestConstraint_Banned(t *testing.T) {
	c := openConstraint(t, byteVocab("I am", " sor", "ry", " to", " so", "r", " SORRY", "sorry sorry"), 1<<16)
	id := c.vocab.find
	for _, b := range []struct {
		banned       []string
		tokens       []string
		rewind, hold uint32
	}{
		{[]string{"sorry"}, []string{"I am", " sor"}, 0, 3},
		{[]string{"sorry"}, []string{"I am", " sor", "ry"}, 2, 0},
		{[]string{"sorry"}, []string{"I am", " SORRY"}, 1, 0},
		{[]string{" sorry"}, []string{"I am", " so", "r", "r", "y"}, 4, 0},
		{[]string{"sorry"}, []string{"I am", " to"}, 0, 0},
		{[]string{"am sorry", "ry"}, []string{"I am", " sor", "ry"}, 1, 0},
		{[]string{"am s", "orr"}, []string{"I am", " sor"}, 2, 0},
		{[]string{"sorry"}, []string{"sorry sorry"}, 1, 0},
		{[]string{"rys"}, []string{"r", "y", "s"}, 3, 0},
		{[]string{"zz"}, []string{"I am"}, 0, 0},
		{[]string{"mnop"}, []string{"I am"}, 0, 1},
		{[]string{"éa"}, []string{"\xc3"}, 0, 1},
	} {
		list, err := json.Marshal(b.banned)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.begin(1, settings{banned: string(list)}); err != nil {
			t.Fatal(err)
		}
		for _, piece := range b.tokens {
			if err := c.accept(1, id(piece)); err != nil {
				t.Fatal(err)
			}
		}
		a, err := c.ask(1)
		if err != nil {
			t.Fatal(err)
		}
		want := abi.MaskResultAll
		if b.rewind > 0 {
			want = abi.MaskResultRewind
		}
		if a.result != want || a.rewind != b.rewind || a.hold != b.hold {
			t.Errorf("banned %q after %q: result %d, %d tokens back, %d bytes held, want %d, %d, %d", b.banned, b.tokens, a.result, a.rewind, a.hold, want, b.rewind, b.hold)
		}
	}
}

// Ensure that control tokens never follow, that the end does only where it may, and that tokens with the same text are
// all allowed.
func TestConstraint_Vocabulary(t *testing.T) {
	normal, control, unused, user := int32(abi.TokenTypeNormal), int32(abi.TokenTypeControl), int32(abi.TokenTypeUnused), int32(abi.TokenTypeUserDefined)
	v := constraintVocab{
		pieces: []string{"a", "a", "<tool>", "a", "b", "", "aa", "<end>", "<stop>", strings.Repeat("a", 1025), strings.Repeat("a", 1024)},
		types:  []int32{normal, control, normal, user, unused, normal, normal, control, normal, normal, normal},
		eog:    []uint32{7, 8},
	}
	c := openConstraint(t, v, 1<<16)
	ask := func(set settings, tokens ...uint32) []uint32 {
		t.Helper()
		if err := c.begin(1, set); err != nil {
			t.Fatal(err)
		}
		if err := c.accept(1, tokens...); err != nil {
			t.Fatal(err)
		}
		a, err := c.ask(1)
		if err != nil {
			t.Fatal(err)
		}
		var ids []uint32
		for id := range uint32(len(v.pieces)) {
			if a.allows(id) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	if got, want := ask(settings{regex: "a+"}), []uint32{0, 3, 6, 10}; !slices.Equal(got, want) {
		t.Errorf("at the start %v, want %v", got, want)
	}
	if got, want := ask(settings{regex: "a+"}, 0), []uint32{0, 3, 6, 7, 8, 10}; !slices.Equal(got, want) {
		t.Errorf("after a %v, want %v", got, want)
	}
	if got, want := ask(settings{regex: "<tool>|<end>|b"}), []uint32{2}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, token := range []uint32{1, 4, 5, 7, 9, 11} {
		if err := c.begin(1, settings{regex: "a+|b"}); err != nil {
			t.Fatal(err)
		}
		if c.accept(1, token) == nil {
			t.Errorf("token %d is accepted", token)
		}
	}
}
