package plugins_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"forge/abi"
	"forge/host/plugin"
)

// Ensure that a constraint whose memory is short says so, harms no other sequence, and works again when there is more:
// what can be made again is given back first.
func TestConstraint_ShortOfMemory(t *testing.T) {
	v := walkVocab()
	v.types = make([]int32, len(v.pieces))
	m, c := hostConstraint(t, v, func(s *plugin.Spec) { s.Limits.Pages = 320 })
	ctx := context.Background()
	begin := func(seq uint64, grammar string) error {
		s, err := m.Settings(map[string]any{"grammar": grammar})
		if err != nil {
			t.Fatal(err)
		}
		return c.Begin(ctx, seq, s)
	}
	// Grammars that have nothing in common, each of some size.
	grammar := func(i int) string {
		var g strings.Builder
		g.WriteString("root ::= r0\n")
		for k := range 400 {
			fmt.Fprintf(&g, "r%d ::= \"%d-%d\" [a-zé日]{3,80} (r%d | \"\") | [^%c-\\x7f]{2,9}\n", k, i, k, (k+1)%400, 'a'+rune(i%20))
		}
		return g.String()
	}
	rows := []plugin.MaskRow{{Mask: make([]uint32, (len(v.pieces)+31)/32)}}
	rng := rand.New(rand.NewPCG(1, 1))
	step := func(seq uint64) error {
		rows[0].Seq = seq
		if err := c.Mask(ctx, rows); err != nil {
			t.Fatal(err)
		}
		if rows[0].Err != nil || rows[0].Result != abi.MaskResultMask {
			return rows[0].Err
		}
		for at := rng.IntN(len(v.pieces)); ; at = (at + 1) % len(v.pieces) {
			if rows[0].Mask[at/32]>>(at%32)&1 != 0 {
				return c.Accept(ctx, seq, uint32(at))
			}
		}
	}
	short := func(err error) bool {
		var e *plugin.Error
		return errors.As(err, &e) && !e.Trapped && e.Status == abi.StatusErrNoMem && strings.Contains(err.Error(), "not enough memory")
	}
	if err := begin(1, "root ::= [a-z ]* | root2\nroot2 ::= \"(\" root2 \")\" | \"x\""); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		begun := uint64(0)
		for ; begun < 1000; begun++ {
			if err := begin(100+begun, grammar(int(begun))); err != nil {
				if !short(err) {
					t.Fatal(err)
				}
				break
			}
			if err := step(100 + begun); err != nil && !short(err) {
				t.Fatal(err)
			}
		}
		if begun < 10 || begun == 1000 {
			t.Fatalf("round %d: %d sequences had room", round, begun)
		}
		for range 30 {
			if err := step(1); err != nil && !short(err) {
				t.Fatal(err)
			}
		}
		for i := range begun {
			if err := c.End(ctx, 100+i); err != nil {
				t.Fatal(err)
			}
		}
		if err := step(1); err != nil {
			t.Fatal("with memory again: ", err)
		}
	}
}

// Ensure that many grammars, one after the other, and a long answer that never stands twice in the same place, do not use
// up the memory.
func TestConstraint_UsesNoMoreMemory(t *testing.T) {
	v := walkVocab()
	v.types = make([]int32, len(v.pieces))
	m, c := hostConstraint(t, v, func(s *plugin.Spec) { s.Limits.Pages = 320 })
	ctx := context.Background()
	rows := []plugin.MaskRow{{Seq: 1, Mask: make([]uint32, (len(v.pieces)+31)/32)}}
	for i := range 120 {
		s, err := m.Settings(map[string]any{"json_schema": fmt.Sprintf(`{"type":"array","items":{"type":"string","minLength":%d,"maxLength":%d}}`, i, 90000+i)})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Begin(ctx, 1, s); err != nil {
			t.Fatal(i, err)
		}
		tokens := 40
		if i == 60 {
			tokens = 20000
		}
		if err := c.Accept(ctx, 1, '[', '"'); err != nil {
			t.Fatal(err)
		}
		for range tokens {
			if err := c.Accept(ctx, 1, 'a', 'b'); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := c.Mask(ctx, rows); err != nil || rows[0].Err != nil || rows[0].Mask['a'/32]>>('a'%32)&1 == 0 {
			t.Fatal(i, err, rows[0].Err)
		}
		if err := c.Rollback(ctx, 1, tokens); err != nil {
			t.Fatal(err)
		}
		if err := c.Mask(ctx, rows); err != nil || rows[0].Err != nil {
			t.Fatal(i, err, rows[0].Err)
		}
		if err := c.End(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
}

// Ensure that a mask allocates nothing on Go's heap, nor do a token that is accepted and one that is taken back.
func TestConstraint_AllocatesNothing(t *testing.T) {
	v := walkVocab()
	v.types = make([]int32, len(v.pieces))
	m, c := hostConstraint(t, v, nil)
	ctx := context.Background()
	s, err := m.Settings(map[string]any{"json_schema": `{"type":"array","items":{"type":"string"}}`, "banned_strings": `["zebra"]`})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Begin(ctx, 1, s); err != nil {
		t.Fatal(err)
	}
	if err := c.Accept(ctx, 1, '[', '"', 'a'); err != nil {
		t.Fatal(err)
	}
	rows := []plugin.MaskRow{{Seq: 1, Mask: make([]uint32, (len(v.pieces)+31)/32)}}
	tokens := []uint32{'b'}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Mask(ctx, rows); err != nil || rows[0].Err != nil {
			t.Fatal(err, rows[0].Err)
		}
		if err := c.Accept(ctx, 1, tokens...); err != nil {
			t.Fatal(err)
		}
		if err := c.Rollback(ctx, 1, 1); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
