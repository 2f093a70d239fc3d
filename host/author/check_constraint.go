package author

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"forge/abi"
	"forge/host/model"
	"forge/host/plugin"
)

// constraintBattery is what constraints are put through: walks through what they allow, in small vocabularies.
func constraintBattery() *battery {
	return &battery{
		shapes: "walks: vocabularies of 1 to 300 tokens at the settings' defaults, ends and at texts of common forms",
		trials: constraintTrials,
		checks: []check{
			{"masks", constraintMasks}, {"validate", constraintValidate}, {"drafts", constraintDrafts}, {"fork", constraintForks},
			{"rollback", constraintRollbacks}, {"save", constraintSaves}, {"end", constraintEnds}, {"leak", constraintLeak},
			{"hostile host", constraintHostile}, {"fuzz", constraintFuzz},
		},
	}
}

// constrained is a vocabulary and settings that a constraint may be asked to work with.
type constrained struct {
	name     string
	vocab    namedVocab
	settings map[string]any
}

// settingTexts are tried as the values of settings that are texts: a guest takes those of its own form.
var settingTexts = []string{
	"a", "rock paper scissors", "[a-z]+", "(ab|cd)*e?", `["yes","no","true"]`, `{"type":"boolean"}`, `{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`,
	"root ::= \"a\" | \"rock\" | (\"he\" [a-z]*)", "\\", "[", "{", "\"", "\u00e9\u65e5", strings.Repeat("a", 70),
}

// constraintSets are the vocabularies and settings to try: of the first vocabularies the defaults, of the last all.
func (s *session) constraintSets() ([]constrained, error) {
	vocabs := constraintVocabs()
	if f := s.opt.Model; f != nil {
		v, err := s.modelVocab()
		if err != nil {
			return nil, err
		}
		vocabs = append(vocabs, *v)
	}
	var sets []constrained
	for i, v := range vocabs {
		sets = append(sets, constrained{v.name + ", defaults", v, nil})
		if i < 4 { // the small ones
			continue
		}
		for _, k := range s.mod.Manifest().Config {
			add := func(what string, value any) {
				sets = append(sets, constrained{fmt.Sprintf("%s, %s %s", v.name, k.Name, what), v, map[string]any{k.Name: value}})
			}
			if k.Min != nil {
				add("at its least", *k.Min)
			}
			if k.Max != nil {
				add("at its most", *k.Max)
			}
			switch k.Type {
			case "bool":
				add("on", true)
				add("off", false)
			case "string":
				for _, text := range settingTexts {
					add(quote(text), text)
				}
			}
		}
	}
	return sets, nil
}

// modelVocab is the vocabulary of the model that was given, with the pieces that its tokenizer makes of it.
func (s *session) modelVocab() (*namedVocab, error) {
	v, err := model.ReadVocab(s.opt.Model)
	if err != nil {
		return nil, err
	}
	mods, err := s.beside(abi.KindTokenizer)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(mods, func(m *plugin.Module) bool { return m.Provides(v.Model) })
	if i < 0 {
		return nil, fmt.Errorf("no tokenizer serves the model's vocabulary %q", v.Model)
	}
	t, err := mods[i].NewTokenizer(s.ctx, &v.Vocab)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	text, offsets, err := t.Pieces(s.ctx)
	if err != nil {
		return nil, err
	}
	v.Pieces = texts(v.N, func(i int) string { return string(text[offsets[i]:offsets[i+1]]) })
	return &namedVocab{&v.Vocab, "of the model", true}, nil
}

func (s *session) constraint(v namedVocab) (*plugin.Constraint, error) {
	return open(s, "constraint "+v.name, func() (*plugin.Constraint, error) { return s.mod.NewConstraint(s.ctx, v.Vocab) })
}

