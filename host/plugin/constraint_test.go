package plugin

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"forge/abi"
)

const maskVocab = 1003 // not a multiple of 32

func pieces(n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i < n && yield(fmt.Append(nil, i)); i++ {
		}
	}
}

func newConstraint(t testing.TB, r *Runtime, name string, change func(*Spec)) *Constraint {
	t.Helper()
	m := load(t, r, name, "constraint", func(s *Spec) {
		s.Grants = []string{"history"}
		if change != nil {
			change(s)
		}
	})
	v := numberedVocab(maskVocab)
	v.Pieces = pieces(maskVocab)
	c, err := m.NewConstraint(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func settings(t testing.TB, c *Constraint, values map[string]any) *Settings {
	t.Helper()
	s, err := c.t.m.Settings(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What testdata/mask.c does, again.

func mix(x uint32) uint32 {
	x = (x ^ x>>16) * 0x7feb352d
	x = (x ^ x>>15) * 0x846ca68b
	return x ^ x>>16
}

func maskOf(name string, salt int32, tokens, drafts []uint32) []uint32 {
	h := mix(uint32(salt))
	if name == "mask_image" {
		h = mix(0)
	}
	for _, id := range tokens {
		h = mix(h ^ id)
	}
	if name == "mask_image" {
		h = mix(h ^ uint32(salt))
	}
	for _, id := range drafts {
		h = mix(h ^ id)
	}
	mask := make([]uint32, (maskVocab+31)/32)
	for i := range mask {
		mask[i] = mix(h+uint32(i)) | 1
	}
	mask[len(mask)-1] &= 1<<(maskVocab%32) - 1
	return mask
}

var maskGuests = []string{"mask_explicit", "mask_bare", "mask_image", "mask_stateless"}

// TestConstraintLife drives random begin, accept, rollback, fork, save, load and end on many sequences of guests with
// each way to keep state, with faults in between, and holds every mask to what the tokens say.
func TestConstraintLife(t *testing.T) {
	steps := 400
	if os.Getenv("FORGE_TEST_ALL") != "" {
		steps = 20_000
	}
	engines(t, func(t *testing.T, r *Runtime) {
		for _, name := range maskGuests {
			t.Run(name, func(t *testing.T) {
				n := steps
				if r.opt.Interpreter {
					n /= 4
				}
				driveLife(t, newConstraint(t, r, name, func(s *Spec) { s.Limits.Strikes = 1 << 30 }), name, n)
			})
		}
	})
}

// told is what a sequence should know.
type told struct {
	salt    int32
	tokens  []uint32
	nPrompt int
}

func driveLife(t *testing.T, c *Constraint, name string, steps int) {
	rng := rand.New(rand.NewPCG(21, 22))
	seqs := map[uint64]*told{}
	saved := map[string]*told{}
	next := uint64(0)
	some := func() (uint64, *told) {
		ids := slices.Sorted(func(yield func(uint64) bool) {
			for id := range seqs {
				if !yield(id) {
					return
				}
			}
		})
		id := ids[rng.IntN(len(ids))]
		return id, seqs[id]
	}
	random := func(most int) []uint32 {
		ids := make([]uint32, rng.IntN(most+1))
		for i := range ids {
			ids[i] = rng.Uint32N(600)
		}
		return ids
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for step := range steps {
		op := rng.IntN(12)
		if len(seqs) == 0 || len(seqs) < 3 && op < 4 {
			op = 0
		}
		if len(seqs) > 20 {
			op = 5
		}
		switch op {
		case 0:
			next++
			s := &told{salt: rng.Int32N(100), tokens: random(30)}
			s.nPrompt = len(s.tokens)
			do("begin", c.Begin(ctx, next, settings(t, c, map[string]any{"salt": s.salt, "text": fmt.Sprint("a text of ", next)})))
			do("prompt", c.AcceptPrompt(ctx, next, s.tokens...))
			seqs[next] = s
		case 1, 2:
			id, s := some()
			more := random(5)
			do("accept", c.Accept(ctx, id, more...))
			s.tokens = append(s.tokens, more...)
		case 3:
			id, s := some()
			n := rng.IntN(min(len(s.tokens), 16) + 1)
			do("rollback", c.Rollback(ctx, id, n))
			s.tokens = s.tokens[:len(s.tokens)-n]
			s.nPrompt = min(s.nPrompt, len(s.tokens))
		case 4:
			id, s := some()
			next++
			do("fork", c.Fork(ctx, next, id))
			seqs[next] = &told{s.salt, slices.Clone(s.tokens), s.nPrompt}
		case 5:
			id, _ := some()
			do("end", c.End(ctx, id))
			delete(seqs, id)
		case 6:
			id, s := some()
			data, err := c.Save(ctx, id)
			do("save", err)
			saved[string(data)] = &told{s.salt, slices.Clone(s.tokens), s.nPrompt}
		case 7:
			for data, s := range saved {
				next++
				do("load", c.Load(ctx, next, settings(t, c, map[string]any{"salt": s.salt}), []byte(data)))
				seqs[next] = s
				delete(saved, data)
				break
			}
		case 8: // a fault ends an instance; the sequences do not feel it
			if rng.IntN(4) == 0 {
				id, _ := some()
				s := c.t.seqs[id]
				was := s.params
				s.params = settings(t, c, map[string]any{"mode": 12}).slots
				rows := []MaskRow{{Seq: id, Mask: make([]uint32, c.words)}}
				if err := c.Mask(ctx, rows); err != nil || rows[0].Err == nil {
					t.Fatal("no fault", err)
				}
				s.params = was
			}
		}
		if len(seqs) == 0 {
			continue
		}
		checkMasks(t, c, name, seqs, some, random, rng.IntN(11), step)
	}
	for id := range seqs {
		do("end", c.End(ctx, id))
	}
}

// checkMasks asks for a few rows, with and without drafts, and compares.
func checkMasks(t *testing.T, c *Constraint, name string, seqs map[uint64]*told, some func() (uint64, *told), random func(int) []uint32, n, step int) {
	t.Helper()
	rows := make([]MaskRow, n)
	for i := range rows {
		id, _ := some()
		rows[i] = MaskRow{Seq: id, Drafts: random(4), Mask: make([]uint32, c.words)}
	}
	if err := c.Mask(ctx, rows); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		s := seqs[rows[i].Seq]
		if rows[i].Err != nil || rows[i].Result != abi.MaskResultMask {
			t.Fatalf("step %d, sequence %d: result %d, %v", step, rows[i].Seq, rows[i].Result, rows[i].Err)
		}
		if want := maskOf(name, s.salt, s.tokens, rows[i].Drafts); !slices.Equal(rows[i].Mask, want) {
			t.Fatalf("step %d, sequence %d, %d tokens, drafts %v: mask %08x..., want %08x...", step, rows[i].Seq, len(s.tokens),
				rows[i].Drafts, rows[i].Mask[:4], want[:4])
		}
	}
	if err := c.Validate(ctx, rows); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		s, want := seqs[rows[i].Seq], 0
		for want < len(rows[i].Drafts) {
			id := rows[i].Drafts[want]
			if maskOf(name, s.salt, s.tokens, rows[i].Drafts[:want])[id/32]>>(id%32)&1 == 0 {
				break
			}
			want++
		}
		if rows[i].Err != nil || rows[i].Fits != want {
			t.Fatalf("step %d: %d of %v fit, want %d; %v", step, rows[i].Fits, rows[i].Drafts, want, rows[i].Err)
		}
	}
}

// TestConstraintAnswers is the table of what a constraint may and may not say; the row beside the one at fault is
// answered in any case.
func TestConstraintAnswers(t *testing.T) {
	const call = "plugin c: constraint_mask "
	for _, k := range []struct {
		mode   int
		want   string // error, "" none
		struck bool
		result abi.MaskResult
	}{
		{0, "", false, abi.MaskResultMask},
		{1, "", false, abi.MaskResultAll},
		{2, "", false, abi.MaskResultForced},
		{3, "", false, abi.MaskResultStop},
		{4, "", false, abi.MaskResultRewind},
		{5, call + "gives the result 5, which the ABI does not have", true, 0},
		{6, call + "forces 0 tokens, there is room for 1 to 256", true, 0},
		{7, call + "forces 257 tokens, there is room for 1 to 256", true, 0},
		{8, call + "forces the id 1003, the vocabulary has 1003", true, 0},
		{9, call + "takes 0 tokens back, 3 were picked", true, 0},
		{10, call + "takes 2147483648 tokens back, 3 were picked", true, 0},
		{11, call + "allows no token here, not even the end: the text cannot go on as the constraint wants", false, 0},
		{12, call + "gave up (unreachable: an assertion or a panic in the plugin)...", true, 0},
		{13, call + "ran out of fuel: raise limits.fuel, which multiplies the 40,300,900 units...", true, 0},
		{14, call + "returned the status 3", true, 0},
		{15, call + "says: nothing can follow", false, 0},
		{16, call + "gives the result 4294967295, which the ABI does not have", true, 0},
		{17, call + "allows no token here, not even the end: the text cannot go on as the constraint wants", false, 0},
	} {
		for _, name := range maskGuests {
			r := newRuntime(t, RuntimeOptions{})
			c := newConstraint(t, r, name, func(s *Spec) { s.Name = "c" })
			for seq, mode := range map[uint64]int{1: 0, 2: k.mode, 3: 0} {
				if err := c.Begin(ctx, seq, settings(t, c, map[string]any{"salt": 5, "mode": mode})); err != nil {
					t.Fatal(err)
				}
				c.AcceptPrompt(ctx, seq, 1, 2)
				c.Accept(ctx, seq, 3, 4, 5)
			}
			mask := func() []uint32 { return make([]uint32, c.words) }
			rows := []MaskRow{{Seq: 1, Mask: mask()}, {Seq: 2, Mask: mask()}, {Seq: 3, Mask: mask()}, {Seq: 4, Mask: mask()}}
			if err := c.Mask(ctx, rows); err != nil {
				t.Fatal(err)
			}
			want := maskOf(name, 5, []uint32{1, 2, 3, 4, 5}, nil)
			for _, i := range []int{0, 2} {
				if rows[i].Err != nil || !slices.Equal(rows[i].Mask, want) {
					t.Errorf("%s, mode %d: row %d beside it: %v", name, k.mode, i, rows[i].Err)
				}
			}
			wantError(t, rows[3].Err, "plugin c: sequence 4 was not begun")
			bad := &rows[1]
			if k.want == "" {
				if bad.Err != nil || bad.Result != k.result {
					t.Errorf("%s, mode %d: result %d, %v", name, k.mode, bad.Result, bad.Err)
				}
				if bad.Result == abi.MaskResultForced && !slices.Equal(bad.Forced, []uint32{1, 2, 3}) ||
					bad.Result == abi.MaskResultRewind && (bad.Rewind != 2 || bad.Hold != 9) {
					t.Errorf("%s, mode %d: %+v", name, k.mode, bad)
				}
			} else if name == "mask_explicit" || k.mode != 13 {
				wantError(t, bad.Err, k.want)
			}
			if strikes := c.t.m.strikes.Load(); (strikes > 0) != k.struck || strikes > 1 {
				t.Errorf("%s, mode %d: %d strikes", name, k.mode, strikes)
			}
		}
	}
}

// TestConstraintAnswersBesideATrap asks one row for what only the host finds wrong, beside one that traps: when each row
// is asked alone, neither error may get lost, or the row would count as answered.
func TestConstraintAnswersBesideATrap(t *testing.T) {
	for _, mode := range []int{5, 11, 4} {
		for _, name := range maskGuests {
			c := newConstraint(t, newRuntime(t, RuntimeOptions{}), name, func(s *Spec) { s.Name = "c" })
			rows := []MaskRow{{Seq: 1}, {Seq: 2}}
			for i, m := range []int{mode, 12} {
				if err := c.Begin(ctx, rows[i].Seq, settings(t, c, map[string]any{"mode": m})); err != nil {
					t.Fatal(err)
				}
				rows[i].Mask = make([]uint32, c.words)
			}
			if err := c.Mask(ctx, rows); err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				if rows[i].Err == nil {
					t.Errorf("%s, mode %d: row %d has no error, its result is %d", name, mode, i, rows[i].Result)
				}
			}
		}
	}
}

func TestConstraintRefuses(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	c := newConstraint(t, r, "mask_explicit", func(s *Spec) { s.Name = "c" })
	wantError(t, c.Begin(ctx, 1, settings(t, c, map[string]any{"mode": 50})), "plugin c: forge_begin says: mode 50 is no grammar")
	wantError(t, c.Accept(ctx, 1, 5), "plugin c: sequence 1 was not begun")
	if err := c.Begin(ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Accept(ctx, 1, 5); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.AcceptPrompt(ctx, 1, 5), "plugin c: sequence 1 has picked tokens, the prompt stands before them")
	wantError(t, c.Rollback(ctx, 1, 2), "plugin c: sequence 1 has 1 tokens, 2 cannot be taken back")
	wantError(t, c.Fork(ctx, 1, 1), "plugin c: sequence 1 was begun already")
	wantError(t, c.Mask(ctx, []MaskRow{{Seq: 1}}), "a mask has 0 words, a vocabulary of 1003 tokens has 32")
	rows := []MaskRow{{Seq: 1, Drafts: make([]uint32, 65), Mask: make([]uint32, 32)}}
	if err := c.Mask(ctx, rows); err != nil {
		t.Fatal(err)
	}
	wantError(t, rows[0].Err, "a row has 65 drafts, a constraint takes 64")
	_, err := c.t.m.Settings(map[string]any{"slat": 1})
	wantError(t, err, "setting slat is none of plugin c's; did you mean salt?")
	over := settings(t, c, map[string]any{"text": string(make([]byte, maxConfigBytes))})
	if err := c.Begin(ctx, 2, over); err != nil {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantError(t, c.Mask(cancelled, []MaskRow{{Seq: 1, Mask: make([]uint32, 32)}}), "context canceled")

	_, err = c.t.m.NewConstraint(ctx, nil)
	wantError(t, err, "plugin c: a constraint needs a vocabulary of 1 to 16777216 tokens")
	_, err = load(t, r, "pair", "sampler", nil).NewConstraint(ctx, numberedVocab(5))
	wantError(t, err, "plugin pair is a sampler and not a constraint")
	_, err = r.Load(ctx, Spec{Name: "c", Kind: "constraint", OnError: "skip", Wasm: guest(t, "mask_bare")})
	wantError(t, err, `plugin c: on_error = "skip" is for samplers, processors and routers; without its constraint nothing can go on`)
}

// Ensure that a sequence which the guest refuses is told again when it is one that the guest takes.
func TestConstraintRefusedSequence(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	for _, name := range []string{"mask_explicit", "mask_bare"} {
		c := newConstraint(t, r, name, func(s *Spec) { s.Name = "c" })
		if err := c.Begin(ctx, 1, nil); err != nil {
			t.Fatal(err)
		}
		const refused = "plugin c: forge_accept gives no reason (status err_state)"
		tokens := make([]uint32, 2000) // the guest keeps 1023
		wantError(t, c.Accept(ctx, 1, tokens...), refused)
		rows := []MaskRow{{Seq: 1, Mask: make([]uint32, c.words)}}
		for range 2 {
			if err := c.Mask(ctx, rows); err != nil {
				t.Fatal(err)
			}
			wantError(t, rows[0].Err, refused)
		}
		if err := c.Rollback(ctx, 1, 1990); err != nil {
			t.Fatal(err)
		}
		if err := c.Mask(ctx, rows); err != nil || rows[0].Err != nil {
			t.Fatal(err, rows[0].Err)
		}
		if !slices.Equal(rows[0].Mask, maskOf(name, 0, tokens[:10], nil)) {
			t.Errorf("%s: another mask than that of ten tokens", name)
		}
		if n := c.t.m.strikes.Load(); n != 0 {
			t.Errorf("%s: %d strikes for refusals", name, n)
		}
	}
}

func TestConstraintAllocatesNothing(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	for _, name := range maskGuests {
		c := newConstraint(t, r, name, nil)
		rows := make([]MaskRow, 3)
		for i := range rows {
			if err := c.Begin(ctx, uint64(i), settings(t, c, map[string]any{"mode": i, "text": "some text"})); err != nil {
				t.Fatal(err)
			}
			rows[i] = MaskRow{Seq: uint64(i), Drafts: []uint32{1, 2}, Mask: make([]uint32, c.words), Forced: make([]uint32, 0, 8)}
		}
		if a := testing.AllocsPerRun(100, func() {
			c.Mask(ctx, rows)
			c.Validate(ctx, rows)
		}); a != 0 {
			t.Errorf("%s: %v allocations in a call", name, a)
		}
		if a := testing.AllocsPerRun(100, func() {
			c.Accept(ctx, 1, 5)
			c.Rollback(ctx, 1, 1)
		}); a != 0 && (name == "mask_explicit" || name == "mask_stateless") {
			t.Errorf("%s: %v allocations in accept and rollback", name, a)
		}
		for i := range rows {
			if rows[i].Err != nil || i == 0 && bits.OnesCount32(rows[i].Mask[0]) == 0 {
				t.Error(name, rows[i].Err)
			}
		}
	}
}
