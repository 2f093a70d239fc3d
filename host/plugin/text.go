package plugin

import (
	"bytes"
	"context"

	"forge/abi"
)

// Windows of the text kinds. Texts of any length pass through them in pieces.
const (
	textIn  = 256 << 10 // bytes: of text, or of ids at 4 each
	textOut = 256 << 10
)

// textWindows are the two windows in an arena.
type textWindows struct{ in, out uint32 }

func layOutText(l *layout) textWindows {
	return textWindows{l.take(textIn, 64), l.take(textOut, 64)}
}

// textCall is one text on its way through a guest.
type textCall struct {
	export   export
	flags    uint32 // TextFlagFirst and TextFlagLast are set by run, the latter if last
	last     bool   // the input ends the text
	input    []byte
	inWidth  int // bytes of an input element: 1 or 4
	outWidth int
	atOnce   bool     // the guest may do all its work in any call: fuel for the whole input from the first one on
	maxOut   uint64   // bytes of output that this input can have
	ids      idList   // what comes out is appended here if outWidth is 4,
	bytes    []byte   // here if it is 1,
	pieces   [][]byte // and here, piece by piece, with inPieces
	inPieces bool
	state    DecodeState // what the frame carries from call to call
	now      int64
}

// run offers the input piece by piece until the guest has taken all of it and has no more to give.
func (w textWindows) run(ctx context.Context, in *instance, c *textCall) error {
	rest, total, spent := c.input, uint64(0), int64(0)
	for {
		piece := rest[:min(len(rest), textIn/c.inWidth*c.inWidth)]
		ends := c.last && len(piece) == len(rest)
		offered := len(piece) / c.inWidth
		copy(in.at(w.in, uint32(len(piece))), piece)
		f := abi.Text(in.frame(abi.TextSize))
		flags := c.flags
		if !c.state.begun {
			flags |= uint32(abi.TextFlagFirst)
		}
		if ends {
			flags |= uint32(abi.TextFlagLast)
		}
		f.SetFlags(flags)
		f.SetInput(in.base+w.in, uint32(offered))
		f.SetOutput(in.base + w.out)
		f.SetOutputCap(uint32(textOut / c.outWidth))
		f.SetCarryLen(c.state.carryLen)
		f.SetCarry(c.state.carry)
		f.SetState(c.state.state)
		f.SetNow(c.now)
		// A guest may keep what it is offered and work on it later: fuel is for the text so far, less what it has used.
		work := (len(c.input) - len(rest) + len(piece)) / c.inWidth
		if c.atOnce {
			work = len(c.input) / c.inWidth
		}
		status, err := in.call(ctx, c.export, max(in.m.budget(work)-spent, in.m.budget(0)))
		if err != nil {
			return err
		}
		spent += in.used
		f = abi.Text(in.at(0, abi.TextSize)) // memory may have moved
		consumed, n, more := f.Consumed(), f.OutputLen(), f.More()
		bad := func(format string, args ...any) error { return in.fault(c.export.name, status, format, args...) }
		switch {
		case status != abi.StatusOk:
			return bad("returned the status %s", status)
		case consumed > uint32(offered):
			return bad("consumed %d elements of %d", consumed, offered)
		case n > uint32(textOut/c.outWidth):
			return bad("wrote %d elements, there was room for %d", n, textOut/c.outWidth)
		case more > 1:
			return bad("set more to %d", more)
		case f.CarryLen() > 4:
			return bad("carries %d bytes, a character has 4", f.CarryLen())
		}
		c.state = DecodeState{begun: true, carryLen: f.CarryLen(), carry: f.Carry(), state: f.State()}
		width := n * uint32(c.outWidth)
		if total += uint64(width); total > c.maxOut {
			return bad("wrote more than %d bytes for an input of %d", c.maxOut, len(c.input))
		}
		c.take(in.at(w.out, width))
		rest = rest[int(consumed)*c.inWidth:]
		if len(rest) == 0 && more == 0 {
			return nil
		}
		if consumed == 0 && n == 0 {
			return bad("makes no progress: it took none of %d elements and wrote nothing", offered)
		}
	}
}

// take appends what a call wrote.
func (c *textCall) take(b []byte) {
	switch {
	case c.outWidth == 4:
		c.ids.add(b)
	case c.inPieces:
		c.pieces = append(c.pieces, bytes.Clone(b))
	default:
		c.bytes = append(c.bytes, b...)
	}
}
