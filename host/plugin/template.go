package plugin

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"forge/abi"
)

const (
	maxTemplateText = 4 << 20
	maxTemplateJSON = 64 << 20
	minRendered     = 8 << 20 // a template may write this much, and four times its variables beside
)

// Template renders messages to prompt text. It is safe for concurrent use; calls take turns.
type Template struct {
	m              *Module
	text, bos, eos string

	mu sync.Mutex
	in *instance
	textWindows
	render export
}

// NewTemplate starts a template guest with a Jinja text and the texts of the BOS and EOS tokens.
func (m *Module) NewTemplate(ctx context.Context, text, bos, eos string) (*Template, error) {
	if m.kind.Name != abi.KindTemplate {
		return nil, fmt.Errorf("plugin %s is a %s and not a template", m.spec.Name, m.kind.Name)
	}
	if n := len(text) + len(bos) + len(eos); n > maxTemplateText {
		return nil, fmt.Errorf("plugin %s: the template has %d bytes, the limit is %d", m.spec.Name, n, maxTemplateText)
	}
	t := &Template{m: m, text: text, bos: bos, eos: eos}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Template) ready(ctx context.Context) error {
	if t.in != nil && !t.in.dead {
		return t.m.quarantined()
	}
	l := newLayout()
	t.textWindows = layOutText(l)
	parts := [3]string{t.text, t.bos, t.eos}
	var at [3]uint32
	for i, s := range parts {
		at[i] = l.take(uint64(len(s)), 64)
	}
	var err error
	t.in, err = t.m.start(ctx, l, func(in *instance, init abi.Init) {
		for i, set := range []func(ptr, n uint32){init.SetText, init.SetBOS, init.SetEOS} {
			copy(in.at(at[i], uint32(len(parts[i]))), parts[i])
			set(in.base+at[i], uint32(len(parts[i])))
		}
	})
	if err != nil {
		return err
	}
	t.render = t.in.export("template_render")
	return nil
}

// Render gives the prompt text for a JSON object of the template's variables (messages, tools, add_generation_prompt,
// ...). now is what the template's clock says.
func (t *Template) Render(ctx context.Context, json []byte, now time.Time) (string, error) {
	if len(json) > maxTemplateJSON {
		return "", fmt.Errorf("plugin %s: the variables of the template have %d bytes of JSON, the limit is %d",
			t.m.spec.Name, len(json), maxTemplateJSON)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return "", err
	}
	c := textCall{
		export: t.render, input: json, inWidth: 1, outWidth: 1, last: true, maxOut: minRendered + 4*uint64(len(json)), now: now.Unix(),
		atOnce: true, inPieces: true,
	}
	if err := t.run(ctx, t.in, &c); err != nil {
		return "", err
	}
	text, ok := joinText(c.pieces)
	if !ok {
		return "", t.in.fault(t.render.name, 0, "gave text that is not UTF-8")
	}
	return text, nil
}

// joinText makes one text of pieces and tells whether it is UTF-8. Others have their turn in between: a prompt may have
// megabytes, and Go does not interrupt a copy.
func joinText(pieces [][]byte) (string, bool) {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	var b strings.Builder
	b.Grow(size)
	for _, p := range pieces {
		b.Write(p)
		runtime.Gosched()
	}
	text := b.String()
	for rest := text; len(rest) > 0; runtime.Gosched() {
		n := min(len(rest), textOut)
		for k := n; n < len(rest) && k > n-utf8.UTFMax; k-- { // where a character begins
			if utf8.RuneStart(rest[k]) {
				n = k
				break
			}
		}
		if !utf8.ValidString(rest[:n]) {
			return "", false
		}
		rest = rest[n:]
	}
	return text, true
}

// Close frees the instance.
func (t *Template) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in != nil {
		t.in.discard()
	}
}
