package author

import (
	"fmt"
	"strings"

	"forge/abi"
)

// The exports about sequences, which a guest may have.
var lifeExports = []string{"forge_begin", "forge_accept", "forge_rollback", "forge_fork", "forge_save", "forge_load", "forge_end"}

// life makes a call about a sequence, if the guest has it. It may be refused.
func (d *desk) life(export, input string, fill func(f abi.Seq)) error {
	return d.lifeSized(export, input, abi.SeqSize, fill)
}

func (d *desk) lifeSized(export, input string, size uint32, fill func(f abi.Seq)) error {
	if !d.Has(export) {
		return nil
	}
	raw := d.Frame(max(size, abi.SeqSize))
	abi.Head(raw).SetSize(size)
	fill(abi.Seq(raw))
	return d.borne(input, export, 64)
}

// wrongOrder makes the calls about sequences in orders in which no host makes them, with numbers that cannot be; ask, if there
// is one, asks about a sequence in between.
func (d *desk) wrongOrder(ask func(seq uint64) error) error {
	tokens := d.putWords([]uint32{0, 1, 1 << 31, 1<<32 - 1})
	junk := d.put([]byte(strings.Repeat("\xff\x01junk", 40)))
	room := d.out("the saved state", 8)
	const known, unknown = 3, 99
	steps := []struct {
		export, input string
		fill          func(f abi.Seq)
	}{
		{"forge_accept", "tokens of a sequence that was not begun", func(f abi.Seq) { f.SetSeq(unknown); f.SetTokens(tokens, 2); f.SetCount(2) }},
		{"forge_rollback", "a rollback of a sequence that was not begun", func(f abi.Seq) { f.SetSeq(unknown); f.SetCount(1) }},
		{"forge_fork", "a fork of a sequence that was not begun", func(f abi.Seq) { f.SetSeq(known); f.SetParent(unknown) }},
		{"forge_save", "a sequence saved that was not begun", func(f abi.Seq) { f.SetSeq(unknown); f.SetBuffer(d.addr(room), 8) }},
		{"forge_end", "the end of a sequence that was not begun", func(f abi.Seq) { f.SetSeq(unknown) }},
		{"forge_load", "a sequence loaded from bytes that nobody saved", func(f abi.Seq) { f.SetSeq(unknown); f.SetBuffer(junk, 200); f.SetParams(d.Params()) }},
		{"forge_load", "a sequence loaded from nothing", func(f abi.Seq) { f.SetSeq(unknown); f.SetBuffer(0, 0); f.SetParams(d.Params()) }},
		{"forge_begin", "a sequence begun", func(f abi.Seq) { f.SetSeq(known); f.SetParams(d.Params()) }},
		{"forge_begin", "a sequence begun twice", func(f abi.Seq) { f.SetSeq(known); f.SetParams(d.Params()) }},
		{"forge_accept", "tokens that do not exist", func(f abi.Seq) { f.SetSeq(known); f.SetTokens(tokens, 4); f.SetCount(4) }},
		{"forge_accept", "no tokens", func(f abi.Seq) { f.SetSeq(known); f.SetTokens(0, 0) }},
		{"forge_rollback", "more tokens taken back than there are", func(f abi.Seq) { f.SetSeq(known); f.SetCount(1<<32 - 1) }},
		{"forge_fork", "a fork of a sequence onto itself", func(f abi.Seq) { f.SetSeq(known); f.SetParent(known) }},
		{"forge_save", "a sequence saved where there is no room", func(f abi.Seq) { f.SetSeq(known); f.SetBuffer(0, 0) }},
		{"forge_save", "a sequence saved where there is little room", func(f abi.Seq) { f.SetSeq(known); f.SetBuffer(d.addr(room), 8) }},
		{"forge_end", "the end of a sequence", func(f abi.Seq) { f.SetSeq(known) }},
		{"forge_end", "the end of a sequence a second time", func(f abi.Seq) { f.SetSeq(known) }},
		{"forge_accept", "tokens of a sequence that has ended", func(f abi.Seq) { f.SetSeq(known); f.SetTokens(tokens, 2); f.SetCount(2) }},
	}
	for _, step := range steps {
		if err := d.life(step.export, step.input, step.fill); err != nil {
			return err
		}
		if ask == nil {
			continue
		}
		for _, seq := range []uint64{known, unknown} {
			if err := ask(seq); err != nil {
				return at(fmt.Sprintf("sequence %d asked about after %s", seq, step.input), err)
			}
		}
	}
	for _, export := range lifeExports {
		err := d.lifeSized(export, export+" with a frame that ends behind its head", abi.HeadSize, func(f abi.Seq) { f.SetSeq(known); f.SetParams(d.Params()) })
		if err != nil {
			return err
		}
	}
	return d.life("forge_end", "the end of a sequence", func(f abi.Seq) { f.SetSeq(known) })
}
