package plugin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

var ctx = context.Background()

func logits(n int) []float32 {
	l := make([]float32, n)
	for i := range l {
		l[i] = float32((i*7919)%n) / float32(n) // a permutation of 0 .. n-1 over n if n is prime to 7919
	}
	return l
}

// highest are the ids by descending logit.
func highest(l []float32) []int32 {
	ids := make([]int32, len(l))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortFunc(ids, func(a, b int32) int {
		switch {
		case l[a] > l[b]:
			return -1
		case l[a] < l[b]:
			return 1
		}
		return int(a - b)
	})
	return ids
}

func TestChain(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		pair := load(t, r, "pair", "sampler", nil)
		second := load(t, r, "second", "sampler", nil)
		halve := load(t, r, "halve", "processor", nil)
		const n = 1000
		l := logits(n)
		order := highest(l)
		c := newChain(t, r, n, ChainEntry{halve, "halve"}, ChainEntry{halve, "negate"}, ChainEntry{halve, "negate"},
			ChainEntry{pair, "idle"}, ChainEntry{pair, "keep"}, ChainEntry{second, "bias"}, ChainEntry{pair, "idle"}, ChainEntry{pair, "draw"})
		if err := c.Begin(ctx, 5, nil); err != nil {
			t.Fatal(err)
		}
		draw := uint64(0)
		row := &Row{Logits: l, Seq: 5, Draw: &draw}
		for i := range 7 { // keep_n is 3 by default
			id, err := c.Sample(ctx, row)
			if err != nil || id != order[i%3] || draw != uint64(i+1) {
				t.Fatalf("draw %d: id %d, want %d; counter %d; %v", i, id, order[i%3], draw, err)
			}
		}
		if !slices.Equal(l, logits(n)) {
			t.Error("Sample changed the row's logits")
		}
		var err error
		if row.Params, err = c.Params(map[string]any{"keep_n": 10.0}); err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			want := order[int(draw)%10]
			if id, err := c.Sample(ctx, row); err != nil || id != want {
				t.Fatalf("keep 10, draw %d: id %d, want %d; %v", i, id, want, err)
			}
		}
	})
}

func TestChainState(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		second := load(t, r, "second", "sampler", nil)
		const n = 8
		c := newChain(t, r, n, ChainEntry{second, "counted"})
		sample := func(seq uint64, want int32) {
			t.Helper()
			if id, err := c.Sample(ctx, &Row{Logits: logits(n), Seq: seq}); err != nil || id != want {
				t.Errorf("sequence %d: id %d, want %d; %v", seq, id, want, err)
			}
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		_, err := c.Sample(ctx, &Row{Logits: logits(n), Seq: 1})
		wantError(t, err, "plugin second: sequence 1 was not begun")
		do(c.Begin(ctx, 1, nil))
		sample(1, 0)
		do(c.Accept(ctx, 1, 1, 2, 3))
		sample(1, 3)
		do(c.Fork(ctx, 2, 1))
		do(c.Accept(ctx, 1, make([]uint32, 20)...)) // more than the window of 8 ids
		sample(1, 23%8)
		sample(2, 3)
		do(c.Rollback(ctx, 2, 2))
		sample(2, 1)
		wantError(t, c.Rollback(ctx, 2, 5), "plugin second: sequence 2 has 1 tokens, 5 cannot be taken back")
		do(c.End(ctx, 2))
		_, err = c.Sample(ctx, &Row{Logits: logits(n), Seq: 2})
		wantError(t, err, "plugin second: sequence 2 was not begun")
		wantError(t, c.Fork(ctx, 3, 2), "plugin second: sequence 2 was not begun")

		// A trap ends the instance; the next one is told what this one knew, of all sequences.
		bias := newChain(t, r, n, ChainEntry{second, "bias"}, ChainEntry{second, "counted"})
		do(bias.Begin(ctx, 1, nil))
		do(bias.Begin(ctx, 2, nil))
		do(bias.AcceptPrompt(ctx, 1, 5, 6))
		do(bias.Accept(ctx, 1, 7, 8, 9))
		do(bias.Accept(ctx, 2, 1))
		trap, err := bias.Params(map[string]any{"trap": true})
		do(err)
		_, err = bias.Sample(ctx, &Row{Logits: logits(n), Seq: 1, Params: trap})
		wantError(t, err, "plugin second: sampler_bias gave up (unreachable: an assertion or a panic in the plugin)...")
		do(bias.Accept(ctx, 1, 4))
		do(bias.Rollback(ctx, 2, 1))
		for seq, want := range map[uint64]int32{1: 6, 2: 0} {
			if id, err := bias.Sample(ctx, &Row{Logits: logits(n), Seq: seq}); err != nil || id != want {
				t.Errorf("sequence %d after the trap: %d tokens, want %d; %v", seq, id, want, err)
			}
		}
	})
}

