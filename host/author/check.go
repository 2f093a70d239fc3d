package author

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"forge/host/plugin"
)

// Finding is what one check of a module came to.
type Finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was tried, or what is wrong and how to mend it
}

// Report is the outcome of Check.
type Report struct {
	Plugin   string            `json:"plugin"`
	Kind     string            `json:"kind"`
	SHA256   string            `json:"sha256"`
	Findings []Finding         `json:"findings"`
	Golden   map[string]string `json:"-"` // outcome of every case, to record
}

// OK tells whether every check passed.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.OK })
}

func (r *Report) add(check string, problem error, detail string, args ...any) {
	f := Finding{Check: check, OK: problem == nil, Detail: fmt.Sprintf(detail, args...)}
	if problem != nil {
		f.Detail = problem.Error()
	}
	r.Findings = append(r.Findings, f)
}

// CheckOptions of Check.
type CheckOptions struct {
	Last   []plugin.Spec     // samplers of which dist ends the chains
	Golden map[string]string // recorded outcomes to compare with, nil: none
	Fuzz   int               // random rows, 0: 200
	Fuel   int64             // limits.fuel, 0: 1
}

// Check holds a module to what forge wants of it. Samplers and processors are run; of other kinds the module and its
// manifest are checked, since their work needs a model.
func Check(ctx context.Context, wasm []byte, opt CheckOptions) *Report {
	r := &Report{SHA256: plugin.Digest(wasm), Golden: map[string]string{}}
	info, err := plugin.Inspect(wasm)
	if err != nil {
		r.add("static", err, "")
		return r
	}
	m := info.Manifest
	r.Plugin, r.Kind = m.Name, m.Kind
	spec := plugin.Spec{Name: m.Name, Kind: m.Kind, Wasm: wasm, Grants: m.Grants, Limits: plugin.Limits{Fuel: opt.Fuel}}
	c, err := newChecker(ctx, spec, opt, plugin.RuntimeOptions{})
	if err != nil {
		r.add("static", err, "")
		return r
	}
	defer c.close()
	r.add("static", nil, "%d bytes, %d functions, %d imports; markers, exports and manifest agree", info.Bytes, info.Functions, len(info.Imports))
	if m.Kind != "sampler" && m.Kind != "processor" {
		return r
	}
	outcomes, err := c.battery(cases(m))
	r.add("shapes", err, "%d rows: of 1 to 32,003 logits, flat, one-hot, infinite, denormal, at the settings' ends", len(outcomes))
	if err != nil {
		return r
	}
	maps.Copy(r.Golden, outcomes)
	r.add("deterministic", c.same(outcomes, cases(m), "a second run"), "twice the same bits")
	backward := cases(m)
	slices.Reverse(backward)
	r.add("independent", c.same(outcomes, backward, "a run in the opposite order"), "rows in the opposite order have the same outcome")
	r.add("engines", c.interpreted(ctx, spec, opt, outcomes), "the compiler and the interpreter give the same bits")
	r.add("drafts", c.drafts(), "a draft row leaves no trace")
	r.add("fork", c.forks(), "a fork goes on as its parent would, tokens taken back never were")
	r.add("leak", c.leak(), "memory stays as it is from call 10 to call 1,000")
	r.add("hostile host", c.provoke(), "no rows and a cut frame are borne")
	r.add("fuzz", c.fuzz(opt.Fuzz), "random rows and settings are borne")
	r.add("fuel", nil, "at most %d units for a candidate of a large row", c.dearest)
	if opt.Golden != nil {
		r.add("golden", golden(opt.Golden, outcomes), "%d outcomes are those on record", len(opt.Golden))
	}
	return r
}

// rowCase is one row for one entry at some settings.
type rowCase struct {
	name, entry string
	logits      []float32
	settings    map[string]any
}

