package author

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"forge/host/plugin"
)

// rowBattery is what samplers and processors are put through: rows of logits.
func rowBattery() *battery {
	return &battery{
		shapes: "rows: of 1 to 32,003 logits, flat, one-hot, infinite, denormal, at the settings' ends",
		trials: func(s *session) ([]trial, error) { return rowTrials(s.mod.Manifest()), nil },
		checks: []check{
			{"drafts", (*session).rowDrafts}, {"fork", (*session).rowForks}, {"leak", (*session).rowLeak},
			{"hostile host", (*session).rowProvoke}, {"fuzz", (*session).rowFuzz},
		},
	}
}

type namedRow struct {
	name   string
	logits []float32
}

func fill(n int, f func(int) float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = f(i)
	}
	return x
}

// shapedRows are rows of every shape, the fifth of them of 1,000 logits.
func shapedRows() []namedRow {
	rng := rand.New(rand.NewPCG(3, 4))
	inf := float32(math.Inf(1))
	rows := []namedRow{{"one", []float32{1.5}}, {"two", []float32{-2, 3}}}
	for _, n := range []int{7, 33, 1000, 32003} {
		rows = append(rows, namedRow{fmt.Sprint("normal ", n), fill(n, func(int) float32 { return float32(3 * rng.NormFloat64()) })})
	}
	for _, r := range []struct {
		name string
		f    func(int) float32
	}{
		{"equal", func(int) float32 { return 0.25 }}, {"ascending", func(i int) float32 { return float32(i) / 50 }}, {"descending", func(i int) float32 { return -float32(i) / 50 }},
		{"one-hot", func(i int) float32 { return map[bool]float32{true: 5, false: -inf}[i == 99] }}, {"all -inf", func(int) float32 { return -inf }},
		{"one +inf", func(i int) float32 { return map[bool]float32{true: inf, false: float32(i % 7)}[i == 300] }}, {"denormal", func(i int) float32 { return float32(i%5) * 1e-42 }},
		{"huge", func(i int) float32 { return float32(i%9-4) * 8e37 }},
	} {
		rows = append(rows, namedRow{r.name, fill(517, r.f)})
	}
	return rows
}

// rowTrials are every entry with every row at the default settings, and one row at the ends of every setting.
func rowTrials(m *plugin.Manifest) []trial {
	var out []trial
	add := func(entry, name string, logits []float32, settings map[string]any) {
		out = append(out, trial{entry + "/" + name, func(s *session) (string, error) { return s.rowTrial(entry, logits, settings) }})
	}
	rows := shapedRows()
	for _, e := range m.Entries {
		for _, r := range rows {
			add(e.Name, r.name, r.logits, nil)
		}
		for _, k := range m.Config {
			if e.Config != nil && !slices.Contains(e.Config, k.Name) {
				continue
			}
			for end, v := range map[string]*float64{"least": k.Min, "most": k.Max} {
				if v != nil {
					add(e.Name, fmt.Sprintf("%s at its %s", k.Name, end), rows[4].logits, map[string]any{k.Name: *v})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b trial) int { return strings.Compare(a.id, b.id) })
	return out
}

// rowTrial sends one row of a sequence of its own through an entry.
func (s *session) rowTrial(entry string, logits []float32, settings map[string]any) (string, error) {
	ch, err := s.entryChain(entry, len(logits))
	if err != nil {
		return "", err
	}
	params, err := ch.Params(settings)
	if err != nil {
		return "", err
	}
	if err := ch.Begin(s.ctx, 1, params); err != nil {
		return "", err
	}
	outcome, err := s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: 1, Params: params})
	if err != nil {
		return "", err
	}
	return outcome, ch.End(s.ctx, 1)
}

