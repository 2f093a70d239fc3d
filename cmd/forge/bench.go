package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"forge/host"
	"forge/kernels"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure prefill and decode, as llama-bench does",
		Description: "pp512 is a prompt of 512 tokens, tg128 the decoding of 128, tg128@d4096 the same after 4,096 others, tg128x4 the\n" +
			"decoding of 128 by each of 4 sequences at once, all their tokens counted. No sampling.\n\n" +
			"  forge bench -m model.gguf -p 512 -n 128 -r 5",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "n-prompt", Aliases: []string{"p"}, Usage: "tokens of the prompt; 0: leave the test out", Value: 512},
			&cli.IntFlag{Name: "n-gen", Aliases: []string{"n"}, Usage: "tokens to decode; 0: leave the test out", Value: 128},
			&cli.IntFlag{Name: "n-depth", Aliases: []string{"d"}, Usage: "tokens in the cache before either", Value: 0},
			&cli.IntFlag{Name: "parallel", Aliases: []string{"np"}, Usage: "sequences that decode at once", Value: 1},
			&cli.IntFlag{Name: "repetitions", Aliases: []string{"r"}, Usage: "samples of each test", Value: 3},
			&cli.BoolFlag{Name: "roofline", Usage: "measure what this machine's memory and arithmetic allow, and say how near each test comes"},
			&cli.BoolFlag{Name: "profile", Usage: "say which kinds of work the time of each test goes to"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON rows"},
		}, engineFlags()...),
		Action: benchAction,
	}
}

// benchRow is one test's result. The two figures of the model are what no engine can do without: a decoded token reads its
// bytes of weights and cache, a prompt's token takes its multiply-adds.
type benchRow struct {
	Test    string             `json:"test"`
	Avg     float64            `json:"avg_ts"`
	Stddev  float64            `json:"stddev_ts"`
	Samples []float64          `json:"samples_ts"`
	Model   string             `json:"model"`
	Threads int                `json:"threads"`
	Device  string             `json:"device"`
	CPU     string             `json:"cpu"`
	Bytes   int64              `json:"bytes_per_token"`
	MACs    int64              `json:"macs_per_token"`
	Floats  int64              `json:"float_macs_per_token"` // the part of these with matrices of no block format
	Shares  map[string]float64 `json:"profile,omitempty"`
	Limits  *benchLimits       `json:"roofline,omitempty"`

	account []kernels.WorkTime
}

// benchTest is a test to run: n tokens of each of nSeq sequences after depth others.
type benchTest struct {
	name           string
	n, nSeq, depth int
	run            func(*host.Bench, int) error
}

// decodes tells that the test computes a token of each sequence at a time.
func (t *benchTest) decodes() bool { return strings.HasPrefix(t.name, "tg") }

func benchTests(c *cli.Context) ([]benchTest, error) {
	pp, tg, depth, np := c.Int("n-prompt"), c.Int("n-gen"), c.Int("n-depth"), c.Int("parallel")
	if pp < 0 || tg < 0 || depth < 0 || np < 1 || c.Int("repetitions") < 1 {
		return nil, fmt.Errorf("-p, -n and -d take numbers from 0 on, -np and -r from 1 on")
	}
	suffix := ""
	if depth > 0 {
		suffix = fmt.Sprintf("@d%d", depth)
	}
	var tests []benchTest
	if pp > 0 {
		tests = append(tests, benchTest{fmt.Sprintf("pp%d%s", pp, suffix), pp, 1, depth, (*host.Bench).Prefill})
	}
	if tg > 0 {
		name := fmt.Sprintf("tg%d", tg)
		if np > 1 {
			name += fmt.Sprintf("x%d", np)
		}
		tests = append(tests, benchTest{name + suffix, tg, np, depth, (*host.Bench).Decode})
	}
	return tests, nil
}

func benchAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	tests, err := benchTests(c)
	if err != nil {
		return err
	}
	if !c.IsSet("ctx-size") {
		size := 1
		for _, t := range tests {
			size = max(size, t.depth+t.n)
		}
		if err := c.Set("ctx-size", fmt.Sprint(size)); err != nil {
			return err
		}
	}
	s, err := open(c, c.Int("parallel"))
	if err != nil {
		return err
	}
	defer s.close()
	var rows []benchRow
	cost := s.Program.Cost()
	for _, t := range tests {
		row := benchRow{
			Test: t.name, Model: filepath.Base(c.String("model")), Threads: s.Threads(), Device: s.device.Name(), CPU: cpuName(),
			Bytes: cost.WeightBytes + s.CacheBytes(t.depth), MACs: cost.BlockMACs + cost.HalfMACs + cost.FloatMACs, Floats: cost.HalfMACs + cost.FloatMACs,
		}
		if c.Bool("roofline") {
			row.Limits = new(benchLimits)
		}
		if err := row.measure(s, &t, c.Int("repetitions"), c.Bool("profile")); err != nil {
			return err
		}
		row.Limits.conclude(&row, &t, &cost)
		rows = append(rows, row)
	}
	if c.Bool("json") {
		return printJSON(rows)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "model\tdevice\tthreads\ttest\ttokens/s\t± \t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%.1f\t%.1f\t\n", r.Model, r.Device, r.Threads, r.Test, r.Avg, r.Stddev)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if c.Bool("roofline") {
		printLargePages(s.File, c.Bool("no-mmap"))
	}
	for _, r := range rows {
		r.Limits.print(&r)
		printAccount(r)
	}
	return nil
}

// measure takes the samples. One run before them brings the weights and the code into the caches.
func (row *benchRow) measure(s *session, t *benchTest, samples int, profile bool) error {
	for i := -1; i < samples; i++ {
		n := t.n
		if i < 0 && t.nSeq*t.n > 1 {
			n = 1
		}
		err := s.Bench(t.nSeq, t.depth, func(b *host.Bench) error {
			if profile {
				if err := b.Profile(true); err != nil {
					return err
				}
			}
			start := time.Now()
			err := t.run(b, n)
			took := time.Since(start)
			row.account = b.Account()
			if i >= 0 {
				row.Samples = append(row.Samples, float64(t.nSeq*t.n)/took.Seconds())
			}
			return err
		})
		if err != nil {
			return err
		}
		row.Limits.measure(row.Threads)
	}
	row.Avg, row.Stddev = meanStddev(row.Samples)
	if profile {
		row.Shares = map[string]float64{}
		total := accountTime(row.account)
		for _, w := range row.account {
			row.Shares[w.Work] = w.Time.Seconds() / total.Seconds()
		}
	}
	return nil
}

func accountTime(account []kernels.WorkTime) time.Duration {
	var total time.Duration
	for _, w := range account {
		total += w.Time
	}
	return total
}

// printAccount prints where a test's time went, of its last sample.
func printAccount(r benchRow) {
	if r.Shares == nil {
		return
	}
	outside := 0.0
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, a := range r.account {
		share := 100 * r.Shares[a.Work]
		if !a.Matrices {
			outside += share
		}
		fmt.Fprintf(w, "%s\t%.1f %%\t%.3f ms\t\n", a.Work, share, float64(a.Time.Microseconds())/1000)
	}
	fmt.Printf("\n%s: %.1f %% of the time is outside the products with matrices\n", r.Test, outside)
	w.Flush()
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[n/2] + s[(n-1)/2]) / 2
}

func meanStddev(v []float64) (mean, stddev float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		stddev += (x - mean) * (x - mean)
	}
	if len(v) > 1 {
		stddev = math.Sqrt(stddev / float64(len(v)-1))
	}
	return mean, stddev
}

// cpuName is the processor's name where the system tells it.
func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for _, line := range strings.Split(string(b), "\n") {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