func constraintTrials(s *session) ([]trial, error) {
	sets, err := s.constraintSets()
	if err != nil {
		return nil, err
	}
	var out []trial
	working := 0
	why := ""
	for _, set := range sets {
		out = append(out, trial{set.name, func(s *session) (string, error) { return s.constraintTrial(&set) }})
		w, err := s.begin(&set, 1)
		if err == nil {
			working++
			err = w.end()
		}
		if why, err = s.settled(why, err); err != nil {
			return nil, at(set.name, err)
		}
	}
	if working == 0 {
		return nil, &Fault{"all settings that are tried here", why, "settings with which it works: give them with --set KEY=VALUE"}
	}
	return out, nil
}

// constraintTrial walks some steps and digests all that was said.
func (s *session) constraintTrial(set *constrained) (string, error) {
	w, err := s.begin(set, 1)
	if err != nil {
		return "", err
	}
	var said []string
	err = w.walk(s.random(set.name), 16, func(a *answer) error {
		said = append(said, a.text)
		return nil
	})
	if err != nil {
		return "", err
	}
	return digest(said, w.tokens), w.end()
}

// constraintMasks holds masks to what is accepted.
func constraintMasks(s *session) (string, error) {
	places := 0
	err := s.eachWalk("masks", func(w *walker, rng *rand.Rand) error {
		return w.walk(rng, 8, func(a *answer) error {
			places++
			if a.dead || a.stop || a.rewind > 0 {
				return nil
			}
			for _, id := range w.some(rng, a, true, 4) {
				f, err := w.fork(2)
				if err != nil {
					return err
				}
				if err := f.accept(id); err != nil {
					return err
				}
				if _, err := f.ask(); err != nil {
					return at(fmt.Sprintf("then the token %d", id), err)
				}
				if err := f.end(); err != nil {
					return err
				}
			}
			return w.refusesForbidden(rng, a)
		})
	})
	if !s.seesTokens() {
		return fmt.Sprintf("at %d places what the mask allows is followed by an answer; it sees no tokens, so what it forbids is not tried", places), err
	}
	return fmt.Sprintf("at %d places what the mask allows is accepted, and what it forbids is not", places), err
}

// seesTokens tells whether the guest learns of tokens: one with state is told of them, one without has them in its rows if
// it asks for the history.
func (s *session) seesTokens() bool {
	m := s.mod.Manifest()
	return m.State != "stateless" || slices.Contains(m.Grants, "history")
}

// refusesForbidden wants a guest to refuse tokens that it forbids, or to allow nothing behind them.
func (w *walker) refusesForbidden(rng *rand.Rand, a *answer) error {
	if !w.s.seesTokens() {
		return nil
	}
	for _, id := range w.some(rng, a, false, 3) {
		f, err := w.fork(2)
		if err != nil {
			return err
		}
		err = w.c.Accept(w.s.ctx, f.seq, id)
		if w.s.refusal(err) == nil {
			if err != nil {
				return w.s.fault(err)
			}
			then, err := f.ask()
			if err != nil {
				return err
			}
			if !then.dead && !then.stop && then.rewind == 0 {
				return &Fault{fmt.Sprintf("the token %d", id), "is forbidden, and accepted all the same", "a refusal, or nothing that may follow it"}
			}
		}
		if err := f.end(); err != nil {
			return err
		}
	}
	return nil
}

// constraintValidate holds the verdict on drafts to the masks behind each.
func constraintValidate(s *session) (string, error) {
	verdicts := 0
	err := s.eachWalk("validate", func(w *walker, rng *rand.Rand) error {
		return w.walk(rng, 4, func(a *answer) error {
			for range 4 {
				drafts := w.drafts(rng, a)
				want := 0
				for want < len(drafts) {
					then, err := w.ask(drafts[:want]...)
					if err != nil {
						return err
					}
					if !then.allowed(drafts[want]) {
						break
					}
					want++
				}
				rows := []plugin.MaskRow{{Seq: w.seq, Drafts: drafts}}
				if err := w.c.Validate(s.ctx, rows); err != nil {
					return err
				}
				if rows[0].Err != nil && s.refusal(rows[0].Err) == nil {
					return s.fault(rows[0].Err)
				}
				if rows[0].Err == nil && rows[0].Fits != want {
					return &Fault{fmt.Sprintf("the drafts %v", drafts), fmt.Sprintf("%d fit by constraint_validate", rows[0].Fits), fmt.Sprintf("%d, as the mask behind each says", want)}
				}
				verdicts++
			}
			return nil
		})
	})
	return fmt.Sprintf("%d verdicts on drafts are what the masks say", verdicts), err
}

