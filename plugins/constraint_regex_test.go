package plugins_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"forge/abi"
)

// A language is a regular expression by its definition, for the tests: Brzozowski's derivatives (1964) tell what may
// follow a beginning. Unions are flat, sorted and without duplicates, so that there are not too many of them.
type language struct {
	op          byte // 0: nothing, e: the empty text, c: a character, .: concatenation, |: union, *: repetition
	runes       []rune
	negate      bool
	of          []*language
	least, most int    // most -1: no limit
	key         string // the expression in Go's notation
	known       map[rune]*language
}

var (
	nothing   = &language{op: '0', key: "[^\\x00-\\x{10FFFF}]"}
	emptyText = &language{op: 'e', key: "(?:)"}
)

func newClass(negate bool, runes ...rune) *language {
	l := &language{op: 'c', runes: runes, negate: negate, key: "[" + string(runes) + "]"}
	if negate {
		l.key = "[^" + string(runes) + "]"
	}
	return l
}

func newConcat(a, b *language) *language {
	switch {
	case a == nothing || b == nothing:
		return nothing
	case a == emptyText:
		return b
	case b == emptyText:
		return a
	case a.op == '.':
		return newConcat(a.of[0], newConcat(a.of[1], b))
	}
	return &language{op: '.', of: []*language{a, b}, key: a.key + b.key}
}

func newUnion(parts ...*language) *language {
	var flat []*language
	for _, p := range parts {
		if p.op == '|' {
			flat = append(flat, p.of...)
		} else if p != nothing {
			flat = append(flat, p)
		}
	}
	slices.SortFunc(flat, func(a, b *language) int { return strings.Compare(a.key, b.key) })
	flat = slices.CompactFunc(flat, func(a, b *language) bool { return a.key == b.key })
	switch len(flat) {
	case 0:
		return nothing
	case 1:
		return flat[0]
	}
	var keys []string
	for _, p := range flat {
		keys = append(keys, p.key)
	}
	return &language{op: '|', of: flat, key: "(?:" + strings.Join(keys, "|") + ")"}
}

func newTimes(a *language, least, most int) *language {
	switch {
	case most == 0 || a == emptyText || a == nothing && least == 0:
		return emptyText
	case a == nothing:
		return nothing
	}
	count := fmt.Sprintf("{%d,%d}", least, most)
	switch {
	case most < 0 && least < 2:
		count = "*+"[least : least+1]
	case most < 0:
		count = fmt.Sprintf("{%d,}", least)
	case least == 0 && most == 1:
		count = "?"
	case least == most:
		count = fmt.Sprintf("{%d}", least)
	}
	return &language{op: '*', of: []*language{a}, least: least, most: most, key: "(?:" + a.key + ")" + count}
}

// empty tells whether the empty text is in the language.
func (l *language) empty() bool {
	switch l.op {
	case 'e':
		return true
	case '.':
		return l.of[0].empty() && l.of[1].empty()
	case '|':
		return slices.ContainsFunc(l.of, (*language).empty)
	case '*':
		return l.least == 0 || l.of[0].empty()
	}
	return false
}

// after is the language of what may follow r.
func (l *language) after(r rune) *language {
	d := l.known[r]
	if d == nil {
		if l.known == nil {
			l.known = map[rune]*language{}
		}
		d = l.derive(r)
		l.known[r] = d
	}
	return d
}

func (l *language) derive(r rune) *language {
	switch l.op {
	case 'c':
		if slices.Contains(l.runes, r) != l.negate {
			return emptyText
		}
	case '.':
		d := newConcat(l.of[0].after(r), l.of[1])
		if l.of[0].empty() {
			d = newUnion(d, l.of[1].after(r))
		}
		return d
	case '|':
		var parts []*language
		for _, p := range l.of {
			parts = append(parts, p.after(r))
		}
		return newUnion(parts...)
	case '*':
		least := max(l.least-1, 0)
		if l.of[0].empty() { // the turns that are left may be empty
			least = 0
		}
		return newConcat(l.of[0].after(r), newTimes(l.of[0], least, max(l.most-1, -1)))
	}
	return nothing
}

// testRunes are the characters of the random expressions.
var testRunes = []rune("abcéè日月😀")

