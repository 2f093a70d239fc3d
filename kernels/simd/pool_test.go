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
			p.run(func(worker int) {
				if worker < 0 || worker >= n {
					t.Errorf("worker %d of %d", worker, n)
				}
				for c := p.take(); c < chunks; c = p.take() {
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
	p := &pool{n: 2, beds: make([]bed, 2)}
	done := 0
	p.run(func(int) {
		for c := p.take(); c < 5; c = p.take() {
			done++
		}
	})
	if done != 5 {
		t.Errorf("%d chunks were done", done)
	}
}

// Ensure that close ends the workers.
func TestPool_Close(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		p := newPool(5)
		p.run(func(int) {})
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
	for _, n := range []int{1, 2} {
		b.Run(string(rune('0'+n)), func(b *testing.B) {
			p := newPool(n)
			defer p.close()
			task := func(int) {
				for p.take() < 16 {
				}
			}
			for b.Loop() {
				p.run(task)
			}
		})
	}
}
