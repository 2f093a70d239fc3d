package plugin

import (
	"fmt"
	"strings"
	"testing"
)

// Ensure that pinning changes the digests alone: comments, spacing, quotes and order stay.
func TestPin(t *testing.T) {
	files := map[string]string{"a.wasm": "first", "b.wasm": "second"}
	open := func(file string) ([]byte, error) {
		if s, ok := files[file]; ok {
			return []byte(s), nil
		}
		return nil, fmt.Errorf("no such file")
	}
	a, b := Digest([]byte("first")), Digest([]byte("second"))
	const set = `# my set
[chain]
default = ["x", "dist"] # sha256 = "not this"

[[plugin]] # one
name = "a"
kind = "sampler"
  sha256   =  'OLD'   # keep me
file = "a.wasm"
config = { sha256 = "nor this" }

[[plugin]]
name = "b"
kind = "sampler"
grants = [
  "history",
]
file = "b.wasm"`
	want := strings.Replace(set, "'OLD'", `"`+a+`"`, 1) + "\nsha256 = \"" + b + "\"\n"
	got, changed, err := Pin("set.toml", []byte(set), open)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(changed) != 2 || changed[0] != (Pinned{"a", "a.wasm", "OLD", a}) || changed[1] != (Pinned{"b", "b.wasm", "", b}) {
		t.Errorf("changed: %v", changed)
	}
	again, changed, err := Pin("set.toml", got, open)
	if err != nil || string(again) != want || len(changed) != 0 {
		t.Errorf("pinned again: %v, %v changed, text equal %v", err, changed, string(again) == want)
	}
}

func TestPin_Errors(t *testing.T) {
	open := func(file string) ([]byte, error) { return nil, fmt.Errorf("no such file") }
	for _, c := range []struct{ text, want string }{
		{"[[plugin]]\nname = \"a\"\nkind = \"sampler\"\nfile = \"gone.wasm\"\n", "set.toml:1: plugin a: file gone.wasm: no such file"},
		{"[[plugin]]\nname = \"a\"\nkind = \"sampler\"\n", "set.toml:1: plugin a: file is missing"},
		{"plugin = [{ name = \"a\", kind = \"sampler\", file = \"a.wasm\" }]\n", "inline tables"},
		{"[[plugin]\n", "set.toml:2: "},
	} {
		if _, _, err := Pin("set.toml", []byte(c.text), open); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}
