package author

import (
	"encoding/binary"
	"errors"
	"fmt"

	"forge/abi"
	"forge/host/plugin"
)

// desk is a probe with its window laid out: inputs and outputs one after the other, and behind each output some bytes that
// must stay as they are.
type desk struct {
	*plugin.Probe
	s     *session
	used  uint32
	outs  []output
	input string // what the next call is about, for messages
}

// output is a piece of the window that the guest may write to.
type output struct {
	what  string
	at, n uint32
}

const (
	deskRoom   = 1 << 20
	guardBytes = 64
	guardByte  = 0xA5
)

func (s *session) desk(opt plugin.ProbeOptions) (*desk, error) {
	if opt.Room == 0 {
		opt.Room = deskRoom
	}
	if opt.MaxRows == 0 {
		opt.MaxRows = 8
	}
	p, err := s.mod.NewProbe(s.ctx, opt)
	if err != nil {
		return nil, err
	}
	return &desk{Probe: p, s: s}, nil
}

// wipe begins the window anew.
func (d *desk) wipe() { d.used, d.outs = 0, d.outs[:0] }

// put lays an input down and gives its address.
func (d *desk) put(b []byte) uint32 {
	at := d.used
	copy(d.Room()[at:], b)
	d.used = (at + uint32(len(b)) + 63) &^ 63
	return d.At() + at
}

// putWords lays numbers down.
func (d *desk) putWords(words []uint32) uint32 {
	b := make([]byte, 0, 4*len(words))
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return d.put(b)
}

// out makes room for an output of n bytes, full of what it must not be taken for, and gives its place.
func (d *desk) out(what string, n uint32) output {
	o := output{what, d.used, n}
	room := d.Room()[d.used:]
	for i := range room[:n+guardBytes] {
		room[i] = guardByte
	}
	d.outs = append(d.outs, o)
	d.used = (d.used + n + guardBytes + 63) &^ 63
	return o
}

// addr is an output's address, bytes what is in it.
func (d *desk) addr(o output) uint32  { return d.At() + o.at }
func (d *desk) bytes(o output) []byte { return d.Room()[o.at : o.at+o.n] }

// call calls an export. A refusal comes back as it is; a trap, or a write where the guest must not, is a fault.
func (d *desk) call(name string, work int) (abi.Status, error) {
	status, err := d.Call(d.s.ctx, name, work)
	var e *plugin.Error
	if errors.As(err, &e) && e.Trapped {
		return status, at(d.input, d.s.fault(err))
	}
	if err != nil && e == nil {
		return status, err
	}
	if share := float64(d.Fuel()) / float64(d.Allowed(work)); share > d.s.share {
		d.s.share, d.s.sharer = share, name
	}
	d.s.pages = max(d.s.pages, d.Pages())
	for _, o := range d.outs {
		guard := d.Room()[o.at+o.n:][:guardBytes]
		for _, b := range guard {
			if b != guardByte {
				return status, &Fault{d.input, fmt.Sprintf("%s writes behind the %d bytes that it has for %s", name, o.n, o.what), "no more than there is room for"}
			}
		}
	}
	return status, err
}

// borne makes a call that no host makes. It may be refused, and nothing worse.
func (d *desk) borne(input, name string, work int) error {
	d.input = input
	if _, err := d.call(name, work); err != nil && d.s.refusal(err) == nil {
		return err
	}
	return nil
}

// steady makes a call 1,000 times and holds the memory to what it was after the tenth: a collector may need some.
func (d *desk) steady(call func(i int) error) (string, error) {
	early := 0
	for i := 1; i <= 1000; i++ {
		if err := call(i); err != nil {
			return "", at(fmt.Sprintf("call %d", i), err)
		}
		if i == 10 {
			early = d.Pages()
		}
		if late := d.Pages(); i > 10 && late > early {
			return "", &Fault{fmt.Sprintf("call %d", i), fmt.Sprintf("its memory has grown from %d to %d pages since call 10", early, late),
				"the arena, or what earlier calls gave back, used again"}
		}
	}
	return "memory stays as it is from call 10 to call 1,000", nil
}

// The ways in which a host that does not keep to the ABI, or a newer one, differs in any frame.
var frameWays = []struct {
	name string
	size func(n uint32) uint32
	junk bool // behind the frame that is known
}{
	{"a frame that ends behind its head", func(uint32) uint32 { return abi.HeadSize }, false},
	{"the frame of a newer host", func(n uint32) uint32 { return n + 32 }, true},
}
