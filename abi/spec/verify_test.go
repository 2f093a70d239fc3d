package spec

import (
	"os"
	"strings"
	"testing"
)

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
		{`of = "f64", at = 40`, `of = "f65", at = 40`, `init.config: it points to "f65", which is no type`},
		{`at = 16, dir = "in"`, `at = 16, dir = "to"`, `dir is "to"; it is in, out or inout`},
		{`doc = "done"`, `dok = "done"`, "unknown keys [status.dok]"},
		{`of = "f64", at = 40`, `of = "f64", at = 40, type2 = ""`, "unknown keys"},
	} {
		text := strings.Replace(string(good), k.was, k.is, 1)
		if text == string(good) {
			t.Errorf("v1.toml lacks %q", k.was)
			continue
		}
		if _, err := Parse("v1.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: error %v, want %s", k.is, err, k.want)
		}
	}
}
