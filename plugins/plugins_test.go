package plugins_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"forge/host/plugin"
	"forge/plugins"
)

func shipped(file string) ([]byte, error) {
	code, ok := plugins.Shipped()[strings.TrimPrefix(file, "shipped:")]
	if !ok {
		return nil, fmt.Errorf("%s: no such file", file)
	}
	return code, nil
}

// Ensure that the default set pins every shipped module by its digest, equals the copy in the root, and loads.
func TestDefault(t *testing.T) {
	root, err := os.ReadFile("../plugins.toml")
	if err != nil {
		t.Fatal(err)
	}
	if string(root) != string(plugins.Default()) {
		t.Error("plugins.toml and plugins/default.toml differ: go run ./plugins/pin")
	}
	config, err := plugin.ParseConfig("default.toml", plugins.Default(), shipped)
	if err != nil {
		t.Fatal(err, "\nafter a rebuild: go run ./plugins/pin")
	}
	text := string(plugins.Default())
	for name, code := range plugins.Shipped() {
		if !strings.Contains(text, fmt.Sprintf("file = \"shipped:%s\"\nsha256 = \"%x\"\n", name, sha256.Sum256(code))) {
			t.Errorf("the default set does not pin shipped:%s as it is: go run ./plugins/pin", name)
		}
	}
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	for _, spec := range config.Plugins {
		if _, err := rt.Load(ctx, spec); err != nil {
			t.Error(err)
		}
	}
}

// Ensure that the record beside each module is of that module.
func TestRecords(t *testing.T) {
	files, err := filepath.Glob("*/*.wasm")
	if err != nil || len(files) == 0 {
		t.Fatal("no modules", err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		record, err := os.ReadFile(file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("sha256: %x", sha256.Sum256(code)); !strings.Contains(string(record), want) {
			t.Errorf("%s.txt is of another build; the module has %s", file, want)
		}
		if machine := regexp.MustCompile(`/(home|tmp|root|work|usr)/[a-z]`).Find(code); machine != nil {
			t.Errorf("%s contains a path: %s", file, machine)
		}
	}
}

// hostSet is the default set, and a runtime to load it into.
func hostSet(tb testing.TB) (*plugin.Config, *plugin.Runtime) {
	tb.Helper()
	ctx := context.Background()
	config, err := plugin.ParseConfig("default.toml", plugins.Default(), shipped)
	if err != nil {
		tb.Fatal(err)
	}
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { rt.Close(ctx) })
	return config, rt
}

// hostChain is a chain of the default set's plugins and of more, through the host's door.
func hostChain(tb testing.TB, names []string, nVocab int, more ...plugin.Spec) *plugin.Chain {
	tb.Helper()
	ctx := context.Background()
	config, rt := hostSet(tb)
	var modules []*plugin.Module
	for _, spec := range append(config.Plugins, more...) {
		if spec.Kind == "sampler" {
			m, err := rt.Load(ctx, spec)
			if err != nil {
				tb.Fatal(err)
			}
			modules = append(modules, m)
		}
	}
	if names == nil {
		names = config.Chain
	}
	entries, err := plugin.Resolve(modules, names)
	if err != nil {
		tb.Fatal(err)
	}
	vocab := &plugin.Vocab{N: nVocab, Model: "gpt2", EOG: []uint32{0}, Texts: func(yield func([]byte) bool) {
		for i := 0; i < nVocab && yield([]byte(strconv.Itoa(i))); i++ {
		}
	}}
	vocab.Pieces = vocab.Texts
	chain, err := rt.NewChain(ctx, entries, nVocab, plugin.WithVocab(vocab))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(chain.Close)
	return chain
}

// Ensure that a plugin set of many entries does not copy all modules for each of them, and that who changes the map that it
// got changes nobody else's.
func TestShippedIsShared(t *testing.T) {
	first := plugins.Shipped()
	want := first["sampler"]
	delete(first, "sampler")
	again := plugins.Shipped()["sampler"]
	if len(want) == 0 || len(again) != len(want) || &again[0] != &want[0] {
		t.Errorf("a module of %d bytes is one of %d bytes elsewhere in memory when it is asked for again", len(want), len(again))
	}
}
