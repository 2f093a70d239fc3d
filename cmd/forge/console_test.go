package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A page's commands are tested as a reader types them: in a folder that has what a clone has, one after the other.
type console struct {
	t        *testing.T
	dir      string
	env      []string
	commands int
}

// newConsole makes the folder: forge as bin/forge, and links to what the tree has under these names.
func newConsole(t *testing.T, names ...string) *console {
	t.Helper()
	c := &console{t: t, dir: t.TempDir()}
	c.env = append(os.Environ(), "FORGE_BE_FORGE=1", "XDG_CONFIG_HOME="+c.dir, "PWD="+c.dir)
	if err := os.Mkdir(filepath.Join(c.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.link("bin/forge", os.Args[0])
	for _, name := range names {
		c.link(name, root(name))
	}
	return c
}

func (c *console) link(name, target string) {
	c.t.Helper()
	if err := os.Symlink(absolute(c.t, target), filepath.Join(c.dir, name)); err != nil {
		c.t.Fatal(err)
	}
}

var (
	fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	into  = regexp.MustCompile("(?s)into `([^`]+)`:\n\n$")
)

// follow does what a text says: every "$ " line of a console block is run, and its standard output must be the lines that follow
// (a line ... stands for any lines, ... within a line for anything); a block after "into `FILE`:" is written to that file.
func (c *console) follow(text string) {
	c.t.Helper()
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		language, block := text[at[2]:at[3]], text[at[4]:at[5]]
		if file := into.FindStringSubmatch(text[:at[0]]); file != nil {
			if err := os.WriteFile(filepath.Join(c.dir, file[1]), []byte(block), 0o644); err != nil {
				c.t.Fatal(err)
			}
		} else if language == "console" {
			for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
				command, want, _ := strings.Cut(part, "\n")
				c.run(command, want)
			}
		}
	}
}

func (c *console) run(command, want string) {
	c.t.Helper()
	c.commands++
	if setting, ok := strings.CutPrefix(command, "export "); ok {
		c.env = append(c.env, os.Expand(setting, func(name string) string {
			for i := len(c.env) - 1; i >= 0; i-- {
				if value, ok := strings.CutPrefix(c.env[i], name+"="); ok {
					return value
				}
			}
			return ""
		}))
		return
	}
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = c.dir, c.env
	var errs strings.Builder
	cmd.Stderr = &errs
	got, err := cmd.Output()
	if err != nil || !matches(strings.TrimSuffix(want, "\n"), strings.TrimSuffix(string(got), "\n")) {
		c.t.Errorf("%s\n%v %s; printed\n%s\nthe page has\n%s", command, err, errs.String(), got, want)
	}
}

// matches compares an output with what a page has.
func matches(want, got string) bool {
	want = strings.ReplaceAll("\n"+regexp.QuoteMeta(want), "\n\\.\\.\\.", "(\n.*)*")
	want = strings.ReplaceAll(want, "\\.\\.\\.", ".*")
	return regexp.MustCompile("^" + want + "$").MatchString("\n" + got)
}

// Ensure that an output is held to its page.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"a\nb", "a\nb", true}, {"a\nb", "a\nc", false}, {"a", "a\nb", false}, {"", "", true}, {"", "x", false}, {"a.b", "axb", false},
		{"a\n...\nd", "a\nb\nc\nd", true}, {"a\n...\nd", "a\nd", true}, {"a\n...\nd", "a\nb", false}, {"a ... b\nc", "a 17 b\nc", true}, {"a ... b\nc", "a 17 b\nd", false},
	} {
		if matches(c.want, c.got) != c.ok {
			t.Errorf("%q for %q: %t", c.got, c.want, !c.ok)
		}
	}
}