// cases are the battery: every entry with every row at the default settings, and one row at the ends of every setting.
func cases(m *plugin.Manifest) []rowCase {
	rng := rand.New(rand.NewPCG(3, 4))
	inf := float32(math.Inf(1))
	fill := func(n int, f func(int) float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = f(i)
		}
		return x
	}
	rows := []struct {
		name   string
		logits []float32
	}{{"one", []float32{1.5}}, {"two", []float32{-2, 3}}}
	for _, n := range []int{7, 33, 1000, 32003} {
		rows = append(rows, struct {
			name   string
			logits []float32
		}{fmt.Sprint("normal ", n), fill(n, func(int) float32 { return float32(3 * rng.NormFloat64()) })})
	}
	const n = 517
	for _, r := range []struct {
		name string
		f    func(int) float32
	}{
		{"equal", func(int) float32 { return 0.25 }}, {"ascending", func(i int) float32 { return float32(i) / 50 }}, {"descending", func(i int) float32 { return -float32(i) / 50 }},
		{"one-hot", func(i int) float32 { return map[bool]float32{true: 5, false: -inf}[i == 99] }}, {"all -inf", func(int) float32 { return -inf }},
		{"one +inf", func(i int) float32 { return map[bool]float32{true: inf, false: float32(i % 7)}[i == 300] }}, {"denormal", func(i int) float32 { return float32(i%5) * 1e-42 }},
		{"huge", func(i int) float32 { return float32(i%9-4) * 8e37 }},
	} {
		rows = append(rows, struct {
			name   string
			logits []float32
		}{r.name, fill(n, r.f)})
	}
	var out []rowCase
	for _, e := range m.Entries {
		for _, r := range rows {
			out = append(out, rowCase{r.name, e.Name, r.logits, nil})
		}
		for _, k := range m.Config {
			if e.Config != nil && !slices.Contains(e.Config, k.Name) {
				continue
			}
			for end, v := range map[string]*float64{"least": k.Min, "most": k.Max} {
				if v == nil {
					continue
				}
				out = append(out, rowCase{fmt.Sprintf("%s at its %s", k.Name, end), e.Name, rows[4].logits, map[string]any{k.Name: *v}})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b rowCase) int { return strings.Compare(a.id(), b.id()) })
	return out
}

func (c rowCase) id() string { return c.entry + "/" + c.name }

// checker runs a module in one engine.
type checker struct {
	ctx     context.Context
	rt      *plugin.Runtime
	mod     *plugin.Module
	last    []*plugin.Module
	dearest int64 // units a candidate
}

func newChecker(ctx context.Context, spec plugin.Spec, opt CheckOptions, options plugin.RuntimeOptions) (*checker, error) {
	rt, err := plugin.NewRuntime(ctx, options)
	if err != nil {
		return nil, err
	}
	c := &checker{ctx: ctx, rt: rt}
	if c.mod, err = rt.Load(ctx, spec); err != nil {
		c.close()
		return nil, err
	}
	for _, s := range opt.Last {
		m, err := rt.Load(ctx, s)
		if err != nil {
			c.close()
			return nil, err
		}
		c.last = append(c.last, m)
	}
	return c, nil
}

func (c *checker) close() { c.rt.Close(c.ctx) }

// chain is the entry and what ends a chain.
func (c *checker) chain(entry string, n int) (*plugin.Chain, error) {
	links := []plugin.ChainEntry{{Module: c.mod, Entry: entry}}
	last, err := plugin.Resolve(c.last, []string{"dist"})
	if err != nil {
		return nil, err
	}
	return c.rt.NewChain(c.ctx, append(links, last...), n, plugin.WithVocab(NumberedVocab(n)))
}

