package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"forge/abi"
)

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
	Chances *Chances // filled by the sampler that picks, if it can; nil: not wanted
}

// table is the state of the candidates between two entries; the candidates themselves lie in a unit's arena.
type table struct {
	unit  *unit // nil: still the row's own logits
	in    *instance
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
	if row.Chances != nil {
		row.Chances.Told = false
	}
	for i := range c.stages {
		if p.idleStage[i] {
			continue
		}
		s := &c.stages[i]
		after, id, err := s.run(ctx, row, p, p.idle[i], t)
		if err != nil {
			if !s.unit.m.skips(ctx, err) || t.in != nil && t.in.dead { // the table is gone with the instance
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

// skips tells whether an error of the plugin leaves it out rather than failing the request. A setting out of range is the
// user's to mend, and a cancelled context nobody's fault.
func (m *Module) skips(ctx context.Context, err error) bool {
	if m.spec.OnError != "skip" || ctx.Err() != nil {
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

// run sends the table through the entries of one stage that are not idle.
func (s *stage) run(ctx context.Context, row *Row, p *Params, idle []bool, t table) (table, int32, error) {
	u := s.unit
	in, err := u.serving(ctx, row.Seq)
	if err != nil {
		return t, undecided, err
	}
	u.bring(in, row, t)
	t.unit, t.in = u, in
	seen := -1 // tokens of the history, once it lies in the arena
	for i := range s.entries {
		if idle[i] {
			continue
		}
		name, fn := s.entries[i].name, s.entries[i].fn
		if u.m.kind.Name == abi.KindProcessor && t.flags&whole == 0 {
			return t, undecided, fmt.Errorf("plugin %s: %s edits whole rows and stands behind an entry that narrows them: put it first",
				u.m.spec.Name, name)
		}
		var start time.Time
		if u.chain.observe != nil {
			start = time.Now()
		}
		id, status := undecided, abi.StatusOk
		steps, planned, err := u.plan(ctx, p, fn)
		switch {
		case err != nil:
		case planned && t.n <= plannedLength && (row.Chances == nil || !steps.picks() || !u.tells(in)):
			t, id, err = u.follow(in, u.names[fn], steps, t)
		default:
			if seen < 0 {
				seen = u.loadRow(in, row, p.slots[u.index])
			}
			u.frame(in, row, uint32(seen), t)
			e := in.fns[fn]
			if status, err = in.call(ctx, e, u.m.budget(int(t.n)+seen)); err == nil && status != abi.StatusSkip {
				t, id, err = u.result(e.name, status, row, t)
			}
		}
		if err != nil {
			return t, undecided, err
		}
		if u.chain.observe != nil {
			took := time.Since(start)
			o := u.observed(name, status, t, id)
			o.Took = took
			u.chain.observe(o)
		}
		if id != undecided {
			return t, id, nil
		}
	}
	if t.flags&whole == 0 && !s.last {
		return t, undecided, u.checkIDs(in.fns[s.entries[len(s.entries)-1].fn].name, t)
	}
	return t, undecided, nil
}

// serving gives the instance that serves a sequence.
func (u *unit) serving(ctx context.Context, seq uint64) (*instance, error) {
	if !u.stateful() {
		err := u.ready(ctx)
		return u.main, err
	}
	s, err := u.of(ctx, seq)
	if err != nil {
		return nil, err
	}
	return s.in, nil
}

// bring puts the candidates into the arena of the unit's instance, unless they are there.
func (u *unit) bring(in *instance, row *Row, t table) {
	switch t.in {
	case in:
	case nil:
		copy(in.at(u.logits, 4*t.n), bytesOf(row.Logits))
	default:
		from := t.unit
		copy(in.at(u.logits, 4*t.n), t.in.at(from.logits, 4*t.n))
		if t.flags&whole == 0 {
			copy(in.at(u.ids, 4*t.n), t.in.at(from.ids, 4*t.n))
		}
	}
}

// loadRow brings what entries read beside the candidates into the arena, and tells how many tokens of the history that are.
func (u *unit) loadRow(in *instance, row *Row, slots []value) int {
	in.putSlots(u.params, u.strings, slots)
	seen := row.History[max(0, len(row.History)-int(u.historyCap)):]
	copy(in.at(u.history, 4*uint32(len(seen))), bytesOf(seen))
	return len(seen)
}

// checkIDs holds the ids of a narrowed table to the vocabulary before another module sees them.
func (u *unit) checkIDs(call string, t table) error {
	ids := t.in.at(u.ids, 4*t.n)
	for i := uint32(0); i < 4*t.n; i += 4 {
		if id := getU32(ids[i:]); id >= uint32(u.chain.nVocab) {
			return t.in.fault(call, 0, "left the id %d in the table, the vocabulary has %d", id, u.chain.nVocab)
		}
	}
	return nil
}

// frame writes the frame and the row's record anew for each entry, so that a guest cannot change the next one's.
func (u *unit) frame(in *instance, row *Row, seen uint32, t table) {
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
	u.askChances(in, r, row.Chances)
}

// result reads what an entry left in the row's record and holds it to the ABI.
func (u *unit) result(call string, status abi.Status, row *Row, was table) (table, int32, error) {
	in := was.in
	r := abi.Row(in.at(u.row, abi.RowSize))
	now := table{unit: u, in: in, n: r.N(), flags: r.Flags(), draw: r.Draw()}
	if now.flags&whole != 0 { // its order is that of the ids: who takes it for sorted would cut it in a wrong place
		now.flags &^= uint32(abi.RowFlagSorted)
	}
	selected := r.Selected()
	const known = whole | uint32(abi.RowFlagSorted) | uint32(abi.RowFlagStop)
	why := ""
	switch {
	case status != abi.StatusOk:
		why = fmt.Sprintf("returned the status %s", status)
	case now.n > was.n:
		why = fmt.Sprintf("left %d candidates of %d", now.n, was.n)
	case now.flags&^known != 0:
		why = fmt.Sprintf("set the row flags %#x, the ABI has %#x", r.Flags(), known)
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
	default:
		id := uint32(selected)
		if now.flags&whole == 0 {
			id = getU32(in.at(u.ids+4*uint32(selected), 4))
		}
		if id >= uint32(u.chain.nVocab) {
			why = fmt.Sprintf("picked the id %d, the vocabulary has %d", id, u.chain.nVocab)
		} else if why = u.readChances(in, r, row.Chances); why == "" {
			return now, int32(id), nil
		}
	}
	return was, undecided, in.fault(call, status, "%s", why)
}
