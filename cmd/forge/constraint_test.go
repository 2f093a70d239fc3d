package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/kernels/simd"
)

// Ensure that each flag holds the answer to what it says, and that the text shown is the text of the answer.
func TestConstraintFlags(t *testing.T) {
	dir := t.TempDir()
	grammar, schema := filepath.Join(dir, "g"), filepath.Join(dir, "s")
	for name, text := range map[string]string{grammar: "root ::= \"The \" [a-z]{3,5} \".\"", schema: `{"enum":["one","two"]}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--regex", `[A-Z][a-z]{2,9}, \d{1,3}!`}, `^[A-Z][a-z]{2,9}, \d{1,3}!$`},
		{[]string{"--grammar", `root ::= ("cat" | "dog") " sat"`}, `^(cat|dog) sat$`},
		{[]string{"--grammar-file", grammar}, `^The [a-z]{3,5}\.$`},
		{[]string{"-j", `{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`}, `(?s)^\{\s*"n":\s*(0|-?[1-9]\d*)\s*\}$`},
		{[]string{"--json-schema-file", schema}, `^"(one|two)"$`},
		{[]string{"-jf", schema}, `^"(one|two)"$`},
		{[]string{"--choice", "a<b>", "--choice", "c\nd", "--choice", "é"}, "^(a<b>|c\nd|é)$"},
		{[]string{"--choice", "only this"}, "^only this$"},
	} {
		for _, seed := range []string{"1", "2"} {
			args := append([]string{"run", "-m", storiesFile, "-p", "Once upon a time", "--raw", "-n", "200", "--temp", "1.5", "--seed", seed}, c.args...)
			o := forge(t, "", args...).must(t)
			if !regexp.MustCompile(c.want).MatchString(o.out) {
				t.Errorf("%v: %q does not match %s", c.args, o.out, c.want)
			}
			var r struct {
				Text   string
				Finish string `json:"finish_reason"`
			}
			if err := json.Unmarshal([]byte(forge(t, "", append(args, "--json")...).must(t).out), &r); err != nil || r.Text != o.out || r.Finish != "stop" {
				t.Errorf("%v: shown %q, the answer is %+v (%v)", c.args, o.out, r, err)
			}
		}
	}
}

// Ensure that what cannot be held to is refused with a sentence, before anything is shown.
func TestConstraintErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--grammar", "root ::= x"}, "plugin constraint: forge_begin says: grammar: there is no rule x"},
		{[]string{"-j", `{"not":{}}`}, "an answer cannot be held to the keyword not (at #/not)"},
		{[]string{"--regex", "("}, "regex, line 1, column 2"},
		{[]string{"--regex", "a", "--choice", "b"}, "--regex and --choice both say what the answer looks like: give one"},
		{[]string{"--regex", ""}, "--regex is empty"},
		{[]string{"--grammar-file", "nowhere"}, "--grammar-file: there is no file nowhere"},
		{[]string{"--constraint", "nothing"}, `no plugin of kind constraint is named "nothing" (there are constraint)`},
		{[]string{"--banned-string", ""}, "banned_strings has an empty text"},
	} {
		o := forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "x", "--raw", "-n", "5"}, c.args...)...)
		if o.status == 0 || !strings.Contains(o.err, c.want) || o.out != "" {
			t.Errorf("%v: status %d, shown %q, error %q, want %q", c.args, o.status, o.out, o.err, c.want)
		}
	}
}

func generate(t *testing.T, e *host.Engine, req host.Request, prompt string) *host.Result {
	t.Helper()
	var err error
	if req.Prompt, err = e.Tokenize(context.Background(), prompt, true); err != nil {
		t.Fatal(err)
	}
	res, err := e.Generate(context.Background(), &req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Ensure that banned texts are taken back and do not occur, that what was shown is never taken back, and that the tokens
// after a rewind are those that the model itself prefers there: each is the likeliest, or stands where the likeliest was
// taken back, as a computation from scratch shows.
func TestBannedStrings(t *testing.T) {
	e := openEngine(t, storiesFile, simd.New(), host.Options{})
	greedy := generate(t, e, host.Request{MaxTokens: 60, Samplers: []string{"greedy"}}, "Once upon a time")
	words := strings.Fields(strings.Map(func(r rune) rune {
		if strings.ContainsRune(".,\"!?", r) {
			return -1
		}
		return r
	}, greedy.Text))
	for _, banned := range [][]string{words[:1], words[3:4], {words[2] + " " + words[3]}, words[4:9], {words[5], " " + strings.ToUpper(words[7])}} {
		list, err := json.Marshal(banned)
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		res := generate(t, e, host.Request{
			MaxTokens: 60, Samplers: []string{"greedy"}, Constraint: map[string]any{"banned_strings": string(list)}, Logprobs: 1,
			OnText: func(b []byte) { shown.Write(b) },
		}, "Once upon a time")
		if shown.String() != res.Text {
			t.Errorf("%q: shown %q, the answer is %q", banned, shown.String(), res.Text)
		}
		for _, b := range banned {
			if strings.Contains(strings.ToLower(res.Text), strings.ToLower(b)) {
				t.Errorf("%q is in %q", b, res.Text)
			}
		}
		if res.Text == greedy.Text || len(res.Tokens) == 0 || len(res.Logprobs) != len(res.Tokens) {
			t.Errorf("%q: %d tokens and %d log probabilities: %q", banned, len(res.Tokens), len(res.Logprobs), res.Text)
		}
		all := append(slices.Clone(res.Prompt), res.Tokens...)
		others := 0
		err = e.Score(context.Background(), all, len(res.Prompt)-1, func(pos int, logits []float32) error {
			if pos+1 >= len(all) {
				return nil
			}
			best := 0
			for i, l := range logits {
				if l > logits[best] {
					best = i
				}
			}
			if uint32(best) != all[pos+1] {
				others++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if others == 0 || others > 4*len(banned) {
			t.Errorf("%q: %d tokens of %q are not the likeliest", banned, others, res.Text)
		}
	}
}

// Ensure that an answer that ends at its length, at a stop text or at a cancellation shows no banned text, though the end
// came before the constraint was asked.
func TestBannedStrings_AtTheEnd(t *testing.T) {
	e := openEngine(t, storiesFile, simd.New(), host.Options{})
	greedy := generate(t, e, host.Request{MaxTokens: 40, Samplers: []string{"greedy"}}, "Once upon a time")
	for n := 1; n <= 40; n++ {
		last := greedy.Tokens[n-1]
		piece, err := e.Piece(context.Background(), last)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(piece) == "" || strings.ContainsRune(piece, '\uFFFD') {
			continue
		}
		list, err := json.Marshal([]string{piece})
		if err != nil {
			t.Fatal(err)
		}
		set := map[string]any{"banned_strings": string(list)}
		res := generate(t, e, host.Request{MaxTokens: n, Samplers: []string{"greedy"}, Constraint: set}, "Once upon a time")
		if len(res.Tokens) > n || res.Finish == "length" && len(res.Tokens) != n {
			t.Errorf("banned %q, at most %d: %d tokens, %s", piece, n, len(res.Tokens), res.Finish)
		}
		stop := generate(t, e, host.Request{MaxTokens: 40, Samplers: []string{"greedy"}, Constraint: set, Stop: []string{piece}}, "Once upon a time")
		ctx, cancel := context.WithCancel(context.Background())
		req := host.Request{MaxTokens: 40, Samplers: []string{"greedy"}, Constraint: set, Prompt: res.Prompt, OnText: func([]byte) { cancel() }}
		cut, err := e.Generate(ctx, &req)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{res.Text, stop.Text, cut.Text} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(piece)) {
				t.Errorf("%q is in %q", piece, text)
			}
		}
		cancel()
	}
}

// Ensure that requests with grammars, with faults and without either share the steps and do not disturb each other: each
// answers as it does alone.
func TestConstraintsBesideEachOther(t *testing.T) {
	faulty, err := os.ReadFile(root("host", "plugin", "testdata", "mask_stateless.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := shippedPlugins(t)
	cfg.Plugins = append(cfg.Plugins, plugin.Spec{Name: "mask", Kind: "constraint", Wasm: faulty, Grants: []string{"history"}, Limits: plugin.Limits{Strikes: 1000}})
	ctx := context.Background()
	open := func(n int) *host.Engine {
		e, err := host.Open(ctx, storiesFile, host.Options{Device: simd.New(), Runtime: testRuntime, Plugins: cfg, NSeq: n})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	alone, together := open(1), open(8)
	prompt, err := alone.Tokenize(ctx, "One day", true)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(set map[string]any) host.Request {
		return host.Request{Prompt: prompt, MaxTokens: 40, Constraint: set, Settings: map[string]any{"temp": 1.2}}
	}
	mode := func(n int) host.Request {
		return host.Request{Prompt: prompt, MaxTokens: 40, Constraints: []string{"mask"}, Settings: map[string]any{"temp": 1.2, "mode": n}}
	}
	kinds := []struct {
		req  host.Request
		fail string
	}{
		{plain(nil), ""},
		{plain(map[string]any{"regex": `([a-z]+ ){3,8}\.`}), ""},
		{plain(map[string]any{"json_schema": `{"type":"array","items":{"type":"string","maxLength":12},"minItems":2,"maxItems":4}`}), ""},
		{plain(map[string]any{"banned_strings": `[" the"," a","e"]`}), ""},
		{plain(map[string]any{"grammar": `root ::= [A-Z] root "." | "x"`, "banned_strings": `["xx"]`}), ""},
		{mode(0), ""},
		{mode(1), ""},
		{mode(2), ""}, // forced tokens
		{mode(3), ""}, // the end
		{mode(4), "takes 2 tokens back, 0 were picked"},
		{mode(5), "plugin mask"},
		{mode(11), "allows no token here"},
		{mode(12), "gave up (unreachable"},
		{mode(13), "ran out of fuel"},
		{mode(15), "nothing can follow"},
		{plain(map[string]any{"grammar": "root ::="}), ""},
		{plain(map[string]any{"regex": "["}), "the class is not closed"},
	}
	type outcome struct {
		res *host.Result
		err error
	}
	run := func(e *host.Engine, i int, seed uint64) outcome {
		req := kinds[i].req
		req.Seed = seed
		res, err := e.Generate(ctx, &req)
		return outcome{res, err}
	}
	const rounds = 3
	got := make([]outcome, rounds*len(kinds))
	var wait sync.WaitGroup
	for k := range got {
		wait.Go(func() { got[k] = run(together, k%len(kinds), uint64(k/len(kinds))) })
	}
	wait.Wait()
	for k := range got {
		i := k % len(kinds)
		want := run(alone, i, uint64(k/len(kinds)))
		if kinds[i].fail != "" {
			if got[k].err == nil || !strings.Contains(got[k].err.Error(), kinds[i].fail) {
				t.Errorf("request %d: error %v, want %q", i, got[k].err, kinds[i].fail)
			}
			continue
		}
		if got[k].err != nil || want.err != nil {
			t.Errorf("request %d: errors %v and, alone, %v", i, got[k].err, want.err)
			continue
		}
		if !slices.Equal(got[k].res.Tokens, want.res.Tokens) || got[k].res.Text != want.res.Text {
			t.Errorf("request %d: %q, alone %q", i, got[k].res.Text, want.res.Text)
		}
	}
}

// Ensure that a sampler cannot pick what a constraint forbids, nor end the answer where it may not end.
func TestConstraint_HoldsTheChain(t *testing.T) {
	e := openEngine(t, storiesFile, simd.New(), host.Options{})
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "One day", true)
	if err != nil {
		t.Fatal(err)
	}
	// Every token that the grammar allows is biased away.
	bias := map[string]any{}
	var list []string
	for id := range e.NVocab {
		if piece, err := e.Piece(ctx, uint32(id)); err != nil {
			t.Fatal(err)
		} else if strings.HasPrefix("zebra", piece) && piece != "" {
			list = append(list, fmt.Sprintf("%d-inf", id))
		}
	}
	bias["logit_bias"] = strings.Join(list, ",")
	_, err = e.Generate(ctx, &host.Request{
		Prompt: prompt, MaxTokens: 5, Samplers: []string{"logit_bias", "greedy"}, Settings: bias, Constraint: map[string]any{"choice": `["zebra"]`},
	})
	if err == nil || !strings.Contains(err.Error(), "the sampler chain ends the answer where its constraint does not let it end") {
		t.Errorf("error %v", err)
	}
}

// Ensure that the fields of a batch line hold its answer to what they say, and that a faulty line spoils no other.
func TestBatchConstraints(t *testing.T) {
	lines := []struct{ fields, want string }{
		{`"guided_choice":["left","right"]`, `^(left|right)$`},
		{`"guided_regex":"[a-z]{4}"`, `^[a-z]{4}$`},
		{`"grammar":"root ::= \"yes\" | \"no\""`, `^(yes|no)$`},
		{`"guided_grammar":"root ::= \"yes\""`, `^yes$`},
		{`"json_schema":{"enum":[1,2]}`, `^[12]$`},
		{`"guided_json":"{\"enum\":[3]}"`, `^3$`},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}}}`, `(?s)^\{\s*"ok":\s*(true|false)\s*\}$`},
		{`"response_format":{"type":"json_object","schema":{"const":"x"}}`, `^"x"$`},
		{`"response_format":{"type":"text"}`, `(?s)^.+$`},
		{`"structured_outputs":{"choice":["up"]}`, `^up$`},
		{`"structured_outputs":{"regex":"u+v"}`, `^u+v$`},
		{`"banned_strings":["e"]`, `(?s)^[^eE]*$`},
		{`"bad_words":["a","o"],"guided_regex":"[a-z]{6}"`, `^[b-np-z]{6}$`},
		{`"grammar":"root ::= y"`, `there is no rule y`},
		{`"json_schema":{"uniqueItems":true}`, `uniqueItems`},
		{`"guided_regex":7`, `"guided_regex" is not a string`},
		{`"guided_choice":"x"`, `"guided_choice" is not a list of strings`},
		{`"guided_regex":"a","grammar":"root ::= \"b\""`, `grammar and regex are both set: give one`},
		{`"guided_regex":"a","structured_outputs":{"regex":"b"}`, `the body sets regex twice`},
		{`"response_format":{"type":"xml"}`, `"response_format" has the type "xml"`},
		{`"response_format":{"type":"json_schema"}`, `has no json_schema.schema`},
	}
	var in strings.Builder
	for i, l := range lines {
		fmt.Fprintf(&in, `{"custom_id":"%d","method":"POST","url":"/v1/completions","body":{"prompt":"Once upon","max_tokens":60,"temperature":1,"seed":5,%s}}`+"\n", i, l.fields)
	}
	o := forge(t, in.String(), "batch", "-m", storiesFile, "-i", "-", "-o", "-", "-np", "6", "--choice", "never this").must(t)
	answered := 0
	for sc := bufio.NewScanner(strings.NewReader(o.out)); sc.Scan(); answered++ {
		var line struct {
			ID       string `json:"custom_id"`
			Response *struct {
				Body struct {
					Choices []struct{ Text string }
				}
			}
			Error *struct{ Message string }
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		var i int
		fmt.Sscan(line.ID, &i)
		got := sc.Text()
		if line.Response != nil && len(line.Response.Body.Choices) == 1 {
			got = line.Response.Body.Choices[0].Text
		} else {
			got = strings.ReplaceAll(got, `\"`, `"`)
		}
		// Where a line says nothing of the kind, the command's --choice holds.
		want := lines[i].want
		if strings.HasPrefix(lines[i].fields, `"banned`) || strings.Contains(lines[i].fields, `"text"`) {
			want = `^never this$`
		}
		if strings.HasPrefix(lines[i].fields, `"banned`) {
			want = `constraints? .*(allow|leave)s? no token`
		}
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q does not match %s", lines[i].fields, got, want)
		}
	}
	if answered != len(lines) {
		t.Errorf("%d answers to %d lines", answered, len(lines))
	}
}
