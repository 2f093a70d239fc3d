package simd

import (
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Ensure that every chunk of every phase is done once and before run returns, while workers sleep, come late and are slow.
func TestPool(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 8} {
		p := newPool(n)
		var counts [64]atomic.Int32
		for phase := range 3000 {
			chunks := rng.IntN(len(counts))
			slow := -1
			if phase%300 == 0 {
				slow = rng.IntN(len(counts))
			}
			p.run(chunks, func(worker, from, to int) {
				if worker < 0 || worker >= n || from >= to {
					t.Errorf("worker %d of %d, chunks %d to %d", worker, n, from, to)
				}
				for c := from; c < to; c++ {
					if c == slow {
						time.Sleep(time.Millisecond)
					}
					counts[c].Add(1)
				}
			})
			for c := range counts {
				want := int32(0)
				if c < chunks {
					want = 1
				}
				if got := counts[c].Swap(0); got != want {
					t.Fatalf("%d workers, phase %d: chunk %d of %d was done %d times", n, phase, c, chunks, got)
				}
			}
			if phase%100 == 0 {
				time.Sleep(200 * time.Microsecond) // all fall asleep
			}
		}
		p.close()
	}
}

// Ensure the same, and that nobody is at work when run returns, under delays of all kinds: with fewer processors than workers,
// while workers stall, rest, come late and lose their processor at any place.
func TestPool_Delays(t *testing.T) {
	phases := 1500
	if os.Getenv("FORGE_TEST_ALL") != "" {
		phases = 100_000
	}
	for _, c := range []struct{ workers, processors int }{{2, 1}, {2, 2}, {5, 1}, {5, 3}} {
		before := runtime.GOMAXPROCS(c.processors)
		p := newPool(c.workers)
		var counts [48]atomic.Int32
		var atWork atomic.Int32
		caller := rand.New(rand.NewPCG(3, 4))
		for phase := range phases {
			chunks := caller.IntN(len(counts))
			seed := caller.Uint64()
			p.run(chunks, func(worker, from, to int) {
				atWork.Add(1)
				delay(rand.New(rand.NewPCG(seed, uint64(from))), 40)
				for i := from; i < to; i++ {
					counts[i].Add(1)
				}
				delay(rand.New(rand.NewPCG(seed, uint64(to))), 40)
				atWork.Add(-1)
			})
			if n := atWork.Load(); n != 0 {
				t.Fatalf("%d workers, phase %d: %d at work after it", c.workers, phase, n)
			}
			for i := range counts {
				want := int32(0)
				if i < chunks {
					want = 1
				}
				if got := counts[i].Swap(0); got != want {
					t.Fatalf("%d workers, phase %d: chunk %d of %d was done %d times", c.workers, phase, i, chunks, got)
				}
			}
			switch caller.IntN(20) {
			case 0:
				p.stalled(&p.workers[1+caller.IntN(c.workers-1)], time.Now())
			case 1:
				delay(caller, 2)
			}
		}
		p.close()
		runtime.GOMAXPROCS(before)
	}
}

// delay waits once in so many calls: for other goroutines, spinning or asleep, up to longer than a worker spins.
func delay(rng *rand.Rand, once int) {
	d := time.Duration(rng.IntN(100)) * time.Microsecond
	switch rng.IntN(3 * once) {
	case 0:
		runtime.Gosched()
	case 1:
		time.Sleep(d)
	case 2:
		for start := time.Now(); time.Since(start) < d; {
		}
	}
}