// drafts are up to four tokens, the first most often an allowed one.
func (w *walker) drafts(rng *rand.Rand, a *answer) []uint32 {
	drafts := make([]uint32, 1+rng.IntN(4))
	for i := range drafts {
		drafts[i] = uint32(rng.IntN(w.v.N))
	}
	if id, ok := w.pick(rng, a); ok && rng.IntN(4) > 0 {
		drafts[0] = id
	}
	return drafts
}

// differs compares answers of one place.
func differs(got, want *answer, input, mend string) error {
	if got.text == want.text {
		return nil
	}
	return &Fault{input, "the answer is another one", mend}
}

// constraintDrafts wants rows with drafts to change nothing, and to be answered as if the drafts had been accepted.
func constraintDrafts(s *session) (string, error) {
	return "drafts leave no trace, and count as accepted in their row", s.eachWalk("drafts", func(w *walker, rng *rand.Rand) error {
		return w.walk(rng, 6, func(before *answer) error {
			id, ok := w.pick(rng, before)
			if !ok {
				return nil
			}
			drafted, err := w.ask(id)
			if err != nil {
				return err
			}
			after, err := w.ask()
			if err != nil {
				return err
			}
			input := fmt.Sprintf("a row with the draft %d and then one without", id)
			if err := differs(after, before, input, "that of before: change state in forge_accept alone"); err != nil {
				return err
			}
			f, err := w.fork(2)
			if err != nil {
				return err
			}
			if err := f.accept(id); err != nil {
				return err
			}
			accepted, err := f.ask()
			if err != nil {
				return err
			}
			if accepted.rewind == 0 { // not for rows with drafts
				err = differs(drafted, accepted, fmt.Sprintf("the draft %d", id), "that of the token accepted")
			}
			return errors.Join(err, f.end())
		})
	})
}

func constraintForks(s *session) (string, error) {
	return "a fork goes on as its parent would, and neither feels the other", s.eachWalk("fork", func(w *walker, rng *rand.Rand) error {
		return w.walk(rng, 6, func(want *answer) error {
			f, err := w.fork(2)
			if err != nil {
				return err
			}
			got, err := f.ask()
			if err != nil {
				return err
			}
			if err := differs(got, want, "a fork", "that of its parent: copy all state in forge_fork"); err != nil {
				return err
			}
			for range 3 {
				a, err := f.ask()
				if err != nil {
					return err
				}
				if on, err := f.step(rng, a); err != nil || !on {
					break
				}
			}
			again, err := w.ask()
			if err != nil {
				return err
			}
			if err := differs(again, want, "the parent after the fork went on", "that of before: share nothing that changes"); err != nil {
				return err
			}
			return f.end()
		})
	})
}

func constraintRollbacks(s *session) (string, error) {
	return "tokens taken back never were", s.eachWalk("rollback", func(w *walker, rng *rand.Rand) error {
		var saw []*answer
		return w.walk(rng, 10, func(a *answer) error {
			if len(w.tokens) != len(saw) { // a rewind of its own
				saw = saw[:min(len(saw), len(w.tokens))]
			}
			if len(w.tokens) == len(saw) {
				saw = append(saw, a)
			}
			back := rng.IntN(len(w.tokens) + 1)
			if back == 0 || len(saw) != len(w.tokens)+1 {
				return nil
			}
			f, err := w.fork(2)
			if err != nil {
				return err
			}
			if err := w.c.Rollback(s.ctx, f.seq, back); err != nil {
				return err
			}
			f.tokens = f.tokens[:len(f.tokens)-back]
			got, err := f.ask()
			if err != nil {
				return err
			}
			if err := differs(got, saw[len(f.tokens)], fmt.Sprintf("%d tokens taken back", back), "that of before they came: undo them in forge_rollback, or leave the export out"); err != nil {
				return err
			}
			for _, id := range w.tokens[len(f.tokens):] {
				if err := f.accept(id); err != nil {
					return err
				}
			}
			if got, err = f.ask(); err != nil {
				return err
			}
			return errors.Join(differs(got, a, fmt.Sprintf("%d tokens taken back and accepted again", back), "that of before"), f.end())
		})
	})
}

