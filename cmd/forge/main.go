// Command forge runs GGUF language models; every tokenizer, template, sampler and architecture is a WebAssembly guest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args))
}

// run executes one command line and gives the exit status.
func run(ctx context.Context, args []string) int {
	app := newApp()
	err := app.RunContext(ctx, flagsFirst(app, args))
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintln(os.Stderr, "forge:", err)
	return 1
}

// exitStatus ends the program without a message.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprint("exit status ", int(e)) }

func newApp() *cli.App {
	app := &cli.App{
		Name:  "forge",
		Usage: "run GGUF language models, with every decision about a token in a sandboxed plugin",
		Description: "A first try:  forge run -m model.gguf -p \"Why is the sky blue?\"\n" +
			"Look at a file:  forge inspect model.gguf\n" +
			"Which plugins take part:  forge plugin list",
		Version:                   version(),
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		UseShortOptionHandling:    false,
		Commands: []*cli.Command{
			runCommand(), replayCommand(), batchCommand(), tokenizeCommand(), detokenizeCommand(), inspectCommand(),
			benchCommand(), perplexityCommand(), pluginCommand(), abiCommand(), devicesCommand(), versionCommand(), docsCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {},
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintln(os.Stderr, "forge:", noCommand(c, name))
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return noCommand(c, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		plain(c)
	}
	return app
}

func noCommand(c *cli.Context, name string) error {
	var names []string
	for _, cmd := range c.App.Commands {
		names = append(names, cmd.Name)
	}
	return fmt.Errorf("there is no command %q; %sforge --help lists them", name, suggest(name, names))
}

// dashes is a flag's name as it is typed.
func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// plain makes a command answer a wrong flag with one sentence instead of its help.
func plain(c *cli.Command) {
	c.HideHelpCommand = true
	c.OnUsageError = func(ctx *cli.Context, err error, _ bool) error {
		hint := ""
		if name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: "); unknown {
			var names []string
			for _, f := range ctx.Command.Flags {
				for _, n := range f.Names() {
					names = append(names, dashes(n))
				}
			}
			hint = suggest(dashes(strings.TrimLeft(name, "-")), names)
		}
		return fmt.Errorf("%w (%ssee forge %s --help)", err, hint, ctx.Command.Name)
	}
	for _, sub := range c.Subcommands {
		plain(sub)
	}
}

// version is the module's version and the commit it was built from.
func version() string {
	v := "devel"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version, the commit and the Go release it was built with",
		Action: func(c *cli.Context) error {
			fmt.Println("forge", version())
			return nil
		},
	}
}
