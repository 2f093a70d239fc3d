// Package plugin loads, checks, meters and calls guests: WebAssembly modules that turn text into ids, logits into a
// token, messages into a prompt or metadata into a program, behind the ABI of package abi.
//
// Nouns: a [Runtime] runs guests; a [Spec] says which bytes, from whom, with what grants and limits; a [Module] is a
// guest that was checked and compiled; [Tokenizer], [Template], [Chain], [Constraint] and [Router] are a module at work, with
// its instances; a [Program] is what an architecture guest builds. [ParseConfig] reads plugins.toml into specs.
//
//	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{CacheDir: dir})
//	m, err := rt.Load(ctx, plugin.Spec{Name: "top_k", Kind: "sampler", Wasm: wasm})
//	chain, err := rt.NewChain(ctx, []plugin.ChainEntry{{Module: m, Entry: "top_k"}, {Module: m, Entry: "dist"}}, nVocab)
//	id, err := chain.Sample(ctx, &plugin.Row{Logits: logits, Seed: 7, Draw: &draw})
//
// A guest is given fuel for each call (abi.Kinds, times the limit of plugins.toml), in small tanks: between two of them Go's
// scheduler and collector have their turn, and a cancelled context ends the call. A guest that runs out of fuel, traps or
// answers what the ABI forbids is thrown away and made anew, and that is a strike; after Limits.Strikes of them the
// plugin is quarantined and every further call says so. What a caller sees is an [Error]: the plugin, the call, why, and
// the fuel used.
//
// Guests with state are told of sequences: begin, accept, rollback, fork, save, load and end. The host keeps what it told
// them, and tells it again to a new instance, so that a fault disturbs the sequence that was being served and no other.
//
// # Caveats
//
// An instance has one caller: what is at work serialises its calls, so one that is shared between goroutines is safe and no
// faster; make several for parallel work. A sequence belongs to the Chain or the Constraint that it was begun in. To tell a
// sequence again is exact only for a guest that keeps to the ABI, whose answers depend on settings and accepted tokens
// alone. Close the Runtime last: modules and all that was made from them end with it.
package plugin
