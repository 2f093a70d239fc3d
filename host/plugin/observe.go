package plugin

import (
	"time"
	"unsafe"

	"forge/abi"
)

// Observation is what an entry of a chain left behind. Its slices are the guest's memory: they hold during the call that
// is given it, and must not be written to.
type Observation struct {
	Plugin, Entry string
	Skipped       bool      // the entry had nothing to do
	IDs           []uint32  // of the candidates; nil while the table is the whole row, where candidate i is token i
	Logits        []float32 // of the candidates
	Picked        int32     // the token that the entry picked, Stop, or -2 while none is
	Fuel          int64     // units that the call used
	Took          time.Duration
	Memory        int // bytes that the guest's memory has grown to
}

// Observe has f called after every entry of the rows to come; nil ends it. It is for looking at a chain at work, and
// costs nothing where it is not used.
func (c *Chain) Observe(f func(Observation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe = f
}

func (u *unit) observed(entry string, status abi.Status, t table, id int32) Observation {
	o := Observation{Plugin: u.m.spec.Name, Entry: entry, Skipped: status == abi.StatusSkip, Picked: id, Fuel: t.in.used, Memory: len(t.in.mem.buf)}
	o.Logits = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(t.in.at(u.logits, 4*t.n)))), t.n)
	if t.flags&whole == 0 {
		o.IDs = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(t.in.at(u.ids, 4*t.n)))), t.n)
	}
	return o
}