// entryChain is an entry and what ends a chain.
func (s *session) entryChain(entry string, n int) (*plugin.Chain, error) {
	return open(s, fmt.Sprint(entry, " ", n), func() (*plugin.Chain, error) {
		mods, err := s.beside("sampler")
		if err != nil {
			return nil, err
		}
		last, err := plugin.Resolve(mods, []string{"dist"})
		if err != nil {
			return nil, err
		}
		links := append([]plugin.ChainEntry{{Module: s.mod, Entry: entry}}, last...)
		return s.rt.NewChain(s.ctx, links, n, plugin.WithVocab(NumberedVocab(n)))
	})
}

// rowOutcome runs a row through a chain and gives what the entry made of it as a digest. An entry may refuse a row, by a
// sentence; a trap, or an answer that the ABI forbids, is an error.
func (s *session) rowOutcome(chain *plugin.Chain, row *plugin.Row) (string, error) {
	h := sha256.New()
	var bad error
	first := true
	chain.Observe(func(o plugin.Observation) {
		if !first || o.Plugin != s.mod.Name() { // an entry that its settings make idle is not called
			return
		}
		first = false
		if len(o.Logits) >= 1000 {
			s.dearest = max(s.dearest, o.Fuel/int64(len(row.Logits)))
		}
		fmt.Fprint(h, o.Skipped, o.Picked, len(o.Logits))
		for i, l := range o.Logits {
			if l != l && bad == nil {
				bad = &Fault{"", fmt.Sprintf("%s leaves NaN as the logit of candidate %d", o.Entry, i), "numbers, or infinity"}
			}
			binary.Write(h, binary.LittleEndian, math.Float32bits(l))
		}
		binary.Write(h, binary.LittleEndian, o.IDs)
	})
	draw := uint64(0)
	row.Seed, row.Draw = 42, &draw
	_, err := chain.Sample(s.ctx, row)
	var refused *plugin.Error
	switch {
	case bad != nil:
		return "", bad
	case s.refusal(err) != nil:
		return s.settled("", err)
	case errors.As(err, &refused) && refused.Plugin != s.mod.Name():
	case err != nil && first:
		return "", s.fault(err)
	}
	fmt.Fprint(h, draw)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// perEntry runs f with a chain of each entry.
func (s *session) perEntry(n int, f func(entry string, ch *plugin.Chain, logits []float32) error) error {
	rng := rand.New(rand.NewPCG(9, 9))
	logits := fill(n, func(int) float32 { return float32(3 * rng.NormFloat64()) })
	for _, e := range s.mod.Manifest().Entries {
		ch, err := s.entryChain(e.Name, n)
		if err != nil {
			return err
		}
		if err = f(e.Name, ch, logits); err != nil {
			return at(e.Name, err)
		}
	}
	return nil
}

// rowAt begins a sequence of some tokens and gives the outcome of the row behind them.
func (s *session) rowAt(ch *plugin.Chain, seq uint64, logits []float32, tokens ...uint32) (string, error) {
	if err := errors.Join(ch.Begin(s.ctx, seq, nil), ch.Accept(s.ctx, seq, tokens...)); err != nil {
		return "", err
	}
	return s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: seq, Pos: len(tokens), History: tokens})
}

func (s *session) rowDrafts() (string, error) {
	return "a draft row leaves no trace", s.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		want, err := s.rowAt(ch, 1, logits, 5, 6)
		if err != nil {
			return err
		}
		if err := errors.Join(ch.Begin(s.ctx, 2, nil), ch.Accept(s.ctx, 2, 5, 6)); err != nil {
			return err
		}
		for draft := 1; draft <= 3; draft++ {
			if _, err := s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: 2, Pos: 2 + draft, Draft: draft, History: []uint32{5, 6, 7, 8, 9}[:2+draft]}); err != nil {
				return err
			}
		}
		got, err := s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: 2, Pos: 2, History: []uint32{5, 6}})
		if err == nil && got != want {
			err = &Fault{"three draft rows and then the row itself", "rows of a draft change what a later row gets", "change state in forge_accept alone"}
		}
		return err
	})
}