// outcome runs a row through a chain and gives what the entry made of it as a digest. An entry may refuse a row, by a
// sentence; a trap, or an answer that the ABI forbids, is an error.
func (c *checker) outcome(chain *plugin.Chain, row *plugin.Row) (string, error) {
	h := sha256.New()
	var bad error
	first := true
	chain.Observe(func(o plugin.Observation) {
		if !first || o.Plugin != c.mod.Name() { // an entry that its settings make idle is not called
			return
		}
		first = false
		if len(o.Logits) >= 1000 {
			c.dearest = max(c.dearest, o.Fuel/int64(len(row.Logits)))
		}
		fmt.Fprint(h, o.Skipped, o.Picked, len(o.Logits))
		for i, l := range o.Logits {
			if l != l && bad == nil {
				bad = fmt.Errorf("%s leaves NaN as the logit of candidate %d", o.Entry, i)
			}
			binary.Write(h, binary.LittleEndian, math.Float32bits(l))
		}
		binary.Write(h, binary.LittleEndian, o.IDs)
	})
	draw := uint64(0)
	row.Seed, row.Draw = 42, &draw
	_, err := chain.Sample(c.ctx, row)
	var refused *plugin.Error
	switch {
	case bad != nil:
		return "", bad
	case errors.As(err, &refused) && refused.Plugin == c.mod.Name() && !refused.Trapped:
		return "refused: " + refused.Why, nil
	case errors.As(err, &refused) && refused.Plugin != c.mod.Name():
	case err != nil && first:
		return "", err
	}
	fmt.Fprint(h, draw)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// battery runs cases, each with a sequence of its own, and gives their outcomes.
func (c *checker) battery(list []rowCase) (map[string]string, error) {
	chains := map[string]*plugin.Chain{}
	defer func() {
		for _, ch := range chains {
			ch.Close()
		}
	}()
	out := map[string]string{}
	for i, k := range list {
		key := fmt.Sprint(k.entry, len(k.logits))
		if chains[key] == nil {
			var err error
			if chains[key], err = c.chain(k.entry, len(k.logits)); err != nil {
				return nil, err
			}
		}
		ch := chains[key]
		params, err := ch.Params(k.settings)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.id(), err)
		}
		seq := uint64(i + 1)
		if err := ch.Begin(c.ctx, seq, params); err != nil {
			return nil, fmt.Errorf("%s: %w", k.id(), err)
		}
		if out[k.id()], err = c.outcome(ch, &plugin.Row{Logits: k.logits, Seq: seq, Params: params}); err != nil {
			return nil, fmt.Errorf("%s: %w", k.id(), err)
		}
		if err := ch.End(c.ctx, seq); err != nil {
			return nil, fmt.Errorf("%s: %w", k.id(), err)
		}
	}
	return out, nil
}

func (c *checker) same(want map[string]string, list []rowCase, what string) error {
	got, err := c.battery(list)
	if err != nil {
		return err
	}
	return golden(want, got, what)
}

// golden compares outcomes.
func golden(want, got map[string]string, what ...string) error {
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if got[id] != want[id] {
			by := "the record"
			if len(what) > 0 {
				by = what[0]
			}
			return fmt.Errorf("%s differs from %s: the entry must depend on its row, its settings and its sequence alone", id, by)
		}
	}
	return nil
}

func (c *checker) interpreted(ctx context.Context, spec plugin.Spec, opt CheckOptions, want map[string]string) error {
	other, err := newChecker(ctx, spec, opt, plugin.RuntimeOptions{Interpreter: true})
	if err != nil {
		return err
	}
	defer other.close()
	return other.same(want, cases(c.mod.Manifest()), "wazero's interpreter")
}

// perEntry runs f with a chain of each entry.
func (c *checker) perEntry(n int, f func(entry string, ch *plugin.Chain, logits []float32) error) error {
	rng := rand.New(rand.NewPCG(9, 9))
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(3 * rng.NormFloat64())
	}
	for _, e := range c.mod.Manifest().Entries {
		ch, err := c.chain(e.Name, n)
		if err != nil {
			return err
		}
		err = f(e.Name, ch, logits)
		ch.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

// at begins a sequence of some tokens and gives the outcome of the row behind them.
func (c *checker) at(ch *plugin.Chain, seq uint64, logits []float32, tokens ...uint32) (string, error) {
	if err := errors.Join(ch.Begin(c.ctx, seq, nil), ch.Accept(c.ctx, seq, tokens...)); err != nil {
		return "", err
	}
	return c.outcome(ch, &plugin.Row{Logits: logits, Seq: seq, Pos: len(tokens), History: tokens})
}

func (c *checker) drafts() error {
	return c.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		want, err := c.at(ch, 1, logits, 5, 6)
		if err != nil {
			return err
		}
		if err := errors.Join(ch.Begin(c.ctx, 2, nil), ch.Accept(c.ctx, 2, 5, 6)); err != nil {
			return err
		}
		for draft := 1; draft <= 3; draft++ {
			if _, err := c.outcome(ch, &plugin.Row{Logits: logits, Seq: 2, Pos: 2 + draft, Draft: draft, History: []uint32{5, 6, 7, 8, 9}[:2+draft]}); err != nil {
				return err
			}
		}
		got, err := c.outcome(ch, &plugin.Row{Logits: logits, Seq: 2, Pos: 2, History: []uint32{5, 6}})
		if err == nil && got != want {
			err = errors.New("rows of a draft change what a later row gets: change state in forge_accept alone")
		}
		return err
	})
}

