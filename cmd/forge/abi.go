package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"forge/abi"
	"forge/abi/spec"
)

func abiCommand() *cli.Command {
	return &cli.Command{
		Name:        "abi",
		Usage:       "look at the plugin ABI, and compare two versions of it",
		Description: "  forge abi show row\n  forge abi diff abi/released/1.0-rc1.toml abi/v1.toml",
		Subcommands: []*cli.Command{
			{
				Name:      "show",
				Usage:     "print the ABI that this forge has, or one record, export, kind, enum or operation of it",
				ArgsUsage: "[NAME]",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "json", Usage: "print all of it as JSON, in one canonical form"},
					&cli.BoolFlag{Name: "toml", Usage: "print the definition itself"},
				},
				Action: abiShowAction,
			},
			{
				Name:        "diff",
				Usage:       "compare two definitions: append-only changes pass, anything else is named and the exit status is 1",
				ArgsUsage:   "OLD NEW",
				Description: "  forge abi diff abi/released/1.0-rc1.toml abi/v1.toml",
				Flags:       []cli.Flag{jsonFlag()},
				Action:      abiDiffAction,
			},
		},
	}
}

func abiShowAction(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return errors.New("name one thing of the ABI or none: forge abi show [NAME]")
	}
	if c.Bool("toml") {
		_, err := os.Stdout.Write(abi.Source())
		return err
	}
	s, err := spec.Parse("v1.toml", abi.Source())
	if err != nil {
		return err
	}
	if c.Bool("json") {
		b, err := s.JSON()
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(b)
		return err
	}
	if name := c.Args().First(); name != "" {
		if !s.Show(os.Stdout, name) {
			return fmt.Errorf("the ABI has nothing called %q; %sforge abi show lists all there is", name, suggest(name, s.Names()))
		}
		return nil
	}
	s.Text(os.Stdout)
	return nil
}

func abiDiffAction(c *cli.Context) error {
	if c.Args().Len() != 2 {
		return errors.New("name two definitions: forge abi diff OLD NEW")
	}
	var specs [2]*spec.Spec
	for i := range specs {
		path := c.Args().Get(i)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if specs[i], err = spec.Parse(path, text); err != nil {
			return err
		}
	}
	changes, breaking := spec.Diff(specs[0], specs[1]), 0
	for _, change := range changes {
		if change.Breaking {
			breaking++
		}
	}
	if c.Bool("json") {
		if changes == nil {
			changes = []spec.Change{}
		}
		if err := printJSON(map[string]any{"old": specs[0].ABI.Version(), "new": specs[1].ABI.Version(), "compatible": breaking == 0, "changes": changes}); err != nil {
			return err
		}
	} else {
		for _, change := range changes {
			fmt.Println(change)
		}
		fmt.Printf("%s to %s: %d changes, %d of them breaking\n", specs[0].ABI.Version(), specs[1].ABI.Version(), len(changes), breaking)
	}
	if breaking > 0 {
		return exitStatus(1)
	}
	return nil
}
