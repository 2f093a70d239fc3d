package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var sumOfX = func() string { s := sha256.Sum256([]byte("x")); return hex.EncodeToString(s[:]) }()

func openX(file string) ([]byte, error) {
	if strings.HasPrefix(file, "missing") {
		return nil, errors.New("there is no such file")
	}
	return []byte("x"), nil
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig("plugins.toml", []byte(`# comment
[chain]
default = [
	"top_k", # one [[plugin]] too few
	"mine.dist",
]

[[plugin]]
name = "top"
kind = "sampler"
file = "shipped:top"
sha256 = "`+sumOfX+`"
config = { k = 40, name = """
two lines""" }

[[plugin]]
sha256 = "`+strings.ToUpper(sumOfX)+`"
name = "spm"
kind = 'tokenizer'
file = "b.wasm"
grants = ["log"]
limits = { pages = 512, fuel = 4, strikes = 5 }
  [plugin.config]
  mode = 1.5
`), openX)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{File: "plugins.toml", Chain: []string{"top_k", "mine.dist"}, Plugins: []Spec{
		{Name: "top", Kind: "sampler", File: "shipped:top", Where: "plugins.toml:8", Line: 8, Wasm: []byte("x"), SHA256: sumOfX, Config: map[string]any{"k": int64(40), "name": "two lines"}},
		{Name: "spm", Kind: "tokenizer", File: "b.wasm", Where: "plugins.toml:16", Line: 16, Wasm: []byte("x"), SHA256: strings.ToUpper(sumOfX), Grants: []string{"log"},
			Config: map[string]any{"mode": 1.5}, Limits: Limits{Pages: 512, Fuel: 4, Strikes: 5}},
	}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestConfigErrors is the table of what the user reads about a plugins.toml.
func TestConfigErrors(t *testing.T) {
	good := "[[plugin]]\nname = \"a\"\nkind = \"sampler\"\nfile = \"f\"\nsha256 = \"" + sumOfX + "\"\n"
	for _, k := range []struct{ text, want string }{
		{"", "no error"},
		{good, "no error"},
		{"\n[[plugin]]\nname = \"top_k\"\nkind = \"sampler\"\nfile = \"f\"\n", "p.toml:2: plugin top_k: sha256 is missing, the file has " + sumOfX + ": put that there if you trust it"},
		{"\n[[plugin]]\nname = \"top_k\"\nkind = \"sampler\"\nfile = \"f\"\nsha256 = \"ab\"", "p.toml:2: plugin top_k: sha256 is ab, the file has " + sumOfX + ": put the latter there if you trust it"},
		{good + "fil = 3\n", "p.toml:6: unknown key fil in plugin; did you mean file?"},
		{good + "limits = {\n pages = 3, fule = 2 }\n", "p.toml:6: unknown key fule in plugin.limits; did you mean fuel?"},
		{good + "\n[plugin.limits]\nfule = 2\n", "p.toml:8: unknown key fule in plugin.limits; did you mean fuel?"},
		{"[plugins]\nx = 1\n", "p.toml:1: unknown key plugins; did you mean plugin?"},
		{"[chain]\nother = []\n", "p.toml:2: unknown key other in chain"},
		{"[chain]\n\"other\" = '''\n''' # x\n[x]", "p.toml:2: unknown key other in chain"},
		{"a = \n", "p.toml:1: expected value but found..."},
		{good + "name = \"b\"\n", "p.toml:6: Key 'plugin.name' has already been defined."},
		{"[[plugin]]\nname = 3\n", "p.toml:2: plugin.name: incompatible types: TOML value has type int64; destination has type string"},
		{"[[plugin]]\nlimits = { pages = 1.5 }\n", "p.toml:..."},
		{"plugin = 3", "p.toml:1: plugin: incompatible types..."},
		{"[[plugin]]\n", "p.toml:1: plugin (no name): name is missing"},
		{"[[plugin]]\nname = \"a b\"\n", "p.toml:1: plugin (bad name): name \"a b\" holds a character that names do not have"},
		{"[[plugin]]\nname = \"a\"\n", "p.toml:1: plugin a: kind is missing; it is one of tokenizer, template, processor, sampler, constraint, router, arch"},
		{"[[plugin]]\nname = \"a\"\nkind = \"sampler\"\n", "p.toml:1: plugin a: file is missing; it is a path beside this file, or shipped:NAME"},
		{"[[plugin]]\nname = \"a\"\nkind = \"smpler\"\nfile = \"f\"\n", "p.toml:1: plugin a: kind \"smpler\" is none that forge has; did you mean sampler?"},
		{"[[plugin]]\nname = \"a\"\nkind = \"sampler\"\nfile = \"missing.wasm\"\n", "p.toml:1: plugin a: file missing.wasm: there is no such file"},
		{good + "grants = [\"logs\"]\n", "p.toml:1: plugin a: grant \"logs\" is none that forge has; did you mean log?"},
		{good + "on_error = \"retry\"\n", "p.toml:1: plugin a: on_error is \"retry\"; it is fail or skip"},
		{strings.Replace(good, "sampler", "arch", 1) + "on_error = \"skip\"\n", "p.toml:1: plugin a: on_error = \"skip\" is for samplers, processors and routers; without its arch nothing can go on"},
		{good + "limits = { pages = 65536 }\n", "p.toml:1: plugin a: limits.pages is 65536; it is 1 to 65535"},
		{good + "limits = { strikes = -1 }\n", "p.toml:1: plugin a: limits.strikes is -1; it is 1 to 1073741824"},
		{good + "\n\n" + good, "p.toml:8: plugin a: the name is taken by the plugin of line 1"},
		{good + "config = { x = [\n[[\"plugin\"]]\n] }\n[[plugin]]\n", "p.toml:9: plugin (no name): name is missing"}, // what looks like a table is a value
		{"[chain]\ndefault = [\"a\", \"\"]\n", "p.toml:2: entry 2 of chain.default is no name of a sampler or processor entry"},
		{"# [[plugin]]\nx = \"\"\"\n[[plugin]]\n\"\"\"\n", "p.toml:2: unknown key x"},
		{strings.Repeat(" ", maxConfigFile+1), "p.toml: it has 1048577 bytes, the limit is 1048576"},
		{strings.Repeat("[[plugin]]\n", maxPlugins+1), "p.toml: 1025 plugins and a chain of 0 entries; the limits are 1024 and 256"},
	} {
		_, err := ParseConfig("p.toml", []byte(k.text), openX)
		wantError(t, err, k.want)
	}
}

func TestResolve(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	a := load(t, r, "pair", "sampler", func(s *Spec) { s.Name = "a" })
	b := load(t, r, "pair", "sampler", func(s *Spec) { s.Name = "b" })
	halve := load(t, r, "halve", "processor", nil)
	mods := []*Module{load(t, r, "echo", "tokenizer", nil), a, halve}
	got, err := Resolve(mods, []string{"halve", "keep", "a.pick"})
	if want := []ChainEntry{{halve, "halve"}, {a, "keep"}, {a, "pick"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = Resolve(mods, []string{"pik"})
	wantError(t, err, "no plugin has the chain's entry pik; did you mean pick?")
	_, err = Resolve(append(mods, b), []string{"pick"})
	wantError(t, err, "the chain's entry pick is in several plugins: write a.pick or b.pick")
}

func FuzzParseConfig(f *testing.F) {
	f.Add("[[plugin]]\nname = \"a\"\nkind = \"sampler\"\nfile = \"f\"\nsha256 = \"" + sumOfX + "\"\nconfig = { a = [1, 2], b = \"\"\"\n\"\"\" }\n[chain]\ndefault = ['a']\n")
	f.Add("[[plugin]]\n'na\\me' . b = '''\n'''\n\"a\\\"b\" = 1\n[[plugin.x]]\n[plugin.limits]\n")
	f.Add("plugin = [{ name = 'x' }, { kind = \"arch\" }]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig("p", []byte(text), openX)
		lines := findLines(text) // whatever the text, it must end
		n := strings.Count(text, "\n") + 1
		for _, line := range append(lines.plugins, lines.of([]string{"plugin"})) {
			if line < 1 || line > n {
				t.Errorf("line %d of %d", line, n)
			}
		}
		if err != nil {
			if s := err.Error(); len(s) > 4096 || strings.ContainsAny(s, "\n\r") {
				t.Errorf("error %q", s)
			}
			return
		}
		for _, p := range c.Plugins {
			if p.Where != fmt.Sprintf("p:%d", p.Line) || p.Line > n || !strings.EqualFold(p.SHA256, sumOfX) {
				t.Errorf("spec %+v", p)
			}
		}
	})
}
