package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake renders with a function of the messages.
type fake func(messages []any) (string, error)

func (f fake) Render(_ context.Context, variables []byte, _ time.Time) (string, error) {
	var v struct{ Messages []any }
	if err := json.Unmarshal(variables, &v); err != nil {
		return "", err
	}
	return f(v.Messages)
}

func opens(f fake) Opener { return func(context.Context) (Template, error) { return f, nil } }

func last(messages []any) any { return messages[len(messages)-1].(map[string]any)["content"] }

// Ensure that a message keeps its fields, role and content first.
func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		`{"content":"a<b","role":"user"}`:                                      `{"role":"user","content":"a\u003cb"}`,
		`{"z":1,"role":"tool","name":"f","content":[{"type":"text"}],"a":[1]}`: `{"role":"tool","content":[{"type":"text"}],"a":[1],"name":"f","z":1}`,
		`{"role":"assistant","tool_calls":[{"b":1,"a":2}]}`:                    `{"role":"assistant","content":null,"tool_calls":[{"b":1,"a":2}]}`,
	} {
		var m Message
		if err := json.Unmarshal([]byte(in), &m); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(m); err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
	for in, want := range map[string]string{
		`[]`:                           "a message is not a JSON object",
		`{"content":"a"}`:              `a message has no "role" (system, user, assistant or tool)`,
		`{"role":5,"content":"a"}`:     `a message has no "role" (system, user, assistant or tool)`,
		`{"role":"user","content":{}}`: `the "content" of a message is neither text nor a list of parts`,
	} {
		if err := json.Unmarshal([]byte(in), new(Message)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

// Ensure that a template that fails is replaced by the fallback, with a notice that says why, and that one that does not
// compile is not compiled again.
func TestRenderer(t *testing.T) {
	ctx := context.Background()
	good := opens(func(m []any) (string, error) { return fmt.Sprint("good ", last(m)), nil })
	picky := opens(func(m []any) (string, error) {
		if last(m) == "bad" {
			return "", errors.New("not this")
		}
		return fmt.Sprint("picky ", last(m)), nil
	})
	compiled := 0
	broken := func(context.Context) (Template, error) {
		compiled++
		return nil, errors.New("does not compile")
	}
	const told = "the model's chat template does not work (%s): the chatml format is used instead, answers may suffer"
	for _, c := range []struct {
		r            *Renderer
		user         string
		text, notice string
		err          string
	}{
		{&Renderer{}, "a", "", "", ErrNoTemplate.Error()},
		{&Renderer{Open: good, Fallback: picky}, "bad", "good bad", "", ""},
		{&Renderer{Open: picky, Fallback: good}, "fine", "picky fine", "", ""},
		{&Renderer{Open: picky, Fallback: good}, "bad", "good bad", fmt.Sprintf(told, "not this"), ""},
		{&Renderer{Open: picky}, "bad", "", "", "not this"},
		{&Renderer{Open: broken, Fallback: good}, "a", "good a", fmt.Sprintf(told, "does not compile"), ""},
		{&Renderer{Open: broken}, "a", "", "", "does not compile"},
		{&Renderer{Open: broken, Fallback: picky}, "bad", "", "", "does not compile; and the fallback: not this"},
	} {
		before := compiled
		for range 2 {
			text, notice, err := c.r.Render(ctx, Prompt("", c.user))
			if text != c.text || notice != c.notice || fmt.Sprint(err) != c.err && !(err == nil && c.err == "") {
				t.Errorf("%q, %q, %v, want %q, %q, %s", text, notice, err, c.text, c.notice, c.err)
			}
		}
		if compiled > before+1 {
			t.Errorf("compiled %d times", compiled-before)
		}
	}
}

// Ensure that being cancelled is neither a fallback's case nor remembered.
func TestRenderer_Cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := &Renderer{
		Open: func(ctx context.Context) (Template, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return fake(func([]any) (string, error) { return "fine", nil }), nil
		},
		Fallback: opens(func([]any) (string, error) { return "fallback", nil }),
	}
	if text, _, err := r.Render(ctx, Prompt("", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", text, err)
	}
	if text, notice, err := r.Render(context.Background(), Prompt("", "a")); text != "fine" || notice != "" || err != nil {
		t.Errorf("%q, %q, %v", text, notice, err)
	}
}

// Ensure that parts reach a template that takes them, and the others as one text, asked once.
func TestRenderer_Parts(t *testing.T) {
	text := func(s string) any { return map[string]any{"type": "text", "text": s} }
	python := func(m []any) (string, error) {
		if s, ok := last(m).(string); ok {
			return s, nil
		}
		return fmt.Sprintf("[{'type': 'text', 'text': '%s'}]", last(m).([]any)[0].(map[string]any)["text"]), nil
	}
	for _, c := range []struct {
		name    string
		f       fake
		content []any
		want    string
	}{
		{"takes them", func(m []any) (string, error) {
			var out strings.Builder
			for _, p := range last(m).([]any) {
				out.WriteString("<" + p.(map[string]any)["text"].(string) + ">")
			}
			return out.String(), nil
		}, []any{text("a"), text("b")}, "<a><b>"},
		{"refuses them", func(m []any) (string, error) {
			if s, ok := last(m).(string); ok {
				return s, nil
			}
			return "", errors.New("no list, please")
		}, []any{text("a"), text("b")}, "ab"},
		{"writes them as Python does", python, []any{text("a"), text("b")}, "ab"},
		{"with a picture", python, []any{text("a"), map[string]any{"type": "image_url"}}, "[{'type': 'text', 'text': 'a'}]"},
	} {
		var asked atomic.Int32
		r := &Renderer{Open: opens(func(m []any) (string, error) { asked.Add(1); return c.f(m) })}
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				d := Prompt("", "")
				d.Messages[0].Content = c.content
				if got, _, err := r.Render(context.Background(), d); got != c.want || err != nil {
					t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
				}
				if len(d.Messages[0].Content.([]any)) != 2 {
					t.Errorf("%s: the dialogue was changed", c.name)
				}
			})
		}
		wait.Wait()
		if n := asked.Load(); n > 5 {
			t.Errorf("%s: rendered %d times", c.name, n)
		}
	}
}

