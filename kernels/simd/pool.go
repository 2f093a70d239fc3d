package simd

import (
	"sync/atomic"
	"time"
)

// pool is a set of workers that live as long as a runner; the caller of run is worker 0. It is made for machines that are
// shared with others, and for phases of a few microseconds:
//
//   - A phase is cut into small chunks. Every worker has a share of them side by side, so that it meets the same part of a
//     matrix token after token, and takes them from a counter of its own; who has no more takes from the others. So a worker
//     that the system holds up holds up one chunk.
//   - A phase ends when its chunks are done, not when all workers have come by: one that never got a processor meanwhile is
//     not waited for.
//   - Whoever waits spins for some microseconds, the length of the serial parts of a step, and then sleeps: its processor is
//     free for the very worker it waits for.
type pool struct {
	n      int // workers, the caller included
	task   func(worker, chunk int)
	chunks int
	ends   atomic.Bool
	_      [64]byte
	// state counts phases; the lowest bit says that the phase is open to workers. All look at it, the caller alone writes.
	state   atomic.Uint64
	_       [64]byte
	workers []worker
}

// worker is what one worker writes, in cache lines of its own.
type worker struct {
	inside atomic.Bool   // it may be at work: nobody waits for one that is not
	next   atomic.Uint64 // the phase in the upper half, and how many chunks of its share are taken
	asleep atomic.Bool
	wake   chan struct{}
	_      [96]byte
}

// How long a worker looks for the next phase before it sleeps, and the caller for the end of one.
const (
	workerSpin = 40 * time.Microsecond
	callerSpin = 10 * time.Microsecond
)

func newPool(n int) *pool {
	p := &pool{n: n, workers: make([]worker, n)}
	for w := range p.workers {
		p.workers[w].wake = make(chan struct{}, 1)
	}
	for w := 1; w < n; w++ {
		go p.work(w)
	}
	return p
}

// work is the life of a worker.
func (p *pool) work(w int) {
	me := &p.workers[w]
	seen := uint64(0)
	changed := func() bool { return p.state.Load()>>1 != seen }
	for {
		p.await(w, workerSpin, changed)
		state := p.state.Load()
		seen = state >> 1
		// Those who sleep are woken along a tree: no worker has to wake all.
		p.rouse(2*w + 1)
		p.rouse(2*w + 2)
		if p.ends.Load() {
			return
		}
		if state&1 == 0 {
			continue
		}
		// The caller closes the phase before it looks who is inside: one of the two sees the other.
		me.inside.Store(true)
		if p.state.Load() == state {
			p.take(w, uint32(seen))
		}
		me.inside.Store(false)
		if p.state.Load() != state {
			p.rouse(0)
		}
	}
}

// await returns once it is so: spinning for a while, then asleep.
func (p *pool) await(w int, spin time.Duration, so func() bool) {
	const looks = 64 // between two looks at the clock
	for start := time.Now(); ; {
		for range looks {
			if so() {
				return
			}
		}
		if time.Since(start) > spin {
			break
		}
	}
	me := &p.workers[w]
	for !so() {
		me.asleep.Store(true)
		// Whoever turns asleep off first owns the wake-up.
		if so() && me.asleep.CompareAndSwap(true, false) {
			return
		}
		<-me.wake
	}
}

// rouse wakes a worker if it sleeps.
func (p *pool) rouse(w int) {
	if w >= p.n {
		return
	}
	if b := &p.workers[w]; b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.wake <- struct{}{}
	}
}

// run does task for every chunk, 0 to chunks-1, and returns when all are done.
func (p *pool) run(chunks int, task func(worker, chunk int)) {
	if p.n == 1 || chunks <= 1 {
		p.alone(chunks, task)
		return
	}
	p.task, p.chunks = task, chunks
	phase := p.state.Load()>>1 + 1
	p.state.Store(phase<<1 | 1)
	p.rouse(1)
	p.rouse(2)
	p.take(0, uint32(phase))
	p.state.Store(phase << 1)
	if !p.left() {
		p.await(0, callerSpin, p.left)
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

// alone lets the caller do all chunks.
func (p *pool) alone(chunks int, task func(worker, chunk int)) {
	for c := range chunks {
		task(0, c)
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
			if uint32(c>>32) != phase {
				// Nobody has taken any yet: the counter is of an older phase.
				if size == 0 || !counter.CompareAndSwap(c, uint64(phase)<<32|1) {
					if size == 0 {
						break
					}
					continue
				}
				task(w, first)
				continue
			}
			if int(uint32(c)) >= size {
				break
			}
			if counter.CompareAndSwap(c, c+1) {
				task(w, first+int(uint32(c)))
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
	for w := 1; w < p.n; w++ {
		p.rouse(w)
	}
}