func (s *session) rowForks() (string, error) {
	return "a fork goes on as its parent would, tokens taken back never were", s.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		want, err := s.rowAt(ch, 1, logits, 5, 6, 7)
		if err != nil {
			return err
		}
		again := func(seq uint64, input, got, want2 string) error {
			outcome, err := s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: seq, Pos: 3, History: []uint32{5, 6, 7}})
			if err == nil && outcome != want {
				err = &Fault{input, got, want2}
			}
			return err
		}
		if err := errors.Join(ch.Fork(s.ctx, 2, 1), ch.Accept(s.ctx, 1, 11, 12)); err != nil {
			return err
		}
		if err := again(2, "a fork behind the tokens 5, 6, 7", "it does not go on as its parent would", "copy all state in forge_fork"); err != nil {
			return err
		}
		if err := ch.Rollback(s.ctx, 1, 2); err != nil {
			return err
		}
		return again(1, "the tokens 11 and 12 accepted and taken back", "they leave a trace", "undo them in forge_rollback, or leave the export out")
	})
}

func (s *session) rowLeak() (string, error) {
	return "memory stays as it is from call 10 to call 1,000", s.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		early, late := 0, 0
		draw := uint64(0)
		if err := ch.Begin(s.ctx, 1, nil); err != nil {
			return err
		}
		for call := 1; call <= 1000; call++ {
			ch.Observe(func(o plugin.Observation) {
				if o.Plugin != s.mod.Name() {
					return
				}
				if late = o.Memory; call == 10 {
					early = late
				}
			})
			_, err := ch.Sample(s.ctx, &plugin.Row{Logits: logits, Seq: 1, Seed: 1, Draw: &draw})
			var e *plugin.Error
			if errors.As(err, &e) && e.Trapped {
				return s.fault(err)
			}
		}
		if late > early {
			return &Fault{"", fmt.Sprintf("its memory grows from %d to %d KiB over 1,000 calls", early>>10, late>>10), "use the arena, allocate nothing in a call"}
		}
		return nil
	})
}

func (s *session) rowProvoke() (string, error) {
	const tried = "no rows, a cut frame, and sequences in the wrong order are borne"
	err := s.perEntry(64, func(_ string, ch *plugin.Chain, _ []float32) error { return s.fault(ch.Provoke(s.ctx)) })
	if err != nil || s.mod.Manifest().State == "stateless" {
		return tried, err
	}
	d, err := s.desk(plugin.ProbeOptions{Vocab: NumberedVocab(64)})
	if err != nil {
		return "", s.fault(err)
	}
	defer d.Close()
	return tried, d.wrongOrder(nil)
}

// rowFuzz sends random rows at random settings.
func (s *session) rowFuzz() (tried string, err error) {
	odd := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), 0, -0x1p-149, math.MaxFloat32, -math.MaxFloat32}
	err = s.perEntry(257, func(entry string, ch *plugin.Chain, _ []float32) error {
		seq := uint64(0)
		tried, err = s.fuzz(func(rng *rand.Rand) error {
			logits := fill(257, func(int) float32 {
				if rng.IntN(10) == 0 {
					return odd[rng.IntN(len(odd))]
				}
				return float32(20 * rng.NormFloat64())
			})
			settings := map[string]any{}
			for _, k := range ch.Settings() {
				if k.Min != nil && k.Max != nil && (k.Type == "f32" || k.Type == "i32") && rng.IntN(2) == 0 {
					v := *k.Min + rng.Float64()*(*k.Max-*k.Min)
					if k.Type == "i32" {
						v = math.Floor(v)
					}
					settings[k.Name] = v
				}
			}
			params, err := ch.Params(settings)
			if err != nil {
				return err
			}
			seq++
			if err := ch.Begin(s.ctx, seq, params); err != nil {
				return err
			}
			_, err = s.rowOutcome(ch, &plugin.Row{Logits: logits, Seq: seq, Params: params})
			return errors.Join(err, ch.End(s.ctx, seq))
		})
		return err
	})
	return tried, err
}
