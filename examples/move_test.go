package examples_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/kernels/simd"
)

// Ensure that answers are moves of the list, that each move can be one, and that a list of none fails.
func TestMove(t *testing.T) {
	wasm, err := os.ReadFile("constraint-move/move.wasm")
	if err != nil {
		t.Fatal(err)
	}
	e := openSpec(t, stories, plugin.Spec{Name: "move", Kind: "constraint", Wasm: wasm, Grants: []string{"vocab", "history"}}, simd.New())
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "She played", true)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(moves string, seed uint64) (*host.Result, error) {
		set := map[string]any{"temp": 3, "top_k": 0, "top_p": 1, "min_p": 0}
		if moves != "-" {
			set["moves"] = moves
		}
		return e.Generate(ctx, &host.Request{Prompt: prompt, MaxTokens: 40, Constraints: []string{"move"}, Settings: set, Seed: seed})
	}
	for _, moves := range []string{"-", "e4 d4 c4 Nf3", "O-O O-O-O", "the then there", "é日 é", " one  two "} {
		list := strings.Fields(moves)
		if moves == "-" {
			list = []string{"rock", "paper", "scissors"}
		}
		seen := map[string]int{}
		for seed := range uint64(60) {
			res, err := answer(moves, seed)
			if err != nil {
				t.Fatalf("%q: %v", moves, err)
			}
			if !slices.Contains(list, res.Text) || res.Finish != "stop" {
				t.Fatalf("%q: answer %q, %s", moves, res.Text, res.Finish)
			}
			seen[res.Text]++
		}
		// Whether the end comes after a move that begins a longer one is the model's to say.
		for _, move := range list {
			begins := slices.ContainsFunc(list, func(m string) bool { return m != move && strings.HasPrefix(m, move) })
			if seen[move] == 0 && !begins {
				t.Errorf("%q: %q is never answered: %v", moves, move, seen)
			}
		}
	}
	const none = "plugin move: constraint_mask allows no token here"
	if _, err := answer("", 1); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("no moves: error %v, want %q", err, none)
	}
}
