package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"
)

// constraintFlags hold an answer to a form.
func constraintFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "grammar", Usage: "hold the answer to a grammar, a GBNF `TEXT` as llama.cpp has it"},
		&cli.StringFlag{Name: "grammar-file", Usage: "a grammar from a `FILE`"},
		&cli.StringFlag{Name: "json-schema", Aliases: []string{"j"}, Usage: "hold the answer to a JSON `SCHEMA`; {}: any JSON value"},
		&cli.StringFlag{Name: "json-schema-file", Aliases: []string{"jf"}, Usage: "a schema from a `FILE`"},
		&cli.StringFlag{Name: "regex", Usage: "hold the whole answer to a regular `EXPRESSION`"},
		&cli.StringSliceFlag{Name: "choice", Usage: "answer with this `TEXT` or another --choice; may be given several times"},
		&cli.StringSliceFlag{Name: "banned-string", Usage: "a `TEXT` that does not occur in the answer, whether in capital or small letters: it is taken back where it begins; may be given several times"},
		&cli.StringSliceFlag{Name: "constraint", Usage: "a plugin of kind constraint by `NAME`; --set gives its settings; may be given several times"},
	}
}

// constraints gathers what the flags hold an answer to.
func constraints(c *cli.Context) (map[string]any, error) {
	set, from := map[string]any{}, ""
	one := func(flag, key, text string) error {
		if from != "" {
			return fmt.Errorf("--%s and --%s both say what the answer looks like: give one", from, flag)
		}
		from, set[key] = flag, text
		return nil
	}
	for _, f := range []struct {
		flag, key string
		file      bool
	}{{"grammar", "grammar", false}, {"grammar-file", "grammar", true}, {"json-schema", "json_schema", false}, {"json-schema-file", "json_schema", true}, {"regex", "regex", false}} {
		if !c.IsSet(f.flag) {
			continue
		}
		text := c.String(f.flag)
		if f.file {
			var err error
			if text, err = readText(text); err != nil {
				return nil, fmt.Errorf("--%s: %w", f.flag, err)
			}
		}
		if text == "" {
			return nil, fmt.Errorf("--%s is empty", f.flag)
		}
		if err := one(f.flag, f.key, text); err != nil {
			return nil, err
		}
	}
	if list := c.StringSlice("choice"); len(list) > 0 {
		if err := one("choice", "choice", textList(list)); err != nil {
			return nil, err
		}
	}
	if list := c.StringSlice("banned-string"); len(list) > 0 {
		set["banned_strings"] = textList(list)
	}
	return set, nil
}

// textList is a list of texts as settings have it: a JSON array.
func textList(list []string) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts always marshal
	}
	return string(b)
}
