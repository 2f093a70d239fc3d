package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forge/host/author"
	"forge/host/plugin"
	"forge/plugins"
)

// checked holds a module to what forge plugin check wants, at the limits that its plugins.toml gives it.
func checked(t *testing.T, spec plugin.Spec, beside []plugin.Spec) {
	t.Helper()
	opt := author.CheckOptions{Beside: beside, Limits: spec.Limits, Fuzz: 10, CacheDir: t.TempDir()}
	if testAll() {
		opt.Fuzz = 300
	}
	for _, f := range author.Check(t.Context(), spec.Wasm, opt).Findings {
		if !f.OK {
			t.Errorf("%s: %s", f.Check, f.Detail)
		}
	}
}

// Ensure that every plugin that forge ships, and every example, passes the whole of its kind's checks.
func TestPluginCheck_All(t *testing.T) {
	set, err := plugin.ParseConfig("default.toml", plugins.Default(), pluginFiles(""))
	if err != nil {
		t.Fatal(err)
	}
	modules := set.Plugins
	examples, err := filepath.Glob(root("examples", "*", "*.wasm"))
	if err != nil || len(examples) < 9 {
		t.Fatalf("%v: %d examples", err, len(examples))
	}
	for _, file := range examples {
		wasm := mustRead(t, file)
		m, err := plugin.ReadManifest(wasm)
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, plugin.Spec{Name: filepath.Base(filepath.Dir(file)), Kind: m.Kind, Wasm: wasm})
	}
	kinds := map[string]bool{}
	for _, spec := range modules {
		kinds[spec.Kind] = true
		t.Run(spec.Name, func(t *testing.T) { checked(t, spec, set.Plugins) })
	}
	if len(kinds) < 6 {
		t.Errorf("kinds %v", kinds)
	}
}

// Ensure that check says by its status and in JSON what failed, on which input, and what was expected.
func TestPluginCheck_Fails(t *testing.T) {
	o := forge(t, "", "plugin", "check", root("host", "author", "testdata", "nan.wasm"), "--json")
	var report struct {
		Plugin, Kind string
		Findings     []author.Finding
	}
	if err := json.Unmarshal([]byte(o.out), &report); err != nil || o.status != 1 || report.Kind != "sampler" {
		t.Fatalf("%v: status %d, %s", err, o.status, o.out)
	}
	last := report.Findings[len(report.Findings)-1]
	if last.Check != "shapes" || last.OK || last.Input != "nan/all -inf" || last.Expected != "numbers, or infinity" {
		t.Errorf("%+v", last)
	}
	faulty := root("host", "author", "testdata", "tokenizer.wasm")
	o = forge(t, "", "plugin", "check", faulty, "--set", "fault=6", "--only", "round trip,decoding")
	if o.status != 1 || !strings.Contains(o.out, `FAILED  round trip  vocabulary bytes, text "hello the world": its ids`) || !strings.Contains(o.out, "expected: the text itself\nok ") {
		t.Errorf("status %d\n%s%s", o.status, o.out, o.err)
	}
	if o = forge(t, "", "plugin", "check", faulty, "--only", "rond trip"); o.status != 1 || !strings.Contains(o.err, `--only "rond trip": a tokenizer has the checks deterministic, independent, `) {
		t.Errorf("status %d, %s", o.status, o.err)
	}
}

// Ensure that outcomes of any kind are recorded and compared, and that a model of the reader's own is tried.
func TestPluginCheck_Record(t *testing.T) {
	golden := filepath.Join(t.TempDir(), "golden.json")
	spm := root("plugins", "tokenizer", "spm.wasm")
	args := []string{"plugin", "check", spm, "-m", storiesFile, "--only", "round trip"}
	forge(t, "", append(args, "--record", golden)...).must(t)
	o := forge(t, "", append(args, "--golden", golden)...).must(t)
	if !strings.Contains(o.out, " outcomes are those on record") {
		t.Error(o.out)
	}
	var outcomes map[string]string
	if err := json.Unmarshal(mustRead(t, golden), &outcomes); err != nil || outcomes["of the model/words"] == "" {
		t.Fatalf("%v: %v", err, outcomes)
	}
	outcomes["of the model/words"] = "other"
	text, err := json.Marshal(outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if o := forge(t, "", append(args, "--golden", golden)...); o.status != 1 || !strings.Contains(o.out, "golden") || !strings.Contains(o.out, "of the model/words: differs from the record") {
		t.Errorf("status %d\n%s", o.status, o.out)
	}
	for module, only := range map[string]string{root("plugins", "constraint", "constraint.wasm"): "end", root("plugins", "arch", "llama.wasm"): "runs"} {
		o := forge(t, "", "plugin", "check", module, "-m", storiesFile, "--only", only, "--record", golden).must(t)
		if text := string(mustRead(t, golden)); !strings.Contains(text, "of the model") {
			t.Errorf("%s: the model is not tried\n%s\n%s", module, o.out, text)
		}
	}
}
