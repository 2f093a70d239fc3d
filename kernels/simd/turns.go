package simd

import (
	"sync/atomic"
	"time"
)

// Beside other programs a worker gets a part of a processor's time: the system lets it run for some milliseconds and then
// takes the processor away, most likely in the midst of a chunk. A worker that stalls like that takes turns: it rests, asleep,
// for about as long as the others need, works for less than the system would grant, and rests again, so that the system takes
// its time back while nobody waits. Each further stall makes the rests longer and each turn without one makes them shorter,
// until the worker takes part all the time again. With others that leave no time to it, it is soon out but for a thousandth.

// turns is a worker's part of it. All but came is the caller's to write.
type turns struct {
	rests atomic.Bool   // it is left out of phases
	came  atomic.Bool   // it has done something since it was called to its turn
	rest  time.Duration // between its turns; 0: it takes none
	until time.Time     // the end of its rest or turn; zero: its turn begins when it comes
}

// A worker has stalled if the caller waits for it for longer than stall and than a part of its own work in the phase.
const (
	stall     = 300 * time.Microsecond
	stallPart = 3

	turn       = time.Millisecond
	restFirst  = time.Millisecond
	restLeast  = restFirst / 4 // below, it takes no turns any more
	restMost   = 500 * time.Millisecond
	restLonger = 4 // times, after a stall
	restEighth = 7 // eighths, after a turn without
)

// stalled notes that the caller has waited for a worker. It has just got a processor: its turn is now.
func (p *pool) stalled(w *worker, now time.Time) {
	if w.rest == 0 {
		p.turning++
	}
	w.rest = min(max(w.rest*restLonger, restFirst), restMost)
	w.until = now.Add(turn)
}

// shift ends rests and turns whose time is over. It is for the time between two phases.
func (p *pool) shift(now time.Time) {
	for i := range p.workers {
		w := &p.workers[i]
		switch {
		case w.rest == 0:
		case w.rests.Load():
			if now.After(w.until) {
				p.resting--
				w.until = time.Time{}
				w.came.Store(false)
				w.rests.Store(false)
				p.rouse(i)
			}
		case w.until.IsZero():
			if w.came.Load() {
				w.until = now.Add(turn)
			}
		case now.After(w.until):
			p.endTurn(w, now)
		}
	}
}

// endTurn ends a turn in which the worker has not stalled.
func (p *pool) endTurn(w *worker, now time.Time) {
	if w.rest = w.rest / 8 * restEighth; w.rest < restLeast {
		w.rest = 0
		p.turning--
		return
	}
	w.until = now.Add(w.rest)
	w.rests.Store(true)
	p.resting++
}
