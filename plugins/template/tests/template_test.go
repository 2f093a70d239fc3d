// Tests of the template guest as the host runs it: the shipped module in the sandbox, against what Jinja2 makes of the
// same templates and dialogues.
package tests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forge/host/plugin"
	"forge/plugins"
)

var ctx = context.Background()

// load gives the shipped guest, held to its kind's limits.
func load(t testing.TB, opt plugin.RuntimeOptions) *plugin.Module {
	t.Helper()
	return loadWithin(t, opt, 0)
}

// loadWithin gives the shipped guest with another limit of pages of 64 KiB; 0 is the kind's. It is never quarantined.
func loadWithin(t testing.TB, opt plugin.RuntimeOptions, pages uint32) *plugin.Module {
	t.Helper()
	r, err := plugin.NewRuntime(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(ctx) })
	m, err := r.Load(ctx, plugin.Spec{
		Name: "template", Kind: "template", Wasm: plugins.Shipped()["template"],
		Limits: plugin.Limits{Pages: pages, Strikes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A request is one rendering: what testdata/reference.py reads.
type request struct {
	Template string          `json:"template"`
	BOS      string          `json:"bos"`
	EOS      string          `json:"eos"`
	Input    json.RawMessage `json:"input"`
	now      int64
}

// render has the guest render, compiling the template first.
func render(m *plugin.Module, q *request) (string, error) {
	tmpl, err := m.NewTemplate(ctx, q.Template, q.BOS, q.EOS)
	if err != nil {
		return "", err
	}
	defer tmpl.Close()
	return tmpl.Render(ctx, q.Input, time.Unix(q.now, 0))
}

// refused tells whether an error is the guest's own sentence about the template or the dialogue, and not a trap.
func refused(err error) bool {
	var e *plugin.Error
	return errors.As(err, &e) && !e.Trapped && e.Status < 0
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// read decodes a file of testdata.
func read(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// recorded is a file that testdata/vectors.py wrote. A case without a prompt is one that Jinja2 refuses.
type recorded struct {
	BOS, EOS, Input string
	Now             int64
	Cases           []struct {
		Name, Template, Input, Refused string
		Prompt                         *string
	}
}

func checkRecorded(t *testing.T, m *plugin.Module, name string) {
	var file recorded
	read(t, name, &file)
	if len(file.Cases) < 4 {
		t.Fatalf("%s has %d cases", name, len(file.Cases))
	}
	for _, c := range file.Cases {
		input := file.Input
		if c.Input != "" {
			input = c.Input
		}
		got, err := render(m, &request{Template: c.Template, BOS: file.BOS, EOS: file.EOS, Input: []byte(input), now: file.Now})
		switch {
		case c.Prompt == nil && err == nil:
			t.Errorf("%q gives %q; Jinja2 refuses it: %s", c.Template, got, c.Refused)
		case c.Prompt == nil && !refused(err):
			t.Errorf("%q: %v", c.Template, err)
		case c.Prompt != nil && (err != nil || got != *c.Prompt):
			t.Errorf("%s %q gives\n%q, %v; Jinja2\n%q", c.Name, c.Template, got, err, *c.Prompt)
		}
	}
}

// Ensure that SmolLM2's own template gives Jinja2's prompts, on both of wazero's engines.
func TestSmolLM2(t *testing.T) {
	for _, interpreter := range []bool{false, true} {
		t.Run(fmt.Sprintf("interpreter=%t", interpreter), func(t *testing.T) {
			checkRecorded(t, load(t, plugin.RuntimeOptions{Interpreter: interpreter}), "smollm2.json")
		})
	}
}

// Ensure that the template language is Jinja2's, snippet by snippet.
func TestLanguage(t *testing.T) {
	checkRecorded(t, load(t, plugin.RuntimeOptions{}), "language.json")
}

// Ensure that a dialogue of 10 MB renders.
func TestLongDialogue(t *testing.T) {
	text := strings.Repeat("Ten bytes\n", 1<<20)
	input, err := json.Marshal(map[string]any{"messages": []any{map[string]string{"role": "user", "content": text}}})
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, plugin.RuntimeOptions{})
	got, err := render(m, &request{Template: "{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}{% endfor %}", Input: input})
	if want := "<user>" + strings.TrimSpace(text); err != nil || got != want {
		t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
	}
}
