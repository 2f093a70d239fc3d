package test

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("go env GOROOT: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// clock measures the processor time of work, the least of all rounds.
type clock struct{ least time.Duration }

func (c *clock) measure(work func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	work()
	if d := threadTime() - start; c.least == 0 || d < c.least {
		c.least = d
	}
}

// BenchmarkEncode encodes 2 MB of comment lines, each line once, with a cold guest each time.
func BenchmarkEncode(b *testing.B) {
	text := goComments(b, 2_000_000)
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			v := readVocabulary(b, s.path(b))
			ids := 0
			var c clock
			for b.Loop() {
				g := load(b, s.guest, v, 1<<18, 1<<20)
				c.measure(func() { ids = len(g.mustEncode(b, text, false)) })
				g.close()
			}
			b.ReportMetric(float64(len(text))/float64(ids), "B/id")
			b.ReportMetric(float64(len(text))/c.least.Seconds()/1e6, "MB/cpu-s")
		})
	}
}

// BenchmarkInit is the time that forge_init takes.
func BenchmarkInit(b *testing.B) {
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			v := readVocabulary(b, s.path(b))
			var c clock
			for b.Loop() {
				g := newGuest(b, s.guest, v, 1<<16, 1<<16)
				c.measure(func() {
					if err := g.init(b, v); err != nil {
						b.Fatal(err)
					}
				})
				g.close()
			}
			b.ReportMetric(float64(c.least.Microseconds())/1000, "cpu-ms")
		})
	}
}
