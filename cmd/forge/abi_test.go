package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Ensure that the ABI can be looked at as text, JSON and TOML.
func TestABIShow(t *testing.T) {
	source, err := os.ReadFile(root("abi", "v1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := forge(t, "", "abi", "show", "--toml").must(t).out; got != string(source) {
		t.Error("show --toml gives another text than abi/v1.toml")
	}
	got := forge(t, "", "abi", "show", "head").must(t).out
	for _, want := range []string{"record head, 16 bytes: The first 16 bytes of every frame.\n", "  12  error_len  u32  out  bytes written there when the status is negative\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("show head lacks %q:\n%s", want, got)
		}
	}
	all := forge(t, "", "abi", "show").must(t).out
	for _, want := range []string{"forge plugin ABI 1.", got, "kind router: ", "export forge_arena(i32), required, of *", "enum row_flag: ", "op rope, code 4: ", "generator philox4x32-10"} {
		if !strings.Contains(all, want) {
			t.Errorf("show lacks %q", want)
		}
	}
	a := forge(t, "", "abi", "show", "--json").must(t).out
	if b := forge(t, "", "abi", "show", "--json").must(t).out; a != b {
		t.Error("show --json gives other bytes the second time")
	}
	var v struct {
		ABI    struct{ Major int }
		Struct []struct {
			Name string
			Size int
		}
	}
	if err := json.Unmarshal([]byte(a), &v); err != nil || v.ABI.Major != 1 || len(v.Struct) == 0 || v.Struct[0].Name != "head" || v.Struct[0].Size != 16 {
		t.Errorf("show --json: %+v, %v", v, err)
	}
	wrong := forge(t, "", "abi", "show", "ruote")
	if want := "forge: the ABI has nothing called \"ruote\"; did you mean route? forge abi show lists all there is\n"; wrong.status != 1 || wrong.err != want {
		t.Errorf("status %d: %s", wrong.status, wrong.err)
	}
}

// Ensure that diff passes what is appended, and names and refuses anything else.
func TestABIDiff(t *testing.T) {
	source, err := os.ReadFile(root("abi", "v1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, was, is string) string {
		text := bytes.Replace(source, []byte(was), []byte(is), 1)
		if was != is && bytes.Equal(text, source) {
			t.Fatalf("v1.toml lacks %q", was)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old := write("old.toml", "", "")
	grown := write("grown.toml", "name = \"seq\"\nsize = 80", "name = \"seq\"\nsize = 96")
	shrunk := write("shrunk.toml", "name = \"seq\"\nsize = 80", "name = \"seq\"\nsize = 72")
	broken := write("broken.toml", "name = \"seq\"\nsize = 80", "name = \"seq\"\nsize = 71")

	if got := forge(t, "", "abi", "diff", old, old).must(t).out; !strings.HasSuffix(got, ": 0 changes, 0 of them breaking\n") {
		t.Error(got)
	}
	if got := forge(t, "", "abi", "diff", old, grown).must(t).out; !strings.HasPrefix(got, "appended: struct seq: size rose from 80 to 96\n") {
		t.Error(got)
	}
	got := forge(t, "", "abi", "diff", old, shrunk)
	if got.status != 1 || got.err != "" || !strings.HasPrefix(got.out, "breaking: struct seq: size fell from 80 to 72\n") {
		t.Errorf("status %d: %s%s", got.status, got.out, got.err)
	}
	got = forge(t, "", "abi", "diff", "--json", old, shrunk)
	var v struct {
		Compatible bool
		Changes    []struct {
			Path     string
			Breaking bool
		}
	}
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || got.status != 1 || v.Compatible || len(v.Changes) != 1 || !v.Changes[0].Breaking || v.Changes[0].Path != "struct seq" {
		t.Errorf("status %d, %v: %s", got.status, err, got.out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{old}, "name two definitions: forge abi diff OLD NEW"},
		{[]string{old, filepath.Join(dir, "none.toml")}, "none.toml: no such file"},
		{[]string{old, broken}, "broken.toml: seq: fields end at 72, size is 71 (a multiple of 8)"},
	} {
		if got := forge(t, "", append([]string{"abi", "diff"}, c.args...)...); got.status != 1 || !strings.Contains(got.err, c.want) {
			t.Errorf("%v: status %d, %s", c.args, got.status, got.err)
		}
	}
}
