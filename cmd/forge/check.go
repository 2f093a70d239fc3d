package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"forge/gguf"
	"forge/host/author"
	"forge/host/plugin"
	"forge/plugins"
)

func checkModuleCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "hold a module of any kind to everything that forge wants of it, and say what to mend",
		Description: "Static checks, inputs of every shape, both engines, independence, what the kind promises, leaks, a hostile host,\n" +
			"random inputs. What a kind needs of a model is made here: a vocabulary, a template, a tiny model; -m adds a real one.\n" +
			"The exit status is 1 if a check fails.",
		ArgsUsage: "FILE.wasm",
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "a GGUF `FILE` whose vocabulary, template or tensors are tried too"},
			&cli.StringSliceFlag{Name: "set", Usage: "a setting of the module, `KEY=VALUE`; may be given many times"},
			&cli.StringFlag{Name: "only", Usage: "make these checks alone, their `NAMES` with commas between; static and shapes always are"},
			&cli.StringFlag{Name: "golden", Usage: "compare outcomes with those in `FILE`"},
			&cli.StringFlag{Name: "record", Usage: "write the outcomes to `FILE`, to compare with later"},
			&cli.IntFlag{Name: "fuzz", Usage: "random inputs, for each entry or vocabulary", Value: 200},
			&cli.Uint64Flag{Name: "seed", Usage: "of the random inputs"},
			&cli.Int64Flag{Name: "fuel", Usage: "limits.fuel that the module will have in plugins.toml", Value: 1},
			&cli.UintFlag{Name: "pages", Usage: "limits.pages that the module will have in plugins.toml, 0: its kind's"},
		},
		Action: checkModuleAction,
	}
}

func checkModuleAction(c *cli.Context) error {
	_, wasm, err := argumentFile(c)
	if err != nil {
		return err
	}
	opt, closeModel, err := checkOptions(c)
	if err != nil {
		return err
	}
	defer closeModel()
	if only := c.String("only"); only != "" {
		opt.Only = strings.Split(only, ",")
		if err := knownChecks(wasm, opt.Only); err != nil {
			return err
		}
	}
	report := author.Check(c.Context, wasm, *opt)
	if path := c.String("record"); path != "" && report.OK() {
		if err := author.WriteGolden(path, report.Golden); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		err = printJSON(report)
	} else {
		err = printReport(report)
	}
	if err == nil && !report.OK() {
		err = exitStatus(1)
	}
	return err
}

// knownChecks says which of the names is no check of a module's kind.
func knownChecks(wasm []byte, names []string) error {
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		return err
	}
	checks := author.Checks(m.Kind)
	for _, name := range names {
		if !slices.Contains(checks, name) {
			return fmt.Errorf("--only %q: a %s has the checks %s", name, m.Kind, strings.Join(checks, ", "))
		}
	}
	return nil
}

// checkOptions are those of the flags, with what forge ships beside the module.
func checkOptions(c *cli.Context) (opt *author.CheckOptions, done func(), err error) {
	opt = &author.CheckOptions{
		Fuzz: max(1, c.Int("fuzz")), Seed: c.Uint64("seed"), CacheDir: pluginCache(),
		Limits: plugin.Limits{Fuel: max(1, c.Int64("fuel")), Pages: uint32(c.Uint("pages"))},
	}
	set, err := plugin.ParseConfig("default.toml", plugins.Default(), pluginFiles(""))
	if err != nil {
		return nil, nil, err
	}
	opt.Beside = set.Plugins
	if opt.Settings, err = setFlags(c); err != nil {
		return nil, nil, err
	}
	if path := c.String("golden"); path != "" {
		if opt.Golden, err = author.ReadGolden(path); err != nil {
			return nil, nil, err
		}
	}
	done = func() {}
	if path := c.String("model"); path != "" {
		if opt.Model, err = gguf.Open(path); err != nil {
			return nil, nil, err
		}
		done = func() { opt.Model.Close() }
	}
	return opt, done, nil
}

// printReport prints findings one a line; under one that failed stands what it failed on.
func printReport(report *author.Report) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range report.Findings {
		verdict := "ok"
		if !f.OK {
			verdict = "FAILED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, f.Check, f.Detail)
	}
	return w.Flush()
}
