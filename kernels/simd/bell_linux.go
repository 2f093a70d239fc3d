package simd

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bell wakes one who sleeps. Go's own means would do, but a goroutine that it puts to sleep leaves a thread that looks for
// others for some ten microseconds, on the processor that was to be freed, and waking one costs two wake-ups of threads.
type bell struct {
	rung  atomic.Uint32
	turns chan struct{} // instead, where there are more workers than Go runs threads: then it must know who sleeps
}

const (
	futexWait = 0x80 // of this process alone
	futexWake = 0x81
)

func (b *bell) init(workers int) {
	if workers > runtime.GOMAXPROCS(0) {
		b.turns = make(chan struct{}, 1)
	}
}

// ring wakes the one who waits, or who will wait next. It is not rung again before.
func (b *bell) ring() {
	if b.turns != nil {
		b.turns <- struct{}{}
		return
	}
	b.rung.Store(1)
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rung)), futexWake, 1, 0, 0, 0)
}

func (b *bell) wait() {
	if b.turns != nil {
		<-b.turns
		return
	}
	for !b.rung.CompareAndSwap(1, 0) {
		unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rung)), futexWait, 0, 0, 0, 0)
	}
}

// processor is the one that this thread runs on, -1 if that is not known.
func processor() int {
	var n uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&n)), 0, 0); errno != 0 {
		return -1
	}
	return int(n)
}

// leaveProcessor moves this thread to another processor, if it may run on others. It may come back whenever the system likes.
func leaveProcessor(n int) {
	var may, others unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil || may.Count() < 2 || !may.IsSet(n) {
		return
	}
	others = may
	others.Clear(n)
	if unix.SchedSetaffinity(0, &others) == nil {
		_ = unix.SchedSetaffinity(0, &may) // it may do what it did before
	}
}
