package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"forge/host/plugin"
)

func pluginCommand() *cli.Command {
	return &cli.Command{
		Name:  "plugin",
		Usage: "look at plugins, and make them ready for use",
		Subcommands: []*cli.Command{{
			Name:   "list",
			Usage:  "list the plugin set: kinds, what each serves, digests, and the default sampler chain",
			Flags:  append([]cli.Flag{jsonFlag()}, pluginFlags()...),
			Action: pluginListAction,
		}, {
			Name:      "inspect",
			Usage:     "say what a module is, what it needs, and which settings it has, without running it",
			ArgsUsage: "FILE.wasm",
			Flags:     []cli.Flag{jsonFlag()},
			Action:    pluginInspectAction,
		}, {
			Name:        "pin",
			Usage:       "write the digests of its modules into a plugins.toml, keeping everything else",
			ArgsUsage:   "FILE.toml",
			Description: "Who pins a module trusts the file as it is now: forge will load no other.",
			Action:      pluginPinAction,
		}, {
			Name:        "stamp",
			Usage:       "write a manifest into a module, for toolchains that cannot",
			ArgsUsage:   "FILE.wasm",
			Description: "The manifest is a TOML text: name, version, kind, abi, and what abi/v1.toml says of each kind.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "manifest", Usage: "the manifest, a TOML `FILE`"},
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` instead of the module itself"},
			},
			Action: pluginStampAction,
		}, newPluginCommand(), checkModuleCommand(), benchModuleCommand(), tryCommand(), traceCommand()},
	}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// argument is the one argument of a command.
func argument(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", fmt.Errorf("name one %s (see forge plugin %s --help)", c.Command.ArgsUsage, c.Command.Name)
	}
	return c.Args().First(), nil
}

// argumentFile is the file that the one argument names, and what is in it.
func argumentFile(c *cli.Context) (file string, data []byte, err error) {
	if file, err = argument(c); err == nil {
		data, err = os.ReadFile(file)
	}
	return file, data, err
}

func pluginInspectAction(c *cli.Context) error {
	file, wasm, err := argumentFile(c)
	if err != nil {
		return err
	}
	info, err := plugin.Inspect(wasm)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if c.Bool("json") {
		return printJSON(info)
	}
	m := info.Manifest
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) { fmt.Fprintf(w, what+"\t"+format+"\n", args...) }
	list := func(what string, values []string) {
		if len(values) > 0 {
			line(what, "%s", strings.Join(values, " "))
		}
	}
	line("plugin", "%s %s, %s for ABI %s", m.Name, m.Version, m.Kind, m.ABI)
	line("sha256", "%s", info.SHA256)
	line("size", "%d bytes, %d functions, %d pages of memory at the start", info.Bytes, info.Functions, info.Pages)
	line("state", "%s", m.State)
	list("serves", m.Provides)
	list("needs", m.Grants)
	list("imports", info.Imports)
	list("exports", info.Exports)
	for _, e := range m.Entries {
		line("entry", "%s %s", e.Name, strings.Join(e.Config, " "))
	}
	for _, k := range m.Config {
		line("setting", "%s (%s%s, default %v): %s", k.Name, k.Type, k.Range(), k.Default, k.Doc)
	}
	return w.Flush()
}

func pluginPinAction(c *cli.Context) error {
	file, data, err := argumentFile(c)
	if err != nil {
		return err
	}
	text, changed, err := plugin.Pin(file, data, pluginFiles(file))
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		fmt.Println("every digest is right")
		return nil
	}
	if err := replaceFile(file, text); err != nil {
		return err
	}
	for _, p := range changed {
		fmt.Printf("%s: %s now has sha256 %s\n", p.Name, p.File, p.New)
	}
	return nil
}

func pluginStampAction(c *cli.Context) error {
	file, wasm, err := argumentFile(c)
	if err != nil {
		return err
	}
	if c.String("manifest") == "" {
		return errors.New("name the manifest with --manifest FILE.toml (see forge plugin stamp --help)")
	}
	manifest, err := os.ReadFile(c.String("manifest"))
	if err != nil {
		return err
	}
	stamped, err := plugin.Stamp(wasm, manifest)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	out := c.String("output")
	if out == "" {
		out = file
	}
	return replaceFile(out, stamped)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".forge-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
