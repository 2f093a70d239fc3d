package host

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"sync"

	"forge/abi"
	"forge/host/plugin"
)

// constraintModule is a constraint guest at work for this engine's sequences.
type constraintModule struct {
	*plugin.Constraint
	module *plugin.Module

	// The rows of the call that is being made, and whose they are.
	rows   []plugin.MaskRow
	owners []*constraintUse
}

// constraintUse is a constraint of one sequence, with its last answer.
type constraintUse struct {
	of  *constraintModule
	row plugin.MaskRow
}

// constraining is what holds one sequence to its constraints.
type constraining struct {
	uses []constraintUse
	// places say how the text stood before each token that was picked.
	places []textPlace
	// banned are the tokens that must not be picked again at a position, because they were taken back there.
	banned map[int][]uint32
	// unsure is how many of the newest bytes of text must not be shown: a constraint may yet take them back.
	unsure int
}

// textPlace is the state of a sequence's text between two tokens.
type textPlace struct {
	bytes  int // that came out so far, shown or held back
	decode plugin.DecodeState
}

// ---- opening ---------------------------------------------------------------------------------------------------------

// constraintSettings sorts the settings of a request by the plugins that have them: the named ones first, then any
// constraint of the set. What no constraint has stays where it is, but a key of Request.Constraint has to belong to one.
// A constraint that the plugin set itself configures holds every request.
func (s *moduleSet) constraintSettings(req *Request) (chosen map[int]map[string]any, rest map[string]any, err error) {
	chosen, rest = map[int]map[string]any{}, req.Settings
	has := func(i int, key string) (bool, error) {
		m, err := plugin.ReadManifest(s.cfg.Plugins[i].Wasm)
		if err != nil {
			return false, s.cfg.Plugins[i].Errorf("%w", err)
		}
		return slices.ContainsFunc(m.Config, func(k plugin.ConfigKey) bool { return k.Name == key }), nil
	}
	var all, named []int
	var names []string
	for i, spec := range s.cfg.Plugins {
		if spec.Kind == abi.KindConstraint {
			all, names = append(all, i), append(names, spec.Name)
			if len(spec.Config) > 0 {
				chosen[i] = map[string]any{}
			}
		}
	}
	for _, name := range req.Constraints {
		i := slices.IndexFunc(s.cfg.Plugins, func(spec plugin.Spec) bool { return spec.Kind == abi.KindConstraint && spec.Name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("no plugin of kind constraint is named %q (there are %s)", name, list(names))
		}
		named, chosen[i] = append(named, i), map[string]any{}
	}
	give := func(candidates []int, key string, value any) (bool, error) {
		for _, i := range candidates {
			found, err := has(i, key)
			if err != nil || !found {
				if err != nil {
					return false, err
				}
				continue
			}
			if chosen[i] == nil {
				chosen[i] = map[string]any{}
			}
			chosen[i][key] = value
			return true, nil
		}
		return false, nil
	}
	for key, value := range req.Constraint {
		found, err := give(append(slices.Clone(named), all...), key, value)
		if err != nil {
			return nil, nil, err
		}
		if !found {
			return nil, nil, fmt.Errorf("no plugin of kind constraint has the setting %s (there are %s): add one to plugins.toml", key, list(names))
		}
	}
	for key, value := range req.Settings {
		found, err := give(named, key, value)
		if err != nil {
			return nil, nil, err
		}
		if found {
			if len(rest) == len(req.Settings) {
				rest = maps.Clone(rest)
			}
			delete(rest, key)
		}
	}
	return chosen, rest, nil
}

// constraint gives the i-th plugin of the set at work, started once.
func (e *Engine) constraint(ctx context.Context, i int) (*constraintModule, error) {
	e.chainMu.Lock()
	defer e.chainMu.Unlock()
	if c := e.constraints[i]; c != nil {
		return c, nil
	}
	m, err := e.modules.load(ctx, i)
	if err != nil {
		return nil, err
	}
	// It outlives the request that wants it first.
	c, err := m.NewConstraint(context.WithoutCancel(ctx), &e.Vocab.Vocab)
	if err != nil {
		return nil, err
	}
	e.constraints[i] = &constraintModule{Constraint: c, module: m}
	return e.constraints[i], nil
}

// warmConstraints makes the constraints ready that requests will want. What fails here fails the request that wants it.
func (e *Engine) warmConstraints(ctx context.Context) {
	chosen, _, err := e.modules.constraintSettings(&Request{Constraint: e.opt.Constraint, Constraints: e.opt.Constraints})
	if err != nil {
		return
	}
	for i := range chosen {
		e.warming.Go(func() { e.constraint(ctx, i) })
	}
}

// constrain begins the constraints of a sequence.
func (e *Engine) constrain(ctx context.Context, s *sequence, chosen map[int]map[string]any) error {
	if len(chosen) == 0 {
		return nil
	}
	words := (e.NVocab + 31) / 32
	c := &constraining{banned: map[int][]uint32{}}
	s.constraints = c
	for _, i := range slices.Sorted(maps.Keys(chosen)) {
		m, err := e.constraint(ctx, i)
		if err != nil {
			return err
		}
		set, err := m.module.Settings(chosen[i])
		if err != nil {
			return err
		}
		if err := m.Begin(ctx, s.id, set); err != nil {
			return err
		}
		c.uses = append(c.uses, constraintUse{of: m, row: plugin.MaskRow{Seq: s.id, Mask: make([]uint32, words)}})
		if err := m.AcceptPrompt(ctx, s.id, s.req.Prompt...); err != nil {
			return err
		}
	}
	s.decode = plugin.MidText() // token by token, the text is what the constraints were told it is
	return nil
}

// release ends the constraints of a sequence.
func (s *sequence) release() {
	if s.constraints == nil {
		return
	}
	for _, u := range s.constraints.uses {
		u.of.End(s.always, s.id) // a guest that fails here fails the next sequence that needs it
	}
}

// ---- masks -------------------------------------------------------------------------------------------------------------

// askMasks asks the constraints of sequences about their next tokens, all of one guest in one call. The answers are in
// the uses when the returned function has returned.
func askMasks(seqs []*sequence) (wait func()) {
	var modules []*constraintModule
	for _, s := range seqs {
		if s.constraints == nil || s.tables.n+s.rows < len(s.tokens) {
			continue
		}
		for i := range s.constraints.uses {
			u := &s.constraints.uses[i]
			if len(u.of.rows) == 0 {
				modules = append(modules, u.of)
			}
			u.of.rows, u.of.owners = append(u.of.rows, u.row), append(u.of.owners, u)
		}
	}
	if len(modules) == 0 {
		return func() {}
	}
	var group sync.WaitGroup
	group.Go(func() {
		for _, m := range modules {
			m.ask()
		}
	})
	return group.Wait
}

func (m *constraintModule) ask() {
	err := m.Mask(context.Background(), m.rows)
	for i, u := range m.owners {
		if u.row = m.rows[i]; u.row.Err == nil {
			u.row.Err = err
		}
	}
	m.rows, m.owners = m.rows[:0], m.owners[:0]
}

// settle does what the constraints answered, up to the mask: over ends the sequence, again says that the next row is for
// another position.
func (e *Engine) settle(s *sequence) (over string, again bool, err error) {
	c := s.constraints
	for i := range c.uses {
		if err := c.uses[i].row.Err; err != nil {
			return "", false, err
		}
	}
	if again, err := e.rewind(s); again || err != nil {
		return "", again, err
	}
	c.clear(s)
	s.show(false)
	for i := range c.uses {
		if c.uses[i].row.Result == abi.MaskResultStop {
			return "stop", false, nil
		}
	}
	if u := &c.uses[0]; len(c.uses) == 1 && u.row.Result == abi.MaskResultForced && s.req.Logprobs == 0 {
		for _, token := range u.row.Forced {
			n := len(s.tokens)
			if s.req.Chances > 0 {
				s.result.Chances = append(s.result.Chances, Chances{})
			}
			if over, err = e.keep(s, token); over != "" || err != nil {
				return over, false, err
			}
			if len(s.tokens) <= n { // at its last token, tokens were taken back
				break
			}
		}
		return "", true, nil
	}
	return "", false, nil
}

// rewind takes tokens back if a constraint wants that. The token that stood first among them is not picked there again.
func (e *Engine) rewind(s *sequence) (bool, error) {
	c, n := s.constraints, 0
	for i := range c.uses {
		if c.uses[i].row.Result == abi.MaskResultRewind {
			n = max(n, c.uses[i].row.Rewind)
		}
	}
	if n == 0 {
		return false, nil
	}
	keep := len(s.tokens) - n
	place := c.places[keep-s.nPrompt()]
	if place.bytes < s.text.Len() {
		return false, fmt.Errorf("a constraint takes back text that it had let through")
	}
	c.banned[keep] = append(c.banned[keep], s.tokens[keep])
	maps.DeleteFunc(c.banned, func(pos int, _ []uint32) bool { return pos > keep })
	s.tokens, c.places = s.tokens[:keep], c.places[:keep-s.nPrompt()]
	if len(s.result.Logprobs) > len(c.places) {
		s.result.Logprobs = s.result.Logprobs[:len(c.places)]
		s.result.TokenLogprobs = s.result.TokenLogprobs[:len(c.places)]
	}
	if len(s.result.Chances) > len(c.places) {
		s.result.Chances = s.result.Chances[:len(c.places)]
	}
	s.held, s.decode = s.held[:place.bytes-s.text.Len()], place.decode
	c.unsure = len(s.held)
	if err := s.chain.Rollback(s.always, s.id, n); err != nil {
		return false, err
	}
	for i := range c.uses {
		if err := c.uses[i].of.Rollback(s.always, s.id, n); err != nil {
			return false, err
		}
	}
	return true, e.recompute(s, keep-1)
}

// recompute cuts a sequence's cache back to n positions, or to none where that does not suffice to go on from there.
func (e *Engine) recompute(s *sequence, n int) error {
	if e.routing.stateful() { // a router that keeps count must see every row
		n = 0
		if err := e.routing.end(s.always, s.id); err != nil {
			return err
		}
		if err := e.routing.start(s.always, s.id); err != nil {
			return err
		}
	}
	if !e.kv.canTruncate(s.tables, n) {
		n = 0
	}
	e.kv.truncate(s.tables, n)
	return nil
}

// clear notes how much of the text the constraints still hold back: whole tokens, since these are taken back.
func (c *constraining) clear(s *sequence) {
	hold := 0
	for i := range c.uses {
		hold = max(hold, c.uses[i].row.Hold)
	}
	if c.unsure = 0; hold == 0 {
		return
	}
	total := s.text.Len() + len(s.held)
	for i := len(c.places) - 1; i >= 0; i-- {
		if c.places[i].bytes <= total-hold || i == 0 {
			c.unsure = total - c.places[i].bytes
			return
		}
	}
}

// settleLast asks the constraints once more before a sequence ends at a token that they were not asked about: they may
// want it back. Then the sequence goes on.
func (e *Engine) settleLast(s *sequence) (again bool, err error) {
	if s.constraints == nil || s.constraints.unsure == 0 {
		return false, nil
	}
	s.rows = len(s.tokens) - s.tables.n
	askMasks([]*sequence{s})()
	for i := range s.constraints.uses {
		if err := s.constraints.uses[i].row.Err; err != nil {
			return false, err
		}
	}
	if again, err = e.rewind(s); !again {
		s.constraints.unsure = 0
	}
	return again, err
}

// mayEnd tells whether the constraints let the sequence end here.
func (c *constraining) mayEnd(eog []uint32) bool {
	for i := range c.uses {
		row := &c.uses[i].row
		ends := func(id uint32) bool { return row.Mask[id/32]>>(id%32)&1 != 0 }
		if row.Result == abi.MaskResultForced || row.Result == abi.MaskResultMask && !slices.ContainsFunc(eog, ends) {
			return false
		}
	}
	return true
}

var forbidden = float32(math.Inf(-1))

// mask sets the logits of tokens that may not follow to -inf.
func (c *constraining) mask(logits []float32, pos int) error {
	for i := range c.uses {
		switch row := &c.uses[i].row; row.Result {
		case abi.MaskResultMask:
			applyMask(logits, row.Mask)
		case abi.MaskResultForced:
			for id := range logits {
				if uint32(id) != row.Forced[0] {
					logits[id] = forbidden
				}
			}
		}
	}
	for _, id := range c.banned[pos] {
		logits[id] = forbidden
	}
	if len(c.uses) == 1 && len(c.banned[pos]) == 0 || slices.ContainsFunc(logits, func(l float32) bool { return l != forbidden }) {
		return nil
	}
	return fmt.Errorf("the constraints leave no token that may follow here, not even the end")
}

// applyMask sets the logits whose bits are not set to -inf.
func applyMask(logits []float32, mask []uint32) {
	for w, word := range mask {
		if word == math.MaxUint32 {
			continue
		}
		row := logits[32*w : min(32*w+32, len(logits))]
		if word == 0 {
			for i := range row {
				row[i] = forbidden
			}
			continue
		}
		for rest := ^word; rest != 0; rest &= rest - 1 {
			if i := bits.TrailingZeros32(rest); i < len(row) {
				row[i] = forbidden
			}
		}
	}
}
