package plugin

import (
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
	work     int    // elements that each call's fuel is counted by; 0: those offered
	maxOut   uint64 // bytes of output that this input can have
	emit     func([]byte)
	state    DecodeState // what the frame carries from call to call
	now      int64
}

// run offers the input piece by piece until the guest has taken all of it and has no more to give.
func (w textWindows) run(ctx context.Context, in *instance, c *textCall) error {
	rest, total := c.input, uint64(0)
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
		work := c.work
		if work == 0 {
			work = offered
		}
		status, err := in.call(ctx, c.export, in.m.budget(work))
		if err != nil {
			return err
		}
		f = abi.Text(in.at(0, abi.TextSize)) // memory may have moved
		consumed, n, more := f.Consumed(), f.OutputLen(), f.More()
		bad := func(format string, args ...any) error { return in.fault(c.export.name, status, 0, format, args...) }
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
		bytes := n * uint32(c.outWidth)
		if total += uint64(bytes); total > c.maxOut {
			return bad("wrote more than %d bytes for an input of %d", c.maxOut, len(c.input))
		}
		c.emit(in.at(w.out, bytes))
		rest = rest[int(consumed)*c.inWidth:]
		if len(rest) == 0 && more == 0 {
			return nil
		}
		if consumed == 0 && n == 0 {
			return bad("makes no progress: it took none of %d elements and wrote nothing", offered)
		}
	}
}
