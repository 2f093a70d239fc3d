package simd

import (
	"sync/atomic"
	"time"
)

// pool is a set of workers that live as long as a runner. The caller of run is worker 0. It is made for machines that are
// shared with others:
//
//   - Work is taken in small chunks from a counter, so a worker that the system holds up holds up one chunk.
//   - A phase ends when its chunks are done, not when all workers have come by: one that never got a processor meanwhile is
//     not waited for.
//   - Whoever waits spins for some microseconds, the length of the serial parts of a step, and then sleeps: its processor is
//     free for the very worker it waits for.
type pool struct {
	n    int // workers, the caller included
	task func(worker int)
	ends bool
	_    [64]byte     // what follows is written at every turn; it has cache lines of its own
	next atomic.Int64 // the phase's next chunk
	_    [64]byte
	// state counts phases in its upper half; below are whether the phase is open to workers, and how many are inside.
	state atomic.Uint64
	_     [64]byte
	beds  []bed
}

const (
	phaseShift = 32
	phaseOpen  = 1 << 31
	phaseCount = phaseOpen - 1
)

// bed is where one worker sleeps.
type bed struct {
	asleep atomic.Bool
	wake   chan struct{}
	_      [48]byte
}

// How long a worker looks for the next phase before it sleeps, and the caller for the end of one.
const (
	workerSpin = 40 * time.Microsecond
	callerSpin = 10 * time.Microsecond
)

func newPool(n int) *pool {
	p := &pool{n: n, beds: make([]bed, n)}
	for w := range p.beds {
		p.beds[w].wake = make(chan struct{}, 1)
	}
	for w := 1; w < n; w++ {
		go p.work(w)
	}
	return p
}

// work is the life of a worker.
func (p *pool) work(w int) {
	seen := uint64(0)
	for {
		p.await(w, workerSpin, func(state uint64) bool { return state>>phaseShift != seen })
		if p.ends {
			return
		}
		state := p.state.Load()
		seen = state >> phaseShift
		for state>>phaseShift == seen && state&phaseOpen != 0 {
			if p.state.CompareAndSwap(state, state+1) {
				p.task(w)
				if p.state.Add(^uint64(0))&(phaseOpen|phaseCount) == 0 {
					p.rouse(0)
				}
				break
			}
			state = p.state.Load()
		}
	}
}

// await returns once the state is as wanted: spinning for a while, then asleep.
func (p *pool) await(w int, spin time.Duration, reached func(state uint64) bool) {
	const looks = 64 // between two looks at the clock
	for start := time.Now(); ; {
		for range looks {
			if reached(p.state.Load()) {
				return
			}
		}
		if time.Since(start) > spin {
			break
		}
	}
	b := &p.beds[w]
	for !reached(p.state.Load()) {
		b.asleep.Store(true)
		// Whoever turns asleep off first owns the wake-up.
		if reached(p.state.Load()) && b.asleep.CompareAndSwap(true, false) {
			return
		}
		<-b.wake
	}
}

// rouse wakes a worker if it sleeps.
func (p *pool) rouse(w int) {
	if b := &p.beds[w]; b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.wake <- struct{}{}
	}
}

// run lets workers execute task and returns when all its work is done. A task takes its work with take, until there is none
// left; whoever comes later finds none.
func (p *pool) run(task func(worker int)) {
	p.next.Store(0)
	if p.n == 1 {
		task(0)
		return
	}
	p.task = task
	p.begin(phaseOpen)
	task(0)
	if p.state.And(^uint64(phaseOpen))&phaseCount != 0 {
		p.await(0, callerSpin, func(state uint64) bool { return state&phaseCount == 0 })
	}
}

// begin makes a new phase and wakes those who sleep.
func (p *pool) begin(open uint64) {
	p.state.Store((p.state.Load()>>phaseShift+1)<<phaseShift | open)
	for w := 1; w < p.n; w++ {
		p.rouse(w)
	}
}

// alone lets the caller execute task by itself.
func (p *pool) alone(task func(worker int)) {
	p.next.Store(0)
	task(0)
}

// take gives the index of the next chunk of the phase.
func (p *pool) take() int { return int(p.next.Add(1)) - 1 }

// close ends the workers.
func (p *pool) close() {
	p.ends = true
	p.begin(0)
}
