package author

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forge/host/plugin"
)

func module(t *testing.T, path ...string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// shippedSampler ends the chains.
func shippedSampler(t *testing.T) []plugin.Spec {
	return []plugin.Spec{{Name: "sampler", Kind: "sampler", Wasm: module(t, "..", "..", "plugins", "sampler", "sampler.wasm"), Grants: []string{"history"}}}
}

// Ensure that each kind of fault is found by the check that is there for it, and named.
func TestCheck_Faulty(t *testing.T) {
	for _, c := range []struct{ name, check, want string }{
		{"nan", "shapes", "leaves NaN"},
		{"brittle", "shapes", "all -inf"},
		{"counts", "independent", "differs from a run in the opposite order"},
		{"drafty", "drafts", "change state in forge_accept alone"},
		{"leak", "leak", "its memory grows"},
		{"trusting", "hostile host", "outside its memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Check(context.Background(), module(t, "testdata", c.name+".wasm"), CheckOptions{Beside: shippedSampler(t), Fuzz: 5})
			var failed []string
			for _, f := range r.Findings {
				if !f.OK {
					failed = append(failed, f.Check+": "+f.Detail)
				}
			}
			if len(failed) == 0 || !strings.HasPrefix(failed[0], c.check+": ") || !strings.Contains(failed[0], c.want) {
				t.Errorf("failed: %q, want %s with %q", failed, c.check, c.want)
			}
		})
	}
}

// Ensure that a sound module passes, and that its outcomes hold it to what it was.
func TestCheck_Sound(t *testing.T) {
	wasm := module(t, "..", "..", "examples", "sampler-c", "margin.wasm")
	opt := CheckOptions{Beside: shippedSampler(t), Fuzz: 20}
	r := Check(context.Background(), wasm, opt)
	if !r.OK() {
		t.Fatalf("%+v", r.Findings)
	}
	path := filepath.Join(t.TempDir(), "golden.json")
	if err := WriteGolden(path, r.Golden); err != nil {
		t.Fatal(err)
	}
	var err error
	if opt.Golden, err = ReadGolden(path); err != nil {
		t.Fatal(err)
	}
	if r = Check(context.Background(), wasm, opt); !r.OK() {
		t.Errorf("%+v", r.Findings)
	}
	opt.Golden["margin/two"] = "other"
	if r = Check(context.Background(), wasm, opt); r.OK() {
		t.Error("a changed outcome passes")
	}
}
