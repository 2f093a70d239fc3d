package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFresh: what the generator makes of v1.toml is what is committed.
func TestFresh(t *testing.T) {
	g, err := read("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := g.files()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		have, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Error(err)
		} else if string(have) != string(want) {
			t.Errorf("%s is not what go generate ./abi makes of abi/v1.toml", path)
		}
	}
}

// TestHeaderCompiles: the C header's own assertions hold every offset and size to v1.toml.
func TestHeaderCompiles(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("clang-19 is not installed")
	}
	g, err := read("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	header := string(g.cHeader())
	n := 0
	for _, st := range g.Struct {
		n += len(st.Fields) + 1
	}
	if got := strings.Count(header, "_Static_assert("); got != n {
		t.Errorf("%d assertions for %d fields and sizes", got, n)
	}
	compile := func(text string) error {
		c := exec.Command(clang, "--target=wasm32", "-ffreestanding", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c", "-")
		c.Stdin = strings.NewReader(text)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Logf("%.400s", out)
		}
		return err
	}
	if err := compile(header); err != nil {
		t.Error(err)
	}
	if wrong := strings.Replace(header, "int32_t selected;", "int64_t selected;", 1); wrong == header || compile(wrong) == nil {
		t.Error("a field of another width passes the assertions")
	}
}
