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

// beginTemplate loads the template guest, if a template will be needed: it is the largest guest, and nothing else has to
// be known for that.
func (e *Engine) beginTemplate(ctx context.Context) {
	if e.opt.Template == nil {
		return
	}
	if text := e.opt.Template(e.File); text != "" {
		e.template = &earlyTemplate{text: text, done: make(chan struct{})}
		go e.modules.first(ctx, abi.KindTemplate)
	}
}

// compileTemplate goes on once the vocabulary is read. Whoever asks for the template waits, and is told if it failed.
func (e *Engine) compileTemplate(ctx context.Context) {
	if early := e.template; early != nil {
		go func() {
			defer close(early.done)
			early.t, early.err = e.newTemplate(ctx, early.text)
		}()
	}
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
