package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"forge/host/server"
)

func batchCommand() *cli.Command {
	return &cli.Command{
		Name:  "batch",
		Usage: "answer a file of requests, many at once",
		Description: "Reads OpenAI batch lines (custom_id, method, url, body for /v1/chat/completions or /v1/completions) and writes one\n" +
			"answer line each, as they are done. A line that cannot be answered gets an error line. logprobs are the model's; with\n" +
			"\"post_sampling_probs\": true they are those that the sampler picked by.\n\n" +
			"  forge batch -m model.gguf -i requests.jsonl -o answers.jsonl",
		Flags: append(append(append([]cli.Flag{
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Usage: "the requests, a JSONL `FILE`; -: standard input", Required: true},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the answers, a new `FILE`; -: standard output", Required: true},
			&cli.IntFlag{Name: "parallel", Aliases: []string{"np"}, Usage: "sequences at once", Value: 8},
			&cli.IntFlag{Name: "n-predict", Aliases: []string{"n"}, Usage: "the most tokens of an answer where the request does not say", Value: -1},
		}, templateFlags()...), engineFlags()...), append(constraintFlags(), samplingFlags()...)...),
		Action: batchAction,
	}
}

func batchAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	n := c.Int("parallel")
	if n < 1 || n > 1024 {
		return errors.New("--parallel takes a number from 1 to 1024")
	}
	var in io.Reader = os.Stdin
	total := 0
	if name := c.String("input"); name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if total, err = server.CountRequests(f); err != nil {
			return err
		}
		in = f
	}
	set, err := settings(c)
	if err != nil {
		return err
	}
	held, err := constraints(c)
	if err != nil {
		return err
	}
	s, err := open(c, n)
	if err != nil {
		return err
	}
	defer s.close()
	out, err := server.CreateOutput(c.String("output"))
	if err != nil {
		return err
	}
	model := &server.Model{
		Engine: s.Engine, Renderer: s.renderer, Name: filepath.Base(c.String("model")), Defaults: set, Samplers: samplerNames(c),
		Constraint: held, Constraints: c.StringSlice("constraint"), Warn: onceEach(), MaxTok: c.Int("n-predict"),
	}
	seed := c.Int64("seed")
	if c.IsSet("seed") {
		model.Seed = &seed
	}
	counter := newCounter("answered", total)
	err = model.Batch(c.Context, in, out, n, counter.set)
	counter.done()
	return errors.Join(err, out.Close())
}
