package plugins_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"forge/abi"
)

// A schemaCase has texts that a schema allows and such that it does not, or says why it is refused.
type schemaCase struct {
	Name    string
	Schema  json.RawMessage
	Valid   []string
	Invalid []string
	Refused string
}

func schemaCases(tb testing.TB) []schemaCase {
	tb.Helper()
	b, err := os.ReadFile("testdata/constraint/schemas.json")
	if err != nil {
		tb.Fatal(err)
	}
	var cases []schemaCase
	if err := json.Unmarshal(b, &cases); err != nil {
		tb.Fatal(err)
	}
	return cases
}

// Ensure that schemas let through what they should, stop what they should, and are refused for the keyword that cannot be
// held to.
func TestConstraint_Schema(t *testing.T) {
	c := openConstraint(t, byteVocab(), 1<<20)
	for _, s := range schemaCases(t) {
		t.Run(s.Name, func(t *testing.T) {
			set := settings{schema: string(s.Schema)}
			err := c.begin(1, set)
			if s.Refused != "" {
				if err == nil || !strings.Contains(err.Error(), s.Refused) {
					t.Fatalf("error %v, want %q", err, s.Refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range s.Valid {
				if !json.Valid([]byte(text)) {
					t.Errorf("the case's text %s is no JSON", text)
				}
				if !c.matches(t, set, text) {
					t.Errorf("%s is not let through", text)
				}
			}
			for _, text := range s.Invalid {
				if c.matches(t, set, text) {
					t.Errorf("%s is let through", text)
				}
			}
		})
	}
}

// generate follows the masks of a sequence to an end, with tokens drawn at random. It prefers the end, and closing signs.
func (c *constrainer) generate(tb testing.TB, rng *rand.Rand, seq uint64, most int) (text string, ended bool) {
	tb.Helper()
	for range most {
		a, err := c.ask(seq)
		if err != nil {
			tb.Fatalf("after %q: %v", text, err)
		}
		if a.result == abi.MaskResultStop || a.allows(c.vocab.eog[0]) && rng.IntN(2) == 0 {
			return text, true
		}
		var next, closing []uint32
		for id := range uint32(len(c.vocab.pieces)) {
			if !a.allows(id) || id == c.vocab.eog[0] {
				continue
			}
			if next = append(next, id); strings.ContainsAny(c.vocab.pieces[id], "\"}]") {
				closing = append(closing, id)
			}
		}
		if len(next) == 0 && a.allows(c.vocab.eog[0]) {
			return text, true
		}
		if len(next) == 0 {
			tb.Fatalf("nothing may follow %q", text)
		}
		id := next[rng.IntN(len(next))]
		if len(closing) > 0 && rng.IntN(4) == 0 {
			id = closing[rng.IntN(len(closing))]
		}
		if err := c.accept(seq, id); err != nil {
			tb.Fatalf("token %q after %q: %v", c.vocab.pieces[id], text, err)
		}
		text += c.vocab.pieces[id]
	}
	return text, false
}

// validator is Python's jsonschema, which reads lines of [schema, text] and writes what is wrong with each text.
const validator = `
import decimal, json, sys, jsonschema
load = lambda text: json.loads(text, parse_float=decimal.Decimal) # 0.58 is a multiple of 0.01
for line in sys.stdin:
    schema, text = load(line)
    try:
        draft = jsonschema.Draft4Validator if isinstance(schema, dict) and schema.get("exclusiveMinimum") is True else jsonschema.Draft7Validator if "additionalItems" in str(schema) else jsonschema.Draft202012Validator
        draft(schema, format_checker=draft.FORMAT_CHECKER).validate(load(text))
        print("ok")
    except Exception as e:
        print(repr(str(e)[:200]))
`

// Ensure that whatever the masks let through is valid by another implementation's judgement.
func TestConstraint_SchemaGenerates(t *testing.T) {
	rounds := 20
	if os.Getenv("FORGE_TEST_ALL") != "" {
		rounds = 500
	}
	if exec.Command("python3", "-c", "import jsonschema").Run() != nil {
		t.Skip("Python's jsonschema is not here")
	}
	c := openConstraint(t, byteVocab("\"a", "\":", "\", \"", "{\"", "\"}", "}}", "]}", "[{", "true", "null", "12", "0.5", ",\n", "  ", "name", "日", "\\u00e9", "\\n", "-01", "1.5"), 1<<20)
	rng := rand.New(rand.NewPCG(3, 1))
	var in bytes.Buffer
	var texts []string
	enc := json.NewEncoder(&in)
	for _, s := range schemaCases(t) {
		if s.Refused != "" {
			continue
		}
		for range rounds {
			if err := c.begin(1, settings{schema: string(s.Schema)}); err != nil {
				t.Fatal(err)
			}
			if text, ended := c.generate(t, rng, 1, 400); ended {
				texts = append(texts, s.Name+": "+text)
				if err := enc.Encode([]any{s.Schema, text}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cmd := exec.Command("python3", "-c", validator)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(verdicts) != len(texts) || len(texts) < 50*rounds {
		t.Fatalf("%d verdicts on %d texts", len(verdicts), len(texts))
	}
	for i, v := range verdicts {
		if v != "ok" {
			t.Errorf("%s: %s", texts[i], v)
		}
	}
}
