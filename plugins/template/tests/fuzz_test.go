package tests

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"forge/host/plugin"
	"forge/plugins"
)

// FuzzRender has the guest compile any text and render any input with it. It may refuse, and the host may stop it for its
// fuel or its depth; it may not panic.
func FuzzRender(f *testing.F) {
	inputs := []string{
		"{}", `{"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true}`,
		`{"messages": [{"role": "system", "content": [{"type": "text", "text": "é"}]}, {"role": "user", "content": null}], "tools": [{"function": {"name": "f", "parameters": {}}}]}`,
		`{"messages": 1, "a": [1.5, -1e300, "\ud83d\ude42", {"b": true}]}`, `{"a`, `[]`, "\xff",
	}
	snippets, err := os.ReadFile(filepath.Join("..", "testdata", "snippets.txt"))
	if err != nil {
		f.Fatal(err)
	}
	texts := strings.Split(string(snippets), "\n")
	for _, text := range plugins.Formats() {
		texts = append(texts, text)
	}
	for i, text := range texts {
		f.Add(text, []byte(inputs[i%len(inputs)]))
	}
	r := teller{rand.New(rand.NewPCG(1, 2))}
	for range 500 {
		f.Add(r.splice(texts), []byte(pick(r, inputs)))
	}
	m := load(f, plugin.RuntimeOptions{})
	f.Fuzz(func(t *testing.T, text string, input []byte) {
		if len(text) > 1<<16 || len(input) > 1<<16 {
			return
		}
		prompt, err := render(m, &request{Template: text, BOS: "<s>", EOS: "</s>", Input: input})
		if err == nil {
			if !utf8.ValidString(prompt) {
				t.Errorf("the prompt is not UTF-8: %q", prompt)
			}
			return
		}
		var e *plugin.Error
		if !errors.As(err, &e) || e.Trapped && !strings.Contains(e.Why, "out of fuel") && !strings.Contains(e.Why, "too deep") {
			t.Errorf("%v", err)
		}
		if s := err.Error(); strings.ContainsAny(s, "\n\r\x00") || !utf8.ValidString(s) {
			t.Errorf("no clear sentence: %q", s)
		}
	})
}

var token = regexp.MustCompile(`[a-z_]+|[0-9]+|\{[%{]-?|-?[%}]\}|[^ ]| +`)

// splice makes a text of the tokens of others: pieces of two, and a few tokens out of their place.
func (r teller) splice(texts []string) string {
	a, b := token.FindAllString(pick(r, texts), -1), token.FindAllString(pick(r, texts), -1)
	out := append(slices.Clone(a[:r.IntN(len(a)+1)]), b[r.IntN(len(b)+1):]...)
	for range r.IntN(4) {
		if len(a) > 0 && len(out) > 0 {
			out[r.IntN(len(out))] = pick(r, a)
		}
	}
	return strings.Join(out, "")
}
