package plugin

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// heartbeat is a goroutine that always wants its turn. Between two turns it looks at the clock of the guest's thread, which
// counts only while that thread is on a processor: what the two are apart is how long the guest, or the host's work for it,
// kept the goroutine waiting. How busy the machine is with other things does not enter.
type heartbeat struct {
	clock   int32
	longest atomic.Int64
	stop    atomic.Bool
	ended   chan struct{}
}

// delay runs f and tells how long it kept another goroutine waiting at most. Meanwhile Go has one processor, so that
// whoever runs keeps all others waiting.
func delay(f func()) time.Duration {
	h := &heartbeat{ended: make(chan struct{})}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h.clock = int32(^unix.Gettid())<<3 | 6 // of this thread, for others: clock_getcpuclockid in the kernel's form
	was := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(was)
	ready := make(chan struct{})
	go h.beat(ready)
	<-ready
	f()
	h.stop.Store(true)
	<-h.ended
	return time.Duration(h.longest.Load())
}

func (h *heartbeat) now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(h.clock, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func (h *heartbeat) beat(ready chan struct{}) {
	defer close(h.ended)
	last := h.now()
	close(ready)
	for !h.stop.Load() {
		runtime.Gosched()
		now := h.now()
		if d := int64(now - last); d > h.longest.Load() {
			h.longest.Store(d)
		}
		last = now
	}
}
