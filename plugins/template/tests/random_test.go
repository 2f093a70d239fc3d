package tests

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A teller makes up dialogues: ordinary ones, and such as no client should send.
type teller struct{ *rand.Rand }

var (
	texts = []string{
		"", "Hello", "  two words \n", "<think>\nhm\n</think>\n\nTwo.", "é 日本 🙂", "{\"a\": [1, null]}", "it's \"quoted\" \\ <b>&</b>",
		"/no_think", "line\nline\r\n\tend\n\n", "{{ 1 }}{% x %}", "<|im_end|>", "a</think>b</think>c", "[TOOL_CALLS]", "Reasoning: high", "7",
	}
	roles = []string{"user", "assistant", "system", "tool", "developer", "ipython", "function", "observation", "other"}
	names = []string{"get_weather", "send_mail", "f", "brave_search", "python", "wolfram_alpha"}
)

func pick[T any](r teller, list []T) T { return list[r.IntN(len(list))] }

// often is true in three of four cases, seldom in one of eight.
func (r teller) often() bool  { return r.IntN(4) > 0 }
func (r teller) seldom() bool { return r.IntN(8) == 0 }

// object writes members in the order given, which Go's maps would not keep.
type object []member

type member struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(fmt.Appendf(out, "%q:", m.key), value...)
	}
	return append(out, '}'), nil
}

// value is any JSON value, seldom a deep one.
func (r teller) value(depth int) any {
	switch n := r.IntN(9 - min(depth, 2)); n {
	case 0:
		return nil
	case 1:
		return r.often()
	case 2:
		return r.IntN(2000) - 1000
	case 3:
		return json.Number(pick(r, []string{"0.1", "-2.5", "1e3", "1.0", "1e-7", "123456789012345678901"}))
	case 4, 5, 6:
		return pick(r, texts)
	case 7:
		list := []any{}
		for range r.IntN(3) {
			list = append(list, r.value(depth+1))
		}
		return list
	default:
		return r.members(depth + 1)
	}
}

func (r teller) members(depth int) object {
	o := object{}
	for i := range r.IntN(4) {
		o = append(o, member{pick(r, []string{"city", "days", "items", "to", "keys", "a b"}) + []string{"", "2", "_x", "3"}[i], r.value(depth)})
	}
	return o
}

func (r teller) content() any {
	switch r.IntN(12) {
	case 0:
		return nil
	case 1, 2:
		parts := []any{}
		for range 1 + r.IntN(2) {
			part := object{{"type", "text"}, {"text", pick(r, texts)}}
			if r.seldom() {
				part = object{{"type", pick(r, []string{"image", "image_url", "audio", "video", "thinking"})}}
			}
			parts = append(parts, part)
		}
		return parts
	case 3:
		if r.seldom() {
			return r.value(0)
		}
	}
	return pick(r, texts)
}

func (r teller) calls() []any {
	calls := []any{}
	for i := range r.IntN(3) {
		var arguments any = r.members(0)
		if r.IntN(3) == 0 {
			b, _ := json.Marshal(arguments)
			arguments = string(b)
		}
		call := object{{"name", pick(r, names)}, {"arguments", arguments}}
		if r.often() {
			call = object{{"id", fmt.Sprintf("call0000%d", i+1)}, {"type", "function"}, {"function", call}}
		}
		calls = append(calls, call)
	}
	return calls
}

func (r teller) message(role string) object {
	m := object{{"role", role}}
	if !r.seldom() {
		m = append(m, member{"content", r.content()})
	}
	switch {
	case role == "assistant" && r.IntN(3) == 0:
		m = append(m, member{"tool_calls", r.calls()})
	case role == "tool":
		m = append(m, member{"name", pick(r, names)}, member{"tool_call_id", "call00001"})
	}
	for _, key := range []string{"reasoning_content", "thinking", "name", "tool_plan"} {
		if r.seldom() {
			m = append(m, member{key, pick(r, texts)})
		}
	}
	return m
}

func (r teller) tool() object {
	properties, required := object{}, []string{}
	for i := range r.IntN(4) {
		name := fmt.Sprintf("%s%d", pick(r, []string{"city", "unit", "items"}), i)
		p := object{{"type", pick(r, []any{"string", "integer", "number", "boolean", "array", "object", []string{"string", "null"}})}}
		if r.often() {
			p = append(p, member{"description", pick(r, texts)})
		}
		if r.seldom() {
			p = append(p, member{"enum", []any{"a", "b"}}, member{"default", r.value(1)})
		}
		if r.seldom() {
			p = append(p, member{"items", object{{"type", "string"}}})
		}
		properties = append(properties, member{name, p})
		if r.often() {
			required = append(required, name)
		}
	}
	parameters := object{{"type", "object"}, {"properties", properties}}
	if r.often() {
		parameters = append(parameters, member{"required", required})
	}
	function := object{{"name", pick(r, names)}, {"description", pick(r, texts)}}
	if !r.seldom() {
		function = append(function, member{"parameters", parameters})
	}
	if r.seldom() {
		return function
	}
	return object{{"type", "function"}, {"function", function}}
}

// dialogue makes one up. Most follow the turns that models know.
func (r teller) dialogue() (string, object) {
	kind, messages := "plain", []object{}
	if r.IntN(3) == 0 {
		kind, messages = "system", append(messages, r.message(pick(r, []string{"system", "system", "developer"})))
	}
	for i := range 1 + r.IntN(5) {
		role := roles[i%2]
		if i > 0 {
			kind = "multi-turn"
		}
		if r.seldom() {
			role = pick(r, roles)
		}
		messages = append(messages, r.message(role))
	}
	o := object{{"messages", messages}}
	if r.IntN(3) == 0 {
		tools := []any{}
		for range r.IntN(3) {
			tools = append(tools, r.tool())
		}
		kind, o = "tools", append(o, member{"tools", tools})
	}
	if r.often() {
		o = append(o, member{"add_generation_prompt", r.often()})
	}
	for _, key := range []string{"enable_thinking", "thinking", "builtin_tools", "date_string", "reasoning_effort", "tools_in_user_message", "documents", "keep_tool_result", "controls"} {
		if r.seldom() {
			o = append(o, member{key, pick(r, []any{true, false, "high", []string{"python"}, 2, nil})})
		}
	}
	return kind, o
}

// Ensure that made-up dialogues, sound or not, give what Jinja2 gives with the chat templates of many models.
func TestLive_MadeUpDialogues(t *testing.T) {
	const seed = 1
	r := teller{rand.New(rand.NewPCG(seed, 0))}
	var talk dialogues
	read(t, "dialogues.json", &talk)
	talk.Dialogues = talk.Dialogues[:0]
	for i := range 200 {
		kind, o := r.dialogue()
		input, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		talk.Dialogues = append(talk.Dialogues, dialogue{kind, fmt.Sprintf("made up %d with seed %d", i, seed), input})
	}
	compareLive(t, &talk)
}
