package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// generated runs a prompt and gives the ids that follow.
func generated(t *testing.T, args ...string) []int {
	t.Helper()
	o := forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "Once upon a time", "--raw", "-n", "30", "--json", "--seed", "3"}, args...)...).must(t)
	var r struct{ Tokens []int }
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatal(err)
	}
	return r.Tokens
}

// Ensure that the flags of samplers reach them.
func TestSamplingFlags(t *testing.T) {
	greedy := generated(t, "--temp", "0")
	most := fmt.Sprint(greedy[0])
	for _, k := range []struct {
		args []string
		same bool // as greedy
	}{
		{[]string{"--top-n-sigma", "0.0001", "--temp", "1"}, true},
		{[]string{"--top-nsigma", "0.0001", "--samplers", "top_n_sigma;dist"}, true},
		{[]string{"--temp", "0", "--samplers", "temp;dist", "-l", most + "+0.5"}, true},
		{[]string{"--temp", "0", "-l", most + "-inf"}, false},
		{[]string{"--temp", "0", "--samplers", "temp;dist", "-l", most + "-50"}, false},
		{[]string{"--temp", "0", "--mirostat", "2"}, true},
		{[]string{"--mirostat", "2", "--mirostat-ent", "0.001", "--mirostat-lr", "0.0001"}, true},
		{[]string{"--mirostat", "2", "--mirostat-ent", "9", "--samplers", "greedy"}, false},
		{[]string{"--temp", "0.01", "--dynatemp-range", "100", "--dynatemp-exp", "0.01"}, false},
		{[]string{"--temp", "0.05", "--dynatemp-range", "0.05", "--dynatemp-exp", "100"}, true},
		{[]string{"--xtc-probability", "1", "--xtc-threshold", "0.01", "--samplers", "xtc;greedy"}, false},
		{[]string{"--xtc-probability", "0", "--xtc-threshold", "0.01", "--samplers", "xtc;greedy"}, true},
		{[]string{"--typical", "0.01", "--samplers", "typ_p;greedy"}, false},
		{[]string{"--dry-multiplier", "50", "--dry-allowed-length", "0", "--dry-sequence-breaker", "none", "--samplers", "dry;greedy"}, false},
		{[]string{"--dry-multiplier", "50", "--dry-allowed-length", "40", "--dry-base", "3", "--dry-penalty-last-n", "50", "--samplers", "dry;greedy"}, true},
	} {
		if got := generated(t, k.args...); slices.Equal(got, greedy) != k.same {
			t.Errorf("%v: %v, greedy gives %v", k.args, got, greedy)
		}
	}
	// EOS, the likeliest token by far, ends the text only where it may.
	const end = "2+100"
	if n := len(generated(t, "-l", end)); n > 1 {
		t.Errorf("%d tokens come before an end that is likeliest from the start", n)
	}
	if got := generated(t, "-l", end, "--min-tokens", "7"); len(got) < 7 || len(got) > 8 || slices.Contains(got[:7], 2) {
		t.Errorf("--min-tokens 7: %v", got)
	}
	if got := generated(t, "-l", end, "--ignore-eos"); len(got) != 30 || slices.Contains(got, 2) {
		t.Errorf("--ignore-eos: %v", got)
	}
	for args, want := range map[string]string{
		"-l 15":        `-l "15": write it as TOKEN+BIAS or TOKEN-BIAS, such as 15043+1 or 15043-inf`,
		"-l 99999+1":   "plugin sampler: sampler_logit_bias says: sampler logit_bias: the setting names a token that the vocabulary does not have",
		"--mirostat 3": "setting mirostat is 3, its range is 0 to 2 (plugin mirostat)",
		"--samplers top_k;greedy --xtc-probability 1": "setting xtc_probability is read by no entry of the sampler chain",
	} {
		o := forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "x", "--raw", "-n", "3"}, strings.Fields(args)...)...)
		if o.status != 1 || !strings.Contains(o.err, want) {
			t.Errorf("%s: status %d, %s", args, o.status, o.err)
		}
	}
}

// Ensure that a batch body sets samplers as the flags do.
func TestSamplingBodies(t *testing.T) {
	var lines []string
	flags := [][]string{
		{"--mirostat", "2", "--mirostat-ent", "4", "--mirostat-lr", "0.2"},
		{"--typical", "0.6", "--top-n-sigma", "2", "--temp", "1.5"},
		{"-l", "400-inf", "-l", "13+2", "--min-tokens", "9"},
		{"--dry-multiplier", "2", "--dry-sequence-breaker", "a", "--dry-sequence-breaker", ",", "--xtc-probability", "0.5"},
	}
	for i, body := range []string{
		`"mirostat":2,"mirostat_tau":4,"mirostat_eta":0.2`,
		`"typical_p":0.6,"top_n_sigma":2,"temperature":1.5`,
		`"logit_bias":[[400,false],[13,2]],"min_tokens":9`,
		`"dry_multiplier":2,"dry_sequence_breakers":["a",","],"xtc_probability":0.5`,
	} {
		lines = append(lines, fmt.Sprintf(`{"custom_id":"%d","method":"POST","url":"/v1/completions","body":{"prompt":"Once upon a time","max_tokens":30,"seed":3,%s}}`, i, body))
	}
	in, out := write(t, "in.jsonl", strings.Join(lines, "\n")), filepath.Join(t.TempDir(), "out.jsonl")
	forge(t, "", "batch", "-m", storiesFile, "-i", in, "-o", out).must(t)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var a struct {
			CustomID int `json:"custom_id,string"`
			Response struct {
				Body struct{ Choices []struct{ Text string } }
			}
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil || len(a.Response.Body.Choices) != 1 {
			t.Fatal(err, line)
		}
		o := forge(t, "", append([]string{"run", "-m", storiesFile, "-p", "Once upon a time", "--raw", "-n", "30", "--seed", "3"}, flags[a.CustomID]...)...).must(t)
		if text := a.Response.Body.Choices[0].Text; text != o.out || text == "" {
			t.Errorf("%v gives %q, the body %q", flags[a.CustomID], o.out, text)
		}
	}
}
