package simd

import (
	"math/rand/v2"
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