// TestChainLife: guests whose state is an image or explicit, side by side in one chain, through the whole life cycle.
func TestChainLife(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		count, second := load(t, r, "count", "sampler", nil), load(t, r, "second", "sampler", nil)
		const n = 50
		// second only looks after its own state here; what count knows shows in the token.
		c := newChain(t, r, n, ChainEntry{second, "bias"}, ChainEntry{count, "count"})
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(seq uint64, id int32) {
			t.Helper()
			if got, err := c.Sample(ctx, &Row{Logits: logits(n), Seq: seq}); err != nil || got != id {
				t.Errorf("sequence %d: token %d, want %d; %v", seq, got, id, err)
			}
		}
		do(c.Begin(ctx, 1, nil))
		want(1, 0)
		do(c.AcceptPrompt(ctx, 1, 4, 5, 6))
		do(c.Accept(ctx, 1, 7))
		want(1, 4)
		do(c.Begin(ctx, 2, nil))
		want(2, 0)
		do(c.Fork(ctx, 3, 1))
		do(c.Accept(ctx, 3, 1, 2))
		want(1, 4)
		want(3, 6)
		saved, err := c.Save(ctx, 3)
		do(err)
		do(c.Rollback(ctx, 3, 5))
		want(3, 1)
		do(c.Load(ctx, 4, nil, saved))
		want(4, 6)
		trap, err := c.Params(map[string]any{"trap": true})
		do(err)
		_, err = c.Sample(ctx, &Row{Logits: logits(n), Seq: 4, Params: trap})
		wantError(t, err, "plugin second: sampler_bias gave up...")
		want(4, 6)
		want(1, 4)
		for _, broken := range [][]byte{nil, saved[:3], saved[:len(saved)-1], append([]byte{9}, saved...), saved[:60]} {
			if err := c.Load(ctx, 5, nil, broken); err == nil {
				t.Errorf("%d bytes of %d are loaded", len(broken), len(saved))
			}
			do(c.End(ctx, 5))
		}
		for seq := range uint64(5) {
			do(c.End(ctx, seq))
		}
		for _, u := range c.units {
			if len(u.seqs) != 0 {
				t.Errorf("%s still has %d sequences", u.m.Name(), len(u.seqs))
			}
		}
	})
}

func TestChainCopiesBetweenModules(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		pair, second := load(t, r, "pair", "sampler", nil), load(t, r, "second", "sampler", nil)
		const n = 97
		l := logits(n)
		order := highest(l)
		// pair, second, pair: the third stage works in the first one's instance on what the second one changed.
		c := newChain(t, r, n, ChainEntry{pair, "keep"}, ChainEntry{second, "bias"}, ChainEntry{pair, "pick"})
		if err := c.Begin(ctx, 0, nil); err != nil {
			t.Fatal(err)
		}
		for _, k := range []struct {
			id   int32
			bias float64
			want int32
		}{{order[0], 0, order[0]}, {order[2], 5, order[2]}, {order[3], 5, order[0]}, {order[0], -5, order[1]}} {
			p, err := c.Params(map[string]any{"bias": k.bias, "bias_id": int(k.id)})
			if err != nil {
				t.Fatal(err)
			}
			if id, err := c.Sample(ctx, &Row{Logits: l, Params: p}); err != nil || id != k.want {
				t.Errorf("bias %v on %d: id %d, want %d; %v", k.bias, k.id, id, k.want, err)
			}
		}
		late := newChain(t, r, n, ChainEntry{pair, "keep"}, ChainEntry{load(t, r, "halve", "processor", nil), "halve"}, ChainEntry{pair, "pick"})
		_, err := late.Sample(ctx, &Row{Logits: l})
		wantError(t, err, "plugin halve: halve edits whole rows and stands behind an entry that narrows them: put it first")
		none := newChain(t, r, n, ChainEntry{pair, "keep"})
		_, err = none.Sample(ctx, &Row{Logits: l})
		wantError(t, err, "the chain picks no token: end it with greedy or dist")
		_, err = none.Sample(ctx, &Row{Logits: l[1:]})
		wantError(t, err, "the row has 96 logits, the sampler chain was made for 97")
		_, err = none.Sample(ctx, &Row{Logits: l, Params: c.defaults})
		wantError(t, err, "the row's params were made by another sampler chain")
	})
}

