package plugin

import (
	"context"
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
}

// stage is a run of neighbouring entries of one module.
type stage struct {
	unit    *unit
	entries []stageEntry
	last    bool
}

type stageEntry struct {
	name string
	fn   int // index in unit.fns
}

// unit is one module of a chain with its instance.
type unit struct {
	m      *Module
	chain  *Chain
	index  int    // in Chain.units
	reads  []bool // for each config key: some entry of the chain reads it
	names  []string
	fns    []export // of names, in the present instance
	in     *instance
	begin  export
	accept export
	back   export
	fork   export
	end    export
	seqs   map[uint64]struct{} // that the present instance has state for; nil for a stateless guest
	remade bool

	row, params, strings, history, logits, ids uint32 // offsets in the arena
	historyCap                                 uint32
}

// ChainOption of NewChain.
type ChainOption func(*Chain)

// WithVocab gives the token texts to guests that were granted vocab. What tokenizers alone need is left out.
func WithVocab(v *Vocab) ChainOption {
	texts := &Vocab{N: v.N, Texts: v.Texts, Types: v.Types, Model: v.Model, Pre: v.Pre, EOG: v.EOG, BOS: v.BOS, EOS: v.EOS, UNK: v.UNK, SEP: v.SEP,
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
	for _, u := range c.units {
		if err := u.ready(ctx); err != nil {
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
	if man.State == "image" {
		return fmt.Errorf("plugin %s keeps its state as an image; a chain has one instance for many sequences and wants state explicit",
			m.spec.Name)
	}
	if m.caps&abi.CapVocab != 0 && (c.vocab == nil || c.vocab.N != c.nVocab) {
		return fmt.Errorf("plugin %s is granted vocab, and the chain was given no vocabulary of %d tokens",
			m.spec.Name, c.nVocab)
	}
	i := slices.IndexFunc(c.units, func(u *unit) bool { return u.m == m })
	if i < 0 {
		i = len(c.units)
		c.units = append(c.units, &unit{m: m, chain: c, index: i, reads: make([]bool, len(man.Config))})
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

// ready makes the unit's instance if there is none that can be used.
func (u *unit) ready(ctx context.Context) error {
	if u.in != nil && !u.in.dead {
		return u.m.quarantined()
	}
	c := u.chain
	l := newLayout()
	u.row = l.take(abi.RowSize, 64)
	u.params = l.take(8*uint64(len(u.m.slots)), 64)
	u.strings = l.take(maxParamText, 64)
	u.historyCap = 0
	if u.m.caps&abi.CapHistory != 0 {
		u.historyCap = historyRoom
	}
	u.history = l.take(4*uint64(u.historyCap), 64)
	u.logits = l.take(4*uint64(c.nVocab), 64)
	u.ids = l.take(4*uint64(c.nVocab), 64)
	var vocab *vocabLayout
	var err error
	if u.m.caps&abi.CapVocab != 0 {
		if vocab, err = layOutVocab(l, c.vocab); err != nil {
			return fmt.Errorf("plugin %s: %w", u.m.spec.Name, err)
		}
	}
	u.remade = u.in != nil
	u.in, err = u.m.start(ctx, l, func(in *instance, init abi.Init) {
		init.SetNVocab(uint32(c.nVocab))
		init.SetMaxRows(1)
		if vocab != nil {
			init.SetVocab(vocab.write(in, c.vocab))
		}
	})
	if err != nil {
		return err
	}
	u.fns = u.fns[:0]
	for _, name := range u.names {
		u.fns = append(u.fns, u.in.export(name))
	}
	u.begin, u.accept, u.back = u.in.export("forge_begin"), u.in.export("forge_accept"), u.in.export("forge_rollback")
	u.fork, u.end = u.in.export("forge_fork"), u.in.export("forge_end")
	u.seqs = nil
	if u.m.code.manifest.State != "stateless" {
		u.seqs = map[uint64]struct{}{}
	}
	return nil
}

// Close frees the instances.
func (c *Chain) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, u := range c.units {
		if u.in != nil {
			u.in.discard()
		}
	}
}
