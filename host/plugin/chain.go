package plugin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"forge/abi"
)

// Stop is what Sample returns instead of a token when a guest ends the sequence.
const Stop int32 = -1

// historyRoom is how many of a sequence's newest tokens a row shows to guests that were granted history.
const historyRoom = 32768

// ChainEntry is one entry of a sampler or processor module.
type ChainEntry struct {
	Module *Module
	Entry  string
}

// Chain is a list of entries through which a row of logits passes until one of them picks a token. Each module of it has
// one instance, and neighbours of one module work on the same table in place. It is safe for concurrent use; calls take
// turns, so make one for each goroutine that samples.
type Chain struct {
	mu       sync.Mutex
	nVocab   int
	vocab    *Vocab
	units    []*unit
	stages   []stage
	defaults *Params
	skipped  string // entries that the last Sample left out, for its error
	observe  func(Observation)
	closed   bool
	ranking  []uint64 // scratch of plans
}

// stage is a run of neighbouring entries of one module.
type stage struct {
	unit    *unit
	entries []stageEntry
	last    bool
}

type stageEntry struct {
	name string
	fn   int // index in instance.fns
}

// unit is one module of a chain.
type unit struct {
	tenant
	chain *Chain
	index int    // in Chain.units
	reads []bool // for each config key: some entry of the chain reads it

	row, history, logits, ids uint32 // offsets in the arena
	historyCap                uint32

	top            uint32 // window of logprob records, 0 without the grant
	steps, planIDs uint32 // windows of plans, 0 if no entry has one
	proven         bool   // plans and entries were compared

	unheard map[uint64]struct{} // sequences whose settings leave all entries idle: a guest with state hears nothing of them
}

// ChainOption of NewChain.
type ChainOption func(*Chain)

// WithVocab gives the token texts to guests that were granted vocab. What tokenizers alone need is left out.
func WithVocab(v *Vocab) ChainOption {
	texts := &Vocab{N: v.N, Texts: v.Texts, Types: v.Types, Model: v.Model, Pre: v.Pre, Pieces: v.Pieces, EOG: v.EOG, BOS: v.BOS, EOS: v.EOS, UNK: v.UNK, SEP: v.SEP,
		PAD: v.PAD, AddSpacePrefix: v.AddSpacePrefix, RemoveExtraWhitespaces: v.RemoveExtraWhitespaces}
	return func(c *Chain) { c.vocab = texts }
}

