package simd

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// pool is a set of workers that live as long as a runner; the caller of run is worker 0. It is made for machines that are
// shared with others, and for phases of a few microseconds:
//
//   - A phase is cut into small chunks. Every worker has a share of them side by side, so that it meets the same part of a
//     matrix token after token, and takes half of what is left of it at a time; who has no more takes from the others. So
//     kernels work on long stretches, and nobody waits for long at the end.
//   - A phase ends when its chunks are done, not when all workers have come by: one that never got a processor meanwhile is
//     not waited for.
//   - Whoever waits spins for some microseconds, the length of the serial parts of a step, and then sleeps: its processor is
//     free for the very worker it waits for. A worker that finds the caller asleep sleeps at once for the same reason.
//   - A worker that loses its processor in the midst of a chunk makes all wait until the system gives it one again, which is
//     some milliseconds: tens of phases. Where that happens, a worker takes turns (turns.go).
type pool struct {
	n      int // workers, the caller included
	task   func(worker, from, to int)
	chunks int
	ends   atomic.Bool
	_      [64]byte
	// state counts phases; the lowest bit says that the phase is open to workers. All look at it, the caller alone writes.
	state   atomic.Uint64
	_       [64]byte
	workers []worker
	place   atomic.Int32 // the processor that the caller was on when it last woke a worker; -1: unknown
	turning int          // workers that take turns
	resting int          // those of them that rest
}

// worker is what one worker writes, in cache lines of its own.
type worker struct {
	inside atomic.Bool   // it may be at work: nobody waits for one that is not
	next   atomic.Uint64 // the phase in the upper half, and how many chunks of its share are taken
	asleep atomic.Bool
	bell   bell
	turns
	_ [64]byte
}

// How long a worker looks for the next phase before it sleeps, and the caller for the end of one.
const (
	workerSpin = 40 * time.Microsecond
	callerSpin = 20 * time.Microsecond
)

func newPool(n int) *pool {
	p := &pool{n: n, workers: make([]worker, n)}
	p.place.Store(-1)
	for w := range p.workers {
		p.workers[w].bell.init(n)
	}
	var started sync.WaitGroup // a step does not wait for threads to be made
	started.Add(n - 1)
	for w := 1; w < n; w++ {
		go func() {
			runtime.LockOSThread() // to move it
			started.Done()
			p.work(w)
		}()
	}
	started.Wait()
	return p
}

// work is the life of a worker.
func (p *pool) work(w int) {
	me := &p.workers[w]
	seen := uint64(0)
	called := func() bool { return p.state.Load()>>1 != seen && !me.rests.Load() }
	for spin := workerSpin; ; {
		if p.await(w, spin, called) {
			if n := p.place.Load(); n >= 0 && processor() == int(n) {
				leaveProcessor(int(n))
			}
		}
		state := p.state.Load()
		seen = state >> 1
		// Those who sleep are woken along a tree: no worker has to wake all.
		p.rouse(2*w + 1)
		p.rouse(2*w + 2)
		if p.ends.Load() {
			return
		}
		spin = workerSpin
		if state&1 == 0 {
			continue
		}
		p.join(w, state)
		if p.state.Load() != state && p.rouse(0) {
			spin = 0
		}
	}
}

// join takes part in the phase of that state if it is not over. The caller closes a phase before it looks who is inside: one of
// the two sees the other.
func (p *pool) join(w int, state uint64) {
	me := &p.workers[w]
	me.inside.Store(true)
	if p.state.Load() == state {
		me.came.Store(true)
		p.take(w, uint32(state>>1))
	}
	me.inside.Store(false)
}

// await returns once it is so: spinning for a while, then asleep. It tells whether it has slept.
func (p *pool) await(w int, spin time.Duration, so func() bool) (slept bool) {
	const looks = 64 // between two looks at the clock
	me := &p.workers[w]
	for start := time.Now(); ; {
		for range looks {
			if so() {
				return false
			}
		}
		if me.rests.Load() || time.Since(start) >= spin {
			break
		}
	}
	for !so() {
		me.asleep.Store(true)
		// Whoever turns asleep off first owns the wake-up.
		if so() && me.asleep.CompareAndSwap(true, false) {
			return slept
		}
		me.bell.wait()
		slept = true
	}
	return slept
}

