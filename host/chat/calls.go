package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
)

// Clients send a tool call's arguments as text that holds a JSON object, as OpenAI's API has them; most templates want the
// object itself and write text as a string within quotes, some take the text as it is.

// takesObjects finds out whether a template writes the arguments of a tool call as JSON when it gets them as an object.
func (o *opened) takesObjects(ctx context.Context, t Template) bool {
	d := Prompt("", "a")
	call := `[{"id":"abcdefghi","type":"function","function":{"name":"f","arguments":{"x":"` + probe + `"}}}]`
	d.Messages = append(d.Messages, Message{Role: "assistant", Content: "", Extra: map[string]json.RawMessage{"tool_calls": json.RawMessage(call)}})
	d.Tools = json.RawMessage(`[{"type":"function","function":{"name":"f","description":"f","parameters":{"type":"object","properties":{"x":{"type":"string"}}}}}]`)
	return o.ask(ctx, t, &o.objects, d, "'"+probe)
}

// withObjects is the dialogue with the arguments of tool calls as objects, and whether any was text before.
func (d *Dialogue) withObjects() (*Dialogue, bool) {
	c := *d
	changed := false
	for i, m := range d.Messages {
		calls, ok := objectArguments(m.Extra["tool_calls"])
		if !ok {
			continue
		}
		if !changed {
			c.Messages = append([]Message{}, d.Messages...)
			changed = true
		}
		extra := make(map[string]json.RawMessage, len(m.Extra))
		for k, v := range m.Extra {
			extra[k] = v
		}
		extra["tool_calls"] = calls
		c.Messages[i].Extra = extra
	}
	return &c, changed
}

// objectArguments gives the calls with arguments that are a text of a JSON object in its place, every other byte of them and
// the order of their keys as they were; changed is false if there are none.
func objectArguments(calls json.RawMessage) (_ json.RawMessage, changed bool) {
	calls = replace(calls, func(_ string, call json.RawMessage) json.RawMessage {
		return replace(call, func(key string, function json.RawMessage) json.RawMessage {
			if key != "function" {
				return function
			}
			return replace(function, func(key string, value json.RawMessage) json.RawMessage {
				object, ok := objectOf(value)
				if key != "arguments" || !ok {
					return value
				}
				changed = true
				return object
			})
		})
	})
	return calls, changed
}

// objectOf gives the JSON object that is written in a JSON string; no text is an empty object.
func objectOf(quoted json.RawMessage) (json.RawMessage, bool) {
	var text *string
	if json.Unmarshal(quoted, &text) != nil || text == nil {
		return nil, false
	}
	if strings.TrimSpace(*text) == "" {
		return json.RawMessage("{}"), true
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(*text), &fields) != nil || fields == nil {
		return nil, false
	}
	return json.RawMessage(*text), true
}

// replace calls f for every value of an object or list and puts what it returns in its place. What is neither stays.
func replace(b json.RawMessage, f func(key string, value json.RawMessage) json.RawMessage) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(b))
	open, err := d.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return b
	}
	var out json.RawMessage
	done := 0
	for d.More() {
		var key string
		if open == json.Delim('{') {
			t, err := d.Token()
			if err != nil {
				return b
			}
			key = t.(string)
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return b
		}
		end := int(d.InputOffset())
		out = append(append(out, b[done:end-len(value)]...), f(key, value)...)
		done = end
	}
	return append(out, b[done:]...)
}
