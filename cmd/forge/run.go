package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"forge/host"
	"forge/host/chat"
	"forge/host/plugin"
	"forge/host/server"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "answer a prompt, or chat",
		Description: "With a prompt (-p, -f or standard input) forge answers once: the text goes to standard output, everything else to\n" +
			"standard error. Without one, on a terminal, it is a dialogue: /clear forgets it, /bye leaves, Ctrl-C stops an answer.\n\n" +
			"  forge run -m model.gguf -p \"Name three rivers.\"\n" +
			"  forge run -m model.gguf -p \"Once upon a time\" --raw -n 64 --temp 0\n" +
			"  cat notes.txt | forge run -m model.gguf --system \"Summarise what you are given.\"",
		Flags: append(append(append(promptFlags(),
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object instead of text"},
			&cli.IntFlag{Name: "chances", Usage: "with --json: the log probability that each token was picked with, and the `K` likeliest ids that it was picked among"},
			&cli.IntFlag{Name: "logprobs", Usage: "with --json: the `K` likeliest ids of each step with their log probabilities"},
			&cli.StringFlag{Name: "save-logits", Usage: "write the rows that tokens are taken from to `FILE`, a NumPy array, for forge plugin try"},
			&cli.StringFlag{Name: "receipt", Usage: "write what the answer depended on, and each token's draws, to `FILE`, for forge replay"},
		), engineFlags()...), append(constraintFlags(), samplingFlags()...)...),
		Action: runAction,
	}
}

// promptFlags say what to answer and when to end.
func promptFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Usage: "the prompt `TEXT`"},
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read the prompt from a `FILE`; -: standard input"},
		&cli.IntFlag{Name: "n-predict", Aliases: []string{"n"}, Usage: "the most tokens to generate; -1: until the model ends or the context is full", Value: -1},
		&cli.BoolFlag{Name: "raw", Usage: "continue the prompt as it is, without the chat template"},
		&cli.StringFlag{Name: "system", Aliases: []string{"sys"}, Usage: "system message `TEXT`"},
		&cli.StringSliceFlag{Name: "stop", Usage: "end the answer before this `TEXT`; may be given several times"},
		&cli.BoolFlag{Name: "ignore-eos", Usage: "never pick a token that ends the generation"},
	}, templateFlags()...)
}

func runAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if _, err := requireModel(c); err != nil {
		return err
	}
	prompt, given, err := promptText(c)
	if err != nil {
		return err
	}
	if !given && c.Bool("json") {
		return errors.New("--json needs a prompt: give one with -p, -f or on standard input")
	}
	if n := c.Int("n-predict"); n < -1 {
		return fmt.Errorf("-n %d: give a number of tokens, or -1", n)
	}
	if k := c.Int("logprobs"); k < 0 || k > 0 && !c.Bool("json") {
		return errors.New("--logprobs takes a positive number and needs --json")
	}
	if k := c.Int("chances"); k < 0 || k > plugin.MaxTop || k > 0 && !c.Bool("json") {
		return fmt.Errorf("--chances takes a number of 1 to %d and needs --json", plugin.MaxTop)
	}
	if !given && c.String("receipt") != "" {
		return errors.New("--receipt needs a prompt: give one with -p, -f or on standard input")
	}
	s, err := open(c, 1)
	if err != nil {
		return err
	}
	defer s.close()
	req, err := request(c, s)
	if err != nil {
		return err
	}
	if !given {
		return chatLoop(c, s, req)
	}
	return answerOnce(c, s, req, prompt)
}

// promptText finds the prompt; given is false when there is none and standard input is a terminal.
func promptText(c *cli.Context) (text string, given bool, err error) {
	switch {
	case c.IsSet("prompt") && c.IsSet("file"):
		return "", false, errors.New("give the prompt with -p or with -f, not both")
	case c.IsSet("prompt"):
		return c.String("prompt"), true, nil
	case c.IsSet("file"):
		text, err = readText(c.String("file"))
		return text, true, err
	case isTerminal(os.Stdin):
		return "", false, nil
	}
	text, err = readAll(os.Stdin, "standard input")
	return text, true, err
}

// request holds what the flags say about generation.
func request(c *cli.Context, s *session) (*host.Request, error) {
	set, err := settings(c)
	if err != nil {
		return nil, err
	}
	if c.Bool("ignore-eos") {
		set["ignore_eos"] = true
	}
	held, err := constraints(c)
	if err != nil {
		return nil, err
	}
	seed := c.Int64("seed")
	return &host.Request{
		Constraint: held, Constraints: c.StringSlice("constraint"),
		MaxTokens: c.Int("n-predict"), Settings: set, Samplers: server.WithRules(samplerNames(c), s.DefaultChain(), set), Seed: server.Seed(&seed),
		Stop: c.StringSlice("stop"), IgnoreEOS: c.Bool("ignore-eos"), Logprobs: c.Int("logprobs"), Chances: c.Int("chances"),
	}, nil
}

