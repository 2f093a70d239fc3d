// Package plugin loads, checks, meters and calls guests: WebAssembly modules that turn text into ids, logits into a
// token, messages into a prompt or metadata into a program, behind the ABI of package abi.
//
// Nouns: a [Runtime] runs guests; a [Spec] says which bytes, from whom, with what grants and limits; a [Module] is a
// guest that was checked and compiled; [Tokenizer], [Template], [Chain] and [Router] are a module at work, with its instance; a
// [Program] is what an architecture guest builds. [ParseConfig] reads plugins.toml into specs.
//
//	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{CacheDir: dir})
//	m, err := rt.Load(ctx, plugin.Spec{Name: "top_k", Kind: "sampler", Wasm: wasm})
//	chain, err := rt.NewChain(ctx, []plugin.ChainEntry{{Module: m, Entry: "top_k"}, {Module: m, Entry: "dist"}}, nVocab)
//	id, err := chain.Sample(ctx, &plugin.Row{Logits: logits, Seed: 7, Draw: &draw})
//
// A guest is given fuel for each call (abi.Kinds, times the limit of plugins.toml). One that runs out of it, traps or
// answers what the ABI forbids is thrown away and made anew, and that is a strike; after Limits.Strikes of them the
// plugin is quarantined and every further call says so. What a caller sees is an [Error]: the plugin, the call, why, and
// the fuel used.
//
// # Caveats
//
// An instance has one caller: Tokenizer, Template and Chain serialise their calls, so one that is shared between
// goroutines is safe and no faster; make several for parallel work. Guests with state keep it for each sequence inside
// the instance: after a trap it is gone, and the sequences that relied on it fail with a sentence that says so. Close
// the Runtime last: modules and all that was made from them end with it.
package plugin