// rouse wakes a worker if it sleeps and does not rest, and tells whether it has.
func (p *pool) rouse(w int) bool {
	if w >= p.n {
		return false
	}
	me := &p.workers[w]
	if me.rests.Load() || !me.asleep.Load() || !me.asleep.CompareAndSwap(true, false) {
		return false
	}
	me.bell.ring()
	return true
}

// run does all chunks, 0 to chunks-1, with calls of task for from..to-1, and returns when they are done.
func (p *pool) run(chunks int, task func(worker, from, to int)) {
	if p.n == 1 || chunks <= 1 {
		p.alone(chunks, task)
		return
	}
	begun := time.Now()
	if p.turning > 0 {
		if p.shift(begun); p.resting == p.n-1 {
			p.alone(chunks, task)
			return
		}
	}
	p.task, p.chunks = task, chunks
	phase := p.state.Load()>>1 + 1
	p.state.Store(phase<<1 | 1)
	p.call()
	p.take(0, uint32(phase))
	p.state.Store(phase << 1)
	if !p.left() {
		p.waitOut(begun)
	}
}

// call wakes the workers that sleep.
func (p *pool) call() {
	last := min(p.n-1, 2)
	if p.turning > 0 {
		last = p.n - 1 // the one who should wake another may rest
	}
	for w := 1; w <= last; w++ {
		if me := &p.workers[w]; me.asleep.Load() && !me.rests.Load() {
			p.place.Store(int32(processor()))
			p.rouse(w)
		}
	}
}

// left tells that no worker is inside.
func (p *pool) left() bool {
	for w := 1; w < p.n; w++ {
		if p.workers[w].inside.Load() {
			return false
		}
	}
	return true
}

// waitOut waits until no worker is inside, and notes who stalls. begun is when the phase began.
func (p *pool) waitOut(begun time.Time) {
	done := time.Now()
	limit := max(stall, done.Sub(begun)/stallPart)
	for w := 1; w < p.n; w++ {
		me := &p.workers[w]
		if !me.inside.Load() {
			continue
		}
		p.await(0, callerSpin, func() bool { return !me.inside.Load() })
		if now := time.Now(); now.Sub(done) > limit {
			p.stalled(me, now)
			done = now // the others may have waited for this one
		}
	}
}

// alone lets the caller do all chunks.
func (p *pool) alone(chunks int, task func(worker, from, to int)) {
	if chunks > 0 {
		task(0, 0, chunks)
	}
}

// take does chunks of the worker's own share, then those that others have left.
func (p *pool) take(w int, phase uint32) {
	task, chunks := p.task, p.chunks
	for i := range p.n {
		from := w + i
		if from >= p.n {
			from -= p.n
		}
		first, size := p.share(from, chunks)
		for counter := &p.workers[from].next; ; {
			c := counter.Load()
			taken := 0 // if the counter is of an older phase
			if uint32(c>>32) == phase {
				taken = int(uint32(c))
			}
			if taken >= size {
				break
			}
			end := taken + (size-taken+1)/2
			if counter.CompareAndSwap(c, uint64(phase)<<32|uint64(end)) {
				task(w, first+taken, first+end)
			}
		}
	}
}

// share is where a worker's chunks begin and how many they are.
func (p *pool) share(w, chunks int) (first, size int) {
	each, more := chunks/p.n, chunks%p.n
	if size = each; w < more {
		size++
	}
	return w*each + min(w, more), size
}

// dealt numbers the chunks as if they were dealt out to the workers in turn: for work whose first chunks take longest.
func (p *pool) dealt(chunk, chunks int) int {
	each, more := chunks/p.n, chunks%p.n
	if long := more * (each + 1); chunk < long {
		return chunk%(each+1)*p.n + chunk/(each+1)
	} else {
		chunk -= long
		return chunk%each*p.n + more + chunk/each
	}
}

// close ends the workers.
func (p *pool) close() {
	p.ends.Store(true)
	p.state.Store((p.state.Load()>>1 + 1) << 1)
	for w := range p.workers {
		p.workers[w].rests.Store(false)
		p.rouse(w)
	}
}