// Ensure that a worker which stalls takes turns: at first one and a rest as long, longer rests with every stall, shorter ones
// with every turn that it ends, and in the end none.
func TestPool_Turns(t *testing.T) {
	p := &pool{n: 2, workers: make([]worker, 2)}
	w, now := &p.workers[1], time.Now()
	ends := func(rests bool) (after time.Duration) {
		for after = 0; w.rests.Load() == rests && w.rest > 0; after += restLeast / 4 {
			w.came.Store(true)
			p.shift(now)
			now = now.Add(restLeast / 4)
		}
		return after
	}
	p.stalled(w, now)
	if p.turning != 1 || p.resting != 0 || w.rests.Load() {
		t.Errorf("after a stall %d take turns and %d rest", p.turning, p.resting)
	}
	if took := ends(false); took < turn || took > 3*turn/2 || p.resting != 1 {
		t.Errorf("the first turn took %v, and then %d rest", took, p.resting)
	}
	first := ends(true)
	if first < restFirst/2 || first > 3*restFirst/2 || p.resting != 0 {
		t.Errorf("the first rest took %v, and then %d rest", first, p.resting)
	}
	p.stalled(w, now)
	p.stalled(w, now)
	ends(false)
	if second := ends(true); second < 4*first {
		t.Errorf("the rest after two further stalls took %v, the first %v", second, first)
	}
	for range 100 {
		p.stalled(w, now)
	}
	if w.rest > restMost || p.turning != 1 {
		t.Errorf("after many stalls a rest takes %v, and %d take turns", w.rest, p.turning)
	}
	for turns := 0; w.rest > 0; turns++ {
		if ends(false); turns > 200 {
			t.Fatal("turns without a stall do not end the turns")
		}
		ends(true)
	}
	if p.turning != 0 || p.resting != 0 || w.rests.Load() {
		t.Errorf("in the end %d take turns and %d rest", p.turning, p.resting)
	}
}

// Ensure that a turn begins when the worker comes, however long that takes.
func TestPool_LateTurn(t *testing.T) {
	p := &pool{n: 2, workers: make([]worker, 2)}
	w, now := &p.workers[1], time.Now()
	p.stalled(w, now)
	w.came.Store(true)
	p.shift(now.Add(2 * turn)) // rests
	now = now.Add(2*turn + 2*restFirst)
	p.shift(now) // is called
	now = now.Add(time.Second)
	if p.shift(now); w.rests.Load() {
		t.Error("a turn ended before the worker came")
	}
	w.came.Store(true)
	p.shift(now)
	if p.shift(now.Add(turn / 2)); w.rests.Load() {
		t.Error("a turn ended early")
	}
	if p.shift(now.Add(2 * turn)); !w.rests.Load() {
		t.Error("a turn did not end")
	}
}

// Ensure that a worker which never gets a processor is not waited for.
func TestPool_AbsentWorker(t *testing.T) {
	p := &pool{n: 3, workers: make([]worker, 3)}
	for range 3 {
		done := 0
		p.run(7, func(_, from, to int) { done += to - from })
		if done != 7 {
			t.Errorf("%d chunks of 7 were done", done)
		}
	}
}

// Ensure that a worker which comes to a phase after its end leaves the next one alone.
func TestPool_LateWorker(t *testing.T) {
	p := &pool{n: 2, workers: make([]worker, 2)}
	var open uint64
	p.run(4, func(_, _, _ int) { open = p.state.Load() })
	done := 0
	p.run(4, func(worker, from, to int) {
		if worker != 0 {
			t.Error("the late worker took a chunk")
		}
		if from == 0 {
			p.join(1, open)
		}
		done += to - from
	})
	if done != 4 {
		t.Errorf("%d chunks of 4 were done", done)
	}
}

// Ensure that dealing is a permutation in which the first chunk of each worker comes first.
func TestPool_Dealt(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		p := &pool{n: n}
		for chunks := 1; chunks < 40; chunks++ {
			seen := make([]bool, chunks)
			for w := range n {
				first, size := p.share(w, chunks)
				for i := range size {
					k := p.dealt(first+i, chunks)
					if k != i*n+w || seen[k] {
						t.Fatalf("%d workers, %d chunks: chunk %d of worker %d is number %d", n, chunks, i, w, k)
					}
					seen[k] = true
				}
			}
		}
	}
}

// Ensure that close ends the workers.
func TestPool_Close(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		p := newPool(5)
		p.run(9, func(int, int, int) {})
		p.close()
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

// BenchmarkPool is a phase whose chunks are nothing: what sharing out costs.
func BenchmarkPool(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(string(rune('0'+n)), func(b *testing.B) {
			p := newPool(n)
			defer p.close()
			task := func(int, int, int) {}
			for b.Loop() {
				p.run(8*n, task)
			}
		})
	}
}
