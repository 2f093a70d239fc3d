package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"forge/host"
	"forge/host/author"
	"forge/host/plugin"
)

func traceCommand() *cli.Command {
	return &cli.Command{
		Name:  "trace",
		Usage: "generate, and show for each token the candidates before and after each plugin",
		Flags: append(append(append(promptFlags(),
			&cli.StringFlag{Name: "html", Usage: "write one page to look at to `FILE` instead of text to standard output"},
			topFlag(),
		), engineFlags()...), append(constraintFlags(), samplingFlags()...)...),
		Action: traceAction,
	}
}

func topFlag() cli.Flag {
	return &cli.IntFlag{Name: "top", Usage: "candidates to show of each table", Value: 5}
}

func traceAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	prompt, given, err := promptText(c)
	if err != nil {
		return err
	}
	if !given {
		return errors.New("a trace needs a prompt: give one with -p, -f or on standard input")
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
	if req.Prompt, err = promptIDs(c, s, prompt); err != nil {
		return err
	}
	trace := author.NewTrace(max(1, c.Int("top")), func(id uint32) string {
		text, err := s.Piece(c.Context, id)
		if err != nil {
			return strconv.Itoa(int(id))
		}
		return text
	})
	req.OnLogits, req.Observe = trace.Row, trace.Observe
	if _, err = s.Generate(c.Context, req); err != nil {
		return err
	}
	return writeTrace(c, trace, "Trace of "+filepath.Base(c.String("model")))
}

func writeTrace(c *cli.Context, trace *author.Trace, title string) error {
	path := c.String("html")
	if path == "" {
		return trace.WriteText(os.Stdout)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(trace.WriteHTML(f, title), f.Close())
}

// saveLogits has a request's rows written to the file of --save-logits; done completes it.
func saveLogits(c *cli.Context, req *host.Request) (done func() error, err error) {
	path := c.String("save-logits")
	if path == "" {
		return func() error { return nil }, nil
	}
	w, err := author.NewRowWriter(path)
	if err != nil {
		return nil, err
	}
	var failed error
	req.OnLogits = func(row []float32) { failed = errors.Join(failed, w.Write(row)) }
	return func() error { return errors.Join(failed, w.Close()) }, nil
}

func tryCommand() *cli.Command {
	return &cli.Command{
		Name:  "try",
		Usage: "send saved logits through a sampler and show what it does; no model is needed",
		Description: "The rows are of forge run --save-logits, or of numpy.save. The chain is the module's own entries in its manifest's\n" +
			"order, unless --samplers gives another, which may name shipped entries too; it is ended with dist if need be.",
		ArgsUsage: "FILE.wasm",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "logits", Usage: "the rows, a NumPy array `FILE` of float32 [rows, vocabulary]"},
			&cli.StringFlag{Name: "html", Usage: "write one page to look at to `FILE` instead of text to standard output"},
			topFlag(),
		}, samplingFlags()...),
		Action: tryAction,
	}
}

