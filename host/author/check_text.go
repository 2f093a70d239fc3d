package author

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"forge/abi"
	"forge/host/plugin"
)

// offer is how a host offers a text: so many elements at a time, with room for so many.
type offer struct{ piece, room int }

func (o offer) String() string { return fmt.Sprintf("pieces of %d, room for %d", o.piece, o.room) }

// errNoRoom is a guest that cannot go on in the room that it has: it may want more than a host with large windows would give.
var errNoRoom = errors.New("it wants more room")

// textCall is one export of the text kinds, with the bytes that an element has on either side.
type textCall struct {
	export            string
	flags             uint32
	inWidth, outWidth int
}

var (
	encoding   = textCall{export: "tokenizer_encode", inWidth: 1, outWidth: 4}
	decoding   = textCall{export: "tokenizer_decode", inWidth: 4, outWidth: 1}
	rendering  = textCall{export: "template_render", inWidth: 1, outWidth: 1}
	wholeOffer = offer{1 << 17, 1 << 17}
)

// runText passes a whole text through a guest as a host does whose windows are small: what the guest left is offered again, and
// more of it where it takes nothing of a piece.
func (d *desk) runText(c textCall, input []byte, o offer) ([]byte, error) {
	d.wipe()
	in := d.put(input)
	out := d.out("its output", uint32(o.room*c.outWidth))
	var got []byte
	var carry, carryLen, state uint32
	offered := o.piece
	for first := true; ; first = false {
		n := min(offered, len(input)/c.inWidth)
		ends := n*c.inWidth == len(input)
		f := abi.Text(d.Frame(abi.TextSize))
		flags := c.flags
		if first {
			flags |= uint32(abi.TextFlagFirst)
		}
		if ends {
			flags |= uint32(abi.TextFlagLast)
		}
		f.SetFlags(flags)
		f.SetInput(in, uint32(n))
		f.SetOutput(d.addr(out))
		f.SetOutputCap(uint32(o.room))
		f.SetCarry(carry)
		f.SetCarryLen(carryLen)
		f.SetState(state)
		if _, err := d.call(c.export, len(input)/c.inWidth); err != nil {
			return nil, err
		}
		f = abi.Text(d.Seen(abi.TextSize))
		consumed, wrote, more := int(f.Consumed()), int(f.OutputLen()), f.More()
		if consumed > n || wrote > o.room {
			return nil, &Fault{d.input, fmt.Sprintf("%s says that it took %d of %d and wrote %d where there is room for %d", c.export, consumed, n, wrote, o.room), "no more than there is"}
		}
		carry, carryLen, state = f.Carry(), f.CarryLen(), f.State()
		got = append(got, d.bytes(out)[:wrote*c.outWidth]...)
		input, in = input[consumed*c.inWidth:], in+uint32(consumed*c.inWidth)
		switch {
		case len(input) == 0 && ends && more == 0:
			return got, nil
		case consumed > 0 || wrote > 0:
			offered = o.piece
		case !ends:
			offered += o.piece
		case o.room < wholeOffer.room:
			return nil, errNoRoom
		default:
			return nil, &Fault{d.input, c.export + " makes no progress: it took nothing of the rest of the text and wrote nothing", "the rest of the text taken, or something written"}
		}
	}
}

// inPieces holds a text offered in pieces of every small size, and with little room, to the same text offered whole.
func (d *desk) inPieces(c textCall, input []byte, show func([]byte) string) error {
	name := d.input
	want, err := d.runText(c, input, wholeOffer)
	refused := d.s.refusal(err)
	if err != nil && refused == nil {
		return err
	}
	offers := []offer{{1, 2048}, {2, 2048}, {3, 2048}, {4, 2048}, {5, 2048}, {7, 2048}, {8, 2048}, {13, 2048}, {16, 2048}, {64, 2048}, {1 << 17, 1}, {1 << 17, 2}, {1 << 17, 3}, {1 << 17, 7}, {1 << 17, 16}, {3, 8}}
	if len(input) > 1024 {
		offers = []offer{{7, 2048}, {64, 2048}, {1000, 2048}, {4096, 512}, {1 << 17, 64}}
	}
	for _, o := range offers {
		d.input = fmt.Sprintf("%s in %s", name, o)
		got, err := d.runText(c, input, o)
		if errors.Is(err, errNoRoom) && o.room < wholeOffer.room {
			continue
		}
		if e := d.s.refusal(err); e != nil && (refused != nil || o.room < 64) {
			continue // it may say that it wants more room
		}
		if err != nil {
			return at(d.input, err)
		}
		if refused != nil {
			return &Fault{d.input, "is taken, and whole it is refused: " + refused.Why, "the same answer"}
		}
		if !bytes.Equal(got, want) {
			return &Fault{d.input, "gives " + show(got), "as whole, " + show(want)}
		}
	}
	d.input = name
	return nil
}

