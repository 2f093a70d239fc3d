package plugin

import (
	"fmt"
	"math"
	"testing"
)

// Ensure that a plan which differs from its entry, or is none, refuses the module when a chain is made of it.
func TestPlan_Refused(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		for mode, want := range map[int64]string{
			0:  "",
			1:  "plugin plan: plan_most and sampler_most differ on a narrowed table of 9 candidates: one of them is wrong, and it is refused",
			2:  "plugin plan: plan_most and sampler_most differ on a...",
			3:  "plugin plan: plan_most planned a step 0 that has the operation 9, which the ABI does not have",
			4:  "plugin plan: plan_most planned 17 steps with 2 ids, there was room for 16 and 4096",
			5:  "plugin plan: plan_most planned a step 0 that masks the ids from 4294967295 to 4294967297, the plan has 2",
			6:  "plugin plan: plan_most planned a step 1 that has the temperature 0",
			7:  "plugin plan: plan_most planned a step 1 that picks, and goes on",
			8:  "plugin plan: plan_most gave up...",
			9:  "plugin plan: plan_most returned the status 5",
			10: "plugin plan: plan_most planned a step 1 that keeps none",
			11: "plugin plan: plan_most plans where sampler_most fails: plugin plan: sampler_most says: not today",
			12: "",
			13: "plugin plan: plan_most and sampler_most differ on a...",
			14: "plugin plan: plan_most and sampler_most differ on a...",
			15: "plugin plan: plan_most planned 2 steps with 5000 ids, there was room for 16 and 4096",
			16: "plugin plan: plan_most planned a step 0 that has the operation 0, which the ABI does not have",
		} {
			m := load(t, r, "plan", "sampler", func(s *Spec) { s.Config, s.Limits.Fuel = map[string]any{"mode": mode}, 100 })
			c, err := r.NewChain(ctx, []ChainEntry{{m, "most"}, {m, "pick"}}, 300)
			if want != "" {
				wantError(t, err, want)
				continue
			}
			if err != nil {
				t.Errorf("mode %d: %v", mode, err)
				continue
			}
			c.Close()
		}
	})
}

// Ensure that a plan is followed in place of the call, with the same outcome, at the settings of each sequence.
func TestPlan_Followed(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	const n = plannedLength
	l := logits(n)
	l[5], l[6], l[7] = float32(math.NaN()), float32(math.Inf(-1)), 0
	type seen struct {
		calls int64
		ids   []int32
	}
	run := func(mode int64) (s seen) {
		m := load(t, r, "plan", "sampler", func(s *Spec) { s.Config, s.Limits.Fuel = map[string]any{"mode": mode}, 100 })
		c := newChain(t, r, n, ChainEntry{m, "most"}, ChainEntry{m, "pick"})
		before := m.Stats().Calls
		for _, k := range []int{1, 3, 40} {
			p, err := c.Params(map[string]any{"k": k})
			if err != nil {
				t.Fatal(err)
			}
			c.Observe(func(o Observation) {
				if o.Entry == "most" {
					for _, id := range o.IDs {
						s.ids = append(s.ids, int32(id))
					}
					if len(o.IDs) != k {
						t.Errorf("k %d: %d candidates", k, len(o.IDs))
					}
				}
			})
			for range 10 {
				if _, err := c.Sample(ctx, &Row{Logits: l, Params: p}); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.calls = m.Stats().Calls - before
		return s
	}
	planned, called := run(0), run(12)
	if planned.calls != 3+30 || called.calls != 3+60 { // the plan is asked for once for each Params
		t.Errorf("%d calls with a plan, %d without", planned.calls, called.calls)
	}
	if len(planned.ids) != 440 {
		t.Errorf("%d ids", len(planned.ids))
	}
	for i, id := range planned.ids {
		if id != called.ids[i] {
			t.Fatalf("candidate %d is %d by the plan, %d by the call", i, id, called.ids[i])
		}
	}
}

// Ensure that following a plan allocates nothing.
func TestPlan_AllocatesNothing(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	m := load(t, r, "plan", "sampler", func(s *Spec) { s.Config, s.Limits.Fuel = map[string]any{"mode": int64(0)}, 100 })
	c := newChain(t, r, plannedLength, ChainEntry{m, "most"}, ChainEntry{m, "pick"})
	row := &Row{Logits: logits(plannedLength)}
	if a := testing.AllocsPerRun(50, func() { c.Sample(ctx, row) }); a != 0 {
		t.Errorf("%v allocations in a call of Sample", a)
	}
}

// BenchmarkPlan compares what a plan costs with what the call costs, on what top_k leaves and on the longest table that
// plans are followed on.
func BenchmarkPlan(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	_, mods := loadShipped(b, r)
	for _, n := range []int{40, plannedLength} {
		for _, names := range [][]string{{"top_k", "greedy"}, {"temperature", "greedy"}, {"greedy"}} {
			entries, err := Resolve(mods, names)
			if err != nil {
				b.Fatal(err)
			}
			c := newChain(b, r, n, entries...)
			p, err := c.Params(nil)
			if err != nil {
				b.Fatal(err)
			}
			row := &Row{Logits: logits(n), Params: p}
			for _, follows := range []bool{true, false} {
				how := "plan"
				if !follows {
					how = "call"
					for i := range p.plans[0] {
						p.plans[0][i] = nil
					}
				}
				b.Run(fmt.Sprint(n, names, how), func(b *testing.B) {
					for b.Loop() {
						if _, err := c.Sample(ctx, row); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
