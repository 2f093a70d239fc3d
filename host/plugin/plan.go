package plugin

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"forge/abi"
)

// A plan is what an entry would do at some settings, said by its plan_NAME in steps that the host has natively. It is
// followed in place of the call where that is quicker: on tables of up to plannedLength candidates, which is what is left
// behind top_k. A guest's SIMD pass over a longer one beats Go's loops, by BenchmarkPlan.
type plan []planStep

type planStep struct {
	op    abi.PlanOp
	n     int
	value float64
	ids   []uint32 // ascending
}

// picks tells whether the plan's last step picks a token.
func (p plan) picks() bool { return len(p) > 0 && p[len(p)-1].op == abi.PlanOpArgMax }

const (
	plannedLength = 64
	maxSteps      = 16
	maxPlanIDs    = 4096
)

// planRoom lays out the windows of plan_NAME, if the module has such exports.
func (u *unit) planRoom(l *layout) {
	u.steps, u.planIDs = 0, 0
	for _, name := range u.names {
		if u.planOf(name) != "" {
			u.steps, u.planIDs = l.take(maxSteps*abi.PlanStepSize, 64), l.take(4*maxPlanIDs, 64)
			return
		}
	}
}

// planOf gives the name of the export that plans for a sampler_NAME or processor_NAME, empty if there is none.
func (u *unit) planOf(export string) string {
	name := "plan_" + export[len(entryPrefix(u.m.kind.Name)):]
	if _, ok := u.m.code.exports[name]; !ok {
		return ""
	}
	return name
}

// plan gives an entry's plan for settings; ok is false where it has none. It is asked once for each Params.
func (u *unit) plan(ctx context.Context, p *Params, fn int) (pl plan, ok bool, err error) {
	if u.steps == 0 {
		return nil, false, nil
	}
	plans := p.plans[u.index]
	if plans == nil {
		if err := u.prove(ctx); err != nil { // of a module that was not needed when the chain was made
			return nil, false, err
		}
		plans = make([]*plan, len(u.names))
		for i, name := range u.names {
			export := u.planOf(name)
			if export == "" {
				continue
			}
			steps, has, err := u.ask(ctx, export, p.slots[u.index])
			if err != nil {
				return nil, false, err
			}
			if has {
				plans[i] = &steps
			}
		}
		p.plans[u.index] = plans
	}
	if plans[fn] == nil {
		return nil, false, nil
	}
	return *plans[fn], true, nil
}

// ask calls a plan_NAME. What it writes is held to the ABI.
func (u *unit) ask(ctx context.Context, name string, slots []value) (steps plan, ok bool, err error) {
	in := u.main
	in.putSlots(u.params, u.strings, slots)
	f := abi.Plan(in.frame(abi.PlanSize))
	f.SetNVocab(uint32(u.chain.nVocab))
	f.SetParams(in.base+u.params, uint32(len(slots)))
	f.SetSteps(in.base + u.steps)
	f.SetStepsCap(maxSteps)
	f.SetIDs(in.base + u.planIDs)
	f.SetIDsCap(maxPlanIDs)
	status, err := in.call(ctx, in.export(name), u.m.budget(0))
	switch {
	case err != nil || status == abi.StatusSkip:
		return nil, false, err
	case status != abi.StatusOk:
		return nil, false, in.fault(name, status, "returned the status %s", status)
	}
	f = abi.Plan(in.at(0, abi.PlanSize))
	n, nIDs := f.NSteps(), f.NIDs()
	if n > maxSteps || nIDs > maxPlanIDs {
		return nil, false, in.fault(name, status, "planned %d steps with %d ids, there was room for %d and %d", n, nIDs, maxSteps, maxPlanIDs)
	}
	ids := slices.Clone(viewOf[uint32](in.at(u.planIDs, 4*nIDs)))
	for i := range n {
		r := abi.PlanStep(in.at(u.steps+i*abi.PlanStepSize, abi.PlanStepSize))
		s := planStep{op: abi.PlanOp(r.Op()), n: int(r.N()), value: r.Value()}
		why := ""
		switch first, count := r.First(), r.Count(); {
		case len(steps) > 0 && steps[len(steps)-1].op == abi.PlanOpArgMax:
			why = "picks, and goes on"
		case s.op == abi.PlanOpTopK && s.n < 1:
			why = "keeps none"
		case s.op == abi.PlanOpTemperature && !(s.value > 0 && s.value <= math.MaxFloat64):
			why = fmt.Sprintf("has the temperature %v", s.value)
		case s.op == abi.PlanOpMask && (first > nIDs || count > nIDs-first):
			why = fmt.Sprintf("masks the ids from %d to %d, the plan has %d", first, uint64(first)+uint64(count), nIDs)
		case s.op == abi.PlanOpMask:
			s.ids = ids[first : first+count]
			slices.Sort(s.ids)
		case s.op < abi.PlanOpTopK || s.op > abi.PlanOpArgMax:
			why = fmt.Sprintf("has the operation %d, which the ABI does not have", s.op)
		}
		if why != "" {
			return nil, false, in.fault(name, status, "planned a step %d that %s", i, why)
		}
		steps = append(steps, s)
	}
	return steps, true, nil
}

