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

const chatHelp = "/clear forgets the dialogue, /bye leaves, Ctrl-C stops an answer"

// talk is a dialogue on a terminal. The cache is kept between turns.
type talk struct {
	c      *cli.Context
	s      *session
	req    *host.Request
	d      *chat.Dialogue
	notice func(string)
}

// chatLoop reads turns from standard input until it ends or the user leaves.
func chatLoop(c *cli.Context, s *session, req *host.Request) error {
	if c.Bool("raw") {
		return errors.New("--raw needs a prompt: give one with -p, -f or on standard input")
	}
	if s.renderer.Open == nil {
		return chat.ErrNoTemplate
	}
	req.Session = &host.Session{}
	t := &talk{c: c, s: s, req: req, notice: onceEach()}
	t.clear()
	note(chatHelp)
	// From here on Ctrl-C belongs to the answers; at the prompt it ends the program, as it does without us.
	signal.Reset(os.Interrupt)
	in := bufio.NewReader(os.Stdin)
	for {
		fmt.Fprint(os.Stderr, ">>> ")
		line, err := in.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && line == "":
			fmt.Fprintln(os.Stderr)
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		if !t.take(strings.TrimSpace(line)) {
			return nil
		}
	}
}

// take does what a line says. It tells whether to go on.
func (t *talk) take(line string) bool {
	switch line {
	case "":
	case "/bye", "/exit", "/quit":
		return false
	case "/clear":
		t.clear()
	case "/help", "/?":
		note(chatHelp)
	default:
		t.answer(line)
	}
	return true
}

// clear begins a new dialogue.
func (t *talk) clear() {
	t.d = &chat.Dialogue{AddGenerationPrompt: true}
	if system := t.c.String("system"); system != "" {
		t.d.Messages = append(t.d.Messages, chat.Message{Role: "system", Content: system})
	}
}

// answer takes a turn of the user and gives the model's. A turn without an answer is forgotten.
func (t *talk) answer(line string) {
	before := t.d.Messages
	t.d.Messages = append(before[:len(before):len(before)], chat.Message{Role: "user", Content: line})
	ctx, stop := stoppable(t.c.Context)
	defer stop()
	res, err := t.generate(ctx)
	if err != nil {
		t.d.Messages = before
		if ctx.Err() == nil { // else it was the user's wish
			note("forge: %v", err)
		}
		return
	}
	if res.Text == "" {
		t.d.Messages = before
	} else {
		t.d.Messages = append(t.d.Messages, chat.Message{Role: "assistant", Content: res.Text})
	}
	if t.c.Bool("verbose") {
		report(t.c, t.s, res)
	}
}

// generate writes the answer to the dialogue so far.
func (t *talk) generate(ctx context.Context) (res *host.Result, err error) {
	var out answerWriter
	defer func() {
		if res != nil || out.last != 0 || ctx.Err() != nil { // a Ctrl-C leaves ^C in the line, before the first text too
			out.end()
		}
	}()
	text, notice, err := t.s.renderer.Render(ctx, t.d)
	if err != nil {
		return nil, err
	}
	t.notice(notice)
	if t.req.Prompt, err = t.s.Tokenize(ctx, text, true); err != nil {
		return nil, err
	}
	t.req.OnText = out.write
	return t.s.Generate(ctx, t.req)
}

// stoppable gives a context that the first Ctrl-C cancels. The second one ends the program.
func stoppable(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.WithoutCancel(parent), os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// answerWriter writes generated text to standard output.
type answerWriter struct{ last byte }

func (w *answerWriter) write(piece []byte) {
	if len(piece) > 0 {
		w.last = piece[len(piece)-1]
		os.Stdout.Write(piece)
	}
}

// end ends the line on a terminal, so that what follows begins on its own. Elsewhere the text is all there is.
func (w *answerWriter) end() {
	if w.last != '\n' && isTerminal(os.Stdout) {
		fmt.Println()
	}
}