func TestChainParams(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	pair := load(t, r, "pair", "sampler", func(s *Spec) { s.Config = map[string]any{"label": "three", "keep_n": int64(2)} })
	c := newChain(t, r, 97, ChainEntry{pair, "keep"}, ChainEntry{pair, "note"}, ChainEntry{pair, "pick"})
	for _, k := range []struct {
		settings map[string]any
		want     string
	}{
		{map[string]any{"keep_n": 0}, "setting keep_n is 0, its range is 1 to 1000000 (plugin pair)"},
		{map[string]any{"keep_n": 2.5}, "setting keep_n is 2.5, it wants a whole number of 32 bits (plugin pair)"},
		{map[string]any{"keep_n": "many"}, "setting keep_n is many, it wants a number (plugin pair)"},
		{map[string]any{"ratio": 1.01}, "setting ratio is 1.01, its range is 0 to 1 (plugin pair)"},
		{map[string]any{"on": 1}, "setting on is 1, it wants true or false (plugin pair)"},
		{map[string]any{"label": 3}, "setting label is 3, it wants a string (plugin pair)"},
		{map[string]any{"keepn": 3}, "setting keepn is read by no entry of the sampler chain; did you mean keep_n?"},
		{map[string]any{"temperature": 3}, "setting temperature is read by no entry of the sampler chain"},
		{map[string]any{"label": strings.Repeat("x", 5000)}, "the string settings of plugin pair have 5000 bytes, a row has room for 4096"},
	} {
		_, err := c.Params(k.settings)
		wantError(t, err, k.want)
	}
	_, err := newChain(t, r, 97, ChainEntry{pair, "keep"}).Params(map[string]any{"label": "x"})
	wantError(t, err, "setting label is read by no entry of the sampler chain")

	// note picks candidate len(label) if on is false: that the slots arrive, strings included.
	order := highest(logits(97))
	for _, k := range []struct {
		settings map[string]any
		want     int32
	}{
		{map[string]any{"on": false, "label": "", "keep_n": 5}, order[0]},
		{map[string]any{"on": false, "label": "ab", "keep_n": 5}, order[2]},
		{map[string]any{"ratio": 0.25, "label": "abcd", "keep_n": 5}, order[4]},
		{map[string]any{"label": "abcd", "keep_n": 5}, order[0]},
	} {
		p, err := c.Params(k.settings)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := c.Sample(ctx, &Row{Logits: logits(97), Params: p, History: []uint32{1, 2}}); err != nil || id != k.want {
			t.Errorf("%v: id %d, want %d; %v", k.settings, id, k.want, err)
		}
	}
	p, err := c.Params(map[string]any{"label": "boom"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Sample(ctx, &Row{Logits: logits(97), Params: p})
	wantError(t, err, "plugin pair: sampler_note says: label must not be boom")

	var got []string
	for _, s := range c.Settings() {
		got = append(got, s.Name)
		if s.Name == "label" && s.Default != "three" || s.Name == "keep_n" && s.Default != int64(2) || s.Name == "ratio" && s.Default != 0.5 {
			t.Errorf("setting %s has the default %v", s.Name, s.Default)
		}
	}
	if !slices.Equal(got, []string{"keep_n", "label", "on", "ratio"}) {
		t.Errorf("settings %v", got)
	}
}

// TestSampleAllocatesNothing: on the compiler, for a chain with copies between modules.
func TestSampleAllocatesNothing(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	pair, second, halve := load(t, r, "pair", "sampler", nil), load(t, r, "second", "sampler", nil), load(t, r, "halve", "processor", nil)
	c := newChain(t, r, 1000, ChainEntry{halve, "halve"}, ChainEntry{pair, "keep"}, ChainEntry{pair, "note"}, ChainEntry{second, "bias"}, ChainEntry{pair, "idle"}, ChainEntry{pair, "draw"})
	if err := c.Begin(ctx, 0, nil); err != nil {
		t.Fatal(err)
	}
	p, err := c.Params(map[string]any{"label": "some text", "keep_n": 40})
	if err != nil {
		t.Fatal(err)
	}
	draw := uint64(0)
	row := &Row{Logits: logits(1000), Draw: &draw, Params: p, History: make([]uint32, 100)}
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	if n := testing.AllocsPerRun(200, func() {
		if _, err := c.Sample(cancelled, row); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations in a call of Sample", n)
	}
}

func TestGrants(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		var lines []string
		r.opt.Log = func(plugin, line string) { lines = append(lines, plugin+": "+line) }
		all := func(s *Spec) { s.Grants = []string{"vocab", "history", "log"} }
		m := load(t, r, "granted", "sampler", all)
		_, err := r.NewChain(ctx, []ChainEntry{{m, "again"}}, 3)
		wantError(t, err, "plugin granted is granted vocab, and the chain was given no vocabulary of 3 tokens")
		v := &Vocab{N: 3, Texts: slices.Values([][]byte{[]byte("zero"), []byte("o\x1b[1mne"), []byte("two")})}
		c, err := r.NewChain(ctx, []ChainEntry{{m, "bad_log"}, {m, "again"}}, 3, WithVocab(v))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, k := range []struct {
			history []uint32
			want    int32
		}{{[]uint32{0, 2, 1}, 1}, {make([]uint32, 100000), 0}} {
			if id, err := c.Sample(ctx, &Row{Logits: logits(3), History: k.history}); err != nil || id != k.want {
				t.Errorf("id %d, want %d; %v", id, k.want, err)
			}
		}
		outside := "granted: log line at 4294967280 of 256 bytes lies outside the plugin's memory"
		if want := []string{outside, "granted: o [1mne", outside, "granted: zero"}; !slices.Equal(lines, want) {
			t.Errorf("log %q, want %q", lines, want)
		}
		flood, err := r.NewChain(ctx, []ChainEntry{{m, "flood"}, {m, "again"}}, 3, WithVocab(v))
		if err != nil {
			t.Fatal(err)
		}
		defer flood.Close()
		lines = nil
		if _, err := flood.Sample(ctx, &Row{Logits: logits(3), History: []uint32{2}}); err != nil || len(lines) != maxLogLines+1 {
			t.Errorf("%d lines of a flood, %v", len(lines), err)
		}
	})
}

// TestHostileSamplers is the table of what a sampler may not do and what the user reads then.
func TestHostileSamplers(t *testing.T) {
	const again = ": raise limits.fuel, which multiplies the 1,009,000 units of such a call, if the plugin is not stuck (fuel used: 1,009,..."
	for _, k := range []struct {
		mode   int
		want   string // "": allowed
		struck bool
	}{
		{0, "", false},
		{1, "plugin hostile: sampler_hostile ran out of fuel" + again, true},
		{2, "plugin hostile: sampler_hostile gave up (unreachable: an assertion or a panic in the plugin) (fuel used: ...", true},
		{3, "plugin hostile: sampler_hostile read or wrote outside its memory (fuel used: ...", true},
		{4, "plugin hostile: sampler_hostile nested its calls too deep (fuel used: ...", true},
		{5, "plugin hostile: sampler_hostile left 31 candidates of 30", true},
		{6, "plugin hostile: sampler_hostile left the id 4294967280 in the table, the vocabulary has 30", true},
		{7, "plugin hostile: sampler_hostile picked candidate 30 of 30", true},
		{8, "plugin hostile: sampler_hostile picked candidate -2 of 30", true},
		{9, "plugin hostile: sampler_hostile set the row flags 0x41, the ABI has 0x7", true},
		{10, "plugin hostile: sampler_hostile set the draw counter back from 9 to 8", true},
		{11, "plugin hostile: sampler_hostile left no candidates", true},
		{12, "plugin hostile: sampler_hostile returned the status 7", true},
		{13, "plugin hostile: sampler_hostile says: " + strings.Repeat("x", 1024), false},
		{14, "plugin hostile: sampler_hostile says: one two [31m? three", false},
		{15, "plugin hostile: sampler_hostile gives no reason (status -99)", false},
		{16, "plugin hostile: sampler_hostile calls a table of 29 candidates the whole row", true},
		{17, "", false},
		{18, "plugin hostile: sampler_hostile picked the id 4294967280, the vocabulary has 30", true},
		{19, "plugin hostile: sampler_hostile says: I am lost", true},
		{20, "plugin hostile: sampler_hostile trapped: integer divide by zero (fuel used: ...", true},
		{21, "", false},
		{22, "plugin hostile: sampler_hostile gives no reason (status err_arg)", false},
		{23, "plugin hostile: sampler_hostile left 4294967295 candidates of 30", true},
	} {
		engines(t, func(t *testing.T, r *Runtime) {
			m := load(t, r, "hostile", "sampler", func(s *Spec) {
				if k.mode == 17 {
					s.Limits.Fuel = 1000 // pages cost fuel
				}
			})
			pair := load(t, r, "pair", "sampler", nil)
			c := newChain(t, r, 30, ChainEntry{m, "hostile"}, ChainEntry{pair, "pick"})
			p, err := c.Params(map[string]any{"mode": k.mode})
			if err != nil {
				t.Fatal(err)
			}
			draw := uint64(9)
			for range 2 { // the second time with the instance made anew
				_, err = c.Sample(ctx, &Row{Logits: logits(30), Params: p, Draw: &draw})
				if k.want == "" {
					if err != nil {
						t.Errorf("mode %d: %v", k.mode, err)
					}
				} else {
					wantError(t, err, k.want)
				}
				if draw != 9 {
					t.Errorf("mode %d: the draw counter is %d", k.mode, draw)
				}
			}
			if got, want := m.Stats().Traps, map[bool]int64{true: 2}[k.struck]; got != want {
				t.Errorf("mode %d: %d strikes, want %d", k.mode, got, want)
			}
			// After a fault the plugin works as before.
			if id, err := c.Sample(ctx, &Row{Logits: logits(30)}); err != nil || id != 0 {
				t.Errorf("mode %d: afterwards id %d, %v", k.mode, id, err)
			}
		})
	}
}

func TestInitFails(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		for _, k := range []struct {
			mode int64
			want string
		}{
			{100, "plugin hostile: forge_init gave up (unreachable..."},
			{101, "plugin hostile: forge_init says: mode 101 is not for the likes of you"},
			{102, "plugin hostile: forge_init accepted capabilities that were not offered (0x8 of 0x0)"},
			{103, "plugin hostile: forge_init ran out of fuel: raise limits.fuel, which multiplies the 200,000,000 units..."},
		} {
			if r.opt.Interpreter && k.mode == 103 {
				continue // ten seconds
			}
			m := load(t, r, "hostile", "sampler", func(s *Spec) { s.Config = map[string]any{"mode": k.mode} })
			_, err := r.NewChain(ctx, []ChainEntry{{m, "hostile"}}, 30)
			wantError(t, err, k.want)
		}
		for name, want := range map[string]string{
			"arena_none":    "plugin arena_none: forge_arena cannot have the 5 KiB that it is asked for; raise limits.pages (now 256)",
			"arena_crooked": "plugin arena_crooked: forge_arena gave the address 0x1000, which is not a multiple of 65536",
			"arena_beyond":  "plugin arena_beyond: forge_arena gave 5632 bytes at 0x40000000, beyond its memory of 65536",
		} {
			m := load(t, r, name, "sampler", nil)
			_, err := r.NewChain(ctx, []ChainEntry{{m, "pick"}}, 30)
			wantError(t, err, want)
		}
		small := load(t, r, "pair", "sampler", func(s *Spec) { s.Limits.Pages = 4 })
		_, err := r.NewChain(ctx, []ChainEntry{{small, "pick"}}, 100000)
		wantError(t, err, "plugin pair: its work needs an arena of 1 MiB, its limit is 4 pages (0 MiB): raise limits.pages")
		_, err = r.NewChain(ctx, []ChainEntry{{small, "pick"}}, 20000) // the arena alone fits, not beside what the guest has
		wantError(t, err, "plugin pair: forge_arena cannot have the 161 KiB that it is asked for; raise limits.pages (now 4)")
	})
}

