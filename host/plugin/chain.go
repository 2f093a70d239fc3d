package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// WithVocab gives the token texts to guests that were granted vocab.
func WithVocab(v *Vocab) ChainOption { return func(c *Chain) { c.vocab = v } }

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
		return fmt.Errorf("plugin %s keeps its state as an image; a sampler chain holds many sequences in one instance and wants state explicit", m.spec.Name)
	}
	if m.caps&abi.CapVocab != 0 && (c.vocab == nil || c.vocab.N != c.nVocab) {
		return fmt.Errorf("plugin %s is granted vocab, and the chain was given no vocabulary of %d tokens", m.spec.Name, c.nVocab)
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

// Row is one row of logits and the sequence that it belongs to.
type Row struct {
	Logits  []float32 // [n_vocab]; only read
	Seq     uint64
	Seed    uint64
	Draw    *uint64 // counter of the sequence's generator: guests that draw advance it
	Pos     int     // of the token that the row predicts
	Draft   int     // 0, or n for the n-th draft row after the next token
	NPrompt int
	History []uint32 // the sequence's tokens, newest last
	Params  *Params  // nil: the defaults
}

// table is the state of the candidates between two entries; the candidates themselves lie in a unit's arena.
type table struct {
	unit  *unit // nil: still the row's own logits
	n     uint32
	flags uint32
	draw  uint64
}

const whole = uint32(abi.RowFlagWhole)

// Sample sends a row through the chain and returns the id that an entry picked, or Stop. It allocates nothing. An entry
// whose plugin has on_error = "skip" and fails is left out, with the other entries of its module beside it.
func (c *Chain) Sample(ctx context.Context, row *Row) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := row.Params
	if p == nil {
		p = c.defaults
	}
	switch {
	case c.closed:
		return Stop, errors.New("the sampler chain is closed")
	case len(row.Logits) != c.nVocab:
		return Stop, fmt.Errorf("the row has %d logits, the sampler chain was made for %d", len(row.Logits), c.nVocab)
	case p.chain != c:
		return Stop, errors.New("the row's params were made by another sampler chain")
	}
	t := table{n: uint32(c.nVocab), flags: whole}
	if row.Draw != nil {
		t.draw = *row.Draw
	}
	c.skipped = ""
	for i := range c.stages {
		s := &c.stages[i]
		after, id, err := s.run(ctx, row, p, t)
		if err != nil {
			if !s.unit.skips(ctx, err) {
				return Stop, err
			}
			c.skip(s, err)
			continue
		}
		t = after
		if id != undecided {
			if row.Draw != nil {
				*row.Draw = t.draw
			}
			return id, nil
		}
	}
	if c.skipped != "" {
		return Stop, fmt.Errorf("the chain picks no token: %s failed and was skipped", c.skipped)
	}
	return Stop, errors.New("the chain picks no token: end it with greedy or dist")
}

// undecided is run's id while no token was picked.
const undecided int32 = -2

// skips tells whether an error of the unit's plugin leaves its entries out rather than failing the row. A setting out of
// range is the user's to mend, and a cancelled context nobody's fault.
func (u *unit) skips(ctx context.Context, err error) bool {
	if u.m.spec.OnError != "skip" || ctx.Err() != nil {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Status != abi.StatusErrConfig
	}
	return errors.Is(err, ErrQuarantined)
}

func (c *Chain) skip(s *stage, err error) {
	var names []string
	for _, e := range s.entries {
		names = append(names, e.name)
	}
	c.skipped = strings.TrimPrefix(c.skipped+", "+strings.Join(names, ", "), ", ")
	if !errors.Is(err, ErrQuarantined) { // that was said when it came to it
		s.unit.m.log("skipped: " + err.Error())
	}
}

// run sends the table through the entries of one stage.
func (s *stage) run(ctx context.Context, row *Row, p *Params, t table) (table, int32, error) {
	u := s.unit
	if err := u.ready(ctx); err != nil {
		return t, undecided, err
	}
	if err := u.knows(row.Seq); err != nil {
		return t, undecided, err
	}
	u.load(row, t)
	t.unit = u
	u.in.putSlots(u.params, u.strings, p.slots[u.index])
	seen := row.History[max(0, len(row.History)-int(u.historyCap)):]
	copy(u.in.at(u.history, 4*uint32(len(seen))), bytesOf(seen))
	for i := range s.entries {
		e := u.fns[s.entries[i].fn]
		if u.m.kind.Name == abi.KindProcessor && t.flags&whole == 0 {
			return t, undecided, fmt.Errorf("plugin %s: %s edits whole rows and stands behind an entry that narrows them: put it first", u.m.spec.Name, s.entries[i].name)
		}
		u.frame(row, uint32(len(seen)), t)
		status, err := u.in.call(ctx, e, u.m.budget(int(t.n)))
		if err != nil {
			return t, undecided, err
		}
		if status == abi.StatusSkip {
			continue
		}
		var id int32
		if t, id, err = u.result(e.name, status, t); err != nil || id != undecided {
			return t, id, err
		}
	}
	if t.flags&whole == 0 && !s.last {
		return t, undecided, u.checkIDs(u.fns[s.entries[len(s.entries)-1].fn].name, t)
	}
	return t, undecided, nil
}