func showIDs(b []byte) string {
	ids := idsOf(b)
	if len(ids) > 12 {
		return fmt.Sprintf("%v and so on, %d ids", ids[:12], len(ids))
	}
	return fmt.Sprint(ids)
}

func showText(b []byte) string { return quote(b) }

func idsOf(b []byte) (ids []uint32) {
	for ; len(b) >= 4; b = b[4:] {
		ids = append(ids, binary.LittleEndian.Uint32(b))
	}
	return ids
}

func bytesOfIDs(ids []uint32) (b []byte) {
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// hostileText calls an export with frames that no host sends. inputs are elements that it must bear.
func (d *desk) hostileText(c textCall, input []byte) error {
	n := uint32(len(input) / c.inWidth)
	frame := func(size, room uint32) abi.Text {
		d.wipe()
		in := d.put(input)
		out := d.out("its output", room*uint32(c.outWidth))
		raw := d.Frame(max(size, abi.TextSize))
		f := abi.Text(raw)
		abi.Head(raw).SetSize(size)
		f.SetFlags(c.flags | uint32(abi.TextFlagFirst) | uint32(abi.TextFlagLast))
		f.SetInput(in, n)
		f.SetOutput(d.addr(out))
		f.SetOutputCap(room)
		return f
	}
	for _, way := range frameWays {
		frame(way.size(abi.TextSize), 16)
		if way.junk {
			clearTo(d.Seen(abi.TextSize + 32)[abi.TextSize:], 0xEE)
		}
		if err := d.borne(way.name, c.export, int(n)); err != nil {
			return err
		}
	}
	for _, way := range []struct {
		name  string
		room  uint32
		spoil func(f abi.Text)
	}{
		{"no room for output", 0, func(abi.Text) {}},
		{"room for one", 1, func(abi.Text) {}},
		{"room for three", 3, func(abi.Text) {}},
		{"no input, and no address of it", 16, func(f abi.Text) { f.SetInput(0, 0) }},
		{"no output at all", 0, func(f abi.Text) { f.SetOutput(0) }},
		{"a text that does not begin", 16, func(f abi.Text) { f.SetFlags(uint32(abi.TextFlagLast)) }},
		{"flags that nobody knows", 16, func(f abi.Text) { f.SetFlags(1<<31 | 1<<20 | uint32(abi.TextFlagFirst) | uint32(abi.TextFlagLast)) }},
		{"a carry of 2^32-1 bytes", 16, func(f abi.Text) { f.SetFlags(0); f.SetCarryLen(1<<32 - 1); f.SetCarry(1<<32 - 1) }},
		{"a state that it never gave", 16, func(f abi.Text) { f.SetFlags(0); f.SetState(1<<32 - 1) }},
		{"no room for its error", 0, func(f abi.Text) { abi.Head(f).SetErrorCap(0) }},
	} {
		f := frame(abi.TextSize, way.room)
		way.spoil(f)
		d.input = way.name
		if _, err := d.call(c.export, int(n)); err != nil && d.s.refusal(err) == nil {
			return at(way.name, err)
		}
		f = abi.Text(d.Seen(abi.TextSize))
		if room := f.OutputCap(); f.OutputLen() > room {
			return &Fault{way.name, fmt.Sprintf("%s says that it wrote %d where there is room for %d", c.export, f.OutputLen(), room), "no more than there is room for"}
		}
	}
	return nil
}

func clearTo(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// textDesk opens a desk, whose guest may refuse what it is opened with.
func (s *session) textDesk(opt plugin.ProbeOptions, input string, f func(d *desk) error) error {
	d, err := s.desk(opt)
	if err != nil {
		_, err = s.settled("", err)
		return at(input, err)
	}
	defer d.Close()
	d.input = input
	return f(d)
}
