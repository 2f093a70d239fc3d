package host

import (
	"context"
	"errors"

	"forge/abi"
	"forge/host/plugin"
)

// earlyTemplate is the chat template that Options.Template named: compiled beside the rest of the model, for whoever
// renders first.
type earlyTemplate struct {
	text string
	done chan struct{} // closed once the two below are set
	t    *plugin.Template
	err  error
}

// openTemplateEarly begins to compile the template, if one will be needed. Whoever asks for it waits, and is told if it
// failed.
func (e *Engine) openTemplateEarly(ctx context.Context) {
	if e.opt.Template == nil {
		return
	}
	text := e.opt.Template(e.File)
	if text == "" {
		return
	}
	e.template = &earlyTemplate{text: text, done: make(chan struct{})}
	go func() {
		defer close(e.template.done)
		e.template.t, e.template.err = e.newTemplate(ctx, text)
	}()
}

// OpenTemplate compiles a chat template in the set's template guest. One that Options.Template named is compiled already,
// and the same for all who ask.
func (e *Engine) OpenTemplate(ctx context.Context, text string) (*plugin.Template, error) {
	early := e.template
	if early == nil || early.text != text {
		return e.newTemplate(ctx, text)
	}
	select {
	case <-early.done:
		return early.t, early.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) newTemplate(ctx context.Context, text string) (*plugin.Template, error) {
	m, err := e.modules.first(ctx, abi.KindTemplate)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("plugins.toml has no plugin of kind template: add one, or continue raw text with --raw")
	}
	return m.NewTemplate(ctx, text, e.Vocab.Text(e.Vocab.BOS), e.Vocab.Text(e.Vocab.EOS))
}

// closeTemplate waits for a template that is being compiled: nothing may use the runtime after the engine.
func (e *Engine) closeTemplate() {
	if e.template == nil {
		return
	}
	<-e.template.done
	if e.template.t != nil {
		e.template.t.Close()
	}
}