func TestStrikesAndSkip(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		var lines []string
		r.opt.Log = func(plugin, line string) { lines = append(lines, plugin+": "+line) }
		hostile := func(policy string, config map[string]any) *Module {
			return load(t, r, "hostile", "sampler", func(s *Spec) { s.OnError, s.Config, s.Limits.Strikes = policy, config, 2 })
		}
		pair := load(t, r, "pair", "sampler", nil)
		trap := map[string]any{"mode": int64(2)}
		order := highest(logits(30))

		fail := newChain(t, r, 30, ChainEntry{hostile("fail", trap), "hostile"}, ChainEntry{pair, "pick"})
		row := &Row{Logits: logits(30)}
		for range 2 {
			_, err := fail.Sample(ctx, row)
			wantError(t, err, "plugin hostile: sampler_hostile gave up...")
		}
		_, err := fail.Sample(ctx, row)
		wantError(t, err, "plugin is quarantined after 2 strikes, the last: plugin hostile: sampler_hostile gave up...")
		if !errors.Is(err, ErrQuarantined) {
			t.Error("not ErrQuarantined")
		}

		// Skipped: the table is what it was before, whole or narrowed.
		h := hostile("skip", trap)
		skip := newChain(t, r, 30, ChainEntry{h, "hostile"}, ChainEntry{pair, "keep"}, ChainEntry{h, "hostile"}, ChainEntry{pair, "pick"})
		for range 4 {
			if id, err := skip.Sample(ctx, row); err != nil || id != order[0] {
				t.Errorf("id %d, want %d; %v", id, order[0], err)
			}
		}
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "hostile: skipped: plugin hostile: sampler_hostile gave up") {
			t.Errorf("log %q", lines)
		}
		if s := h.Stats(); s.Traps != 2 || s.Calls == 0 || s.Fuel <= 0 || s.Nanoseconds <= 0 {
			t.Errorf("stats %+v", s)
		}
		only := newChain(t, r, 30, ChainEntry{hostile("skip", trap), "hostile"})
		_, err = only.Sample(ctx, row)
		wantError(t, err, "the chain picks no token: hostile failed and was skipped")

		// Ids that are out of range when they cross to the next module are the first one's fault.
		ids := newChain(t, r, 30, ChainEntry{hostile("skip", map[string]any{"mode": int64(6)}), "hostile"}, ChainEntry{pair, "pick"})
		if id, err := ids.Sample(ctx, row); err != nil || id != order[0] {
			t.Errorf("id %d, want %d; %v", id, order[0], err)
		}
	})
}

func TestSampleCancelled(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	m := load(t, r, "hostile", "sampler", func(s *Spec) { s.Limits.Fuel = 1 << 20 })
	c := newChain(t, r, 30, ChainEntry{m, "hostile"})
	p, err := c.Params(map[string]any{"mode": 1})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 50_000_000)
	defer cancel()
	if _, err := c.Sample(soon, &Row{Logits: logits(30), Params: p}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if s := m.Stats(); s.Traps != 0 {
		t.Errorf("%d strikes for a cancelled call", s.Traps)
	}
	if id, err := c.Sample(ctx, &Row{Logits: logits(30)}); err != nil || id != 0 {
		t.Errorf("afterwards id %d, %v", id, err)
	}
}
