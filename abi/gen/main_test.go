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
	s, err := read("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.files()
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
	s, err := read("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	header := string(s.cHeader())
	n := 0
	for _, st := range s.Struct {
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

// TestVerifyRefuses: a definition that breaks the ABI's rules makes no files.
func TestVerifyRefuses(t *testing.T) {
	good, err := os.ReadFile("../v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ was, is, want string }{
		{`name = "error_cap", type = "u32", at = 4`, `name = "error_cap", type = "u32", at = 2`, "head.error_cap: offset 2 overlaps or is not aligned to 4 (previous field ends at 4)"},
		{`name = "draw", type = "u64", at = 16`, `name = "draw", type = "u64", at = 20`, "row.draw: offset 20 overlaps or is not aligned to 8"},
		{"name = \"head\"\nsize = 16", "name = \"head\"\nsize = 12", "head: fields end at 16, size is 12"},
		{"name = \"skip\"\nvalue = 1", "name = \"skip\"\nvalue = 0", "status skip has the number 0 of ok"},
		{"name = \"vocab\"\nbit = 1", "name = \"vocab\"\nbit = 0", "capability vocab has the number 0 of log"},
		{`{ name = "sorted", value = 2`, `{ name = "sorted", value = 1`, "enum row_flag sorted has the number 1 of whole"},
		{"name = \"norm\"\ncode = 2", "name = \"norm\"\ncode = 1", "op norm has the code of embed"},
		{"name = \"norm\"\ncode = 2", "name = \"norm\"\ncode = 70", "op norm takes a reserved code"},
		{`marker = "forge_arch_1"`, `marker = "forge_arch_2"`, "kind arch: marker forge_arch_2, want forge_arch_1"},
		{`frame = "rows"`, `frame = "row"`, `"row" is no frame`},
		{`kinds = ["arch"]`, `kinds = ["arhc"]`, `unknown kind "arhc"`},
		{`doc = "done"`, `dok = "done"`, "unknown keys [status.dok]"},
		{`of = "f64", at = 40`, `of = "f64", at = 40, type2 = ""`, "unknown keys"},
	} {
		text := strings.Replace(string(good), k.was, k.is, 1)
		if text == string(good) {
			t.Errorf("v1.toml lacks %q", k.was)
			continue
		}
		path := filepath.Join(t.TempDir(), "v1.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(path); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: error %v, want %s", k.is, err, k.want)
		}
	}
}