// Ensure that arguments of tool calls reach templates as the object that they hold, or as text where the template wants that,
// and that nothing else of a call changes.
func TestRenderer_Arguments(t *testing.T) {
	arguments := func(m []any) any {
		calls := m[len(m)-1].(map[string]any)["tool_calls"].([]any)
		return calls[len(calls)-1].(map[string]any)["function"].(map[string]any)["arguments"]
	}
	asJSON := func(m []any) (string, error) { b, err := json.Marshal(arguments(m)); return string(b), err }
	asText := func(m []any) (string, error) {
		if s, ok := arguments(m).(string); ok {
			return s, nil
		}
		return "", errors.New("can only concatenate str")
	}
	asPython := func(m []any) (string, error) {
		if s, ok := arguments(m).(string); ok {
			return s, nil
		}
		return fmt.Sprintf("{'x': '%v'}", arguments(m).(map[string]any)["x"]), nil
	}
	const call = `{"role":"assistant","tool_calls":[{"function":{"name":"arguments","arguments":%s}}]}`
	for _, c := range []struct {
		name            string
		f               fake
		arguments, want string
	}{
		{"tojson", asJSON, `"{\"b\": 1.50, \"a\": [\"\u00e9\"]}"`, `{"a":["é"],"b":1.5}`},
		{"tojson of nothing", asJSON, `""`, `{}`},
		{"tojson of an object", asJSON, `{"a":1}`, `{"a":1}`},
		{"tojson of no object", asJSON, `"[1]"`, `"[1]"`},
		{"tojson of no JSON", asJSON, `"{"`, `"{"`},
		{"tojson of null", asJSON, `"null"`, `"null"`},
		{"text", asText, `"{\"a\": 1}"`, `{"a": 1}`},
		{"as Python writes it", asPython, `"{\"x\": 1}"`, `{"x": 1}`},
	} {
		var m Message
		if err := json.Unmarshal(fmt.Appendf(nil, call, c.arguments), &m); err != nil {
			t.Fatal(err)
		}
		r := &Renderer{Open: opens(c.f)}
		if got, _, err := r.Render(context.Background(), &Dialogue{Messages: []Message{m}}); got != c.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	const calls = `[ {"type":"function", "function":{"arguments":"{\"z\":1.0,\"a\":2}","name":"\"arguments\":\"{}\""},"id":"1"}, {"id":"2"}]`
	const want = `[ {"type":"function", "function":{"arguments":{"z":1.0,"a":2},"name":"\"arguments\":\"{}\""},"id":"1"}, {"id":"2"}]`
	if got, ok := objectArguments(json.RawMessage(calls)); !ok || string(got) != want {
		t.Errorf("%s, %t, want %s", got, ok, want)
	}
}
