package server

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"
)

// Ensure that a body's fields become the settings that samplers read.
func TestSampling(t *testing.T) {
	tokenize := func(text string) ([]uint32, error) { return []uint32{uint32(len(text)), 7}, nil }
	for body, want := range map[string]map[string]any{
		`{}`: {},
		`{"temperature": 0.5, "top_k": 3, "typical_p": null, "mirostat_tau": 4}`:      {"temp": 0.5, "top_k": 3.0, "mirostat_tau": 4.0},
		`{"dry_multiplier": 0.8, "dry_sequence_breakers": ["\n", ",", "\\", "a\tb"]}`: {"dry_multiplier": 0.8, "dry_sequence_breakers": `\n,\,,\\,a\tb`},
		`{"dry_sequence_breakers": []}`:                                               {"dry_sequence_breakers": ""},
		`{"ignore_eos": true, "min_tokens": 5}`:                                       {"ignore_eos": true, "min_tokens": 5.0},
		`{"ignore_eos": false, "logit_bias": null}`:                                   {},
		`{"logit_bias": {"15": 1.5, "2": -100, "4": 0}}`:                              {"logit_bias": "15+1.5,2-100,4+0"},
		`{"logit_bias": [[15, 1e-7], [2, false], ["abc", -1]]}`:                       {"logit_bias": "15+1e-07,2-inf,3-1,7-1"},
		`{"logit_bias": {}}`:                                                          {},
	} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		if err := sampling(fields, got, tokenize); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", body, got, err, want)
		}
	}
	const shape = "\"logit_bias\" is neither an object of token ids and numbers nor a list of [id or text, number or false]"
	for body, want := range map[string]string{
		`{"top_k": "many"}`:              "\"top_k\" is not a number",
		`{"ignore_eos": 1}`:              "\"ignore_eos\" is not true or false",
		`{"dry_sequence_breakers": "x"}`: "\"dry_sequence_breakers\" is not a list of strings",
		`{"logit_bias": {"x": 1}}`:       "\"logit_bias\" has the key \"x\", which is not a token id",
		`{"logit_bias": {"-1": 1}}`:      "\"logit_bias\" has the key \"-1\", which is not a token id",
		`{"logit_bias": [[1.5, 1]]}`:     shape,
		`{"logit_bias": [[1, true]]}`:    shape,
		`{"logit_bias": [[null, 1]]}`:    shape,
		`{"logit_bias": [[1, "much"]]}`:  shape,
		`{"logit_bias": "15+1"}`:         shape,
		`{"logit_bias": [1, 2]}`:         shape,
	} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		if err := sampling(fields, map[string]any{}, tokenize); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if got := biasEntry(3, math.Inf(1)); got != "3+inf" {
		t.Error(got)
	}
}

// Ensure that naming a chain does not switch off what else was asked for.
func TestWithRules(t *testing.T) {
	standard := []string{"ignore_eos", "min_tokens", "logit_bias", "mirostat", "top_k", "dist"}
	for _, k := range []struct {
		named    []string
		settings map[string]any
		want     []string
	}{
		{nil, map[string]any{"logit_bias": "1+1", "mirostat": 2}, nil},
		{[]string{"top_k", "dist"}, map[string]any{"top_k": 3}, []string{"top_k", "dist"}},
		{[]string{"top_k", "dist"}, map[string]any{"logit_bias": "1+1", "min_tokens": 3}, []string{"min_tokens", "logit_bias", "top_k", "dist"}},
		{[]string{"top_k", "dist"}, map[string]any{"logit_bias": "", "min_tokens": 0.0, "ignore_eos": false, "mirostat": 0}, []string{"top_k", "dist"}},
		{[]string{"top_k", "logit_bias", "dist"}, map[string]any{"logit_bias": "1+1"}, []string{"top_k", "logit_bias", "dist"}},
		{[]string{"sampler.logit_bias", "dist"}, map[string]any{"logit_bias": "1+1"}, []string{"sampler.logit_bias", "dist"}},
		{[]string{"dist"}, map[string]any{"mirostat": 1.0}, []string{"mirostat", "dist"}},
	} {
		if got := WithRules(k.named, standard, k.settings); !slices.Equal(got, k.want) || (got == nil) != (k.want == nil) {
			t.Errorf("%v %v: %v, want %v", k.named, k.settings, got, k.want)
		}
	}
	if got := WithRules(nil, []string{"dist"}, map[string]any{"ignore_eos": true}); !slices.Equal(got, []string{"ignore_eos", "dist"}) {
		t.Error(got)
	}
}