// begun gives characters whose bytes begin so: those of the expressions, and more than these are in number, so that one is
// of the rest.
func begun(bytes string) []rune {
	var out []rune
	for _, r := range testRunes {
		if len(bytes) < utf8.RuneLen(r) && strings.HasPrefix(string(r), bytes) {
			out = append(out, r)
		}
	}
	size := 0
	switch lead := bytes[0]; {
	case lead >= 0xF0:
		size = 4
	case lead >= 0xE0:
		size = 3
	case lead >= 0xC2:
		size = 2
	}
	for last := 0; len(out) <= 2*len(testRunes) && last < 64 && len(bytes) < size; last++ {
		for _, fill := range []byte{0x80, 0x90, 0xA0} { // the byte behind the first has its own bounds for some
			b := []byte(bytes)
			for len(b) < size-1 {
				b = append(b, fill)
			}
			if r, n := utf8.DecodeRune(append(b, 0x80+byte(last))); n == size {
				out = append(out, r)
			}
		}
	}
	return out
}

func randomLanguage(rng *rand.Rand, depth int) *language {
	switch n := rng.IntN(10); {
	case depth == 0 || n < 3:
		var runes []rune
		for range 1 + rng.IntN(3) {
			runes = append(runes, testRunes[rng.IntN(len(testRunes))])
		}
		return newClass(rng.IntN(8) == 0, runes...)
	case n < 6:
		return newConcat(randomLanguage(rng, depth-1), randomLanguage(rng, depth-1))
	case n < 8:
		return newUnion(randomLanguage(rng, depth-1), randomLanguage(rng, depth-1))
	}
	least := rng.IntN(3)
	most := least + rng.IntN(3)
	switch rng.IntN(8) {
	case 0, 1, 2:
		most = -1
	case 3: // too many to be written out one by one
		least, most = rng.IntN(4), 20+rng.IntN(20)
	}
	if most == 0 {
		most = 1
	}
	return newTimes(randomLanguage(rng, depth-1), least, most)
}

// alive tells whether bytes, which may end inside a character, begin a text of the language.
func (l *language) alive(text string) bool {
	for len(text) > 0 && l != nothing {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n <= 1 {
			return slices.ContainsFunc(begun(text), func(r rune) bool { return l.after(r) != nothing })
		}
		l, text = l.after(r), text[n:]
	}
	return l != nothing
}

// Ensure that a token is allowed exactly where some continuation matches, over random expressions, beginnings, and a
// vocabulary whose tokens split characters and span many.
func TestConstraint_Regex(t *testing.T) {
	rounds := 100
	if os.Getenv("FORGE_TEST_ALL") != "" {
		rounds = 20000
	}
	rng := rand.New(rand.NewPCG(11, 7))
	v := byteVocab("ab", "abc", "bb", "aé", "é日", "日月", "aaaa", "cab", "\x97\xa5a", "a\xe6", "b\xe6\x97", "\x9f\x98", "zz", "aaaaaaaa", "日日日", "", "caé😀b")
	c := openConstraint(t, v, 1<<16)
	seen := 0
	for range rounds {
		l := randomLanguage(rng, 4)
		want, err := regexp.Compile("^(?:" + l.key + ")$")
		if err != nil { // repetitions of repetitions beyond what regexp takes
			continue
		}
		if err := c.begin(1, settings{regex: l.key}); err != nil {
			t.Fatalf("%s: %v", l.key, err)
		}
		// rest is what may follow the whole characters of text, and part the bytes behind these.
		for text, rest, part := "", l, ""; len(text) < 60 && len(rest.key) < 5000; {
			a, err := c.ask(1)
			if err != nil {
				t.Fatalf("%s after %q: %v", l.key, text, err)
			}
			end := a.result == abi.MaskResultStop || a.allows(v.eog[0])
			if matched := part == "" && want.MatchString(text); matched != (part == "" && rest.empty()) || matched != end {
				t.Fatalf("%s: %q ends: %v, by derivatives %v, by regexp %v", l.key, text, end, rest.empty(), matched)
			}
			var next []uint32
			for id, piece := range v.pieces[:len(v.pieces)-1] {
				ok := piece != "" && rest.alive(part+piece)
				if ok != a.allows(uint32(id)) {
					t.Fatalf("%s after %q: token %q is allowed: %v, should be: %v", l.key, text, piece, !ok, ok)
				}
				if ok {
					next = append(next, uint32(id))
				}
			}
			if seen += len(next); len(next) == 0 {
				break
			}
			id := next[rng.IntN(len(next))]
			if err := c.accept(1, id); err != nil {
				t.Fatalf("%s after %q, token %q: %v", l.key, text, v.pieces[id], err)
			}
			text += v.pieces[id]
			for part += v.pieces[id]; part != "" && utf8.FullRuneInString(part); {
				r, n := utf8.DecodeRuneInString(part)
				rest, part = rest.after(r), part[n:]
			}
		}
	}
	if seen < 10*rounds {
		t.Errorf("only %d tokens were allowed in %d expressions", seen, rounds)
	}
}
