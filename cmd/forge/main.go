// Command forge runs GGUF language models; every tokenizer, template, sampler and architecture is a WebAssembly guest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"

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
		Suggest:                   true,
		Commands: []*cli.Command{
			runCommand(), batchCommand(), tokenizeCommand(), detokenizeCommand(), inspectCommand(),
			benchCommand(), perplexityCommand(), pluginCommand(), abiCommand(), devicesCommand(), versionCommand(), docsCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {},
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintf(os.Stderr, "forge: there is no command %q; forge --help lists them\n", name)
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("there is no command %q; forge --help lists them", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		plain(c)
	}
	return app
}

// plain makes a command answer a wrong flag with one sentence instead of its help.
func plain(c *cli.Command) {
	c.HideHelpCommand = true
	c.OnUsageError = func(ctx *cli.Context, err error, _ bool) error {
		return fmt.Errorf("%w (see forge %s --help)", err, ctx.Command.Name)
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
