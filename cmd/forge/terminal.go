package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// bar is a progress bar on standard error; where that is no terminal it is silent.
type bar struct {
	title string
	shown bool
}

func newBar(title string) *bar { return &bar{title: title, shown: isTerminal(os.Stderr)} }

const barWidth = 24

func (b *bar) set(what string, done float64) {
	if !b.shown {
		return
	}
	full := int(done*barWidth + 0.5)
	fmt.Fprintf(os.Stderr, "\r\033[K%s [%s%s] %s", b.title, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), what)
}

func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
}

func readAll(r io.Reader, name string) (string, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return string(b), nil
}

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// counter is a progress bar, or, where the total is not known, a progress line, on standard error.
type counter struct {
	bar
	total, count, failed int
}

func newCounter(title string, total int) *counter {
	return &counter{bar: *newBar(title), total: total}
}

func (p *counter) set(done, failed int) {
	p.count, p.failed = done, failed
	switch {
	case p.total > 0:
		p.bar.set(fmt.Sprintf("%d of %d, %d with an error", done, p.total, failed), float64(done)/float64(max(done, p.total)))
	case p.shown:
		fmt.Fprintf(os.Stderr, "\r\033[K%s %d, %d of them with an error", p.title, done, failed)
	}
}

func (p *counter) done() {
	p.clear()
	note("%s %d, %d of them with an error", p.title, p.count, p.failed)
}
