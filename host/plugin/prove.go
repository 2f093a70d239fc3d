package plugin

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"forge/abi"
)

// prove compares the plans of a unit's entries with the entries themselves, on random tables and at several settings. A
// module of which one differs is refused.
func (u *unit) prove(ctx context.Context) error {
	if u.proven || u.steps == 0 {
		return nil
	}
	for fn, name := range u.names {
		export := u.planOf(name)
		if export == "" {
			continue
		}
		rng := rand.New(rand.NewPCG(1, uint64(fn)))
		for round := range 6 {
			slots := u.m.slots
			if round > 0 {
				slots = u.m.probeSettings(rng, u.m.code.manifest.entry(name[len(entryPrefix(u.m.kind.Name)):]))
			}
			steps, ok, err := u.ask(ctx, export, slots)
			if err != nil {
				return err
			}
			for _, probe := range u.probes(rng) {
				if !ok {
					break
				}
				if err := u.compare(ctx, fn, export, steps, slots, probe); err != nil {
					return err
				}
			}
		}
	}
	u.proven = true
	return nil
}

// probeSettings gives random values, in their ranges, for the config keys that an entry reads.
func (m *Module) probeSettings(rng *rand.Rand, e *Entry) []value {
	slots := slices.Clone(m.slots)
	for i, k := range m.code.manifest.Config {
		if e.Config != nil && !slices.Contains(e.Config, k.Name) {
			continue
		}
		var v any
		switch k.Type {
		case "f32":
			v = []float64{0, 0.3, 0.7, 1, 1.7, 40 * rng.Float64()}[rng.IntN(6)]
		case "i32":
			v = []int64{0, 1, 2, 5, 39, rng.Int64N(300)}[rng.IntN(6)]
		case "bool":
			v = rng.IntN(2) == 0
		default:
			continue
		}
		if x, err := k.value(v); err == nil { // else it stays at the default
			slots[i] = x
		}
	}
	return slots
}

// probe is a table to try.
type probe struct {
	kind   string
	logits []float32
	ids    []uint32 // nil: the whole row
	sorted bool
}

// probes gives random tables: whole if a whole row is so short that plans are followed on it, narrowed, and sorted.
func (u *unit) probes(rng *rand.Rand) []probe {
	var list []probe
	n := u.chain.nVocab
	for _, size := range []int{1, 2, 9, 40, plannedLength} {
		if size > n {
			break
		}
		p := probe{kind: "narrowed", logits: probeLogits(rng, size)}
		for i := range size { // distinct
			p.ids = append(p.ids, uint32(i*(n/size)+rng.IntN(n/size)))
		}
		s := probe{kind: "sorted", logits: slices.Clone(p.logits), ids: slices.Clone(p.ids)}
		rng.Shuffle(size, func(i, j int) { p.ids[i], p.ids[j] = p.ids[j], p.ids[i] })
		list = append(list, p)
		g := candidates{logits: s.logits, ids: s.ids}
		ranks := make([]uint64, size)
		for i := range ranks {
			ranks[i] = g.rank(i)
		}
		slices.Sort(ranks)
		for i := range ranks {
			e := ranks[size-1-i]
			s.logits[i], s.ids[i] = rankedLogit(e), ^uint32(e)
		}
		s.sorted = true
		list = append(list, s)
	}
	if n <= plannedLength {
		list = append(list, probe{kind: "whole", logits: probeLogits(rng, n)})
	}
	return list
}

func probeLogits(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	odd := rng.IntN(4) == 0 // some rows have what makes samplers go wrong
	for i := range x {
		x[i] = float32(4 * rng.NormFloat64())
		switch r := rng.IntN(20); {
		case r < 4:
			x[i] = float32(rng.IntN(3)) // equal ones
		case r == 4 && odd:
			x[i] = float32(math.Inf(-1))
		case r == 5 && odd:
			x[i] = float32(math.NaN())
		case r == 6 && odd:
			x[i] = float32(math.Copysign(0, -1))
		}
	}
	if odd && rng.IntN(3) == 0 {
		for i := range x {
			x[i] = float32(math.Inf(-1))
		}
	}
	return x
}

// outcome is what a call or a plan makes of a table.
type outcome struct {
	logits []float32
	ids    []uint32
	sorted bool
	id     int32
}

// compare tries a plan and its entry on one table.
func (u *unit) compare(ctx context.Context, fn int, export string, steps plan, slots []value, p probe) error {
	in := u.main
	t := table{unit: u, in: in, n: uint32(len(p.logits))}
	if p.ids == nil {
		t.flags |= whole
	}
	if p.sorted {
		t.flags |= uint32(abi.RowFlagSorted)
	}
	put := func() {
		copy(in.at(u.logits, 4*t.n), bytesOf(p.logits))
		copy(in.at(u.ids, 4*t.n), bytesOf(p.ids))
	}
	read := func(t table, id int32) outcome {
		o := outcome{id: id, sorted: t.flags&uint32(abi.RowFlagSorted) != 0}
		if id == undecided { // of a row that is done, nobody reads the table
			o.logits = slices.Clone(viewOf[float32](in.at(u.logits, 4*t.n)))
			if t.flags&whole == 0 {
				o.ids = slices.Clone(viewOf[uint32](in.at(u.ids, 4*t.n)))
			}
		}
		return o
	}
	put()
	row := &Row{}
	u.frame(in, row, uint32(u.loadRow(in, row, slots)), t)
	called, id := t, undecided
	status, err := in.call(ctx, in.fns[fn], u.m.budget(int(t.n)))
	if err == nil && status != abi.StatusSkip {
		called, id, err = u.result(u.names[fn], status, row, t)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("plugin %s: %s plans where %s fails: %w", u.m.spec.Name, export, u.names[fn], err)
	}
	want := read(called, id)
	put()
	followed, id, err := u.follow(in, u.names[fn], steps, t)
	if err != nil {
		return err
	}
	got := read(followed, id)
	if got.id != want.id || id == undecided && got.sorted != want.sorted || called.draw != t.draw || (got.ids == nil) != (want.ids == nil) ||
		!slices.Equal(got.ids, want.ids) || !slices.EqualFunc(got.logits, want.logits, sameLogit) {
		return fmt.Errorf("plugin %s: %s and %s differ on a %s table of %d candidates: one of them is wrong, and it is refused",
			u.m.spec.Name, export, u.names[fn], p.kind, len(p.logits))
	}
	return nil
}

func sameLogit(a, b float32) bool { return a == b || a != a && b != b }
