package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Ensure that the README's tour is what its commands print: every "$ " line of a console block is run, and its standard
// output must be the lines that follow.
func TestReadme(t *testing.T) {
	modelPath(t, realModels[0].file)
	text, err := os.ReadFile(root("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	// The commands run in a folder that has what a clone has after make run.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin/forge": os.Args[0], "models": root("models"), "examples": root("examples")} {
		if target, err = filepath.Abs(target); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	commands := 0
	for i, block := range strings.Split(string(text), "```console\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
			command, want, _ := strings.Cut(part, "\n")
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "FORGE_BE_FORGE=1", "XDG_CONFIG_HOME="+dir)
			got, err := cmd.Output()
			if err != nil || strings.TrimSuffix(string(got), "\n") != strings.TrimSuffix(want, "\n") {
				t.Errorf("%s\n%v; printed\n%s\nthe README has\n%s", command, err, got, want)
			}
			commands++
		}
	}
	if commands < 4 {
		t.Errorf("%d commands found", commands)
	}
}
