package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"forge/abi"
)

// Room of a constraint's windows.
const (
	maskRows   = 8   // of one call
	draftRoom  = 64  // drafts of one row
	forcedRoom = 256 // forced tokens of one row
)

// MaskRow is one row of a constraint: a sequence, as accepted so far and followed by drafts.
type MaskRow struct {
	Seq    uint64
	Drafts []uint32 // at most 64; they change no state

	// What the constraint says. Mask is the caller's, (n_vocab+31)/32 words, and may be nil for Validate: token i is
	// allowed if bit i%32 of word i/32 is set. It is written if Result is abi.MaskResultMask, and never empty then.
	Mask   []uint32
	Result abi.MaskResult
	Forced []uint32 // abi.MaskResultForced: the tokens that follow; its array is used again
	Rewind int      // abi.MaskResultRewind: how many of the newest tokens are taken back
	Hold   int      // newest bytes of the generated text that must not be shown yet
	Fits   int      // Validate: how many of the drafts fit, from the first on

	Err error // why there is no answer: the request fails, for constraints fail closed
}

// Constraint is a constraint guest at work. It is safe for concurrent use; calls take turns, so make one for each
// goroutine. A sequence belongs to the Constraint that it was begun in.
type Constraint struct {
	mu     sync.Mutex
	t      tenant
	vocab  *Vocab
	closed bool

	rows, masks, drafts, forced, history uint32 // offsets in the arena
	words, historyCap                    uint32
	one                                  [1]MaskRow // for guests without constraint_validate

	// The rows of the call that is being put together.
	call struct {
		in    *instance
		n     int
		rows  [maskRows]*MaskRow
		seqs  [maskRows]*sequence
		place [maskRows]uint32 // of the settings
	}
}

// The calls of a constraint, in the order of tenant.names.
const (
	callMask = iota
	callValidate
)

// NewConstraint starts a constraint guest with a vocabulary, which needs its Pieces if the guest is granted vocab.
func (m *Module) NewConstraint(ctx context.Context, v *Vocab) (*Constraint, error) {
	switch {
	case m.kind.Name != abi.KindConstraint:
		return nil, fmt.Errorf("plugin %s is a %s and not a constraint", m.spec.Name, m.kind.Name)
	case v == nil || v.N < 1 || v.N > maxVocab:
		return nil, fmt.Errorf("plugin %s: a constraint needs a vocabulary of 1 to %d tokens", m.spec.Name, maxVocab)
	case m.caps&abi.CapVocab != 0 && v.Pieces == nil:
		return nil, fmt.Errorf("plugin %s is granted vocab, and the vocabulary has no pieces", m.spec.Name)
	}
	c := &Constraint{vocab: v, words: (uint32(v.N) + 31) / 32}
	c.t = tenant{m: m, arena: c.layOut, stringRoom: maxConfigBytes, names: []string{"constraint_mask", "constraint_validate"}}
	if m.caps&abi.CapHistory != 0 {
		c.historyCap = historyRoom
	}
	if err := c.t.ready(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Constraint) layOut(l *layout) (func(*instance, abi.Init), error) {
	c.rows = l.take(maskRows*abi.MaskRowSize, 64)
	c.masks = l.take(maskRows*uint64(c.maskStride()), 64)
	c.drafts = l.take(maskRows*4*draftRoom, 64)
	c.forced = l.take(maskRows*4*forcedRoom, 64)
	c.history = l.take(maskRows*4*uint64(c.historyCap), 64)
	var p *vocabLayout
	if c.t.m.caps&abi.CapVocab != 0 {
		var err error
		if p, err = layOutVocab(l, c.vocab, true); err != nil {
			return nil, err
		}
	}
	return func(in *instance, init abi.Init) {
		init.SetNVocab(uint32(c.vocab.N))
		init.SetMaxRows(maskRows)
		if p != nil {
			init.SetVocab(p.write(in, c.vocab))
		}
	}, nil
}

func (c *Constraint) maskStride() uint32 { return (4*c.words + 63) &^ 63 }

// Close frees the instances.
func (c *Constraint) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.t.close()
}