// promptIDs gives a prompt's tokens, through the model's chat template unless --raw.
func promptIDs(c *cli.Context, s *session, prompt string) ([]uint32, error) {
	if c.Bool("raw") {
		return s.Tokenize(c.Context, prompt, true)
	}
	text, notice, err := s.renderer.Render(c.Context, chat.Prompt(c.String("system"), prompt))
	switch {
	case errors.Is(err, chat.ErrNoTemplate):
		text = prompt
		notice = "the model file has no chat template: the prompt is continued as it is (--raw says so without this notice, --chat-template names a format)"
		if c.String("system") != "" {
			notice += "; the system message is left out"
		}
	case err != nil:
		return nil, err
	}
	if notice != "" {
		note("%s", notice)
	}
	return s.Tokenize(c.Context, text, true)
}

func answerOnce(c *cli.Context, s *session, req *host.Request, prompt string) error {
	var err error
	if req.Prompt, err = promptIDs(c, s, prompt); err != nil {
		return err
	}
	save, err := saveLogits(c, req)
	if err != nil {
		return err
	}
	paper := takeReceipt(c, s, req)
	var out answerWriter
	if !c.Bool("json") {
		req.OnText = out.write
	}
	res, err := s.Generate(c.Context, req)
	if err = errors.Join(err, save()); err != nil {
		return err
	}
	if err := paper(res); err != nil {
		return err
	}
	if c.Bool("json") {
		if err := printJSON(runReport(s, req, res)); err != nil {
			return err
		}
	} else {
		out.end()
	}
	report(c, s, res)
	if res.Finish == "cancelled" {
		return exitStatus(130)
	}
	return nil
}

// report writes the line of timings, and with --verbose what took part.
func report(c *cli.Context, s *session, res *host.Result) {
	t := res.Timings
	note("prompt %d tokens, %.1f tokens/s; decode %d tokens, %.1f tokens/s; first token after %.0f ms; %s",
		len(res.Prompt), t.PromptRate(), len(res.Tokens), t.DecodeRate(), float64(t.ToFirstToken.Microseconds())/1000, res.Finish)
	if !c.Bool("verbose") {
		return
	}
	note("device %s", s.device.Name())
	for _, m := range s.Modules() {
		note("plugin %s (%s) sha256 %s", m.Name(), m.Kind(), m.Digest())
	}
}

type pluginReport struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

type timingReport struct {
	PromptTokens    int     `json:"prompt_tokens"`
	PromptPerSecond float64 `json:"prompt_per_second"`
	DecodeTokens    int     `json:"decode_tokens"`
	DecodePerSecond float64 `json:"decode_per_second"`
	FirstTokenMS    float64 `json:"first_token_ms"`
}

func timings(t host.Timings) timingReport {
	return timingReport{t.PromptTokens, t.PromptRate(), t.DecodeTokens, t.DecodeRate(), float64(t.ToFirstToken.Microseconds()) / 1000}
}

type jsonReport struct {
	Text         string         `json:"text"`
	Tokens       []uint32       `json:"tokens"`
	PromptTokens []uint32       `json:"prompt_tokens"`
	FinishReason string         `json:"finish_reason"`
	Logprobs     [][][2]any     `json:"logprobs,omitempty"`
	Chances      []chanceReport `json:"chances,omitempty"`
	Timings      timingReport   `json:"timings"`
	Plugins      []pluginReport `json:"plugins"`
	Seed         uint64         `json:"seed"`
}

func runReport(s *session, req *host.Request, res *host.Result) jsonReport {
	r := jsonReport{
		Text: res.Text, Tokens: append([]uint32{}, res.Tokens...), PromptTokens: res.Prompt, FinishReason: res.Finish,
		Timings: timings(res.Timings), Plugins: pluginReports(s.Modules()), Seed: req.Seed,
	}
	for _, step := range res.Logprobs {
		r.Logprobs = append(r.Logprobs, logprobPairs(step))
	}
	for _, step := range res.Chances {
		r.Chances = append(r.Chances, chanceReport{step.Logprob, logprobPairs(step.Top)})
	}
	return r
}

// chanceReport is what a token was picked by.
type chanceReport struct {
	Logprob float64  `json:"logprob"`
	Top     [][2]any `json:"top"`
}

func logprobPairs(step []host.Logprob) [][2]any {
	row := make([][2]any, len(step))
	for i, l := range step {
		row[i] = [2]any{l.ID, l.Logprob}
	}
	return row
}

func pluginReports(modules []*plugin.Module) []pluginReport {
	var out []pluginReport
	for _, m := range modules {
		out = append(out, pluginReport{m.Name(), m.Digest()})
	}
	return out
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
