package plugin

import "testing"

// Ensure that an entry is called exactly where a setting differs from what its manifest calls neutral.
func TestNeutral_Calls(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	c, mods := loadShipped(t, r)
	entries, err := Resolve(mods, c.Chain)
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	chain := newChain(t, r, n, entries...)
	off := map[string]any{"top_k": 0, "top_p": 1, "min_p": 0, "temp": 1}
	for _, k := range []struct {
		set   map[string]any
		calls int64 // dist's among them
	}{
		{nil, 1},
		{map[string]any{"temp": 0.8}, 2},
		{map[string]any{"dynatemp_range": 0.5}, 2},
		{map[string]any{"top_k": 40, "top_p": 0.9, "min_p": 0.1}, 4},
		{map[string]any{"repeat_penalty": 1.1}, 2},
		{map[string]any{"presence_penalty": 0.5, "repeat_last_n": 3}, 2},
		{map[string]any{"repeat_last_n": 3, "dry_base": 2.5, "xtc_threshold": 0.3}, 1},
		{map[string]any{"logit_bias": "3+1", "min_tokens": 3, "ignore_eos": true}, 4},
		{map[string]any{"dry_multiplier": 0.8, "top_n_sigma": 1, "typical_p": 0.5, "xtc_probability": 1}, 5},
	} {
		all := map[string]any{}
		for _, m := range []map[string]any{off, k.set} {
			for key, v := range m {
				all[key] = v
			}
		}
		p, err := chain.Params(all)
		if err != nil {
			t.Fatal(err)
		}
		before := int64(0)
		for _, m := range mods {
			before -= m.Stats().Calls
		}
		if _, err := chain.Sample(ctx, &Row{Logits: logits(n), Params: p, History: []uint32{1, 2, 3}}); err != nil {
			t.Fatal(k.set, err)
		}
		for _, m := range mods {
			before += m.Stats().Calls
		}
		if before != k.calls {
			t.Errorf("%v: %d calls, want %d", k.set, before, k.calls)
		}
	}
}

// Ensure that a manifest whose neutral values do not fit its config keys is refused.
func TestNeutral_Manifest(t *testing.T) {
	const head = "name = \"a\"\nversion = \"1\"\nkind = \"sampler\"\nabi = \"1.0\"\n" +
		"[[config]]\nname = \"strength\"\ntype = \"f32\"\nmax = 2.0\n[[config]]\nname = \"other\"\ntype = \"bool\"\n[[entries]]\nname = \"a\"\n"
	for text, want := range map[string]string{
		"config = [\"strength\"]\nneutral = { strength = 0 }":  "",
		"neutral = { strength = 0, other = false }":            "",
		"neutral = { strenght = 0 }":                           "the manifest's entry a is neutral at a value of strenght, which is no config key that it reads; did you mean strength?",
		"config = [\"strength\"]\nneutral = { other = false }": "the manifest's entry a is neutral at a value of other, which is no config key that it reads",
		"config = [\"strength\"]\nneutral = { strength = 3 }":  "the manifest's entry a is neutral where strength is 3, its range is 2 or less",
		"neutral = { other = 1 }":                              "the manifest's entry a is neutral where other is 1, it wants true or false",
		"neutral = { strength = { deep = [1, 2] } }":           "the manifest has an unknown key entries.neutral.strength.deep",
	} {
		_, err := parseManifest([]byte(head + text))
		if want == "" {
			if err != nil {
				t.Error(text, err)
			}
			continue
		}
		wantError(t, err, want)
	}
}