// viewOf sees a guest's bytes as what they are; windows are aligned.
func viewOf[T float32 | uint32](b []byte) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// follow does a plan's steps on a table that lies in the unit's arena.
func (u *unit) follow(in *instance, call string, steps plan, t table) (table, int32, error) {
	g := candidates{logits: viewOf[float32](in.at(u.logits, 4*t.n)), ids: viewOf[uint32](in.at(u.ids, 4*t.n)),
		whole: t.flags&whole != 0, sorted: t.flags&uint32(abi.RowFlagSorted) != 0}
	picked := -1
	stop := false
	for i := range steps {
		switch s := &steps[i]; s.op {
		case abi.PlanOpTopK:
			g.topK(s.n, &u.chain.ranking)
		case abi.PlanOpMask:
			g.mask(s.ids)
		case abi.PlanOpTemperature:
			g.divide(s.value)
		case abi.PlanOpArgMax:
			picked = g.argMax()
			stop = picked < 0
		}
	}
	in.used = 0
	t.n, t.flags = uint32(len(g.logits)), t.flags&^(whole|uint32(abi.RowFlagSorted))
	if g.whole {
		t.flags |= whole
	}
	if g.sorted {
		t.flags |= uint32(abi.RowFlagSorted)
	}
	switch {
	case stop:
		return t, Stop, nil
	case picked < 0:
		return t, undecided, nil
	}
	if id := g.id(picked); id < uint32(u.chain.nVocab) {
		return t, int32(id), nil
	}
	// An entry before this one left it there.
	return t, undecided, in.fault(call, 0, "would pick the id %d, the vocabulary has %d", g.id(picked), u.chain.nVocab)
}

// candidates are a table as the steps of a plan see it. A NaN counts as -inf, and equal logits rank by ascending id.
type candidates struct {
	logits        []float32
	ids           []uint32 // not read while the table is whole
	whole, sorted bool
}

func (g *candidates) id(i int) uint32 {
	if g.whole {
		return uint32(i)
	}
	return g.ids[i]
}

// rank is a number that orders a candidate: the logit's bits, turned so that they compare as it does, above the id's
// complement.
func (g *candidates) rank(i int) uint64 {
	x := g.logits[i]
	if x != x {
		x = float32(math.Inf(-1))
	}
	b := math.Float32bits(x + 0) // -0 and 0 are one
	return uint64(b^(uint32(int32(b)>>31)|1<<31))<<32 | uint64(^g.id(i))
}

// rankedLogit gives the logit of a rank.
func rankedLogit(rank uint64) float32 {
	b := uint32(rank >> 32)
	return math.Float32frombits(b ^ (uint32(int32(^b)>>31) | 1<<31))
}

// topK keeps the k candidates that rank first, sorted, if there are more.
func (g *candidates) topK(k int, ranking *[]uint64) {
	if k >= len(g.logits) {
		return
	}
	if !g.sorted || g.whole {
		r := (*ranking)[:0]
		for i := range g.logits {
			r = append(r, g.rank(i))
		}
		*ranking = r
		slices.Sort(r)
		for i := range k {
			e := r[len(r)-1-i]
			g.logits[i], g.ids[i] = rankedLogit(e), ^uint32(e)
		}
		g.whole, g.sorted = false, true
	}
	g.logits, g.ids = g.logits[:k], g.ids[:k]
}

// mask forbids tokens.
func (g *candidates) mask(ids []uint32) {
	for i := range g.logits {
		if _, found := slices.BinarySearch(ids, g.id(i)); found {
			g.logits[i] = float32(math.Inf(-1))
		}
	}
	g.sorted = false
}

// divide is temperature. Where the divisor is a float32, dividing as such gives the same bits, sooner.
func (g *candidates) divide(by float64) {
	short := float32(by)
	if float64(short) == by {
		for i, x := range g.logits {
			g.logits[i] = x / short
		}
	} else {
		for i, x := range g.logits {
			g.logits[i] = float32(float64(x) / by)
		}
	}
	for i := 1; g.sorted && i < len(g.logits); i++ {
		if g.logits[i] == g.logits[i-1] && g.id(i) < g.id(i-1) {
			g.sorted = false // rounding made neighbours equal
		}
	}
}

// argMax gives the candidate that ranks first, -1 if none is above -inf.
func (g *candidates) argMax() int {
	best := -1
	for i, x := range g.logits {
		if x > float32(math.Inf(-1)) && (best < 0 || x > g.logits[best] || x == g.logits[best] && g.id(i) < g.id(best)) {
			best = i
		}
	}
	return best
}
