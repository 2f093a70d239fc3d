package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"forge/gguf"
	"forge/host/chat"
	"forge/plugins"
)

// templateFlags choose how a dialogue becomes a prompt.
func templateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "chat-template", Usage: "use a shipped chat format by `NAME`: " + strings.Join(formatNames(), ", "), DefaultText: "the model file's own template"},
		&cli.StringFlag{Name: "chat-template-file", Usage: "use the chat template in `FILE`, a Jinja text"},
	}
}

func formatNames() []string {
	var names []string
	for name := range plugins.Formats() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// givenTemplate is the text of the template that the flags ask for, "" if they leave it to the model file.
func givenTemplate(c *cli.Context) (string, error) {
	name, file := c.String("chat-template"), c.String("chat-template-file")
	switch {
	case name != "" && file != "":
		return "", errors.New("give --chat-template or --chat-template-file, not both")
	case (name != "" || file != "") && c.Bool("raw"):
		return "", errors.New("--raw goes without a chat template: leave out one of the two")
	case c.String("system") != "" && c.Bool("raw"):
		return "", errors.New("--system is for a chat template, and --raw goes without: put the text into the prompt")
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--chat-template-file: %w", err)
		}
		if len(text) == 0 {
			return "", fmt.Errorf("--chat-template-file: %s is empty", file)
		}
		return string(text), nil
	case name != "":
		text, ok := plugins.Formats()[name]
		if !ok {
			return "", fmt.Errorf("--chat-template %q: %sforge ships %s", name, suggest(name, formatNames()), strings.Join(formatNames(), ", "))
		}
		return text, nil
	}
	return "", nil
}

// templateText is the template that a command will render with, "" for none: the given one, else the file's own.
func templateText(c *cli.Context, f *gguf.File, given string) string {
	renders := slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == "chat-template" })
	if !renders || c.Bool("raw") {
		return ""
	}
	if given != "" {
		return given
	}
	return ownTemplate(f)
}

// ownTemplate is the template in a model file, "" if it has none.
func ownTemplate(f *gguf.File) string {
	text, _, err := f.Str("tokenizer.chat_template")
	if err != nil {
		return "" // of another type than text: as good as none
	}
	return text
}

// newRenderer renders with the given template, else with the model's own one and chatml behind it.
func (s *session) newRenderer(given string) *chat.Renderer {
	opener := func(text string) chat.Opener {
		return func(ctx context.Context) (chat.Template, error) { return s.OpenTemplate(ctx, text) }
	}
	if given != "" {
		return &chat.Renderer{Open: opener(given)}
	}
	own := ownTemplate(s.File)
	if own == "" {
		return &chat.Renderer{}
	}
	return &chat.Renderer{Open: opener(own), Fallback: opener(plugins.Formats()["chatml"])}
}

// onceEach gives a function that says each notice once, however often it comes.
func onceEach() func(string) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(notice string) {
		mu.Lock()
		defer mu.Unlock()
		if notice != "" && !said[notice] {
			said[notice] = true
			note("%s", notice)
		}
	}
}
