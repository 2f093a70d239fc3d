package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"forge/abi"
	"forge/host/plugin"
)

// constraintSeeds are texts of each language that the fuzzing begins with.
func constraintSeeds(tb testing.TB) map[string][]string {
	seeds := map[string][]string{
		"grammar": {
			"root ::= \"a\" [^b-z\\u00e9] ( x | \"c\"{2,70} )* # end\nx ::= . y? root-2+\ny ::= \"\\n\"\nroot-2 ::= \"(\" root \")\"",
			"root ::= [a-z]{0,1000} \"x\"{5,}", "root ::= root2\nroot2 ::= \"a\" root2 \"b\" | \"\"",
		},
		"regex":  {`^(a|[^b\d-é]{2,90}|\w+?)(?:x|\x41\u00e9)*$`, `(\d{4}-\d\d){1,300}|.*`, `((a*)*)*b{99}`},
		"choice": {`["a","ab","\u00e9"]`},
		"banned_strings": {
			`["abc","bc","c d"]`,
		},
	}
	for _, s := range schemaCases(tb) {
		seeds["json_schema"] = append(seeds["json_schema"], string(s.Schema))
	}
	return seeds
}

// tryConstraint begins a sequence with a text and follows its masks for a while. A trap, or fuel that does not do, fails.
func tryConstraint(tb testing.TB, m *plugin.Module, c *plugin.Constraint, v constraintVocab, language, text string) (begun bool) {
	ctx := context.Background()
	fatal := func(err error) {
		var e *plugin.Error
		if errors.As(err, &e) && e.Trapped || errors.Is(err, plugin.ErrQuarantined) {
			tb.Fatalf("%s %q: %v", language, text, err)
		}
	}
	s, err := m.Settings(map[string]any{language: text})
	if err != nil {
		return false // no UTF-8
	}
	if err := c.Begin(ctx, 1, s); err != nil {
		fatal(err)
		return false
	}
	rng := rand.New(rand.NewPCG(uint64(len(text)), 8))
	rows := []plugin.MaskRow{{Seq: 1, Mask: make([]uint32, (len(v.pieces)+31)/32)}}
	for range 20 {
		if err := c.Mask(ctx, rows); err != nil {
			tb.Fatalf("%s %q: %v", language, text, err)
		}
		if rows[0].Err != nil {
			fatal(rows[0].Err)
			break
		}
		var next []uint32
		for id := range uint32(len(v.pieces)) {
			if rows[0].Result == abi.MaskResultAll || rows[0].Result == abi.MaskResultMask && rows[0].Mask[id/32]>>(id%32)&1 != 0 {
				next = append(next, id)
			}
		}
		if len(next) == 0 {
			break
		}
		id := next[rng.IntN(len(next))]
		if err := c.Accept(ctx, 1, id); err != nil {
			tb.Fatalf("%s %q: token %q was allowed: %v", language, text, v.pieces[id], err)
		}
	}
	fatal(c.End(ctx, 1))
	return true
}

// FuzzConstraint feeds texts to the readers of grammars: each is refused with a sentence or followed.
func FuzzConstraint(f *testing.F) {
	v := byteVocab("ab", "{\"", "\":", "12", "é", "日本")
	v.types = make([]int32, len(v.pieces))
	m, c := hostConstraint(f, v)
	for language, texts := range constraintSeeds(f) {
		for _, text := range texts {
			f.Add(language, text)
		}
	}
	f.Fuzz(func(t *testing.T, language, text string) {
		tryConstraint(t, m, c, v, language, text)
	})
}

// damage changes a text in a few places; other is where pieces come from.
func damage(rng *rand.Rand, text, other string) string {
	const signs = "{}[]()\"\\|*+?,:0123456789^$.-"
	b := []byte(text)
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(b))
		switch rng.IntN(5) {
		case 0:
			b[at] = byte(rng.IntN(128))
		case 1:
			b = append(b[:at], b[min(len(b), at+1+rng.IntN(4)):]...)
		case 2:
			b = append(b[:at], other[rng.IntN(len(other)):]...)
		case 3:
			end := min(len(b), at+1+rng.IntN(20))
			b = append(b[:end], b[at:]...)
		default:
			b = append(b[:at], append([]byte{signs[rng.IntN(len(signs))]}, b[at:]...)...)
		}
		if len(b) == 0 {
			b = []byte("x")
		}
	}
	return string(b)
}

// graft puts values of one JSON text into another: what comes out is JSON.
func graft(rng *rand.Rand, text, other string) string {
	var tree, from any
	if json.Unmarshal([]byte(text), &tree) != nil || json.Unmarshal([]byte(other), &from) != nil {
		return text
	}
	var all []any
	var collect func(v any)
	collect = func(v any) {
		all = append(all, v)
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				collect(v[key])
			}
		case []any:
			for _, e := range v {
				collect(e)
			}
		}
	}
	collect(from)
	var change func(v any) any
	change = func(v any) any {
		if rng.IntN(8) == 0 {
			return all[rng.IntN(len(all))]
		}
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				v[key] = change(v[key])
			}
			if o, ok := all[rng.IntN(len(all))].(map[string]any); ok && rng.IntN(3) == 0 {
				for key, e := range o {
					v[key] = e
				}
			}
		case []any:
			for i := range v {
				v[i] = change(v[i])
			}
		}
		return v
	}
	b, err := json.Marshal(change(tree))
	if err != nil {
		return text
	}
	return string(b)
}

// Ensure that damaged grammars are refused or followed, and never trap; a part of them is read to the end.
func TestConstraint_Damaged(t *testing.T) {
	rounds := 200
	if os.Getenv("FORGE_TEST_ALL") != "" {
		rounds = 20000
	}
	v := byteVocab("ab", "{\"", "\":", "12", "é", "日本")
	v.types = make([]int32, len(v.pieces))
	m, c := hostConstraint(t, v)
	rng := rand.New(rand.NewPCG(2, 3))
	seeds := constraintSeeds(t)
	for _, language := range slices.Sorted(maps.Keys(seeds)) {
		texts, begun := seeds[language], 0
		for range rounds {
			text, other := texts[rng.IntN(len(texts))], texts[rng.IntN(len(texts))]
			if language == "json_schema" && rng.IntN(4) > 0 {
				text = graft(rng, text, other)
			} else {
				text = damage(rng, text, other)
			}
			if tryConstraint(t, m, c, v, language, text) {
				begun++
			}
		}
		if t.Logf("%s: %d of %d are read", language, begun, rounds); begun < rounds/40 {
			t.Errorf("%s: only %d of %d damaged texts are read", language, begun, rounds)
		}
	}
}
