package author

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"forge/host/plugin"
)

// Timing is what one call of an entry costs: medians of many calls on rows that stand for a model's.
type Timing struct {
	Plugin  string  `json:"plugin"`
	Entry   string  `json:"entry"`
	Rows    string  `json:"rows"`
	Vocab   int     `json:"vocab"`
	Micros  float64 `json:"us"`
	Fuel    int64   `json:"fuel"`
	Bytes   int     `json:"bytes"` // copied into the guest's memory for the row
	Left    int     `json:"left"`  // candidates after the call
	Calls   int     `json:"calls"` // 0: the entry is neutral at its settings, and is not called
	Skipped bool    `json:"skipped"`
	Error   string  `json:"error,omitempty"`
}

// BenchRow is a row of logits with a name.
type BenchRow struct {
	Name   string
	Logits []float32
}

// BenchRows are a peaked row, as language models give most of the time, and one of the normal distribution.
func BenchRows(n int) []BenchRow {
	rng := rand.New(rand.NewPCG(1, 2))
	peaked, normal := make([]float32, n), make([]float32, n)
	for i := range n {
		normal[i] = float32(3 * rng.NormFloat64())
		peaked[i] = float32(2*rng.NormFloat64() - 4)
	}
	for i := range 20 {
		peaked[rng.IntN(n)] = 14 - 0.5*float32(i)
	}
	return []BenchRow{{"peaked", peaked}, {"normal", normal}}
}

// Bench times each entry alone on each row, the entries in turn so that a noisy machine is unfair to none. After each,
// the chain goes through last, which picks a token and is not timed.
func Bench(ctx context.Context, r *plugin.Runtime, entries []plugin.ChainEntry, last plugin.ChainEntry, rows []BenchRow, rounds int, settings map[string]any) ([]Timing, error) {
	var out []Timing
	for _, row := range rows {
		n := len(row.Logits)
		runs := make([]*benchRun, len(entries))
		for i, e := range entries {
			b, err := newBenchRun(ctx, r, e, last, n, settings)
			if err != nil {
				return nil, err
			}
			defer b.chain.Close()
			runs[i] = b
		}
		for round := range rounds {
			for _, b := range runs {
				if b.failed == nil {
					b.failed = b.once(ctx, row.Logits, round > 0) // the first call warms up
				}
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
			}
		}
		for i, e := range entries {
			out = append(out, runs[i].timing(e, row.Name, n))
		}
	}
	return out, nil
}

type benchRun struct {
	chain   *plugin.Chain
	params  *plugin.Params
	history []uint32
	draw    uint64
	seen    plugin.Observation
	left    int
	got     bool
	failed  error
	took    []float64
	fuel    []int64
}

func newBenchRun(ctx context.Context, r *plugin.Runtime, e, last plugin.ChainEntry, n int, settings map[string]any) (*benchRun, error) {
	links := []plugin.ChainEntry{e}
	if e != last {
		links = append(links, last)
	}
	chain, err := r.NewChain(ctx, links, n, plugin.WithVocab(NumberedVocab(n)))
	if err != nil {
		return nil, err
	}
	b := &benchRun{chain: chain, history: make([]uint32, 64)}
	for i := range b.history {
		b.history[i] = uint32(i * 37 % n)
	}
	if b.params, err = chain.Params(settings); err == nil {
		err = chain.Begin(ctx, 1, b.params)
	}
	if err != nil {
		chain.Close()
		return nil, err
	}
	chain.Observe(func(o plugin.Observation) {
		if o.Plugin == e.Module.Name() && o.Entry == e.Entry { // an entry that its settings make idle is not called
			b.got, b.seen, b.left = true, o, len(o.Logits)
		}
	})
	return b, nil
}

func (b *benchRun) once(ctx context.Context, logits []float32, count bool) error {
	b.got = false
	_, err := b.chain.Sample(ctx, &plugin.Row{Logits: logits, Seq: 1, Draw: &b.draw, History: b.history, Params: b.params})
	if err != nil || !count || !b.got {
		return err
	}
	b.took, b.fuel = append(b.took, float64(b.seen.Took.Nanoseconds())/1e3), append(b.fuel, b.seen.Fuel)
	return nil
}

func (b *benchRun) timing(e plugin.ChainEntry, row string, n int) Timing {
	t := Timing{Calls: len(b.took), Plugin: e.Module.Name(), Entry: e.Entry, Rows: row, Vocab: n, Bytes: 4 * n, Left: b.left, Skipped: b.seen.Skipped}
	if b.failed != nil {
		t.Error = b.failed.Error()
	}
	if len(b.took) > 0 {
		slices.Sort(b.took)
		slices.Sort(b.fuel)
		t.Micros, t.Fuel = b.took[len(b.took)/2], b.fuel[len(b.fuel)/2]
	}
	return t
}

// String is the timing as a line of a table: its cells, by tabs.
func (t Timing) String() string {
	if t.Error != "" {
		return fmt.Sprintf("%s.%s\t%s\t\t\t\t%s", t.Plugin, t.Entry, t.Rows, t.Error)
	}
	what := fmt.Sprintf("%d left", t.Left)
	if t.Skipped {
		what = "nothing to do"
	}
	if t.Calls == 0 {
		return fmt.Sprintf("%s.%s\t%s\t\t\t\tnot called: neutral at its settings", t.Plugin, t.Entry, t.Rows)
	}
	return fmt.Sprintf("%s.%s\t%s\t%.1f\t%d\t%d\t%s", t.Plugin, t.Entry, t.Rows, t.Micros, t.Fuel, t.Bytes, what)
}
