package server

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"forge/host"
)

// Ensure that OpenAI's fields are read as a chat and as a completion have them.
func TestWantedLogprobs(t *testing.T) {
	for _, c := range []struct {
		body string
		chat bool
		want wanted
		err  string
	}{
		{body: `{}`},
		{body: `{}`, chat: true},
		{body: `{"logprobs": null}`},
		{body: `{"logprobs": false, "top_logprobs": null}`, chat: true},
		{body: `{"logprobs": true}`, chat: true, want: wanted{on: true}},
		{body: `{"logprobs": true, "top_logprobs": 0}`, chat: true, want: wanted{on: true}},
		{body: `{"logprobs": true, "top_logprobs": 5}`, chat: true, want: wanted{on: true, top: 5}},
		{body: `{"logprobs": 0}`, want: wanted{on: true}},
		{body: `{"logprobs": 3}`, want: wanted{on: true, top: 3}},
		{body: `{"logprobs": 3, "post_sampling_probs": true}`, want: wanted{on: true, top: 3, chances: true}},
		{body: `{"logprobs": true, "top_logprobs": 2, "post_sampling_probs": true}`, chat: true, want: wanted{on: true, top: 2, chances: true}},
		{body: `{"post_sampling_probs": false}`},

		{body: `{"logprobs": 3}`, chat: true, err: `"logprobs" of a chat is not true or false: "top_logprobs" has the number`},
		{body: `{"top_logprobs": 3}`, chat: true, err: `"top_logprobs" is for a chat with "logprobs": true`},
		{body: `{"logprobs": false, "top_logprobs": 3}`, chat: true, err: `"top_logprobs" is for a chat with "logprobs": true`},
		{body: `{"logprobs": true}`, err: `"logprobs" is not a number`},
		{body: `{"logprobs": 101}`, err: `101 logprobs asked for: 0 to 100`},
		{body: `{"logprobs": true, "top_logprobs": -1}`, chat: true, err: `-1 logprobs asked for: 0 to 100`},
		{body: `{"post_sampling_probs": true}`, err: `"post_sampling_probs" needs "logprobs"`},
	} {
		var b body
		if err := json.Unmarshal([]byte(c.body), &b); err != nil {
			t.Fatal(err)
		}
		got, err := wantedLogprobs(&b, c.chat)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.body, err, c.err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.body, got, err, c.want)
		}
	}
}

// Ensure that the answer has what was wanted, in OpenAI's two forms: half characters, equal texts and no probability at all
// among it.
func TestLogprobs_Forms(t *testing.T) {
	texts := []string{" a", "\xc3", "b", "b"}
	piece := func(id uint32) (string, error) { return texts[id], nil }
	res := &host.Result{
		Tokens:        []uint32{0, 1},
		TokenLogprobs: []float64{-1.5, -0.25},
		Logprobs:      [][]host.Logprob{{{ID: 2, Logprob: -0.5}, {ID: 3, Logprob: -1}, {ID: 0, Logprob: -1.5}}, {{ID: 1, Logprob: -0.25}, {ID: 2, Logprob: math.Inf(-1)}}},
		Chances:       []host.Chances{{}, {Logprob: -0.125, Top: []host.Logprob{{ID: 1, Logprob: -0.125}}}},
	}
	for _, c := range []struct {
		want       wanted
		chat, text string
	}{
		{wanted{on: true, top: 2},
			`{"content":[{"token":" a","logprob":-1.5,"bytes":[32,97],"top_logprobs":[{"token":"b","logprob":-0.5,"bytes":[98]},{"token":"b","logprob":-1,"bytes":[98]}]},` +
				`{"token":"\ufffd","logprob":-0.25,"bytes":[195],"top_logprobs":[{"token":"\ufffd","logprob":-0.25,"bytes":[195]},{"token":"b","logprob":-9999,"bytes":[98]}]}],"refusal":null}`,
			`{"token_logprobs":[-1.5,-0.25],"tokens":[" a","\ufffd"],"top_logprobs":[{" a":-1.5,"b":-0.5},{"b":-9999,"\ufffd":-0.25}]}`},
		{wanted{on: true},
			`{"content":[{"token":" a","logprob":-1.5,"bytes":[32,97],"top_logprobs":[]},{"token":"\ufffd","logprob":-0.25,"bytes":[195],"top_logprobs":[]}],"refusal":null}`,
			`{"token_logprobs":[-1.5,-0.25],"tokens":[" a","\ufffd"],"top_logprobs":[{" a":-1.5},{"\ufffd":-0.25}]}`},
		{wanted{on: true, top: 2, chances: true},
			`{"content":[{"token":" a","logprob":0,"bytes":[32,97],"top_logprobs":[]},{"token":"\ufffd","logprob":-0.125,"bytes":[195],"top_logprobs":[{"token":"\ufffd","logprob":-0.125,"bytes":[195]}]}],"refusal":null}`,
			`{"token_logprobs":[0,-0.125],"tokens":[" a","\ufffd"],"top_logprobs":[{" a":0},{"\ufffd":-0.125}]}`},
	} {
		list, err := c.want.list(res, piece)
		if err != nil {
			t.Fatal(err)
		}
		for form, want := range map[string]any{c.chat: chatLogprobs(list), c.text: textLogprobs(list)} {
			if b, err := json.Marshal(want); err != nil || string(b) != form {
				t.Errorf("%+v:\n got %s, %v\nwant %s", c.want, b, err, form)
			}
		}
	}
	if list, err := (wanted{on: true}).list(&host.Result{}, piece); err != nil || list == nil {
		t.Errorf("no token: %v, %v; null is no list", list, err)
	}
	broken := errors.New("no piece")
	if _, err := (wanted{on: true}).list(res, func(uint32) (string, error) { return "", broken }); err != broken {
		t.Errorf("a tokenizer that fails: %v", err)
	}
}
