// Package chat turns messages into what a template guest reads, and says which template a model's dialogue goes through.
//
// Nouns: a Dialogue is messages and tools; a Renderer makes prompt text of it with the model's template, or, where that
// fails, with a fallback, and says so. Content in parts reaches the templates that take it, and others as one text; the arguments
// of tool calls, which clients send as text, reach most templates as objects.
//
//	text, notice, err := renderer.Render(ctx, &chat.Dialogue{Messages: msgs, AddGenerationPrompt: true})
//
// Nothing here knows tokens or models; the template language itself is the guest's.
package chat

import (
	"encoding/json"
	"errors"
)

// Message is one turn. Content is a string or a list of parts; fields that only templates know travel in Extra.
type Message struct {
	Role    string
	Content any
	Extra   map[string]json.RawMessage
}

// UnmarshalJSON keeps the fields it does not know.
func (m *Message) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return errors.New("a message is not a JSON object")
	}
	if err := json.Unmarshal(fields["role"], &m.Role); err != nil || m.Role == "" {
		return errors.New(`a message has no "role" (system, user, assistant or tool)`)
	}
	if c, ok := fields["content"]; ok {
		if err := json.Unmarshal(c, &m.Content); err != nil {
			return err
		}
		switch m.Content.(type) {
		case nil, string, []any:
		default:
			return errors.New(`the "content" of a message is neither text nor a list of parts`)
		}
	}
	delete(fields, "role")
	delete(fields, "content")
	m.Extra = fields
	return nil
}

// MarshalJSON writes the message as templates expect it: role and content first, for some templates write whole messages.
func (m Message) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}{m.Role, m.Content})
	if err != nil || len(m.Extra) == 0 {
		return b, err
	}
	extra, err := json.Marshal(m.Extra)
	if err != nil {
		return nil, err
	}
	return append(append(b[:len(b)-1], ','), extra[1:]...), nil
}

// Dialogue is what a template renders.
type Dialogue struct {
	Messages            []Message
	Tools               json.RawMessage // a JSON array, or nil
	AddGenerationPrompt bool
	Vars                map[string]any // further variables of the template
}

func (d *Dialogue) variables() ([]byte, error) {
	vars := map[string]any{"messages": d.Messages, "add_generation_prompt": d.AddGenerationPrompt}
	for k, v := range d.Vars {
		vars[k] = v
	}
	if d.Tools != nil {
		vars["tools"] = d.Tools
	}
	return json.Marshal(vars)
}

// Prompt is a dialogue of one user message, with a system message in front if there is one.
func Prompt(system, user string) *Dialogue {
	d := &Dialogue{AddGenerationPrompt: true}
	if system != "" {
		d.Messages = append(d.Messages, Message{Role: "system", Content: system})
	}
	d.Messages = append(d.Messages, Message{Role: "user", Content: user})
	return d
}
