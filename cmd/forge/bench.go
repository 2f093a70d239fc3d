package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"forge/host"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure prefill and decode, as llama-bench does",
		Description: "pp512 is a prompt of 512 tokens, tg128 the decoding of 128, tg128@d4096 the same after 4,096 others. No sampling.\n\n" +
			"  forge bench -m model.gguf -p 512 -n 128 -r 5",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "n-prompt", Aliases: []string{"p"}, Usage: "tokens of the prompt; 0: leave the test out", Value: 512},
			&cli.IntFlag{Name: "n-gen", Aliases: []string{"n"}, Usage: "tokens to decode; 0: leave the test out", Value: 128},
			&cli.IntFlag{Name: "n-depth", Aliases: []string{"d"}, Usage: "tokens in the cache before either", Value: 0},
			&cli.IntFlag{Name: "repetitions", Aliases: []string{"r"}, Usage: "samples of each test", Value: 3},
			&cli.BoolFlag{Name: "json", Usage: "print JSON rows"},
		}, engineFlags()...),
		Action: benchAction,
	}
}

type benchRow struct {
	Test    string    `json:"test"`
	Avg     float64   `json:"avg_ts"`
	Stddev  float64   `json:"stddev_ts"`
	Samples []float64 `json:"samples_ts"`
	Model   string    `json:"model"`
	Threads int       `json:"threads"`
	Device  string    `json:"device"`
	CPU     string    `json:"cpu"`
}

func benchAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	pp, tg, depth, reps := c.Int("n-prompt"), c.Int("n-gen"), c.Int("n-depth"), c.Int("repetitions")
	if pp < 0 || tg < 0 || depth < 0 || reps < 1 {
		return fmt.Errorf("-p, -n and -d take numbers from 0 on, -r from 1 on")
	}
	if !c.IsSet("ctx-size") {
		if err := c.Set("ctx-size", fmt.Sprint(max(depth+max(pp, tg), 1))); err != nil {
			return err
		}
	}
	s, err := open(c, 1)
	if err != nil {
		return err
	}
	defer s.close()
	threads := c.Int("threads")
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	suffix := ""
	if depth > 0 {
		suffix = fmt.Sprintf("@d%d", depth)
	}
	var rows []benchRow
	for _, test := range []struct {
		name string
		n    int
		run  func(*host.Bench, int) error
	}{{"pp", pp, (*host.Bench).Prefill}, {"tg", tg, (*host.Bench).Decode}} {
		if test.n == 0 {
			continue
		}
		row := benchRow{
			Test: fmt.Sprintf("%s%d%s", test.name, test.n, suffix), Model: filepath.Base(c.String("model")),
			Threads: threads, Device: s.device.Name(), CPU: cpuName(),
		}
		// One run that is not counted brings the weights and the code into the caches.
		for i := -1; i < reps; i++ {
			n := test.n
			if i < 0 && test.name == "tg" {
				n = 1
			}
			var took time.Duration
			err := s.Bench(depth, func(b *host.Bench) error {
				start := time.Now()
				err := test.run(b, n)
				took = time.Since(start)
				return err
			})
			if err != nil {
				return err
			}
			if i >= 0 {
				row.Samples = append(row.Samples, float64(test.n)/took.Seconds())
			}
		}
		row.Avg, row.Stddev = meanStddev(row.Samples)
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
	return w.Flush()
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