// Begin starts a sequence with its settings; nil is what plugins.toml and the manifest say. A guest that does not accept
// them (a grammar that cannot be read) says so in the error.
func (c *Constraint) Begin(ctx context.Context, seq uint64, s *Settings) error {
	params, err := s.of(c.t.m)
	if err != nil {
		return err
	}
	return c.locked(func() error { return c.t.begin(ctx, seq, params) })
}

// AcceptPrompt tells the next tokens of the prompt.
func (c *Constraint) AcceptPrompt(ctx context.Context, seq uint64, tokens ...uint32) error {
	return c.locked(func() error { return c.t.add(ctx, seq, tokens, true) })
}

// Accept tells which tokens were kept behind the prompt.
func (c *Constraint) Accept(ctx context.Context, seq uint64, tokens ...uint32) error {
	return c.locked(func() error { return c.t.add(ctx, seq, tokens, false) })
}

// Rollback takes the newest n tokens back.
func (c *Constraint) Rollback(ctx context.Context, seq uint64, n int) error {
	return c.locked(func() error { return c.t.rollback(ctx, seq, n) })
}

// Fork starts a sequence as a copy of its parent.
func (c *Constraint) Fork(ctx context.Context, seq, parent uint64) error {
	return c.locked(func() error { return c.t.fork(ctx, seq, parent) })
}

// End is the end of a sequence.
func (c *Constraint) End(ctx context.Context, seq uint64) error {
	return c.locked(func() error { return c.t.end(ctx, seq) })
}

// Save gives a sequence's state as bytes, without its settings.
func (c *Constraint) Save(ctx context.Context, seq uint64) (data []byte, err error) {
	err = c.locked(func() error {
		data, err = c.t.save(ctx, seq)
		return err
	})
	return data, err
}

// Load starts a sequence from bytes that Save of the same module gave.
func (c *Constraint) Load(ctx context.Context, seq uint64, s *Settings, data []byte) error {
	params, err := s.of(c.t.m)
	if err != nil {
		return err
	}
	return c.locked(func() error { return c.t.load(ctx, seq, params, data) })
}

func (c *Constraint) locked(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the constraint is closed")
	}
	return f()
}

// Mask asks for each row which tokens may follow. It allocates nothing. Each row has its own Err; the returned one is
// for the whole call, which then says nothing.
func (c *Constraint) Mask(ctx context.Context, rows []MaskRow) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the constraint is closed")
	}
	for i := range rows {
		if len(rows[i].Mask) != int(c.words) {
			return fmt.Errorf("a mask has %d words, a vocabulary of %d tokens has %d", len(rows[i].Mask), c.vocab.N, c.words)
		}
	}
	return c.ask(ctx, rows, callMask)
}

// Validate asks how many of each row's drafts fit.
func (c *Constraint) Validate(ctx context.Context, rows []MaskRow) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("the constraint is closed")
	}
	if err := c.t.ready(ctx); err != nil {
		return err
	}
	if c.t.main.fns[callValidate].fn == nil {
		return c.validateByMasks(ctx, rows)
	}
	return c.ask(ctx, rows, callValidate)
}

// validateByMasks asks for a mask behind each draft.
func (c *Constraint) validateByMasks(ctx context.Context, rows []MaskRow) error {
	one := &c.one
	if one[0].Mask == nil {
		one[0].Mask = make([]uint32, c.words)
	}
	for i := range rows {
		r := &rows[i]
		r.Fits, r.Err = 0, nil
		one[0].Seq = r.Seq
		for r.Fits < len(r.Drafts) {
			one[0].Drafts = r.Drafts[:r.Fits]
			if err := c.ask(ctx, one[:], callMask); err != nil {
				return err
			}
			if r.Err = one[0].Err; r.Err != nil || !one[0].allows(r.Drafts[r.Fits]) {
				break
			}
			r.Fits++
		}
	}
	return nil
}

// allows tells whether a token may follow.
func (r *MaskRow) allows(id uint32) bool {
	switch r.Result {
	case abi.MaskResultMask:
		return int(id/32) < len(r.Mask) && r.Mask[id/32]>>(id%32)&1 != 0
	case abi.MaskResultAll:
		return true
	case abi.MaskResultForced:
		return r.Forced[0] == id
	}
	return false
}