func constraintSaves(s *session) (string, error) {
	return "a sequence that was saved goes on where it is loaded", s.eachWalk("save", func(w *walker, rng *rand.Rand) error {
		settings, err := s.mod.Settings(w.set.settings)
		if err != nil {
			return err
		}
		return w.walk(rng, 5, func(want *answer) error {
			data, err := w.c.Save(s.ctx, w.seq)
			if err != nil {
				return err
			}
			if err := w.c.Load(s.ctx, 2, settings, data); err != nil {
				return &Fault{"a saved sequence", "cannot be loaded: " + err.Error(), "what forge_save wrote to be taken by forge_load"}
			}
			f := *w
			f.seq = 2
			f.row[0] = plugin.MaskRow{Seq: 2, Mask: make([]uint32, len(w.row[0].Mask))}
			got, err := f.ask()
			if err != nil {
				return err
			}
			return errors.Join(differs(got, want, "a sequence saved and loaded", "that of the one that was saved"), f.end())
		})
	})
}

// constraintEnds wants every walk to be able to come to an end: the end is allowed somewhere, the guest stops, or nothing may
// follow, which the request then fails by.
func constraintEnds(s *session) (string, error) {
	ends, dead := 0, 0
	err := s.eachWalk("end", func(w *walker, rng *rand.Rand) error {
		reached := false
		for range 6 {
			err := w.walk(rng, 80, func(a *answer) error {
				ending := a.stop || len(w.v.EOG) > 0 && a.allowed(w.v.EOG[0])
				if a.dead {
					dead++
				}
				reached = reached || ending || a.dead
				return nil
			})
			if err != nil || reached {
				break
			}
			if err := w.c.Rollback(s.ctx, w.seq, len(w.tokens)); err != nil {
				return err
			}
			w.tokens = w.tokens[:0]
		}
		if !reached {
			return &Fault{"6 walks of 80 tokens", "the end is never allowed", "a place where the text may end, or one where nothing may follow"}
		}
		ends++
		return nil
	})
	return fmt.Sprintf("the end can be reached under %d settings; %d walks come to where nothing may follow, and say so", ends, dead), err
}

// maskFrame lays a row down for one sequence, over a mask and forced tokens that are full of what they must not be taken for.
func (d *desk) maskFrame(seq uint64, nVocab int, forcedRoom uint32, size uint32, drafts []uint32) (f abi.Masks, r abi.MaskRow, mask output) {
	d.wipe()
	raw := d.Frame(max(size, abi.MasksSize))
	abi.Head(raw).SetSize(size)
	f = abi.Masks(raw)
	f.SetNRows(1)
	f.SetNVocab(uint32(nVocab))
	tokens := d.putWords(drafts)
	mask = d.out("the mask", uint32((nVocab+31)/32)*4)
	forced := d.out("the forced tokens", 4*forcedRoom)
	at := d.put(make([]byte, abi.MaskRowSize))
	r = abi.MaskRow(d.Room()[at-d.At():][:abi.MaskRowSize])
	r.SetSeq(seq)
	r.SetMask(d.addr(mask))
	r.SetForced(d.addr(forced))
	r.SetForcedCap(forcedRoom)
	if len(drafts) > 0 {
		r.SetDrafts(tokens, uint32(len(drafts)))
	}
	r.SetParams(d.Params())
	f.SetRows(at)
	return f, r, mask
}

