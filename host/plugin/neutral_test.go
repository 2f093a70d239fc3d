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
	const n = 300 // more than plannedLength: no plan is followed in place of a call
	chain := newChain(t, r, n, entries...)
	off := map[string]any{"top_k": 0, "top_p": 1, "min_p": 0, "temp": 1}
	for _, k := range []struct {
		set   map[string]any
		calls int64 // dist's among them
	}{
		{nil, 1},
		{map[string]any{"temp": 0.8}, 2},
		{map[string]any{"dynatemp_range": 0.5}, 2},
		{map[string]any{"top_k": 40, "top_p": 0.9, "min_p": 0.1, "temp": 0.5}, 4}, // temperature by its plan
		{map[string]any{"repeat_penalty": 1.1}, 2},
		{map[string]any{"presence_penalty": 0.5, "repeat_last_n": 3}, 2},
		{map[string]any{"repeat_last_n": 3, "dry_base": 2.5, "xtc_threshold": 0.3}, 1},
		{map[string]any{"logit_bias": "3+1", "min_tokens": 3, "ignore_eos": true}, 4},
		{map[string]any{"mirostat": 2}, 2}, // picks, and hears of what was accepted
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
		if err := chain.Begin(ctx, 0, p); err != nil {
			t.Fatal(err)
		}
		row := &Row{Logits: logits(n), Params: p, History: []uint32{1, 2, 3}}
		if _, err := chain.Sample(ctx, row); err != nil { // makes the instances that waited for it
			t.Fatal(k.set, err)
		}
		before := int64(0)
		for _, m := range mods {
			before -= m.Stats().Calls
		}
		if _, err := chain.Sample(ctx, row); err != nil {
			t.Fatal(k.set, err)
		}
		if err := chain.Accept(ctx, 0, 1); err != nil {
			t.Fatal(err)
		}
		for _, m := range mods {
			before += m.Stats().Calls
		}
		if before != k.calls {
			t.Errorf("%v: %d calls, want %d", k.set, before, k.calls)
		}
	}
}

// Ensure that a guest with state hears of the sequences alone whose settings want it, forks included.
func TestNeutral_Sequences(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	c, mods := loadShipped(t, r)
	entries, err := Resolve(mods, c.Chain)
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	chain := newChain(t, r, n, entries...)
	on, err := chain.Params(map[string]any{"mirostat": 2})
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	sample := func(seq uint64, p *Params) error {
		_, err := chain.Sample(ctx, &Row{Logits: logits(n), Seq: seq, Params: p})
		return err
	}
	do(chain.Begin(ctx, 1, on))
	do(chain.Begin(ctx, 2, nil))
	do(chain.AcceptPrompt(ctx, 1, 5, 6))
	do(chain.AcceptPrompt(ctx, 2, 5, 6))
	do(chain.Fork(ctx, 3, 1))
	do(chain.Fork(ctx, 4, 2))
	for seq, p := range map[uint64]*Params{1: on, 2: nil, 3: on, 4: nil} {
		do(sample(seq, p))
		do(chain.Accept(ctx, seq, 7))
		do(chain.Rollback(ctx, seq, 2))
	}
	wantError(t, sample(2, on), "plugin mirostat: sequence 2 was not begun")
	wantError(t, sample(4, on), "plugin mirostat: sequence 4 was not begun")
	for seq := range uint64(4) {
		do(chain.End(ctx, seq+1))
	}
	wantError(t, sample(1, on), "plugin mirostat: sequence 1 was not begun")
	// A number is used again with other settings.
	do(chain.Begin(ctx, 2, on))
	do(sample(2, on))
	do(chain.Begin(ctx, 2, nil))
	wantError(t, sample(2, on), "plugin mirostat: sequence 2 was not begun")
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