// ask puts rows into calls of at most maskRows, for one instance each.
func (c *Constraint) ask(ctx context.Context, rows []MaskRow, which int) error {
	for len(rows) > 0 {
		n, err := c.collect(ctx, rows, maskRows)
		if err != nil {
			return err
		}
		if c.call.n > 0 {
			err = c.send(ctx, which)
		}
		if err != nil && c.call.n > 1 && ctx.Err() == nil {
			// One of the rows is at fault: each alone.
			for i := range n {
				one := rows[i : i+1]
				if one[0].Err != nil {
					continue
				}
				if _, e := c.collect(ctx, one, 1); e != nil {
					return e
				}
				if c.call.n > 0 {
					if e := c.send(ctx, which); e != nil {
						one[0].Err = e
					}
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		} else if ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			c.call.rows[0].Err = err
		}
		rows = rows[n:]
	}
	return nil
}

// collect takes rows of one instance from the beginning into c.call, up to most, and tells how many it dealt with: rows
// that get an error are not among them.
func (c *Constraint) collect(ctx context.Context, rows []MaskRow, most int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
again:
	k := &c.call
	k.n, k.in = 0, nil
	for n = 0; n < len(rows) && k.n < most; n++ {
		r := &rows[n]
		if len(r.Drafts) > draftRoom {
			r.Err = fmt.Errorf("a row has %d drafts, a constraint takes %d", len(r.Drafts), draftRoom)
			continue
		}
		s, err := c.t.of(ctx, r.Seq)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		r.Err = err
		if err != nil {
			continue
		}
		if k.n > 0 && s.in != k.in {
			if k.in.dead { // by a sequence that it was told in between
				goto again
			}
			break
		}
		at, ok := s.in.rows.put(s.in, c.t.params, c.t.paramRoom(), s.params)
		if !ok {
			if k.n > 0 {
				break
			}
			s.in.rows.clear()
			if at, ok = s.in.rows.put(s.in, c.t.params, c.t.paramRoom(), s.params); !ok {
				return 0, fmt.Errorf("plugin %s: the settings of sequence %d do not fit the window of %d bytes",
					c.t.m.spec.Name, r.Seq, c.t.paramRoom())
			}
		}
		k.in, k.rows[k.n], k.seqs[k.n], k.place[k.n] = s.in, r, s, at
		k.n++
	}
	if k.in != nil && k.in.dead {
		goto again
	}
	return n, nil
}

// send calls the guest for the rows of c.call and reads what it says.
func (c *Constraint) send(ctx context.Context, which int) error {
	k := &c.call
	in := k.in
	f := abi.Masks(in.frame(abi.MasksSize))
	f.SetNRows(uint32(k.n))
	f.SetRows(in.base + c.rows)
	f.SetNVocab(uint32(c.vocab.N))
	work := 0
	for i := range k.n {
		c.put(i, which)
		work += len(k.rows[i].Drafts)
	}
	if which == callMask {
		work += k.n * c.vocab.N
	}
	in.lenient = k.n > 1 // then each row is asked alone, and the one at fault has its strike
	status, err := in.call(ctx, in.fns[which], c.t.m.budget(work))
	if err == nil && status != abi.StatusOk {
		err = in.fault(in.fns[which].name, status, "returned the status %s", status)
	}
	in.lenient = false
	if err != nil {
		return err
	}
	var bad [maskRows]string
	for i := range k.n {
		if which == callValidate {
			bad[i] = c.readFits(i)
		} else {
			bad[i] = c.read(i)
		}
	}
	for i := range k.n { // only now: a fault ends the instance, and the other rows were answered
		if bad[i] != "" {
			k.rows[i].Err = in.fault(in.fns[which].name, status, "%s", bad[i])
			in.lenient = true // one strike is enough
		}
	}
	return nil
}

// put writes the record of a row, and what it points to.
func (c *Constraint) put(i, which int) {
	in, row, s := c.call.in, c.call.rows[i], c.call.seqs[i]
	at := uint32(i)
	r := abi.MaskRow(in.at(c.rows+at*abi.MaskRowSize, abi.MaskRowSize))
	clear(r)
	r.SetSeq(row.Seq)
	r.SetPos(uint32(len(s.tokens)))
	drafts := c.drafts + at*4*draftRoom
	copy(in.at(drafts, 4*draftRoom), bytesOf(row.Drafts))
	r.SetDrafts(in.base+drafts, uint32(len(row.Drafts)))
	if which == callMask {
		r.SetPos(uint32(len(s.tokens) + len(row.Drafts)))
		mask := c.masks + at*c.maskStride()
		clear(in.at(mask, 4*c.words))
		r.SetMask(in.base + mask)
		r.SetForced(in.base + c.forced + at*4*forcedRoom)
		r.SetForcedCap(forcedRoom)
	}
	r.SetParams(in.base+c.call.place[i], uint32(len(s.params)))
	if c.historyCap > 0 {
		seen := s.tokens[max(0, len(s.tokens)-int(c.historyCap)):]
		window := c.history + at*4*c.historyCap
		copy(in.at(window, 4*uint32(len(seen))), bytesOf(seen))
		r.SetHistory(in.base+window, uint32(len(seen)))
	}
	r.SetNPrompt(uint32(s.nPrompt))
	r.SetNHistory(uint32(len(s.tokens)))
}

// readFits reads a row's answer of constraint_validate, and says what is wrong with it.
func (c *Constraint) readFits(i int) string {
	in, row := c.call.in, c.call.rows[i]
	r := abi.MaskRow(in.at(c.rows+uint32(i)*abi.MaskRowSize, abi.MaskRowSize))
	if r.Fits() > uint32(len(row.Drafts)) {
		return fmt.Sprintf("says that %d of %d drafts fit", r.Fits(), len(row.Drafts))
	}
	row.Fits = int(r.Fits())
	return ""
}

// read reads a row's answer of constraint_mask, and says what is wrong with it.
func (c *Constraint) read(i int) string {
	in, row, s := c.call.in, c.call.rows[i], c.call.seqs[i]
	r := abi.MaskRow(in.at(c.rows+uint32(i)*abi.MaskRowSize, abi.MaskRowSize))
	row.Result, row.Hold, row.Rewind, row.Forced = abi.MaskResult(r.Result()), int(r.Hold()), 0, row.Forced[:0]
	switch row.Result {
	case abi.MaskResultAll, abi.MaskResultStop:
	case abi.MaskResultMask:
		if !c.readMask(i) {
			row.Err = &Error{Plugin: c.t.m.spec.Name, Call: in.fns[callMask].name, Fuel: in.used,
				Why: "allows no token here, not even the end: the text cannot go on as the constraint wants"}
		}
	case abi.MaskResultForced:
		n := r.NForced()
		if n < 1 || n > forcedRoom {
			return fmt.Sprintf("forces %d tokens, there is room for 1 to %d", n, forcedRoom)
		}
		ids := in.at(c.forced+uint32(i)*4*forcedRoom, 4*n)
		for ; len(ids) > 0; ids = ids[4:] {
			id := getU32(ids)
			if id >= uint32(c.vocab.N) {
				return fmt.Sprintf("forces the id %d, the vocabulary has %d", id, c.vocab.N)
			}
			row.Forced = append(row.Forced, id)
		}
	case abi.MaskResultRewind:
		n, picked := r.Rewind(), len(s.tokens)-s.nPrompt
		if n < 1 || int64(n) > int64(picked) {
			return fmt.Sprintf("takes %d tokens back, %d were picked", n, picked)
		}
		if len(row.Drafts) > 0 {
			return "takes tokens back in a row with drafts"
		}
		row.Rewind = int(n)
	default:
		return fmt.Sprintf("gives the result %d, which the ABI does not have", r.Result())
	}
	return ""
}

// readMask copies a row's mask and tells whether it allows anything.
func (c *Constraint) readMask(i int) bool {
	row := c.call.rows[i]
	copy(bytesOf(row.Mask), c.call.in.at(c.masks+uint32(i)*c.maskStride(), 4*c.words))
	if tail := uint32(c.vocab.N) % 32; tail != 0 {
		row.Mask[c.words-1] &= 1<<tail - 1
	}
	var any uint32
	for _, w := range row.Mask {
		any |= w
	}
	return any != 0
}
