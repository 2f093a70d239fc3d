package plugin

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"forge/host/plugin/hostile"
	w "forge/host/plugin/wasmtest"
)

// busyInstance starts a busy guest, with its memory as one cycle of addresses in random order.
func busyInstance(t *testing.T, r *Runtime, name string, g w.Guest) (*instance, export) {
	t.Helper()
	m, err := r.Load(ctx, Spec{Name: name, Kind: "sampler", Wasm: g.Build(), Limits: Limits{Fuel: 1 << 20}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c := newChain(t, r, 10, ChainEntry{m, hostile.Entry})
	in := c.units[0].main
	lines := g.Pages * 65536 / 64
	order := rand.New(rand.NewPCG(3, 4)).Perm(lines)
	for i, at := range order {
		binary.LittleEndian.PutUint32(in.mem.buf[at*64:], uint32(order[(i+1)%lines]*64))
	}
	return in, in.fns[0]
}

// TestPauses holds the time on the processor between two safe points of guests that do their worst under 10 ms: that is
// how long a guest can hold up the scheduler and the collector, whatever else the machine is doing.
func TestPauses(t *testing.T) {
	if !canTimeThread || raced {
		t.Skip("the time of a thread cannot be told, or says nothing")
	}
	r := newRuntime(t, RuntimeOptions{})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, g := range hostile.Busy() {
		in, e := busyInstance(t, r, name, g)
		soon, cancel := context.WithCancel(ctx)
		var longest time.Duration
		refills := 0
		last := threadTime()
		r.onRefill = func() {
			now := threadTime()
			longest = max(longest, now-last)
			if refills++; refills == 60 {
				cancel()
			}
			last = threadTime()
		}
		_, err := in.invoke(soon, e, in.base, 1<<50)
		longest = max(longest, threadTime()-last)
		if err != context.Canceled || refills != 60 {
			t.Errorf("%s: %v after %d refills", name, err, refills)
		}
		t.Logf("%-24s at most %8v between two safe points", name, longest)
		if longest > 10*time.Millisecond {
			t.Errorf("%s: %v between two safe points", name, longest)
		}
		cancel()
	}
}

// TestCancel: a cancelled context ends an endless loop soon, on both engines, and is no fault of the guest.
func TestCancel(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		for _, name := range []string{"endless loop", "dependent loads"} {
			g := hostile.Busy()[name]
			best := time.Hour
			for range 5 { // the machine may be busy
				in, e := busyInstance(t, r, name, g)
				soon, cancel := context.WithCancel(ctx)
				var at atomic.Int64
				start := time.Now()
				time.AfterFunc(10*time.Millisecond, func() {
					at.Store(int64(time.Since(start)))
					cancel()
				})
				_, err := in.invoke(soon, e, in.base, 1<<50)
				if err != context.Canceled || in.m.strikes.Load() != 0 {
					t.Fatalf("%s: %v, %d strikes", name, err, in.m.strikes.Load())
				}
				if !in.dead { // the machine was so busy that it was cancelled before it ran
					continue
				}
				if best = min(best, time.Since(start)-time.Duration(at.Load())); best < 50*time.Millisecond {
					break
				}
			}
			if best > 50*time.Millisecond {
				t.Errorf("%s ends %v after it was cancelled", name, best)
			}
		}
	})
}

// TestOthersRun: while guests run for ever, other goroutines run and the collector finishes.
func TestOthersRun(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	before := runtime.NumGoroutine()
	soon, cancel := context.WithCancel(ctx)
	done := make(chan error)
	const guests = 3
	for range guests {
		in, e := busyInstance(t, r, "dependent loads", hostile.Busy()["dependent loads"])
		go func() {
			_, err := in.invoke(soon, e, in.base, 1<<50)
			done <- err
		}()
	}
	var gap, gc time.Duration
	for range 10 { // until the machine leaves us alone for long enough
		gap, gc = 0, 0
		last := time.Now()
		for end := last.Add(100 * time.Millisecond); time.Now().Before(end); {
			runtime.Gosched()
			now := time.Now()
			gap, last = max(gap, now.Sub(last)), now
		}
		start := time.Now()
		runtime.GC()
		if gc = time.Since(start); gap < 20*time.Millisecond && gc < 100*time.Millisecond {
			break
		}
	}
	t.Logf("with %d guests on %d threads: %v between two turns, a collection %v", guests, runtime.GOMAXPROCS(0), gap, gc)
	if !raced && (gap > 200*time.Millisecond || gc > time.Second) { // far more than a busy machine adds, far less than a guest without tanks
		t.Errorf("%v between two turns, a collection took %v", gap, gc)
	}
	cancel()
	for range guests {
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