// NewChain starts the modules of a chain. Entries run in order.
func (r *Runtime) NewChain(ctx context.Context, entries []ChainEntry, nVocab int, options ...ChainOption) (*Chain, error) {
	if nVocab < 1 || nVocab > maxVocab {
		return nil, fmt.Errorf("a vocabulary of %d tokens is out of range: 1 to %d", nVocab, maxVocab)
	}
	if len(entries) == 0 {
		return nil, errors.New("the sampler chain has no entries: end it with greedy or dist")
	}
	c := &Chain{nVocab: nVocab}
	for _, o := range options {
		o(c)
	}
	for _, e := range entries {
		if err := c.add(r, e); err != nil {
			c.Close()
			return nil, err
		}
	}
	c.stages[len(c.stages)-1].last = true
	var err error
	if c.defaults, err = c.Params(nil); err != nil {
		c.Close()
		return nil, err
	}
	for _, u := range c.units {
		if c.defaults.idleFor(u) {
			continue // its instance is made for the first sequence that wants it
		}
		if err := u.ready(ctx); err != nil {
			c.Close()
			return nil, err
		}
		if err := u.prove(ctx); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// add puts an entry behind the others.
func (c *Chain) add(r *Runtime, e ChainEntry) error {
	if e.Module == nil || e.Module.r != r {
		return fmt.Errorf("entry %s of the sampler chain belongs to no module of this runtime", e.Entry)
	}
	m := e.Module
	man := m.code.manifest
	prefix := entryPrefix(m.kind.Name)
	if prefix == "" {
		return fmt.Errorf("plugin %s is a %s and has no place in a sampler chain", m.spec.Name, m.kind.Name)
	}
	entry := man.entry(e.Entry)
	if entry == nil {
		return fmt.Errorf("plugin %s has no entry %s%s", m.spec.Name, e.Entry, suggest(e.Entry, man.entryNames()))
	}
	if m.caps&abi.CapVocab != 0 && (c.vocab == nil || c.vocab.N != c.nVocab) {
		return fmt.Errorf("plugin %s is granted vocab, and the chain was given no vocabulary of %d tokens",
			m.spec.Name, c.nVocab)
	}
	i := slices.IndexFunc(c.units, func(u *unit) bool { return u.m == m })
	if i < 0 {
		i = len(c.units)
		u := &unit{chain: c, index: i, reads: make([]bool, len(man.Config))}
		u.tenant = tenant{m: m, arena: u.layOut, stringRoom: maxParamText}
		c.units = append(c.units, u)
	}
	u := c.units[i]
	for k, key := range man.Config {
		u.reads[k] = u.reads[k] || entry.Config == nil || slices.Contains(entry.Config, key.Name)
	}
	name := prefix + e.Entry
	fn := slices.Index(u.names, name)
	if fn < 0 {
		fn = len(u.names)
		u.names = append(u.names, name)
	}
	if n := len(c.stages); n == 0 || c.stages[n-1].unit != u {
		c.stages = append(c.stages, stage{unit: u})
	}
	s := &c.stages[len(c.stages)-1]
	s.entries = append(s.entries, stageEntry{e.Entry, fn})
	return nil
}

// layOut is the unit's arena.
func (u *unit) layOut(l *layout) (func(*instance, abi.Init), error) {
	c := u.chain
	u.row = l.take(abi.RowSize, 64)
	u.historyCap = 0
	if u.m.caps&abi.CapHistory != 0 {
		u.historyCap = historyRoom
	}
	u.history = l.take(4*uint64(u.historyCap), 64)
	u.logits = l.take(4*uint64(c.nVocab), 64)
	u.ids = l.take(4*uint64(c.nVocab), 64)
	u.top = 0
	if u.m.caps&abi.CapLogprobs != 0 {
		u.top = l.take(abi.LogprobSize*MaxTop, 64)
	}
	u.planRoom(l)
	var vocab *vocabLayout
	if u.m.caps&abi.CapVocab != 0 {
		var err error
		if vocab, err = layOutVocab(l, c.vocab, true); err != nil {
			return nil, err
		}
	}
	return func(in *instance, init abi.Init) {
		init.SetNVocab(uint32(c.nVocab))
		init.SetMaxRows(1)
		if vocab != nil {
			init.SetVocab(vocab.write(in, c.vocab))
		}
	}, nil
}

// Close frees the instances.
func (c *Chain) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, u := range c.units {
		u.close()
	}
}

// Begin tells the guests that a sequence starts, with its settings: nil for the defaults.
func (c *Chain) Begin(ctx context.Context, seq uint64, p *Params) error {
	if p == nil {
		p = c.defaults
	}
	if p.chain != c {
		return errors.New("the sequence's params were made by another sampler chain")
	}
	return c.each(ctx, func(u *unit) error {
		delete(u.unheard, seq)
		if p.idleFor(u) {
			if u.unheard == nil {
				u.unheard = map[uint64]struct{}{}
			}
			u.unheard[seq] = struct{}{}
			return u.end(ctx, seq)
		}
		return u.begin(ctx, seq, p.slots[u.index])
	})
}

// AcceptPrompt tells the guests the next tokens of the prompt.
func (c *Chain) AcceptPrompt(ctx context.Context, seq uint64, tokens ...uint32) error {
	return c.heard(ctx, seq, func(u *unit) error { return u.add(ctx, seq, tokens, true) })
}

// Accept tells the guests which tokens were kept behind the prompt.
func (c *Chain) Accept(ctx context.Context, seq uint64, tokens ...uint32) error {
	return c.heard(ctx, seq, func(u *unit) error { return u.add(ctx, seq, tokens, false) })
}

// Rollback tells the guests that the newest n tokens are taken back.
func (c *Chain) Rollback(ctx context.Context, seq uint64, n int) error {
	return c.heard(ctx, seq, func(u *unit) error { return u.rollback(ctx, seq, n) })
}

// Fork tells the guests that a sequence starts as a copy of its parent.
func (c *Chain) Fork(ctx context.Context, seq, parent uint64) error {
	return c.each(ctx, func(u *unit) error {
		if _, ok := u.unheard[parent]; ok {
			u.unheard[seq] = struct{}{}
			return nil
		}
		return u.fork(ctx, seq, parent)
	})
}

// End tells the guests that a sequence is over.
func (c *Chain) End(ctx context.Context, seq uint64) error {
	return c.each(ctx, func(u *unit) error {
		delete(u.unheard, seq)
		return u.end(ctx, seq)
	})
}

// heard calls f for every unit with state that hears of a sequence.
func (c *Chain) heard(ctx context.Context, seq uint64, f func(*unit) error) error {
	return c.each(ctx, func(u *unit) error {
		if _, ok := u.unheard[seq]; ok {
			return nil
		}
		return f(u)
	})
}

// Save gives what the guests with state know of a sequence as bytes, without its settings.
func (c *Chain) Save(ctx context.Context, seq uint64) ([]byte, error) {
	var all []byte
	err := c.each(ctx, func(u *unit) error {
		var data []byte // none of a guest that does not hear of the sequence
		var err error
		if _, ok := u.unheard[seq]; !ok {
			data, err = u.save(ctx, seq)
		}
		all = binary.LittleEndian.AppendUint32(all, uint32(len(data)))
		all = append(all, data...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Load starts a sequence from bytes that Save of a chain of the same modules gave; nil params are the defaults.
func (c *Chain) Load(ctx context.Context, seq uint64, p *Params, data []byte) error {
	if p == nil {
		p = c.defaults
	}
	if p.chain != c {
		return errors.New("the sequence's params were made by another sampler chain")
	}
	return c.each(ctx, func(u *unit) error {
		if len(data) < 4 || uint64(len(data)-4) < uint64(getU32(data)) {
			return u.stateError(seq, "cannot be loaded: the bytes are cut off or of another chain")
		}
		n := 4 + int(getU32(data))
		mine := data[4:n]
		data = data[n:]
		switch {
		case p.idleFor(u):
			if u.unheard == nil {
				u.unheard = map[uint64]struct{}{}
			}
			u.unheard[seq] = struct{}{}
			return nil
		case len(mine) == 0:
			return u.stateError(seq, "cannot be loaded: it was saved under settings that left the plugin idle")
		}
		return u.load(ctx, seq, p.slots[u.index], mine)
	})
}

// each calls f for every unit with state, and gives the first error that the plugin's policy does not pass over.
func (c *Chain) each(ctx context.Context, f func(*unit) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the sampler chain is closed")
	}
	var first error
	for _, u := range c.units {
		if !u.stateful() {
			continue
		}
		if err := f(u); err != nil && first == nil && !u.m.skips(ctx, err) {
			first = err
		}
	}
	return first
}
