package simd

import (
	"runtime"
	"sync/atomic"
)

// pool is a set of workers that live as long as a runner. The caller of run is worker 0. Others wait for work by
// spinning for a moment and then sleep, so that a step's many short phases cost no wake-up and an idle runner costs no
// processor. A worker that the system has taken its processor away from delays a phase by its own chunk alone, since work
// is taken in small chunks from a shared counter.
type pool struct {
	n       int // workers, the caller included
	epoch   atomic.Uint32
	pending atomic.Int32 // workers still in the phase
	next    atomic.Int64 // the phase's next task
	task    func(worker int)
	wake    []chan struct{}
	asleep  []atomic.Bool
	closed  bool
}

// spins is how often a waiting worker looks before it sleeps: some tens of microseconds, the length of a serial part of
// a step. Every yieldEvery looks it lets other goroutines and threads run.
const (
	spins      = 20000
	yieldEvery = 1000
)

func newPool(n int) *pool {
	p := &pool{n: n, wake: make([]chan struct{}, n), asleep: make([]atomic.Bool, n)}
	for w := 1; w < n; w++ {
		p.wake[w] = make(chan struct{}, 1)
		go p.work(w)
	}
	return p
}

// work is the life of a worker.
func (p *pool) work(w int) {
	seen := uint32(0)
	for {
		p.await(w, seen)
		seen++
		if p.closed {
			p.pending.Add(-1)
			return
		}
		p.task(w)
		p.pending.Add(-1)
	}
}

// await returns when the epoch has moved on from seen.
func (p *pool) await(w int, seen uint32) {
	for {
		for i := 1; i <= spins; i++ {
			if p.epoch.Load() != seen {
				return
			}
			if i%yieldEvery == 0 {
				runtime.Gosched()
			}
		}
		p.asleep[w].Store(true)
		if p.epoch.Load() != seen {
			// Whoever turns asleep off first owns the wake-up.
			if !p.asleep[w].CompareAndSwap(true, false) {
				<-p.wake[w]
			}
			return
		}
		<-p.wake[w]
	}
}

// run lets every worker execute task once and returns when all have. A task takes its work with take.
func (p *pool) run(task func(worker int)) {
	p.next.Store(0)
	if p.n == 1 {
		task(0)
		return
	}
	p.task = task
	p.pending.Store(int32(p.n - 1))
	p.epoch.Add(1)
	for w := 1; w < p.n; w++ {
		if p.asleep[w].CompareAndSwap(true, false) {
			p.wake[w] <- struct{}{}
		}
	}
	task(0)
	for i := 1; p.pending.Load() != 0; i++ {
		if i%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
}

// take gives the index of the next task of the phase.
func (p *pool) take() int { return int(p.next.Add(1)) - 1 }

// close ends the workers.
func (p *pool) close() {
	p.closed = true
	if p.n > 1 {
		p.run(func(int) {})
	}
}
