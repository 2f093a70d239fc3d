package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Template renders variables, given as a JSON object, to text.
type Template interface {
	Render(ctx context.Context, variables []byte, now time.Time) (string, error)
}

// Opener compiles a template.
type Opener func(ctx context.Context) (Template, error)

// Renderer renders with one template, and where that fails with another. It is safe for concurrent use.
type Renderer struct {
	Open     Opener // nil: there is none
	Fallback Opener // nil: none

	template, fallback opened
}

// ErrNoTemplate says that there is nothing to render with.
var ErrNoTemplate = errors.New("the model file has no chat template: name a shipped format with --chat-template (forge run --help lists them), or continue raw text with --raw")

// opened is a template that was asked for: compiled once, or found not to compile.
type opened struct {
	mu      sync.Mutex
	t       Template
	err     error
	parts   answer // it takes a message's content in parts
	objects answer // it wants the arguments of tool calls as objects
}

// answer is what is known of a template.
type answer int

const (
	unknown answer = iota
	taken
	notTaken
)

func (o *opened) get(ctx context.Context, open Opener) (Template, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.t == nil && o.err == nil {
		t, err := open(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, err // given up, not failed
		}
		o.t, o.err = t, err
	}
	return o.t, o.err
}

// Render gives the prompt text, and a notice for the user where the template did not work.
func (r *Renderer) Render(ctx context.Context, d *Dialogue) (text, notice string, err error) {
	if r.Open == nil {
		return "", "", ErrNoTemplate
	}
	text, cause := r.template.render(ctx, r.Open, d)
	switch {
	case cause == nil:
		return text, "", nil
	case r.Fallback == nil || ctx.Err() != nil:
		return "", "", cause
	}
	if text, err = r.fallback.render(ctx, r.Fallback, d); err != nil {
		return "", "", fmt.Errorf("%w; and the fallback: %w", cause, err)
	}
	return text, fmt.Sprintf("the model's chat template does not work (%v): the chatml format is used instead, answers may suffer", cause), nil
}

func (o *opened) render(ctx context.Context, open Opener, d *Dialogue) (string, error) {
	t, err := o.get(ctx, open)
	if err != nil {
		return "", err
	}
	if d.hasParts() && !o.takesParts(ctx, t) {
		d = d.joined()
	}
	if objects, ok := d.withObjects(); ok && o.takesObjects(ctx, t) {
		d = objects
	}
	variables, err := d.variables()
	if err != nil {
		return "", err
	}
	return t.Render(ctx, variables, time.Now())
}

// probe is a text that no template writes by itself.
const probe = "forge-asks-for-the-text-of-a-part"

// takesParts finds out whether a template understands content in parts: of a message of one part it must give the text, and
// not the part as Python or JSON writes it.
func (o *opened) takesParts(ctx context.Context, t Template) bool {
	d := Prompt("", "")
	d.Messages[0].Content = []any{map[string]any{"type": "text", "text": probe}}
	return o.ask(ctx, t, &o.parts, d, "'"+probe, `"`+probe)
}

// ask renders a dialogue that holds the probe, once, and tells whether the text has it, and in none of the wrong forms.
func (o *opened) ask(ctx context.Context, t Template, known *answer, d *Dialogue, wrong ...string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if *known == unknown {
		variables, err := d.variables()
		if err != nil {
			return false
		}
		text, err := t.Render(ctx, variables, time.Now())
		if err != nil && ctx.Err() != nil {
			return false
		}
		*known = notTaken
		contains := func(s string) bool { return strings.Contains(text, s) }
		if err == nil && contains(probe) && !slices.ContainsFunc(wrong, contains) {
			*known = taken
		}
	}
	return *known == taken
}

func (d *Dialogue) hasParts() bool {
	for _, m := range d.Messages {
		if _, ok := m.Content.([]any); ok {
			return true
		}
	}
	return false
}

// joined is the dialogue with the texts of parts put together. A content with another part than text stays as it is.
func (d *Dialogue) joined() *Dialogue {
	c := *d
	c.Messages = append([]Message{}, d.Messages...)
	for i, m := range c.Messages {
		list, ok := m.Content.([]any)
		if !ok {
			continue
		}
		if text, ok := joinParts(list); ok {
			c.Messages[i].Content = text
		}
	}
	return &c
}

func joinParts(list []any) (string, bool) {
	var text strings.Builder
	for _, item := range list {
		part, ok := item.(map[string]any)
		if !ok || part["type"] != "text" {
			return "", false
		}
		s, ok := part["text"].(string)
		if !ok {
			return "", false
		}
		text.WriteString(s)
	}
	return text.String(), true
}
