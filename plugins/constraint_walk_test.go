package plugins_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"forge/abi"
)

// walkVocab has tokens that end, and go on, in all sorts of places: long runs, closing signs, characters split in two,
// bytes that are none.
func walkVocab() constraintVocab {
	var more []string
	for n := 2; n <= 130; n += 1 + n/10 {
		more = append(more, strings.Repeat("a", n), strings.Repeat("é", n/2), strings.Repeat("a", n)+"\"", strings.Repeat("a", n)+"\", \"", strings.Repeat(" ", n))
	}
	for _, middle := range []string{"", "a", "é", "日", "\"", "\\n", "x", "xy", "z", "1"} {
		for _, end := range []string{"\"", "\"}", "\"}}", "\"]}]", "\", \"", "\":", "\xc3", "\xe6\x97", "\xf0\x9f", "\xff", "\xa5", "\\", "\\u00", "y", "yx", "zy", "zyx", ",", "b\xff", "é\xffb"} {
			more = append(more, middle+end, "a"+middle+end+"a", middle+end+"éa")
		}
	}
	for n := range 95 { // letters alone, so that all that follows c is of one kind
		more = append(more, strings.Repeat("c", n)+"d"+strings.Repeat("c", 25))
	}
	more = append(more, strings.Repeat("a", 257), strings.Repeat("a", 258), strings.Repeat("a", 600))
	return byteVocab(append(more, "\xa9a", "\xa9", "\x97\xa5a", "\xa5a", "\xa5\"", "\x98\x80\"", "\xc3\xc3", "\xed\xa0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80a", "日\xe6\x9ca")...)
}

// Ensure that masks, which are put together from walks that are kept and from whole branches of the vocabulary, allow
// exactly the tokens that fit when each is read byte by byte.
func TestConstraint_MasksAreTokenByToken(t *testing.T) {
	states := 12
	if os.Getenv("FORGE_TEST_ALL") != "" {
		states = 400
	}
	v := walkVocab()
	c := openConstraint(t, v, 1<<16)
	rng := rand.New(rand.NewPCG(12, 5))
	for _, set := range []settings{
		{schema: `{}`},
		{schema: `{"type":"string"}`},
		{schema: `{"type":"array","items":{"type":"string","minLength":3,"maxLength":140}}`},
		{schema: `{"type":"array","items":{"type":"string","minLength":90,"maxLength":120}}`},
		{schema: `{"type":"string","minLength":130,"maxLength":400}`},
		{schema: `{"type":"object","properties":{"a":{"type":"string"},"aé":{"type":"array","items":{"type":"string"}}},"additionalProperties":{"type":"string","maxLength":70}}`},
		{schema: `{"type":"string","pattern":"^(a|é){30,60}$"}`},
		{grammar: "root ::= (word \", \")* word\nword ::= [a-zé]{2,90}"},
		{grammar: "root ::= (word \"y\")+\nword ::= [ax]{2,90} \"z\"?"},
		{grammar: "root ::= (a \"y\")+\na ::= b c?\nb ::= \"x\"+ | \"a\"* \"x\"\nc ::= d?\nd ::= \"z\""},
		{grammar: "root ::= .{0,100} \"x\"?"},
		{grammar: "root ::= (word \"d\" \"c\"* \";\")*\nword ::= [a-f]{70,90}"},
		{grammar: "root ::= (word \"d\" \"c\"* \";\")*\nword ::= [a-f]{80} \"-\"?"},
		{grammar: "root ::= [a-f]{70,90} \"d\"? \"c\"{1,30}"},
		{grammar: "root ::= x*\nx ::= [^\\\"]{1,80} \"\\\"\""},
		{grammar: "root ::= \"a\" root \"y\" | \"a\" root \"zy\" | \"x\""},
		{regex: `[\s\S]*`},
		{regex: `(a{1,90}|é{70,80}|[a-z]+ ){1,3}`},
		{regex: `a{3,100}a?b?`},
		{regex: `[^a]{65,}|a{66}`},
	} {
		for seen := 0; seen < states; {
			if err := c.begin(1, set); err != nil {
				t.Fatal(err)
			}
			for text := ""; seen < states; seen++ {
				a, err := c.ask(1)
				if err != nil {
					t.Fatal(err)
				}
				var next, long []uint32
				for id := range uint32(len(v.pieces) - 1) {
					n, err := c.validate(1, id)
					if err != nil {
						t.Fatal(err)
					}
					if a.allows(id) != (n == 1) {
						t.Fatalf("%+v after %q: token %q is allowed: %v, it fits: %v", set, text, v.pieces[id], a.allows(id), n == 1)
					}
					if n == 1 {
						if next = append(next, id); len(v.pieces[id]) > 5 {
							long = append(long, id)
						}
					}
				}
				if a.result == abi.MaskResultStop || len(next) == 0 {
					break
				}
				id := next[rng.IntN(len(next))]
				if len(long) > 0 && rng.IntN(2) == 0 {
					id = long[rng.IntN(len(long))]
				}
				if err := c.accept(1, id); err != nil {
					t.Fatal(err)
				}
				text += v.pieces[id]
			}
			seen++
		}
	}
}
