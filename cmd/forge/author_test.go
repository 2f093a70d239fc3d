package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ensure that a trace tells what the run does: the same tokens, and a table for each entry of the chain.
func TestTrace(t *testing.T) {
	args := []string{"-m", storiesFile, "-p", "Once upon", "--raw", "-n", "6", "--seed", "7", "--top-k", "9"}
	text := forge(t, "", append([]string{"run"}, args...)...).must(t).out
	o := forge(t, "", append([]string{"plugin", "trace"}, args...)...).must(t)
	got := ""
	for _, m := range regexp.MustCompile(`(?m)^token \d+: "(.*)" \(\d+\)$`).FindAllStringSubmatch(o.out, -1) {
		got += m[1]
	}
	if got != strings.TrimSuffix(text, "\n") {
		t.Errorf("the trace has %q, the run %q", got, text)
	}
	if n := len(regexp.MustCompile(`(?m)^  top_k +9  "`).FindAllString(o.out, -1)); n != 6 {
		t.Errorf("top_k leaves 9 candidates %d times in\n%s", n, o.out)
	}
	page := filepath.Join(t.TempDir(), "trace.html")
	forge(t, "", append([]string{"plugin", "trace", "--html", page}, args...)...).must(t)
	html, err := os.ReadFile(page)
	if err != nil || strings.Count(string(html), "<details") != 6 || strings.Contains(string(html), "src=") {
		t.Errorf("%v\n%s", err, html)
	}
}

// Ensure that saved logits give through try the tokens that the run took from them.
func TestTry(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.npy")
	args := []string{"-m", storiesFile, "-p", "Once upon", "--raw", "-n", "6", "--json", "--seed", "3", "--temp", "1.5", "--samplers", "top_k;temperature;dist"}
	run := forge(t, "", append([]string{"run", "--save-logits", rows}, args...)...).must(t)
	margin := root("examples", "sampler-c", "margin.wasm")
	o := forge(t, "", "plugin", "try", margin, "--logits", rows, "--seed", "3", "--temp", "1.5", "--samplers", "top_k;temperature;dist").must(t)
	var ids []string
	for _, m := range regexp.MustCompile(`(?m)^token \d+: "\d+" \((\d+)\)$`).FindAllStringSubmatch(o.out, -1) {
		ids = append(ids, m[1])
	}
	if want := `"tokens":[` + strings.Join(ids, ",") + "]"; len(ids) != 6 || !strings.Contains(run.out, want) {
		t.Errorf("try picks %s, the run %s", want, run.out)
	}
	if o := forge(t, "", "plugin", "try", margin, "--logits", rows, "--set", "margin=0").must(t); !strings.Contains(o.out, "\n  margin               1 ") {
		t.Errorf("a margin of 0 leaves one candidate; printed\n%s", o.out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{margin}, "name the rows with --logits"},
		{[]string{margin, "--logits", margin}, "not a NumPy array file"},
		{[]string{root("plugins", "tokenizer", "spm.wasm"), "--logits", rows}, "only samplers and processors work on logits"},
	} {
		if o := forge(t, "", append([]string{"plugin", "try"}, c.args...)...); o.status != 1 || !strings.Contains(o.err, c.want) {
			t.Errorf("%v: status %d, %s", c.args, o.status, o.err)
		}
	}
}

// Ensure that bench times a module's entry and, beside it, the shipped one of that name.
func TestPluginBench(t *testing.T) {
	o := forge(t, "", "plugin", "bench", root("examples", "sampler-c", "margin.wasm"), "--vocab", "4099", "--rounds", "3", "--json").must(t)
	if !regexp.MustCompile(`"entry":"margin","rows":"peaked","vocab":4099,"us":[0-9.]+,"fuel":\d{4,},"bytes":16396`).MatchString(o.out) {
		t.Error(o.out)
	}
	o = forge(t, "", "plugin", "bench", root("plugins", "sampler", "sampler.wasm"), "--vocab", "1000", "--rounds", "2").must(t)
	if n := strings.Count(o.out, "sampler.greedy"); n != 4 {
		t.Errorf("greedy is timed %d times, want twice beside the shipped one in\n%s", n, o.out)
	}
}

// Ensure that bench times the other kinds too: each piece of work beside the shipped plugins that serve the same, with its fuel and
// its bytes.
func TestPluginBench_Kinds(t *testing.T) {
	for _, c := range []struct {
		module string
		args   []string
		want   []string
	}{
		{root("examples", "tokenizer-bytes", "bytes.wasm"), nil, []string{
			`"plugin":"bytes","work":"encode 1 KiB","us":[0-9.e-]+,"fuel":\d+,"in":1024,"out":4096,"times":3`, `"plugin":"spm","work":"encode 64 KiB"`, `"plugin":"bpe","work":"decode 1 KiB"`}},
		{root("plugins", "tokenizer", "spm.wasm"), []string{"-m", storiesFile}, []string{`^\[({"plugin":"spm",[^}]*},?){8}\]\n$`}},
		{root("plugins", "template", "template.wasm"), nil, []string{`"work":"render: one message","us":[0-9.e-]+,"fuel":\d{4,},"in":134,"out":55`}},
		{root("examples", "constraint-move", "move.wasm"), nil, []string{`"plugin":"move","work":"mask of 291 tokens"`, `"plugin":"constraint","work":"mask of 291 tokens"`}},
		{root("plugins", "router", "sigmoid.wasm"), nil, []string{`"work":"64 tokens: sigmoid, 8 of 128 experts","us":[0-9.e-]+,"fuel":\d{5,},"in":32768,"out":4096`}},
		{root("examples", "arch-c", "parallel.wasm"), nil, []string{`"plugin":"parallel","work":"build, 44 tensors"`, `"plugin":"llama","work":"build, 44 tensors"`}},
	} {
		o := forge(t, "", append([]string{"plugin", "bench", c.module, "--rounds", "3", "--json"}, c.args...)...).must(t)
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(o.out) {
				t.Errorf("%s: want %s in\n%s", c.module, want, o.out)
			}
		}
	}
}
