package plugin

import (
	"testing"

	"forge/abi"
)

// shippedModule loads a shipped module by its name.
func shippedModule(t testing.TB, mods []*Module, name string) *Module {
	t.Helper()
	for _, m := range mods {
		if m.Name() == name {
			return m
		}
	}
	t.Fatal("no shipped module ", name)
	return nil
}

// Ensure that a call of a shipped guest allocates nothing on Go's heap: to encode and to decode a token, and to route one.
// The chain is held to it by TestShipped, the constraint by TestConstraint_AllocatesNothing.
func TestShippedAllocateNothing(t *testing.T) {
	_, mods := loadShipped(t, newRuntime(t, RuntimeOptions{}))
	none := func(what string, f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Error(what, err)
		}
		if a := testing.AllocsPerRun(100, func() { f() }); a != 0 {
			t.Errorf("%s: %v allocations in a call", what, a)
		}
	}
	for name, model := range map[string]string{"bpe": "gpt2", "spm": "llama"} {
		tok, err := shippedModule(t, mods, name).NewTokenizer(ctx, syllables(model))
		if err != nil {
			t.Fatal(err)
		}
		ids, text, word := make([]uint32, 0, 64), make([]byte, 0, 64), []byte("ba")
		none(name+" encode", func() error {
			_, err := tok.Encode(ctx, ids, word, true)
			return err
		})
		token, state := []uint32{3}, MidText()
		none(name+" decode", func() error {
			_, err := tok.Decode(ctx, text, token, &state, 0)
			return err
		})
	}
	for name, score := range map[string]uint32{"softmax": 0, "sigmoid": 1} {
		layer := RouteLayer{NExperts: 128, TopK: 8, Score: score, NGroup: 8, NGroupUsed: 4, Factor: 1, Bias: make([]float32, 128)}
		r, err := shippedModule(t, mods, name).NewRouter(ctx, []RouteLayer{layer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &RouteBatch{N: 1, Scores: logits(128), IDs: make([]uint32, 8), Weights: make([]float32, 8)}
		none(abi.KindRouter+" "+name, func() error { return r.Route(ctx, 0, b) })
	}
}
