// Package fuzzcount tells how much of what a fuzz target is fed gets past the first check, and fails a target that tests
// hardly more than the check.
//
//	count := fuzzcount.New(f, "mutants reach a call", 10)
//	f.Fuzz(func(t *testing.T, input []byte) { count.Add(run(t, input)) })
//
// Go fuzzes in worker processes, whose output goes nowhere and whose failure without a failing input is forgotten. So each
// worker keeps its counts in a file, in a folder that it learns of by its environment, and the process that leads them adds
// them up at the end. Without -fuzz nothing is judged: the seeds are no sample.
package fuzzcount

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const (
	folder   = "FORGE_FUZZ_COUNTS"
	enough   = 300 // inputs; fewer are no sample
	saveEach = 20  // inputs between two writes: a worker may be killed
)

// Counter counts the inputs of one target.
type Counter struct {
	what       string
	percent    int
	file       string // "" where nothing is counted
	fed, taken int
}

// New counts for a fuzz target: what says what an input that counts has done, and percent how many of a hundred must.
// Call it before f.Fuzz.
func New(f *testing.F, what string, percent int) *Counter {
	c := &Counter{what: what, percent: percent}
	switch {
	case set("test.fuzzworker"):
		if dir := os.Getenv(folder); dir != "" {
			c.file = filepath.Join(dir, fmt.Sprint(os.Getpid()))
			f.Cleanup(c.save)
		}
	case set("test.fuzz"):
		dir := f.TempDir()
		f.Setenv(folder, dir)
		f.Cleanup(func() { c.report(f, dir) })
	}
	return c
}

// set tells whether a flag of the test binary was given.
func set(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}

// Add counts one input; taken tells whether it did what the counter wants.
func (c *Counter) Add(taken bool) {
	c.fed++
	if taken {
		c.taken++
	}
	if c.file != "" && c.fed%saveEach == 0 {
		c.save()
	}
}

// save writes the counts where the leading process finds them whole: an error shows there, as a count that is missing.
func (c *Counter) save() {
	part := c.file + ".part"
	if os.WriteFile(part, fmt.Appendln(nil, c.fed, c.taken), 0o600) == nil {
		os.Rename(part, c.file)
	}
}

// report adds up the workers' counts, prints them, and fails the target if they fall short.
func (c *Counter) report(f *testing.F, dir string) {
	fed, taken, err := sum(dir)
	if err != nil {
		f.Errorf("the counts of the fuzz workers: %v", err)
		return
	}
	if fed == 0 {
		return // the seeds of another target than the one that is fuzzed
	}
	fmt.Printf("fuzz: %s: %d of %d %s (%.1f %%, wanted %d %%)\n", f.Name(), taken, fed, c.what, 100*float64(taken)/float64(fed), c.percent)
	if fed >= enough && 100*taken < c.percent*fed {
		f.Errorf("only %d of %d %s: less than %d %%", taken, fed, c.what, c.percent)
	}
}

func sum(dir string) (fed, taken int, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*[0-9]"))
	if err != nil {
		return 0, 0, err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return 0, 0, err
		}
		var n, k int
		if _, err := fmt.Sscan(string(b), &n, &k); err != nil {
			return 0, 0, fmt.Errorf("%q: %w", b, err)
		}
		fed, taken = fed+n, taken+k
	}
	return fed, taken, nil
}
