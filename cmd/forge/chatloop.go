package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/urfave/cli/v2"

	"forge/host"
	"forge/host/chat"
)

func notifyInterrupt(parent context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(parent, os.Interrupt)
}

// chatLoop is the dialogue on a terminal. The cache is kept between turns.
func chatLoop(c *cli.Context, s *session, req *host.Request) error {
	if c.Bool("raw") {
		return errors.New("--raw needs a prompt: give one with -p, -f or on standard input")
	}
	if s.renderer.Open == nil {
		return chat.ErrNoTemplate
	}
	note("/clear forgets the dialogue, /bye leaves, Ctrl-C stops an answer")
	// From here on Ctrl-C belongs to the answers.
	signal.Reset(os.Interrupt)
	start := func() *chat.Dialogue {
		d := chat.Prompt(c.String("system"), "")
		d.Messages = d.Messages[:len(d.Messages)-1]
		return d
	}
	d := start()
	req.Session = &host.Session{}
	in := bufio.NewReader(os.Stdin)
	for {
		fmt.Fprint(os.Stderr, ">>> ")
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			fmt.Fprintln(os.Stderr)
			return nil
		} else if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		switch line = strings.TrimSpace(line); line {
		case "":
			continue
		case "/bye", "/exit", "/quit":
			return nil
		case "/clear":
			d = start()
			continue
		case "/help", "/?":
			note("/clear forgets the dialogue, /bye leaves, Ctrl-C stops an answer")
			continue
		}
		d.Messages = append(d.Messages, chat.Message{Role: "user", Content: line})
		answer, err := turn(c, s, req, d)
		if err != nil {
			note("forge: %v", err)
			d.Messages = d.Messages[:len(d.Messages)-1]
			continue
		}
		d.Messages = append(d.Messages, chat.Message{Role: "assistant", Content: answer})
	}
}

// turn generates one answer.
func turn(c *cli.Context, s *session, req *host.Request, d *chat.Dialogue) (string, error) {
	ctx, stop := stoppable(c.Context)
	defer stop()
	text, notice, err := s.renderer.Render(ctx, d)
	if err != nil {
		return "", err
	}
	if notice != "" {
		note("%s", notice)
	}
	if req.Prompt, err = s.Tokenize(ctx, text, true); err != nil {
		return "", err
	}
	req.OnText = func(piece []byte) { os.Stdout.Write(piece) }
	res, err := s.Generate(ctx, req)
	if err != nil {
		return "", err
	}
	fmt.Println()
	if c.Bool("verbose") {
		report(c, s, res)
	}
	return res.Text, nil
}
