package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"forge/host/plugin"
)

func pluginCommand() *cli.Command {
	return &cli.Command{
		Name:  "plugin",
		Usage: "look at plugins",
		Subcommands: []*cli.Command{{
			Name:   "list",
			Usage:  "list the plugin set: kinds, what each serves, digests, and the default sampler chain",
			Flags:  append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}}, pluginFlags()...),
			Action: pluginListAction,
		}},
	}
}

type pluginRow struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Version  string   `json:"version"`
	ABI      string   `json:"abi"`
	File     string   `json:"file"`
	SHA256   string   `json:"sha256"`
	Provides []string `json:"provides,omitempty"`
	Entries  []string `json:"entries,omitempty"`
}

func pluginListAction(c *cli.Context) error {
	cfg, err := pluginSet(c)
	if err != nil {
		return err
	}
	var rows []pluginRow
	for _, p := range cfg.Plugins {
		m, err := plugin.ReadManifest(p.Wasm)
		if err != nil {
			return p.Errorf("%w", err)
		}
		row := pluginRow{Name: p.Name, Kind: p.Kind, Version: m.Version, ABI: m.ABI, File: p.File, SHA256: plugin.Digest(p.Wasm), Provides: m.Provides}
		for _, e := range m.Entries {
			row.Entries = append(row.Entries, e.Name)
		}
		rows = append(rows, row)
	}
	if c.Bool("json") {
		return printJSON(map[string]any{"file": cfg.File, "plugins": rows, "chain": cfg.Chain})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tkind\tversion\tsha256\tserves")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.12s\t%s\n", r.Name, r.Kind, r.Version, r.SHA256, strings.Join(append(r.Provides, r.Entries...), " "))
	}
	fmt.Fprintf(w, "\t\t\t\t\nset\t%s\nchain\t%s\n", cfg.File, strings.Join(cfg.Chain, " > "))
	return w.Flush()
}