// load brings the candidates into the unit's arena, unless they are there.
func (u *unit) load(row *Row, t table) {
	switch t.unit {
	case u:
	case nil:
		copy(u.in.at(u.logits, 4*t.n), bytesOf(row.Logits))
	default:
		from := t.unit
		copy(u.in.at(u.logits, 4*t.n), from.in.at(from.logits, 4*t.n))
		if t.flags&whole == 0 {
			copy(u.in.at(u.ids, 4*t.n), from.in.at(from.ids, 4*t.n))
		}
	}
}

// checkIDs holds the ids of a narrowed table to the vocabulary before another module sees them.
func (u *unit) checkIDs(call string, t table) error {
	ids := u.in.at(u.ids, 4*t.n)
	for i := uint32(0); i < 4*t.n; i += 4 {
		if id := getU32(ids[i:]); id >= uint32(u.chain.nVocab) {
			return u.in.fault(call, 0, "left the id %d in the table, the vocabulary has %d", id, u.chain.nVocab)
		}
	}
	return nil
}

// frame writes the frame and the row's record anew for each entry, so that a guest cannot change the next one's.
func (u *unit) frame(row *Row, seen uint32, t table) {
	in := u.in
	f := abi.Rows(in.frame(abi.RowsSize))
	f.SetNRows(1)
	f.SetRows(in.base + u.row)
	f.SetNVocab(uint32(u.chain.nVocab))
	r := abi.Row(in.at(u.row, abi.RowSize))
	clear(r)
	r.SetSeq(row.Seq)
	r.SetSeed(row.Seed)
	r.SetDraw(t.draw)
	r.SetPos(uint32(row.Pos))
	r.SetDraft(int32(row.Draft))
	r.SetN(t.n)
	r.SetFlags(t.flags)
	r.SetLogits(in.base + u.logits)
	r.SetIDs(in.base + u.ids)
	r.SetSelected(-1)
	r.SetHistory(in.base+u.history, seen)
	r.SetParams(in.base+u.params, uint32(len(u.m.slots)))
	r.SetNPrompt(uint32(row.NPrompt))
	r.SetNHistory(uint32(len(row.History)))
}

// result reads what an entry left in the row's record and holds it to the ABI.
func (u *unit) result(call string, status abi.Status, was table) (table, int32, error) {
	in := u.in
	r := abi.Row(in.at(u.row, abi.RowSize))
	now := table{unit: u, n: r.N(), flags: r.Flags(), draw: r.Draw()}
	selected := r.Selected()
	const known = whole | uint32(abi.RowFlagSorted) | uint32(abi.RowFlagStop)
	why := ""
	switch {
	case status != abi.StatusOk:
		why = fmt.Sprintf("returned the status %s", status)
	case now.n > was.n:
		why = fmt.Sprintf("left %d candidates of %d", now.n, was.n)
	case now.flags&^known != 0:
		why = fmt.Sprintf("set the row flags %#x, the ABI has %#x", now.flags, known)
	case now.n == 0 && now.flags&uint32(abi.RowFlagStop) == 0:
		why = "left no candidates"
	case now.flags&whole != 0 && (was.flags&whole == 0 || now.n != was.n):
		why = fmt.Sprintf("calls a table of %d candidates the whole row", now.n)
	case now.draw < was.draw:
		why = fmt.Sprintf("set the draw counter back from %d to %d", was.draw, now.draw)
	case now.flags&uint32(abi.RowFlagStop) != 0:
		return now, Stop, nil
	case selected < -1 || selected >= 0 && uint32(selected) >= now.n:
		why = fmt.Sprintf("picked candidate %d of %d", selected, now.n)
	case selected == -1:
		return now, undecided, nil
	case now.flags&whole != 0:
		return now, selected, nil
	default:
		id := getU32(in.at(u.ids+4*uint32(selected), 4))
		if id < uint32(u.chain.nVocab) {
			return now, int32(id), nil
		}
		why = fmt.Sprintf("picked the id %d, the vocabulary has %d", id, u.chain.nVocab)
	}
	return was, undecided, in.fault(call, status, "%s", why)
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
