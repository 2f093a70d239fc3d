package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with forge on it.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	ended  chan struct{}

	mu     sync.Mutex
	shown  strings.Builder
	seen   int // how much of it waits have passed
	change chan struct{}
}

// onTerminal starts forge with a terminal for standard input, output and error.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here:", err)
	}
	unlock := 0
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, unlock); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FORGE_BE_FORGE=1", "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	// A session of its own, whose terminal this is: so that Ctrl-C reaches forge and nobody else.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, master: master, cmd: cmd, ended: make(chan struct{}), change: make(chan struct{}, 1)}
	go x.read()
	go func() {
		cmd.Wait()
		close(x.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-x.ended
		master.Close()
	})
	return x
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.master.Read(buf)
		x.mu.Lock()
		x.shown.Write(buf[:n])
		x.mu.Unlock()
		select {
		case x.change <- struct{}{}:
		default:
		}
		if err != nil {
			return // the other side is closed
		}
	}
}

func (x *terminal) rest() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()[x.seen:]
}

const terminalPatience = 60 * time.Second

// wait gives what is shown from the last wait on up to the end of a pattern's match.
func (x *terminal) wait(pattern string) string {
	x.t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(terminalPatience)
	for {
		rest := x.rest()
		if at := re.FindStringIndex(rest); at != nil {
			x.mu.Lock()
			x.seen += at[1]
			x.mu.Unlock()
			return rest[:at[1]]
		}
		select {
		case <-x.change:
		case <-late:
			x.t.Fatalf("%q is not shown, but %q", pattern, rest)
		}
	}
}

func (x *terminal) typed(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.master, keys); err != nil {
		x.t.Fatal(err)
	}
}

// end waits until forge has ended and gives how.
func (x *terminal) end() syscall.WaitStatus {
	x.t.Helper()
	select {
	case <-x.ended:
	case <-time.After(terminalPatience):
		x.t.Fatalf("forge goes on: %q", x.rest())
	}
	return x.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

const (
	ctrlC  = "\x03"
	ctrlD  = "\x04"
	prompt = `(^|\n|\x1b\[K)>>> $`
)

// dialogueTeller is a template that makes the dialogue seen: it refuses it with a sentence that has all turns in it.
const dialogueTeller = "{{ raise_exception('so far: ' ~ messages|map(attribute='role')|join('+') ~ ': ' ~ messages[0].content ~ ' to ' ~ messages[-1].content) }}"

// Ensure that the dialogue keeps its turns, forgets them at /clear, and ends at /bye.
func TestChatLoop(t *testing.T) {
	x := onTerminal(t, "run", "-m", withTemplate(t, dialogueTeller), "-n", "6", "--temp", "0", "--system", "Be kind.")
	x.wait(`/clear forgets the dialogue, /bye leaves, Ctrl-C stops an answer\r\n>>> $`)
	x.typed("One\n")
	x.wait(`so far: system\+user: Be kind. to One\)`)
	answer := x.wait(prompt)
	if !regexp.MustCompile(`\r\n[^\r\n]+\r\n>>> $`).MatchString(answer) {
		t.Errorf("no answer on lines of its own: %q", answer)
	}
	x.typed("Two\n")
	x.wait(`so far: system\+user\+assistant\+user: Be kind. to Two\)`)
	x.wait(prompt)
	x.typed("/clear\n")
	x.wait(prompt)
	x.typed("Three\n")
	x.wait(`so far: system\+user: Be kind. to Three\)`)
	x.wait(prompt)
	x.typed("\n")
	x.wait(prompt)
	x.typed("/help\n")
	x.wait(`/bye leaves`)
	x.wait(prompt)
	x.typed("/bye\n")
	if s := x.end(); s.ExitStatus() != 0 {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

// Ensure that Ctrl-C stops an answer and not the program, that the turn is kept, and that at the prompt it leaves.
func TestChatLoop_Interrupt(t *testing.T) {
	const told = "{% if messages|length > 1 %}{{ raise_exception('so far: ' ~ messages|map(attribute='role')|join('+')) }}{% endif %}{{ messages[0].content }}"
	x := onTerminal(t, "run", "-m", withTemplate(t, told), "--temp", "0", "--ignore-eos", "-c", "60000")
	x.wait(prompt)
	x.typed("Once upon a time\n")
	x.wait(`Once upon a time\r\n[^>]{40}`)
	x.typed(ctrlC)
	x.wait(prompt)
	x.typed("Two\n")
	x.wait(`so far: user\+assistant\+user`)
	x.typed(ctrlC)
	x.wait(prompt)
	x.typed("half a line" + ctrlC)
	if s := x.end(); !s.Signaled() || s.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", s)
	}
}

// Ensure that the end of input leaves.
func TestChatLoop_EndOfInput(t *testing.T) {
	x := onTerminal(t, "run", "-m", withTemplate(t, dialogueTeller), "-n", "2")
	x.wait(prompt)
	x.typed(ctrlD)
	if s := x.end(); s.ExitStatus() != 0 {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

// Ensure that a dialogue without a template asks for the flag, and with it takes place.
func TestChatLoop_NoTemplate(t *testing.T) {
	x := onTerminal(t, "run", "-m", storiesFile)
	x.wait(`forge: the model file has no chat template: name a shipped format with --chat-template \(forge run --help lists them\), or continue raw text with --raw\r\n`)
	if s := x.end(); s.ExitStatus() != 1 {
		t.Errorf("exit status %d", s.ExitStatus())
	}
	x = onTerminal(t, "run", "-m", storiesFile, "--chat-template", "chatml", "-n", "3")
	x.wait(prompt)
	x.typed("Hi\n")
	x.wait(prompt)
	x.typed("/bye\n")
	x.end()
	x = onTerminal(t, "run", "-m", storiesFile, "--raw")
	x.wait(`forge: --raw needs a prompt`)
}

// Ensure that on a terminal the line of timings begins on its own, that no progress is left, and that Ctrl-C ends a single
// answer with status 130.
func TestRun_OnTerminal(t *testing.T) {
	x := onTerminal(t, "run", "-m", storiesFile, "-p", "Once", "--raw", "-n", "9", "--temp", "0")
	x.end()
	x.wait(`\x1b\[K[^\r\n\x1b]*\r\nprompt \d+ tokens, .* tokens/s; .*; length\r\n$`)
	x = onTerminal(t, "run", "-m", storiesFile, "-p", "Once", "--raw", "--ignore-eos", "-c", "60000")
	x.wait(`\x1b\[K upon a time, there`)
	x.typed(ctrlC)
	x.wait(`\r\nprompt \d+ tokens, .* tokens/s; .*; cancelled\r\n`)
	if s := x.end(); s.ExitStatus() != 130 {
		t.Errorf("it ended with %v", s)
	}
}