// constraintDesks opens a desk for the vocabularies, with the settings that are tried first among those that are taken.
func (s *session) constraintDesks(f func(d *desk, v namedVocab) error) error {
	sets, err := s.constraintSets()
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, set := range sets {
		w, err := s.begin(&set, 1)
		if s.refusal(err) != nil || done[set.vocab.name] {
			continue
		}
		if err := errors.Join(err, w.end()); err != nil {
			return at(set.name, s.fault(err))
		}
		done[set.vocab.name] = true
		settings, err := s.mod.Settings(set.settings)
		if err != nil {
			return err
		}
		err = s.textDesk(plugin.ProbeOptions{Vocab: set.vocab.Vocab, Settings: settings}, set.name, func(d *desk) error {
			if err := d.life("forge_begin", "a sequence begins", func(f abi.Seq) { f.SetSeq(1); f.SetParams(d.Params()) }); err != nil {
				return err
			}
			return f(d, set.vocab)
		})
		if err != nil {
			return at(set.name, err)
		}
	}
	return nil
}

func constraintLeak(s *session) (tried string, err error) {
	err = s.constraintDesks(func(d *desk, v namedVocab) error {
		tried, err = d.steady(func(i int) error {
			seq := uint64(100 + i)
			begin := func(f abi.Seq) { f.SetSeq(seq); f.SetParams(d.Params()) }
			if err := d.life("forge_begin", "begin", begin); err != nil {
				return err
			}
			d.maskFrame(seq, v.N, 16, abi.MasksSize, nil)
			if _, err := d.call("constraint_mask", v.N); err != nil && s.refusal(err) == nil {
				return err
			}
			if err := d.life("forge_fork", "fork", func(f abi.Seq) { f.SetSeq(seq + 5000); f.SetParent(seq) }); err != nil {
				return err
			}
			for _, id := range []uint64{seq, seq + 5000} {
				if err := d.life("forge_end", "end", func(f abi.Seq) { f.SetSeq(id) }); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	return tried, err
}

// constraintHostile sends frames that no host sends, and masks full of ones, of which every word must be written.
func constraintHostile(s *session) (string, error) {
	return "masks full of ones, cut and longer frames, tokens that are none, sequences in the wrong order are borne", s.constraintDesks(func(d *desk, v namedVocab) error {
		if err := d.writesAllWords(v); err != nil {
			return err
		}
		exports := []string{"constraint_mask"}
		if d.Has("constraint_validate") {
			exports = append(exports, "constraint_validate")
		}
		for _, export := range exports {
			if err := d.hostileMasks(export, v); err != nil {
				return at(export, err)
			}
		}
		return d.wrongOrder(func(seq uint64) error {
			d.maskFrame(seq, v.N, 4, abi.MasksSize, nil)
			return d.borne("constraint_mask", "constraint_mask", v.N)
		})
	})
}

func (d *desk) writesAllWords(v namedVocab) error {
	var masks [2][]byte
	for i, junk := range []byte{guardByte, 0} {
		_, _, mask := d.maskFrame(1, v.N, 4, abi.MasksSize, nil)
		clearTo(d.bytes(mask), junk)
		d.input = fmt.Sprintf("a mask that is full of %#x before", junk)
		if _, err := d.call("constraint_mask", v.N); err != nil {
			if d.s.refusal(err) != nil {
				return nil
			}
			return err
		}
		masks[i] = slices.Clone(d.bytes(mask))
		if result := d.rowSeen().Result(); result != uint32(abi.MaskResultMask) {
			return nil
		}
	}
	for id := range v.N {
		if masks[0][id/8]>>(id%8)&1 != masks[1][id/8]>>(id%8)&1 {
			return &Fault{d.input, fmt.Sprintf("the bit of token %d is left as it was", id), "every word of the mask written"}
		}
	}
	return nil
}

// rowSeen is the mask row of the last frame.
func (d *desk) rowSeen() abi.MaskRow {
	at := abi.Masks(d.Seen(abi.MasksSize)).Rows() - d.At()
	return abi.MaskRow(d.Room()[at:][:abi.MaskRowSize])
}

func (d *desk) hostileMasks(export string, v namedVocab) error {
	ways := []struct {
		name   string
		size   uint32
		drafts []uint32
		room   uint32
		spoil  func(f abi.Masks, r abi.MaskRow)
	}{
		{"no rows, and no address of them", abi.MasksSize, nil, 4, func(f abi.Masks, _ abi.MaskRow) { f.SetNRows(0); f.SetRows(0) }},
		{"a frame that ends behind its head", abi.HeadSize, nil, 4, nil},
		{"the frame of a newer host", abi.MasksSize + 32, nil, 4, nil},
		{"no room for forced tokens", abi.MasksSize, nil, 0, nil},
		{"room for one forced token", abi.MasksSize, nil, 1, nil},
		{"drafts that do not exist", abi.MasksSize, []uint32{uint32(v.N), 1 << 31, 1<<32 - 1}, 4, nil},
		{"64 drafts", abi.MasksSize, make([]uint32, 64), 4, nil},
		{"a sequence that was not begun", abi.MasksSize, nil, 4, func(_ abi.Masks, r abi.MaskRow) { r.SetSeq(1 << 60) }},
		{"a position of 2^32-1", abi.MasksSize, nil, 4, func(_ abi.Masks, r abi.MaskRow) { r.SetPos(1<<32 - 1) }},
		{"a prompt longer than the sequence", abi.MasksSize, nil, 4, func(_ abi.Masks, r abi.MaskRow) { r.SetNPrompt(1<<32 - 1) }},
		{"flags that nobody knows", abi.MasksSize, nil, 4, func(f abi.Masks, r abi.MaskRow) { f.SetFlags(1 << 31); r.SetFlags(1 << 31) }},
	}
	for _, w := range ways {
		f, r, _ := d.maskFrame(1, v.N, w.room, w.size, w.drafts)
		if export == "constraint_validate" {
			r.SetMask(0)
		}
		if w.spoil != nil {
			w.spoil(f, r)
		}
		if err := d.borne(w.name, export, v.N+64); err != nil {
			return err
		}
	}
	return nil
}

// constraintFuzz begins sequences with random settings and goes through them at random.
func constraintFuzz(s *session) (string, error) {
	vocabs := constraintVocabs()
	var strs []plugin.ConfigKey
	for _, k := range s.mod.Manifest().Config {
		if k.Type == "string" {
			strs = append(strs, k)
		}
	}
	return s.fuzz(func(rng *rand.Rand) error {
		set := constrained{"", vocabs[rng.IntN(len(vocabs))], map[string]any{}}
		for _, k := range strs {
			if rng.IntN(2) == 0 {
				set.settings[k.Name] = randomSetting(rng)
			}
		}
		set.name = fmt.Sprintf("%s, settings %q", set.vocab.name, set.settings)
		w, err := s.begin(&set, 1)
		if err != nil {
			_, err = s.settled("", err)
			return at(set.name, err)
		}
		for range 20 {
			a, err := w.ask()
			if err != nil {
				return at(set.name+", "+w.place(), err)
			}
			var on bool
			if rng.IntN(6) == 0 && len(w.tokens) > 0 && a.rewind == 0 {
				n := 1 + rng.IntN(len(w.tokens))
				err, on = w.c.Rollback(s.ctx, 1, n), true
				w.tokens = w.tokens[:len(w.tokens)-n]
			} else {
				on, err = w.step(rng, a)
			}
			if err != nil {
				return at(set.name, s.fault(err))
			}
			if !on {
				break
			}
		}
		return w.end()
	})
}

// randomSetting is one of the texts that are tried, with some of its bytes changed, or words.
func randomSetting(rng *rand.Rand) string {
	text := []byte(settingTexts[rng.IntN(len(settingTexts))])
	for range rng.IntN(3) {
		text[rng.IntN(len(text))] = "[](){}\"|*+?\\,: ab1"[rng.IntN(18)]
	}
	return strings.ToValidUTF8(string(text), "?")
}
