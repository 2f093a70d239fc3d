package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Ensure that the README's tour is what its commands print.
func TestReadme(t *testing.T) {
	modelPath(t, realModels[0].file)
	c := newConsole(t, "models", "examples")
	c.follow(string(mustRead(t, root("README.md"))))
	if c.commands < 4 {
		t.Errorf("%d commands found", c.commands)
	}
}

// Ensure that who follows docs/plugins.md gets to plugins of their own: every command is run, every file is written. The sections
// on Rust build its core library, which takes a while.
func TestPluginsPage(t *testing.T) {
	buildable(t, "c")
	c := newConsole(t, "testdata", "plugins.toml")
	for _, section := range strings.Split(string(mustRead(t, root("docs", "plugins.md"))), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		if strings.Contains(title, "Rust") {
			if _, err := exec.LookPath("/usr/bin/rustc"); err != nil || !testAll() {
				t.Log("not followed here: ", title)
				continue
			}
		}
		c.follow(section)
	}
	if c.commands < 25 {
		t.Errorf("%d commands found", c.commands)
	}
	if _, err := os.Stat(c.dir + "/twist/twist.wasm"); err != nil {
		t.Error(err)
	}
}
