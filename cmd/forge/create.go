package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"forge/host/author"
	"forge/plugins"
)

func newPluginCommand() *cli.Command {
	return &cli.Command{
		Name:        "new",
		Usage:       "make a folder with a first plugin that builds and passes, to be changed into your own",
		ArgsUsage:   "FOLDER",
		Description: "The plugin is named as the folder. " + strings.Join(offered(), "; ") + ".",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kind", Usage: "what it will be: sampler, processor, tokenizer, constraint, router, arch or template", Value: "sampler"},
			&cli.StringFlag{Name: "lang", Usage: "what it is written in: c, rust, assemblyscript or go", Value: "c"},
		},
		Action: newPluginAction,
	}
}

// offered says what there is a start of, a language at a time.
func offered() []string {
	var out []string
	starts := author.Starts(plugins.SDK())
	for _, lang := range []string{"c", "rust", "assemblyscript", "go"} {
		out = append(out, lang+": "+strings.Join(starts[lang], ", "))
	}
	return out
}

func newPluginAction(c *cli.Context) error {
	if c.NArg() != 1 {
		return errors.New("name one folder, which is the plugin's name too (see forge plugin new --help)")
	}
	made, err := author.Create(plugins.SDK(), c.Args().First(), c.String("kind"), c.String("lang"))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%s holds a plugin of kind %s in %s. Build it, with %s:\n  cd %s && ./build.sh\nthen\n  forge plugin check %s.wasm\n  %s\n",
		made.Dir, made.Kind, made.Lang, made.Needs, made.Dir, made.Name, made.Try)
	return nil
}
