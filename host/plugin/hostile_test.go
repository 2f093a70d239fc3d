package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"forge/host/plugin/hostile"
)

// What a hostile module may cost at most.
const (
	mayWait  = 20 * time.Millisecond // another goroutine, for any call
	mayStop  = 50 * time.Millisecond // on the processor, from the call's last safe point to its end
	mayGrow  = 64 << 20              // of the host's memory, the guest's own pages apart
	mayLoad  = 3 * time.Second
	attempts = 3 // of a measurement that a collection may have fallen into
)

// TestHostileModules judges every hostile module: it is refused at load, or stopped within 50 ms of its budget, with one
// sentence that says who, where, why and for how much fuel; the host's memory is bounded; no goroutine stays behind or had
// to wait for longer than 20 ms; and a good guest beside it picks as before. With -v it prints the table.
func TestHostileModules(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		if r.opt.Interpreter && raced {
			t.Skip("takes minutes")
		}
		r.opt.Log = func(string, string) {}
		beside := newChain(t, r, 30, ChainEntry{load(t, r, "pair", "sampler", nil), "pick"})
		list := hostile.Modules()
		if len(list) < 40 {
			t.Errorf("%d modules", len(list))
		}
		var text strings.Builder
		table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "module\ton the processor\tMiB\tlongest delay\tafter its last fuel\toutcome")
		for _, h := range list {
			judge(t, r, h, table)
			if id, err := beside.Sample(ctx, &Row{Logits: logits(30)}); err != nil || id != highest(logits(30))[0] {
				t.Errorf("%s: a sampler beside it picks %d, %v", h.Name, id, err)
			}
		}
		table.Flush()
		t.Logf("%d modules\n%s", len(list), &text)
	})
}

// trial is what one run of a hostile module showed.
type trial struct {
	how         string // refused, stopped, or runs
	err         error
	load, calls time.Duration // of the thread
	delay, tail time.Duration
	grown       int64 // bytes of the host: the guest's own pages lie outside of Go's memory and are limited as such
}

// judge tries a module, and tries it again where a time was too long: a guest that holds up the host does so every time, a
// collection or the kernel does not.
func judge(t *testing.T, r *Runtime, h hostile.Module, table io.Writer) {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	var seen trial
	for range attempts {
		seen = try(r, h)
		if seen.delay <= mayWait && seen.tail <= mayStop && seen.load <= mayLoad && seen.grown <= mayGrow {
			break
		}
	}
	text := seen.how
	if seen.err != nil {
		text += ": " + seen.err.Error()
	}
	fmt.Fprintf(table, "%s\t%v\t%d\t%v\t%v\t%s\n", h.Name, (seen.load + seen.calls).Round(10*time.Microsecond), seen.grown>>20,
		seen.delay.Round(10*time.Microsecond), seen.tail.Round(10*time.Microsecond), text)
	holdSentence(t, r, h, &seen)
	compiled := !r.opt.Interpreter && !raced // otherwise the times say nothing
	if compiled && (seen.delay > mayWait || seen.tail > mayStop || seen.load > mayLoad) {
		t.Errorf("%s: others wait %v, %v from the last safe point to the end, %v to load", h.Name, seen.delay, seen.tail, seen.load)
	}
	if seen.grown > mayGrow && !raced {
		t.Errorf("%s: the host's memory grows by %d MiB", h.Name, seen.grown>>20)
	}
	for range 1000 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%s: %d goroutines, %d before", h.Name, runtime.NumGoroutine(), goroutines)
}

var oneSentence = regexp.MustCompile(`^plugin x: [^\n\x1b]{10,600}[^\n\x1b.]$`)

// holdSentence holds what the user reads to the module's own expectation, and to the form of all such sentences.
func holdSentence(t *testing.T, r *Runtime, h hostile.Module, seen *trial) {
	t.Helper()
	if seen.err == nil {
		if h.Want != "" {
			t.Errorf("%s: runs, want %q", h.Name, h.Want)
		}
		return
	}
	if r.opt.Interpreter && errors.Is(seen.err, context.DeadlineExceeded) {
		return // it needs minutes for the fuel of some kinds
	}
	text := seen.err.Error()
	var fault *Error
	switch {
	case h.Want == "" || !strings.Contains(text, h.Want):
		t.Errorf("%s: %s: %q, want %q", h.Name, seen.how, text, h.Want)
	case !oneSentence.MatchString(text):
		t.Errorf("%s: not one sentence: %q", h.Name, text)
	case seen.how == "stopped" && errors.As(seen.err, &fault) && fault.Trapped && !strings.HasSuffix(text, " units)"):
		t.Errorf("%s: no word of the fuel: %q", h.Name, text)
	}
}

// try loads a module and calls all that its kind has.
func try(r *Runtime, h hostile.Module) (seen trial) {
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	runtime.LockOSThread() // the time is the thread's
	defer runtime.UnlockOSThread()
	start := threadTime()
	m, err := r.Load(ctx, Spec{Name: "x", Kind: h.Kind, Wasm: h.Wasm, Grants: h.Grants})
	seen.load = threadTime() - start
	seen.how, seen.err = "refused", err
	if err == nil {
		limit := 30 * time.Second
		if r.opt.Interpreter {
			limit = 200 * time.Millisecond
		}
		soon, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		last := threadTime()
		r.onRefill = func() { last = threadTime() }
		start = last
		seen.delay = delay(func() { _, seen.err = use(soon, m) })
		r.onRefill = nil
		seen.how, seen.calls, seen.tail = "stopped", threadTime()-start, threadTime()-last
	}
	runtime.ReadMemStats(&after)
	if seen.err == nil {
		seen.how = "runs"
	}
	seen.grown = max(0, int64(after.Sys-after.HeapReleased)-int64(before.Sys-before.HeapReleased))
	return seen
}
