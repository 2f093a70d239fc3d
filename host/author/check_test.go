package author

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

// failed lists the checks that failed, with what they say.
func failed(r *Report) map[string]string {
	out := map[string]string{}
	for _, f := range r.Findings {
		if !f.OK {
			out[f.Check] = f.Detail
		}
	}
	return out
}

// Ensure that each kind of fault of samplers is found by the check that is there for it, and named.
func TestCheck_Faulty(t *testing.T) {
	for _, c := range []struct{ name, check, want string }{
		{"nan", "shapes", "leaves NaN"},
		{"brittle", "shapes", "all -inf"},
		{"counts", "deterministic", "differs from a second run"},
		{"counts", "independent", "differs from a run in the opposite order"},
		{"engines", "engines", "differs from wazero's interpreter"},
		{"drafty", "drafts", "change state in forge_accept alone"},
		{"forgets", "fork", "copy all state in forge_fork"},
		{"leak", "leak", "its memory grows"},
		{"trusting", "hostile host", "outside its memory"},
		{"rare", "fuzz", "seed 0 round "},
	} {
		t.Run(c.name+" "+c.check, func(t *testing.T) {
			if c.check == "engines" {
				nanBits(t)
			}
			r := Check(context.Background(), module(t, "testdata", c.name+".wasm"), CheckOptions{Beside: shippedSampler(t), Fuzz: 150, Only: []string{c.check}})
			if got := failed(r); !strings.Contains(got[c.check], c.want) {
				t.Errorf("failed: %q, want %s with %q", got, c.check, c.want)
			}
		})
	}
}

// nanBits skips where both engines may give a NaN the same bits: seen to differ on amd64.
func nanBits(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the engines may not differ here")
	}
}

// Ensure that the guests of the other kinds pass without a fault, and that each fault is found by the check that is there for it.
func TestCheck_FaultyKinds(t *testing.T) {
	const sentence = "refuses without a sentence"
	for kind, faults := range map[string][][2]string{
		"tokenizer": {
			{"shapes", "one byte above ASCII: plugin faulty: tokenizer_encode gave up"}, {"shapes", sentence}, {"independent", "opposite order"}, {"engines", "interpreter"},
			{"pieces", "expected: as whole"}, {"round trip", "expected: the text itself"}, {"decoding", "stay in carry"}, {"leak", "its memory has grown"},
			{"hostile host", "writes behind"}, {"vocabularies", "without scores and types"}, {"fuzz", "seed 0 round"}, {"shapes", "ran out of fuel"},
			{"hostile host", "an id beyond the vocabulary"}, {"shapes", "gave the id 256"},
		},
		"template": {
			{"shapes", "a role of its own: plugin faulty: template_render gave up"}, {"shapes", sentence}, {"independent", "opposite order"}, {"engines", "interpreter"},
			{"pieces", "expected: as whole"}, {"shapes", "gave text that is not UTF-8"}, {"leak", "its memory has grown"}, {"hostile host", "writes behind"},
			{"hostile host", "variables \" \""}, {"texts", "100000 bytes"}, {"fuzz", "seed 0 round"}, {"shapes", "ran out of fuel"},
		},
		"router": {
			{"shapes", "1 of 1 experts: plugin faulty: router_route gave up"}, {"shapes", sentence}, {"deterministic", "second run"}, {"engines", "interpreter"},
			{"shapes", "twice"}, {"shapes", "gave the weight NaN"}, {"plan", "the router"}, {"batches", "by itself"}, {"sequences", "keep what is known by sequence"},
			{"leak", "its memory has grown"}, {"infinite scores", "each once"}, {"hostile host", "no tokens"}, {"hostile host", "the end of a sequence that was not begun"},
			{"fuzz", "experts, score"}, {"shapes", "ran out of fuel"}, {"shapes", "it routes nothing"},
		},
		"arch": {
			{"shapes", "arch_build gave up"}, {"shapes", sentence}, {"engines", "interpreter"}, {"shapes", "its program is refused"}, {"runs", "finite numbers"},
			{"missing", "plugin faulty: arch_build gave up"}, {"missing", sentence}, {"absurd", "faulty.block_count = 1e+09"},
			{"hostile host", "writes behind"}, {"fuzz", "has the type"}, {"shapes", "ran out of fuel"},
		},
		"constraint": {
			{"shapes", "of 1 token"}, {"shapes", sentence}, {"independent", "opposite order"}, {"engines", "interpreter"}, {"shapes", "gives the result 77"},
			{"masks", "is allowed, and then refused"}, {"masks", "is forbidden, and accepted all the same"}, {"validate", "by constraint_validate"},
			{"drafts", "change state in forge_accept alone"}, {"drafts", "that of the token accepted"}, {"fork", "copy all state in forge_fork"},
			{"rollback", "undo them in forge_rollback"}, {"save", "saved and loaded"}, {"end", "the end is never allowed"}, {"leak", "its memory has grown"},
			{"hostile host", "every word of the mask written"}, {"hostile host", "tokens of a sequence that was not begun"}, {"fuzz", "seed 0 round"}, {"shapes", "ran out of fuel"},
			{"shapes", "it is never content"},
		},
	} {
		wasm := module(t, "testdata", kind+".wasm")
		check := func(fault int, only ...string) *Report {
			return Check(context.Background(), wasm, CheckOptions{Settings: map[string]any{"fault": fault}, Fuzz: 120, Only: only})
		}
		t.Run(kind, func(t *testing.T) {
			if r := check(0); !r.OK() {
				t.Fatalf("without a fault: %q", failed(r))
			}
			for i, want := range faults {
				if want[0] == "engines" && runtime.GOARCH != "amd64" {
					continue
				}
				r := check(i+1, want[0])
				if got := failed(r); !strings.Contains(got[want[0]], want[1]) {
					t.Errorf("fault %d: failed %q, want %s with %q", i+1, got, want[0], want[1])
				}
			}
		})
	}
}

// Ensure that a constraint without state has to refuse what it forbids where its rows show it, and only there.
func TestCheck_Stateless(t *testing.T) {
	wasm := module(t, "testdata", "stateless.wasm")
	for fault, want := range []string{"", "is forbidden, and accepted all the same"} {
		r := Check(context.Background(), wasm, CheckOptions{Settings: map[string]any{"fault": fault}, Fuzz: 20})
		got := failed(r)
		if fault == 0 && len(got) > 0 || fault == 1 && (len(got) != 1 || !strings.Contains(got["masks"], want)) {
			t.Errorf("fault %d: failed %q, want masks with %q", fault, got, want)
		}
	}
	// One that does not ask for the history has none to go by.
	blind := bytes.Replace(wasm, []byte("grants = [\"history\"]"), []byte("provides = [\"other\"]"), 1)
	r := Check(context.Background(), blind, CheckOptions{Settings: map[string]any{"fault": 1}, Only: []string{"masks"}})
	if got := failed(r); len(got) > 0 || bytes.Equal(blind, wasm) {
		t.Errorf("without the history: failed %q", got)
	}
}

// Ensure that what is no module, and what wants more than its limits, is found before anything runs.
func TestCheck_Static(t *testing.T) {
	r := Check(context.Background(), []byte("\x00asm no module"), CheckOptions{})
	if got := failed(r); got["static"] == "" {
		t.Errorf("failed: %q", got)
	}
	wasm := module(t, "testdata", "constraint.wasm")
	r = Check(context.Background(), wasm, CheckOptions{Limits: plugin.Limits{Pages: 1}})
	if got := failed(r); len(got) != 1 || !strings.Contains(fmt.Sprint(got), "raise limits.pages") {
		t.Errorf("with one page: %q", got)
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
