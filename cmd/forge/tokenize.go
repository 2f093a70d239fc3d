package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"forge/gguf"
	"forge/host"
	"forge/host/model"
	"forge/host/plugin"
)

func tokenizeCommand() *cli.Command {
	return &cli.Command{
		Name:        "tokenize",
		Usage:       "print the token ids of a text",
		Description: "  forge tokenize -m model.gguf -p \"Hello\" --json",
		Flags: append([]cli.Flag{
			modelFlag,
			&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Usage: "the `TEXT`"},
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read the text from a `FILE`; -: standard input"},
			&cli.BoolFlag{Name: "no-bos", Usage: "do not add the tokens that begin and end a text"},
			&cli.BoolFlag{Name: "no-parse-special", Usage: "take texts like <|im_end|> as plain text"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON array"},
		}, pluginFlags()...),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			text, given, err := promptText(c)
			if err != nil {
				return err
			}
			if !given {
				return errors.New("no text: give one with -p, -f or on standard input")
			}
			return withTokenizer(c, func(t *plugin.Tokenizer, v *model.Vocab) error {
				ids, err := host.Tokenize(c.Context, t, v, text, !c.Bool("no-bos"), !c.Bool("no-parse-special"))
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return printJSON(append([]uint32{}, ids...))
				}
				var line strings.Builder
				for i, id := range ids {
					if i > 0 {
						line.WriteByte(' ')
					}
					line.WriteString(strconv.Itoa(int(id)))
				}
				fmt.Println(line.String())
				return nil
			})
		},
	}
}

func detokenizeCommand() *cli.Command {
	return &cli.Command{
		Name:        "detokenize",
		Usage:       "print the text of token ids",
		ArgsUsage:   "[ID...]",
		Description: "  forge detokenize -m model.gguf 504 1463 282\n  forge tokenize -m model.gguf -p \"Hello\" | forge detokenize -m model.gguf",
		Flags: append([]cli.Flag{
			modelFlag,
			&cli.BoolFlag{Name: "skip-special", Usage: "leave control tokens out"},
		}, pluginFlags()...),
		Action: func(c *cli.Context) error {
			text := strings.Join(c.Args().Slice(), " ")
			if !c.Args().Present() {
				var err error
				if text, err = readAll(os.Stdin, "standard input"); err != nil {
					return err
				}
			}
			ids, err := parseIDs(text)
			if err != nil {
				return err
			}
			return withTokenizer(c, func(t *plugin.Tokenizer, v *model.Vocab) error {
				for _, id := range ids {
					if int(id) >= v.N {
						return fmt.Errorf("token id %d is not in the vocabulary of %d tokens", id, v.N)
					}
				}
				out, err := host.Detokenize(c.Context, t, ids, c.Bool("skip-special"))
				if err != nil {
					return err
				}
				_, err = os.Stdout.Write(out)
				return err
			})
		},
	}
}

// parseIDs takes numbers between blanks or a JSON array.
func parseIDs(text string) ([]uint32, error) {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		var ids []uint32
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, fmt.Errorf("the ids are no JSON array of token ids: %w", err)
		}
		return ids, nil
	}
	var ids []uint32
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' || r == '\r' }) {
		id, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a token id", f)
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}

// withTokenizer opens the model's tokenizer and nothing else.
func withTokenizer(c *cli.Context, f func(*plugin.Tokenizer, *model.Vocab) error) error {
	path, err := requireModel(c)
	if err != nil {
		return err
	}
	file, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	v, err := model.ReadVocab(file)
	if err != nil {
		return err
	}
	cfg, err := pluginSet(c)
	if err != nil {
		return err
	}
	rt, err := newRuntime(c)
	if err != nil {
		return err
	}
	defer rt.Close(context.WithoutCancel(c.Context))
	t, err := host.OpenTokenizer(c.Context, file, v, rt, cfg)
	if err != nil {
		return err
	}
	return f(t, v)
}
