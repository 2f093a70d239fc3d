package plugin

import (
	"context"
	"fmt"

	"forge/abi"
)

// Probe is an instance of a module whose frames its user writes: for checking a module with buffers of any size, calls in any
// order and records that no host would send. It keeps to the ABI until the first call: arena, then forge_init.
type Probe struct {
	m                     *Module
	in                    *instance
	room, params, strings uint32 // offsets in the arena
	size, stringRoom      uint32
	fns                   map[string]export
}

// ProbeOptions of NewProbe.
type ProbeOptions struct {
	Room           int    // bytes of the window that is the user's
	Vocab          *Vocab // for kinds that have one, or nil
	Text, BOS, EOS string // of templates
	Settings       *Settings
	MaxRows        int
}

// NewProbe makes an instance with its arena and calls forge_init.
func (m *Module) NewProbe(ctx context.Context, opt ProbeOptions) (*Probe, error) {
	values, err := opt.Settings.of(m)
	if err != nil {
		return nil, err
	}
	p := &Probe{m: m, size: uint32(opt.Room), stringRoom: uint32(textBytes(values)), fns: map[string]export{}}
	l := newLayout()
	p.params = l.take(8*uint64(len(m.slots)), 64)
	p.strings = l.take(uint64(p.stringRoom), 64)
	p.room = l.take(uint64(opt.Room), 64)
	var vocab *vocabLayout
	if opt.Vocab != nil && (m.kind.Name == abi.KindTokenizer || m.caps&abi.CapVocab != 0) {
		if vocab, err = layOutVocab(l, opt.Vocab, m.kind.Name != abi.KindTokenizer); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", m.spec.Name, err)
		}
	}
	texts := [3]string{opt.Text, opt.BOS, opt.EOS}
	var at [3]uint32
	for i, s := range texts {
		at[i] = l.take(uint64(len(s)), 64)
	}
	p.in, err = m.start(ctx, l, func(in *instance, init abi.Init) {
		init.SetMaxRows(uint32(opt.MaxRows))
		if opt.Vocab != nil {
			init.SetNVocab(uint32(opt.Vocab.N))
		}
		if vocab != nil {
			init.SetVocab(vocab.write(in, opt.Vocab))
		}
		if m.kind.Name == abi.KindTemplate {
			for i, set := range []func(ptr, n uint32){init.SetText, init.SetBOS, init.SetEOS} {
				copy(in.at(at[i], uint32(len(texts[i]))), texts[i])
				set(in.base+at[i], uint32(len(texts[i])))
			}
		}
		in.putSlots(p.params, p.strings, values)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Room is the user's window in the guest's memory, and At its address there. The slice holds until the next call.
func (p *Probe) Room() []byte { return p.in.at(p.room, p.size) }

// At is the guest's address of the window's first byte.
func (p *Probe) At() uint32 { return p.in.base + p.room }

// Params is the span of the settings' slots.
func (p *Probe) Params() (ptr, n uint32) { return p.in.base + p.params, uint32(len(p.m.slots)) }

// Frame clears the frame of the next call and fills its head; size may be more than any frame of this ABI, up to 128. After the
// call Seen gives it with what the guest wrote.
func (p *Probe) Frame(size uint32) []byte { return p.in.frame(min(size, frameRoom)) }

// Seen is the frame as it stands.
func (p *Probe) Seen(size uint32) []byte { return p.in.at(0, min(size, frameRoom)) }

// Has tells whether the guest has an export.
func (p *Probe) Has(name string) bool {
	_, ok := p.m.code.exports[name]
	return ok
}

// Call calls an export on the frame, with the fuel of so many elements of work. A refusal is an *Error with the guest's sentence;
// one that is Trapped ends the probe.
func (p *Probe) Call(ctx context.Context, name string, work int) (abi.Status, error) {
	if p.in.dead {
		return 0, fmt.Errorf("plugin %s: the instance is gone", p.m.spec.Name)
	}
	e, ok := p.fns[name]
	if !ok {
		if !p.Has(name) {
			return 0, fmt.Errorf("plugin %s has no export %s", p.m.spec.Name, name)
		}
		e = p.in.export(name)
		p.fns[name] = e
	}
	return p.in.call(ctx, e, p.m.budget(work))
}

// Fuel is what the last call used, and Allowed what a call of so many elements may use.
func (p *Probe) Fuel() int64 { return p.in.used }

// Allowed is the fuel of a call of so many elements of work.
func (p *Probe) Allowed(work int) int64 { return p.m.budget(work) }

// Pages is how many pages the guest's memory has, and MaxPages how many it may have.
func (p *Probe) Pages() int { return len(p.in.mem.buf) / abi.PageBytes }

// MaxPages is the most pages that an instance of the module may have.
func (m *Module) MaxPages() int { return int(m.pages()) }

// Close frees the instance.
func (p *Probe) Close() { p.in.discard() }
