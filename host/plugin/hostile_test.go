package plugin

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHostileModules runs every hostile module: each is refused or stopped, within 50 ms of its last fuel, with one
// sentence, bounded memory and no goroutine left behind; and a good guest beside it is not disturbed.
func TestHostileModules(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		r.opt.Log = func(string, string) {}
		beside := newChain(t, r, 30, ChainEntry{load(t, r, "pair", "sampler", nil), "pick"})
		list := hostileModules()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if len(list) < 40 {
			t.Errorf("%d modules", len(list))
		}
		for _, h := range list {
			runHostile(t, r, h)
			if id, err := beside.Sample(ctx, &Row{Logits: logits(30)}); err != nil || id != highest(logits(30))[0] {
				t.Errorf("%s: a sampler beside it picks %d, %v", h.name, id, err)
			}
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 {
			t.Errorf("memory grows by %d MiB over all of them", grown>>20)
		}
	})
}

func runHostile(t *testing.T, r *Runtime, h hostileModule) {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	runtime.LockOSThread() // the time is the thread's
	defer runtime.UnlockOSThread()
	start := threadTime()
	last := start
	var longest time.Duration // between two safe points
	r.onRefill = func() {
		now := threadTime()
		longest, last = max(longest, now-last), now
	}
	defer func() { r.onRefill = nil }()

	m, err := r.Load(ctx, Spec{Name: "x", Kind: h.kind, Wasm: h.wasm, Grants: h.grants})
	loaded := threadTime() - start
	how := "refused"
	if err == nil {
		how = "stopped"
		last, longest = threadTime(), 0
		limit := 20 * time.Second
		if r.opt.Interpreter {
			limit = 200 * time.Millisecond // it needs minutes for the fuel of some kinds
		}
		soon, cancel := context.WithTimeout(ctx, limit)
		_, err = use(soon, m)
		cancel()
		longest = max(longest, threadTime()-last)
	}
	took := threadTime() - start
	runtime.ReadMemStats(&after)
	grown := int64(after.Sys) - int64(before.Sys)

	text := "runs"
	if err != nil {
		text = how + ": " + err.Error()
	}
	t.Logf("%-45s %9v, %9v at the end, %3d MiB; %s", h.name, took.Round(10*time.Microsecond), longest.Round(10*time.Microsecond), grown>>20, text)
	switch {
	case r.opt.Interpreter && errors.Is(err, context.DeadlineExceeded):
	case h.want == "" && err != nil:
		t.Errorf("%s: %v", h.name, err)
	case h.want != "" && (err == nil || !strings.Contains(err.Error(), h.want)):
		t.Errorf("%s: %q, want %q", h.name, text, h.want)
	case err != nil && (!strings.Contains(err.Error(), "plugin x: ") || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 600):
		t.Errorf("%s: not one sentence: %q", h.name, err)
	}
	if loaded > 3*time.Second {
		t.Errorf("%s: %v to load it", h.name, loaded)
	}
	if longest > 50*time.Millisecond && !r.opt.Interpreter {
		t.Errorf("%s: %v between two safe points, or after the last", h.name, longest)
	}
	if grown > 64<<20 {
		t.Errorf("%s: memory grows by %d MiB", h.name, grown>>20)
	}
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%s: %d goroutines, %d before", h.name, runtime.NumGoroutine(), goroutines)
}