func (c *checker) forks() error {
	return c.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		want, err := c.at(ch, 1, logits, 5, 6, 7)
		if err != nil {
			return err
		}
		again := func(seq uint64, what string) error {
			got, err := c.outcome(ch, &plugin.Row{Logits: logits, Seq: seq, Pos: 3, History: []uint32{5, 6, 7}})
			if err == nil && got != want {
				err = errors.New(what)
			}
			return err
		}
		return errors.Join(
			ch.Fork(c.ctx, 2, 1), ch.Accept(c.ctx, 1, 11, 12), again(2, "a fork does not go on as its parent would: copy all state in forge_fork"),
			ch.Rollback(c.ctx, 1, 2), again(1, "tokens that were taken back leave a trace: undo them in forge_rollback, or leave the export out"))
	})
}

func (c *checker) leak() error {
	return c.perEntry(1000, func(_ string, ch *plugin.Chain, logits []float32) error {
		early, late := 0, 0
		draw := uint64(0)
		if err := ch.Begin(c.ctx, 1, nil); err != nil {
			return err
		}
		for call := 1; call <= 1000; call++ {
			ch.Observe(func(o plugin.Observation) {
				if o.Plugin != c.mod.Name() {
					return
				}
				if late = o.Memory; call == 10 {
					early = late
				}
			})
			_, err := ch.Sample(c.ctx, &plugin.Row{Logits: logits, Seq: 1, Seed: 1, Draw: &draw})
			var e *plugin.Error
			if errors.As(err, &e) && e.Trapped {
				return err
			}
		}
		if late > early {
			return fmt.Errorf("its memory grows from %d to %d KiB over 1,000 calls: use the arena, allocate nothing in a call", early>>10, late>>10)
		}
		return nil
	})
}

func (c *checker) provoke() error {
	return c.perEntry(64, func(_ string, ch *plugin.Chain, _ []float32) error { return ch.Provoke(c.ctx) })
}

// fuzz sends random rows at random settings.
func (c *checker) fuzz(rounds int) error {
	if rounds == 0 {
		rounds = 200
	}
	rng := rand.New(rand.NewPCG(77, 1))
	odd := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), 0, -0x1p-149, math.MaxFloat32, -math.MaxFloat32}
	return c.perEntry(257, func(entry string, ch *plugin.Chain, _ []float32) error {
		for round := range rounds {
			logits := make([]float32, 257)
			for i := range logits {
				logits[i] = float32(20 * rng.NormFloat64())
				if rng.IntN(10) == 0 {
					logits[i] = odd[rng.IntN(len(odd))]
				}
			}
			settings := map[string]any{}
			for _, s := range ch.Settings() {
				if s.Min != nil && s.Max != nil && (s.Type == "f32" || s.Type == "i32") && rng.IntN(2) == 0 {
					v := *s.Min + rng.Float64()*(*s.Max-*s.Min)
					if s.Type == "i32" {
						v = math.Floor(v)
					}
					settings[s.Name] = v
				}
			}
			params, err := ch.Params(settings)
			if err != nil {
				return err
			}
			seq := uint64(round + 1)
			if err := ch.Begin(c.ctx, seq, params); err != nil {
				return err
			}
			if _, err := c.outcome(ch, &plugin.Row{Logits: logits, Seq: seq, Params: params}); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		return nil
	})
}

// ReadGolden and WriteGolden keep the outcomes of a module beside it.
func ReadGolden(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g map[string]string
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// WriteGolden writes outcomes, one a line.
func WriteGolden(path string, g map[string]string) error {
	data, err := json.MarshalIndent(g, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
