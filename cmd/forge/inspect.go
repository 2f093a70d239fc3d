package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"forge/gguf"
	"forge/host"
	"forge/host/model"
	"forge/host/plugin"
	"forge/kernels"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect",
		Usage:       "say what is in a GGUF file and whether forge can run it",
		ArgsUsage:   "FILE",
		Description: "  forge inspect model.gguf\n  forge inspect model.gguf --program",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
			&cli.BoolFlag{Name: "tensors", Usage: "list the tensors"},
			&cli.BoolFlag{Name: "program", Usage: "list the program that the architecture plugin makes"},
			&cli.IntFlag{Name: "ctx-size", Aliases: []string{"c"}, Usage: "context size for the memory figure", Value: host.DefaultNCtx},
		}, pluginFlags()...),
		Action: inspectAction,
	}
}

type tensorReport struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []uint64 `json:"shape"`
	Bytes int      `json:"bytes"`
}

type inspectReport struct {
	File         string            `json:"file"`
	Version      uint32            `json:"gguf_version"`
	Architecture string            `json:"architecture"`
	Bytes        int64             `json:"bytes"`
	Parameters   uint64            `json:"parameters"`
	Types        map[string]int    `json:"tensor_types"`
	Metadata     map[string]any    `json:"metadata"`
	Tensors      []tensorReport    `json:"tensors,omitempty"`
	KVBytes      int               `json:"kv_bytes_f16"`
	Verdict      map[string]string `json:"verdict"`
}

func inspectAction(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return errors.New("name one GGUF file: forge inspect FILE")
	}
	path := c.Args().First()
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	cfg, err := pluginSet(c)
	if err != nil {
		return err
	}
	rt, err := newRuntime(c)
	if err != nil {
		return err
	}
	defer rt.Close(context.WithoutCancel(c.Context))
	prog, progErr := host.BuildProgram(c.Context, f, rt, cfg, c.Int("ctx-size"), nil)
	if c.Bool("program") {
		if progErr != nil {
			return progErr
		}
		return prog.Listing(os.Stdout)
	}
	r := inspectReport{File: path, Version: f.Version, Types: map[string]int{}, Metadata: map[string]any{}, Verdict: map[string]string{}}
	r.Architecture, _ = model.Architecture(f)
	if info, err := os.Stat(path); err == nil {
		r.Bytes = info.Size()
	}
	for _, t := range f.Tensors {
		r.Types[t.Type.String()]++
		r.Parameters += t.Elems()
		if c.Bool("tensors") {
			r.Tensors = append(r.Tensors, tensorReport{t.Name, t.Type.String(), rowMajor(t.Dims), len(t.Data())})
		}
	}
	for _, key := range f.Keys {
		v, _ := f.Get(key)
		r.Metadata[key] = v.String()
	}
	r.Verdict["architecture"] = verdict(progErr)
	if prog != nil {
		r.KVBytes = kvBytes(prog, c.Int("ctx-size"))
	}
	r.Verdict["tokenizer"] = verdict(tokenizerError(c, f, rt, cfg))
	if c.Bool("json") {
		return printJSON(r)
	}
	return printInspect(c, f, r)
}

func verdict(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func tokenizerError(c *cli.Context, f *gguf.File, rt *plugin.Runtime, cfg *plugin.Config) error {
	v, err := model.ReadVocab(f)
	if err != nil {
		return err
	}
	_, err = host.OpenTokenizer(c.Context, f, v, rt, cfg)
	return err
}

// kvBytes is what one sequence's keys and values take in F16 at a context size.
func kvBytes(p *kernels.Program, nCtx int) int {
	total := 0
	for _, g := range p.Groups {
		n := nCtx
		if g.Window > 0 {
			n = min(n, g.Window+kernels.PageSize)
		}
		total += n * (g.WidthK + g.WidthV) * 2 * len(g.Layers)
	}
	return total
}

func rowMajor(dims []uint64) []uint64 {
	out := make([]uint64, len(dims))
	for i, d := range dims {
		out[len(dims)-1-i] = d
	}
	return out
}

func printInspect(c *cli.Context, f *gguf.File, r inspectReport) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	var types []string
	for t, n := range r.Types {
		types = append(types, fmt.Sprintf("%d %s", n, t))
	}
	sort.Strings(types)
	fmt.Fprintf(w, "file\t%s, GGUF version %d, %s\n", r.File, r.Version, mib(r.Bytes))
	fmt.Fprintf(w, "architecture\t%s\n", r.Architecture)
	fmt.Fprintf(w, "parameters\t%.1f million in %d tensors: %s\n", float64(r.Parameters)/1e6, len(f.Tensors), strings.Join(types, ", "))
	fmt.Fprintf(w, "memory\tthe file, mapped, and %s of keys and values at %d tokens of context\n", mib(int64(r.KVBytes)), c.Int("ctx-size"))
	fmt.Fprintf(w, "architecture plugin\t%s\n", r.Verdict["architecture"])
	fmt.Fprintf(w, "tokenizer plugin\t%s\n", r.Verdict["tokenizer"])
	fmt.Fprintf(w, "\t\n")
	for _, key := range f.Keys {
		fmt.Fprintf(w, "%s\t%v\n", key, r.Metadata[key])
	}
	if len(r.Tensors) > 0 {
		fmt.Fprintf(w, "\t\n")
	}
	for _, t := range r.Tensors {
		fmt.Fprintf(w, "%s\t%s %v\n", t.Name, t.Type, t.Shape)
	}
	return w.Flush()
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