func tryAction(c *cli.Context) error {
	file, err := argument(c)
	if err != nil {
		return err
	}
	if c.String("logits") == "" {
		return errors.New("name the rows with --logits FILE.npy: forge run --save-logits writes them")
	}
	rows, err := author.ReadRows(c.String("logits"))
	if err != nil {
		return err
	}
	mods, rt, err := openModule(c, file)
	if err != nil {
		return err
	}
	defer rt.Close(c.Context)
	chain, err := moduleChain(c, rt, mods, len(rows[0]))
	if err != nil {
		return err
	}
	defer chain.Close()
	set, err := settings(c)
	if err != nil {
		return err
	}
	params, err := chain.Params(set)
	if err != nil {
		return err
	}
	trace := author.NewTrace(max(1, c.Int("top")), func(id uint32) string { return strconv.Itoa(int(id)) })
	chain.Observe(trace.Observe)
	if err := chain.Begin(c.Context, 1, params); err != nil {
		return err
	}
	draw, history := uint64(0), []uint32{}
	seed := uint64(max(0, c.Int64("seed")))
	for i, logits := range rows {
		trace.Row(logits)
		row := plugin.Row{Logits: logits, Seq: 1, Seed: seed, Draw: &draw, Pos: i, History: history, Params: params}
		id, err := chain.Sample(c.Context, &row)
		if err != nil {
			return fmt.Errorf("row %d: %w", i+1, err)
		}
		if id == plugin.Stop {
			continue
		}
		history = append(history, uint32(id))
		if err := chain.Accept(c.Context, 1, uint32(id)); err != nil {
			return fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	return writeTrace(c, trace, "Saved logits through "+filepath.Base(file))
}

// openModule loads a module of the kinds that work on logits, the first of those returned, with the plugin set's beside it.
func openModule(c *cli.Context, file string) ([]*plugin.Module, *plugin.Runtime, error) {
	cfg, err := pluginSet(c)
	if err != nil {
		return nil, nil, err
	}
	if err := addPlugin(cfg, file); err != nil {
		return nil, nil, err
	}
	if kind := cfg.Plugins[0].Kind; kind != "sampler" && kind != "processor" {
		return nil, nil, fmt.Errorf("%s is a %s: only samplers and processors work on logits", file, kind)
	}
	rt, err := newRuntime(c)
	if err != nil {
		return nil, nil, err
	}
	var mods []*plugin.Module
	for _, spec := range cfg.Plugins {
		if spec.Kind != "sampler" && spec.Kind != "processor" {
			continue
		}
		m, err := rt.Load(c.Context, spec)
		if err != nil {
			rt.Close(c.Context)
			return nil, nil, err
		}
		mods = append(mods, m)
	}
	return mods, rt, nil
}

// moduleChain opens a chain of the first module's entries, or the one of --samplers.
func moduleChain(c *cli.Context, rt *plugin.Runtime, mods []*plugin.Module, nVocab int) (*plugin.Chain, error) {
	names := samplerNames(c)
	if names == nil {
		for _, e := range mods[0].Manifest().Entries {
			names = append(names, mods[0].Name()+"."+e.Name)
		}
		names = append(names, "dist")
	}
	entries, err := plugin.Resolve(mods, names)
	if err != nil {
		return nil, err
	}
	return rt.NewChain(c.Context, entries, nVocab, plugin.WithVocab(author.NumberedVocab(nVocab)))
}

func benchModuleCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "time what a module does, beside the shipped one that does the same",
		Description: "Samplers and processors are timed by entry, on rows that stand for a model's: one peaked, one of the normal distribution;\n" +
			"--logits takes real ones. The other kinds do a few pieces of their work, on what check tries them on, or on a model's\n" +
			"vocabulary, template or tensors with -m. Times are medians, fuel is in the ABI's units, bytes are what is moved into and\n" +
			"out of the module's memory.",
		ArgsUsage: "FILE.wasm",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "vocab", Usage: "logits of a row", Value: 131072},
			&cli.StringFlag{Name: "logits", Usage: "rows of forge run --save-logits, a NumPy array `FILE`; its first 8 are used"},
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "kinds without rows: a GGUF `FILE` whose vocabulary, template or tensors are used"},
			&cli.IntFlag{Name: "rounds", Usage: "calls of each entry", Value: 200},
			jsonFlag(),
		}, samplingFlags()...),
		Action: benchModuleAction,
	}
}

func benchModuleAction(c *cli.Context) error {
	file, wasm, err := argumentFile(c)
	if err != nil {
		return err
	}
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if m.Kind != "sampler" && m.Kind != "processor" {
		return benchWork(c, wasm)
	}
	if n := c.Int("vocab"); n < 1 || n > 1<<22 {
		return fmt.Errorf("--vocab %d: give a number of logits from 1 to %d", n, 1<<22)
	}
	rows := author.BenchRows(c.Int("vocab"))
	if path := c.String("logits"); path != "" {
		saved, err := author.ReadRows(path)
		if err != nil {
			return err
		}
		rows = rows[:0]
		for i, l := range saved[:min(8, len(saved))] {
			rows = append(rows, author.BenchRow{Name: "row " + strconv.Itoa(i+1), Logits: l})
		}
	}
	mods, rt, err := openModule(c, file)
	if err != nil {
		return err
	}
	defer rt.Close(c.Context)
	last, err := plugin.Resolve(mods[1:], []string{"dist"})
	if err != nil {
		return err
	}
	var entries []plugin.ChainEntry
	for _, e := range mods[0].Manifest().Entries {
		entries = append(entries, plugin.ChainEntry{Module: mods[0], Entry: e.Name})
		if shipped, err := plugin.Resolve(mods[1:], []string{e.Name}); err == nil {
			entries = append(entries, shipped...)
		}
	}
	set, err := settings(c)
	if err != nil {
		return err
	}
	times, err := author.Bench(c.Context, rt, entries, last[0], rows, max(2, c.Int("rounds")), set)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(times)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "entry\trows\tµs\tfuel\tbytes\tcandidates")
	for _, t := range times {
		fmt.Fprintln(w, t)
	}
	return w.Flush()
}

// benchWork times a module of the kinds that do not work on rows.
func benchWork(c *cli.Context, wasm []byte) error {
	opt, closeModel, err := checkOptions(c)
	if err != nil {
		return err
	}
	defer closeModel()
	times, err := author.BenchWork(c.Context, wasm, *opt, max(2, c.Int("rounds")))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(times)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "work\tplugin\tµs\tfuel\tbytes in\tbytes out\t")
	for _, t := range times {
		fmt.Fprintln(w, t)
	}
	return w.Flush()
}
