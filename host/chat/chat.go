// Package chat turns messages into what a template guest reads, and says which template a model's dialogue goes through.
//
// Nouns: a Dialogue is messages and tools; a Renderer makes prompt text of it with the model's template, or, where that
// fails, with a fallback, and says so.
//
//	text, notice, err := renderer.Render(ctx, &chat.Dialogue{Messages: msgs, AddGenerationPrompt: true})
//
// Nothing here knows tokens or models; the template language itself is the guest's.
package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
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

// MarshalJSON writes the message as templates expect it.
func (m Message) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"role": m.Role, "content": m.Content}
	for k, v := range m.Extra {
		fields[k] = v
	}
	return json.Marshal(fields)
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

// Template renders variables, given as a JSON object, to text.
type Template interface {
	Render(ctx context.Context, variables []byte, now time.Time) (string, error)
}

// Renderer renders with the model's template. Open is called when it is first needed.
type Renderer struct {
	Open     func(ctx context.Context) (Template, error)
	Fallback func(ctx context.Context) (Template, error) // nil: none

	template Template
}

// ErrNoTemplate says that there is nothing to render with.
var ErrNoTemplate = errors.New("the model file has no chat template: name a shipped format with --chat-template (forge run --help lists them), or continue raw text with --raw")

// Render gives the prompt text, and a notice for the user where the model's own template did not work.
func (r *Renderer) Render(ctx context.Context, d *Dialogue) (text, notice string, err error) {
	vars, err := d.variables()
	if err != nil {
		return "", "", err
	}
	if r.template == nil {
		if r.Open == nil {
			return "", "", ErrNoTemplate
		}
		if r.template, err = r.Open(ctx); err != nil {
			return r.fallBack(ctx, vars, err)
		}
	}
	text, err = r.template.Render(ctx, vars, time.Now())
	if err != nil {
		return r.fallBack(ctx, vars, err)
	}
	return text, "", nil
}

func (r *Renderer) fallBack(ctx context.Context, vars []byte, cause error) (string, string, error) {
	if r.Fallback == nil || ctx.Err() != nil {
		return "", "", cause
	}
	t, err := r.Fallback(ctx)
	if err != nil {
		return "", "", fmt.Errorf("%w; and the fallback: %w", cause, err)
	}
	text, err := t.Render(ctx, vars, time.Now())
	if err != nil {
		return "", "", cause
	}
	return text, fmt.Sprintf("the model's chat template does not work (%v): the chatml format is used instead, answers may suffer", cause), nil
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
