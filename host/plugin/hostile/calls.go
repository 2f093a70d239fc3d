package hostile

import (
	"fmt"
	"slices"
	"strings"

	"forge/abi"
	w "forge/host/plugin/wasmtest"
)

// inInit, inArena and inStart put code where it runs before the first call.
func inInit(code ...[]byte) func(*w.Guest) {
	return func(g *w.Guest) {
		g.Funcs = append(g.Funcs, w.Func{Name: "forge_init", Code: w.OK(code...)})
	}
}

func inArena(code ...[]byte) func(*w.Guest) {
	return func(g *w.Guest) {
		g.Funcs = append(g.Funcs, w.Func{Name: "forge_arena", Code: w.Cat(code...)})
	}
}

func inStart(code ...[]byte) func(*w.Guest) {
	return func(g *w.Guest) {
		g.Funcs = append(g.Funcs, w.Func{Type: w.None, Code: w.Cat(code...)})
		g.Start = len(g.Funcs)
	}
}

func starts() []Module {
	return []Module{
		{Name: "a start function that loops", Wasm: samplerOf(inStart(w.Loop())), Want: "its start ran out of fuel"},
		{Name: "a start function that traps", Wasm: samplerOf(inStart(w.Raw(w.OpUnreachable))), Want: "its start gave up"},
		{Name: "a start function that loads", Wasm: samplerOf(func(g *w.Guest) {
			*g = Busy()["dependent loads"]
			inStart(g.Funcs[0].Code[:len(g.Funcs[0].Code)-2])(g)
			g.Funcs[g.Start-1].Locals = localsOf(2)
		}), Want: "its start ran out of fuel"},
		{Name: "a start function that recurses", Wasm: samplerOf(inStart(w.Call(1))), Want: "its start gave up, or nested its calls too deep (unreachable) (fuel used: under 65,536 units)"},
		{Name: "a start function that takes all memory", Wasm: samplerOf(inStart(w.Loop(w.I32(100), w.Raw(w.OpMemoryGrow, 0, w.OpDrop)))), Want: "its start"},
		{Name: "an arena that loops", Wasm: samplerOf(inArena(w.Loop(), w.I32(0))), Want: "forge_arena ran out of fuel"},
		{Name: "no room for the arena", Wasm: samplerOf(inArena(w.I32(0))), Want: "forge_arena cannot have the"},
		{Name: "an arena beyond memory", Wasm: samplerOf(inArena(w.I32(-65536))), Want: "beyond its memory of 65536"},
		{Name: "an arena at an odd place", Wasm: samplerOf(inArena(w.I32(7))), Want: "forge_arena gave the address 0x7, which is not a multiple"},
		{Name: "an arena over the code's own data", Wasm: samplerOf(func(g *w.Guest) {
			g.Pages = 200
			inArena(w.I32(65536))(g)
		})},
		{Name: "an init that loops", Wasm: samplerOf(inInit(w.Loop())), Want: "forge_init ran out of fuel"},
		{Name: "an init that grants itself", Wasm: samplerOf(inInit(frame(initCaps, 0xff))), Want: "forge_init accepted capabilities that were not offered"},
		{Name: "an error text of 4 GB", Wasm: samplerOf(func(g *w.Guest) {
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_init", Code: w.Cat(frame(12, -1), w.I32(-3))})
		}), Want: "forge_init gives no reason"},
	}
}

func endless() []Module {
	const outOfFuel = "sampler_harm ran out of fuel: raise limits.fuel"
	var list []Module
	for name, g := range Busy() {
		list = append(list, tamed(name, outOfFuel, g))
	}
	slices.SortFunc(list, func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	tree := func(g *w.Guest) { // 2^30 calls without a loop
		g.Funcs[0].Code = w.OK(w.Call(1))
		for i := range 30 {
			code := w.Raw()
			if i < 29 {
				code = w.Cat(w.Call(i+2), w.Call(i+2))
			}
			g.Funcs = append(g.Funcs, w.Func{Type: w.None, Code: code})
		}
	}
	mutual := func(g *w.Guest) {
		g.Funcs[0].Code = w.OK(w.Call(1))
		g.Funcs = append(g.Funcs, w.Func{Type: w.None, Code: w.Call(2)}, w.Func{Type: w.None, Code: w.Call(1)})
	}
	table := func(g *w.Guest) {
		g.Tables = w.Vec(w.Raw(0x70, 0, 1))
		g.Elements = w.Vec(w.Cat(w.Raw(0), w.I32(0), w.Raw(w.OpEnd, 1, 0)))
		g.Funcs[0].Code = w.OK(w.Raw(w.OpLocalGet, 0), w.I32(0), w.Raw(w.OpCallIndirect, 0, 0, w.OpDrop))
	}
	frames := func(g *w.Guest) { // recursion of large frames
		keep := w.Repeat(3000, w.Cat(w.I32(0), w.Raw(w.OpI32Load, 2, 0)))
		g.Funcs[0].Code = w.OK(w.Call(1))
		g.Funcs = append(g.Funcs, w.Func{Type: w.None, Code: w.Cat(keep, w.Call(1), w.Repeat(3000, w.Raw(w.OpDrop)))})
	}
	with := func(name, want string, change func(*w.Guest), code ...[]byte) Module {
		return tamed(name, want, samplerGuest(change, code...))
	}
	indirect := w.Raw(w.OpLocalGet, 0, w.OpI32Const, 0, w.OpCallIndirect, 0, 0, w.OpDrop)
	return append(list,
		with("a tree of calls", outOfFuel, tree),
		with("mutual recursion", "sampler_harm nested its calls too deep", mutual),
		with("recursion through the table", "sampler_harm nested its calls too deep", table),
		with("recursion of large frames", outOfFuel, frames),
		entry("a load outside memory", "sampler_harm read or wrote outside its memory", w.I32(-4), w.Raw(w.OpI32Load, 2, 0, w.OpDrop)),
		entry("a store outside memory", "sampler_harm read or wrote outside its memory", w.I32(-8), w.I32(0), w.Raw(w.OpI32Store, 2), w.U(1<<32-8)),
		entry("a fill outside memory", "sampler_harm read or wrote outside its memory", w.I32(-4), w.I32(0), w.I32(8), w.Raw(w.OpBulk, 11, 0)),
		entry("a division by zero", "sampler_harm trapped: integer divide by zero", w.I32(1), w.I32(0), w.Raw(0x6d, w.OpDrop)),
		with("a call of an empty table entry", "sampler_harm trapped", func(g *w.Guest) { g.Tables = w.Vec(w.Raw(0x70, 0, 1)) }, indirect),
		with("a call of another type", "sampler_harm trapped", func(g *w.Guest) {
			g.Tables = w.Vec(w.Raw(0x70, 0, 1))
			g.Elements = w.Vec(w.Cat(w.Raw(0), w.I32(0), w.Raw(w.OpEnd, 1, 1)))
			g.Funcs = append(g.Funcs, w.Func{Type: w.FuncType("I", "I"), Code: w.I64(0)})
		}, indirect),
		entry("unreachable", "sampler_harm gave up", w.Raw(w.OpUnreachable)),
	)
}

// candidate writes a word of the table that a field of the row points to.
func candidate(field, i int, value int64) []byte {
	return w.Cat(w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(rowsAt)), w.Raw(w.OpI32Load, 2), w.U(uint64(field)), w.I32(value),
		w.Raw(w.OpI32Store, 2), w.U(uint64(4*i)))
}

// shrugged is a tamed sampler whose harm has no effect.
func shrugged(name string, code ...[]byte) Module {
	m := entry(name, "", code...)
	m.Shrugged = true
	return m
}

func samplers() []Module {
	const whole = 1
	return []Module{
		entry("more candidates than there are", "sampler_harm left 1048576 candidates of ", row(rowN, 1<<20)),
		entry("-1 candidates", "sampler_harm left 4294967295 candidates of ", row(rowN, -1)),
		entry("no candidates", "sampler_harm left no candidates", row(rowN, 0), row(rowFlags, 0)),
		entry("unknown flags", "sampler_harm set the row flags 0xffffffff", row(rowFlags, -1)),
		entry("a whole row that is not", "sampler_harm calls a table of 5 candidates the whole row", row(rowN, 5), row(rowFlags, whole)),
		entry("a pick outside the table", "sampler_harm picked candidate 1000000000 of ", row(rowPicked, 1e9)),
		entry("a pick of -7", "sampler_harm picked candidate -7 of ", row(rowPicked, -7)),
		entry("an id outside the vocabulary, picked", "sampler_harm picked the id 4294967295, the vocabulary has ", row(rowFlags, 0), row(rowPicked, 0), candidate(rowIDs, 0, -1)),
		entry("an id outside the vocabulary, left", "sampler_harm left the id 4294967295 in the table, the vocabulary has ", row(rowFlags, 0), row(rowN, 3), candidate(rowIDs, 2, -1)),
		entry("the draw counter set back", "sampler_harm set the draw counter back", row(rowDraw, 0)),
		shrugged("windows moved", row(rowIDs, -64), row(rowLogits, -64), frame(rowsAt, 12)),
		tamed("an unknown status", "sampler_harm returned the status 99", w.Guest{Kind: "sampler", Manifest: oneEntry, Funcs: []w.Func{{Name: "sampler_harm", Code: w.I32(99)}}}),
		tamed("a status of the host's own bug", "sampler_harm gives no reason (status err_internal)",
			w.Guest{Kind: "sampler", Manifest: oneEntry, Funcs: []w.Func{{Name: "sampler_harm", Code: w.I32(-7)}}}),
		tamed("an error text of 4 GB in a call", "sampler_harm gives no reason",
			w.Guest{Kind: "sampler", Manifest: oneEntry, Funcs: []w.Func{{Name: "sampler_harm", Code: w.Cat(frame(12, -1), w.I32(-1))}}}),
		entry("three times the same id", "", row(rowFlags, 0), row(rowN, 3), candidate(rowIDs, 0, 5), candidate(rowIDs, 1, 5), candidate(rowIDs, 2, 5)),
		entry("logits of no number", "", candidate(rowLogits, 0, 0x7fc00000), candidate(rowLogits, 1, -1), candidate(rowLogits, 2, 0x7f800001)),
		entry("infinite logits", "", candidate(rowLogits, 0, 0x7f800000), candidate(rowLogits, 1, 0x7f800000), candidate(rowLogits, 2, -0x800000)),
		entry("a table called sorted that is not", "", row(rowFlags, whole|2)),
		{Name: "save of more than there is room", Wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_save", Code: w.OK(frame(seqUsed, -1))}, w.Func{Name: "forge_load", Code: w.I32(0)})
		})},
		{Name: "accept that loops", Wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_accept", Code: w.OK(w.Loop())})
		}), Want: "forge_accept ran out of fuel"},
		{Name: "end that traps", Wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_end", Code: w.Raw(w.OpUnreachable)})
		}), Want: "forge_end gave up"},
		{Name: "an image with a vector in a global", Wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"image\"\n" + oneEntry
			g.Globals = [][]byte{w.Cat(w.Raw(0x7b, 1, 0xfd, 0x0c), make([]byte, 16), w.Raw(w.OpEnd))}
		}), Want: "its state is an image, and it keeps a vector in a mutable global"},
	}
}

// liars pick the first candidate and tell chances of it that cannot be, to who wants to know them.
func liars() []Module {
	top := func(i int, id int64, logprob float32) []byte { // record i of the window of chances
		return w.Cat(candidate(rowTop, 2*i, id), candidate(rowTop, 2*i+1, float(logprob)))
	}
	liar := func(name, want string, code ...[]byte) Module {
		m := Module{Name: "chances: " + name, Kind: "sampler", Grants: []string{"logprobs"}, Want: want}
		m.Wasm = samplerOf(func(g *w.Guest) {
			g.Manifest = "grants = [\"logprobs\"]\n" + oneEntry
			inInit(frame(initCaps, int64(abi.CapLogprobs)))(g)
		}, row(rowPicked, 0), w.Cat(code...))
		return m
	}
	return []Module{
		liar("none, where 0 is certainty", ""),
		liar("of 4 billion candidates", "sampler_harm tells the chances of 4294967295 candidates, there was room for 4", row(rowNTop, -1)),
		liar("a logarithm that is no number", "sampler_harm gives its pick the log probability NaN", row(rowLogprob, 0x7fc00000)),
		liar("a probability of e", "sampler_harm gives its pick the log probability 1", row(rowLogprob, 0x3f800000)),
		liar("a probability of 0 for its pick", "sampler_harm gives its pick the log probability -Inf", row(rowLogprob, -0x800000)),
		liar("an id outside the vocabulary", "sampler_harm tells the chance of the id 4294967295", row(rowNTop, 1), top(0, -1, -1)),
		liar("the same id twice", "sampler_harm tells the chance of the id 3 twice", row(rowNTop, 2), top(0, 3, -1), top(1, 3, -1)),
		liar("ascending", "sampler_harm lists candidate 1 with the log probability -1 behind one with -2", row(rowNTop, 2), top(0, 3, -2), top(1, 4, -1)),
		liar("of more than 1 together", "sampler_harm tells chances that add up to 2.000", row(rowNTop, 2), top(0, 3, 0), top(1, 4, 0)),
		liar("an infinite one in the list", "sampler_harm gives candidate 0 of the most probable the log probability +Inf", row(rowNTop, 1), candidate(rowTop, 0, 3), candidate(rowTop, 1, 0x7f800000)),
		liar("moves the window", "", w.Store32(rowsAt, rowTop, -64), row(rowNTop, 0)),
	}
}

func texts() []Module {
	var list []Module
	for _, kind := range []string{"tokenizer", "template"} {
		call := map[string]string{"tokenizer": "tokenizer_encode", "template": "template_render"}[kind]
		all := w.Cat(w.Raw(w.OpLocalGet, 0, w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(textInput+4)), w.Raw(w.OpI32Store, 2), w.U(uint64(textUsed)))
		add := func(name, want string, code ...[]byte) {
			list = append(list, Module{Name: kind + ": " + name, Kind: kind, Wasm: kindOf(kind, code...), Want: call + " " + want})
		}
		add("takes more than it was offered", "consumed", frame(textUsed, 1<<20))
		add("takes -1", "consumed 4294967295 elements", frame(textUsed, -1))
		add("writes more than there is room", "wrote 4294967295 elements, there was room for", all, frame(textLen, -1))
		add("more is 7", "set more to 7", all, frame(textMore, 7))
		add("carries 99 bytes", "carries 99 bytes, a character has 4", all, frame(textCarry, 99))
		add("no progress", "makes no progress", frame(textUsed, 0))
		add("text without end", "wrote more than", all, frame(textLen, 4096), frame(textMore, 1))
		add("loops", "ran out of fuel", w.Loop())
		add("traps", "gave up", w.Raw(w.OpUnreachable))
	}
	all := w.Cat(w.Raw(w.OpLocalGet, 0, w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(textInput+4)), w.Raw(w.OpI32Store, 2), w.U(uint64(textUsed)))
	decode := func(name, want string, code ...[]byte) Module { // and encodes well
		g := w.Guest{Kind: "tokenizer", Funcs: []w.Func{{Name: "tokenizer_encode", Code: w.OK(all)}, {Name: "tokenizer_decode", Code: w.OK(code...)}}}
		return Module{Name: "tokenizer: decodes " + name, Kind: "tokenizer", Wasm: g.Build(), Want: want}
	}
	list = append(list,
		decode("half characters", "", all, frame(textLen, 4), w.Store32(textOutput, 0, -1)),
		decode("more than there is room", "tokenizer_decode wrote 1073741824 elements", all, frame(textLen, 1<<30)),
		decode("text without end", "tokenizer_decode wrote more than", all, frame(textLen, 4096), frame(textMore, 1)),
		decode("carry without end", "tokenizer_decode carries 4294967295 bytes", all, frame(textCarry, -1)),
		decode("into another window", "", all, frame(textOutput, 0), frame(textLen, 8)),
		Module{Name: "template: text that is not UTF-8", Kind: "template", Wasm: kindOf("template", all, frame(textLen, 4), w.Store32(textOutput, 0, -1)), Want: "template_render gave text that is not UTF-8"},
	)
	return append(list, Module{Name: "tokenizer: an id outside the vocabulary", Kind: "tokenizer",
		Wasm: kindOf("tokenizer", all, frame(textLen, 1), w.Store32(textOutput, 0, -1)), Want: "tokenizer_encode gave the id 4294967295, the vocabulary has 258"})
}

// nameAt has weight i's name be n bytes of the window of names.
func nameAt(i int, n int64) []byte {
	return w.Cat(w.Store32(archW, abi.WeightSize*i+weightName+4, n), w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archW)),
		w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archNames)), w.Raw(w.OpI32Store, 2), w.U(uint64(abi.WeightSize*i+weightName)))
}

// overlapping has n weights share one name, which is all operations and so some 4 MB.
func overlapping(n int) []byte {
	var b []byte
	for i := range n {
		b = w.Cat(b, w.Store32(archW, abi.WeightSize*i+weightName+4, 4<<20-abi.OpSize), w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archW)),
			w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archOps)), w.I32(abi.OpSize), w.Raw(w.OpI32Add, w.OpI32Store, 2), w.U(uint64(abi.WeightSize*i+weightName)))
	}
	return b
}

func archs() []Module {
	arch := func(code ...[]byte) []byte { return kindOf("arch", code...) }
	weight := func(field int, value int64) []byte { return w.Store32(archW, field, value) }
	return []Module{
		{Name: "arch: more weights than there is room", Kind: "arch", Wasm: arch(frame(archNW, -1), frame(archNOps, 1)), Want: "arch_build claims 4294967295 weights"},
		{Name: "arch: more operations than there is room", Kind: "arch", Wasm: arch(frame(archNOps, 1<<30)), Want: "arch_build claims 1073741824 operations"},
		{Name: "arch: no operations", Kind: "arch", Wasm: arch(), Want: "arch_build built a program without operations"},
		{Name: "arch: a weight of an unknown kind", Kind: "arch", Wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightKind, 77)), Want: "arch_build gave weight 0 the kind 77"},
		{Name: "arch: a name outside the arena", Kind: "arch", Wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightName, -16), weight(weightName+4, 32)),
			Want: "arch_build gave weight 0 a name of 32 bytes at 0xfffffff0, outside its arena"},
		{Name: "arch: a name of 4 GB", Kind: "arch", Wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightName, 65536), weight(weightName+4, -1)), Want: "outside its arena"},
		{Name: "arch: names that overlap", Kind: "arch", Wasm: arch(frame(archNOps, 1), frame(archNW, 3), overlapping(3)), Want: "arch_build gave the weights names of more than"},
		{Name: "arch: a name that is not UTF-8", Kind: "arch", Wasm: arch(frame(archNOps, 1), frame(archNW, 1), w.Store32(archNames, 0, -1), nameAt(0, 4)), Want: "arch_build gave weight 0 a name that is not UTF-8"},
		{Name: "arch: traps", Kind: "arch", Wasm: arch(w.Raw(w.OpUnreachable)), Want: "arch_build gave up"},
		{Name: "arch: loops", Kind: "arch", Wasm: arch(w.Loop()), Want: "arch_build ran out of fuel"},
	}
}

func constraints() []Module {
	mask := func(code ...[]byte) []byte { return kindOf("constraint", code...) }
	field := func(offset int, value int64) []byte { return w.Store32(masksAt, offset, value) }
	forced := func(value int64) []byte { // into the first place of the window that the row points to
		return w.Cat(w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(masksAt)), w.Raw(w.OpI32Load, 2), w.U(uint64(maskForced)), w.I32(value), w.Raw(w.OpI32Store, 2, 0))
	}
	validates := func(code ...[]byte) []byte { // and allows all
		return w.Guest{Kind: "constraint", Funcs: []w.Func{{Name: "constraint_mask", Code: w.OK(field(maskResult, 1))},
			{Name: "constraint_validate", Code: w.OK(code...)}}}.Build()
	}
	list := []Module{
		{Name: "says nothing", Wasm: mask(), Want: "constraint_mask allows no token here"},
		{Name: "an unknown result", Wasm: mask(field(maskResult, 99)), Want: "constraint_mask gives the result 99"},
		{Name: "forces nothing", Wasm: mask(field(maskResult, 2)), Want: "constraint_mask forces 0 tokens"},
		{Name: "forces 4 billion tokens", Wasm: mask(field(maskResult, 2), field(maskNForce, -1)), Want: "constraint_mask forces 4294967295 tokens"},
		{Name: "forces an id outside the vocabulary", Wasm: mask(field(maskResult, 2), field(maskNForce, 1), forced(-1)), Want: "constraint_mask forces the id 4294967295, the vocabulary has 258"},
		{Name: "rewinds further than what was picked", Wasm: mask(field(maskResult, 4), field(maskRewind, 1<<30)), Want: "constraint_mask takes 1073741824 tokens back"},
		{Name: "validates more drafts than there are", Wasm: validates(field(maskFits, 77)), Want: "constraint_validate"},
		{Name: "validates -1 drafts", Wasm: validates(field(maskFits, -1)), Want: "constraint_validate"},
		{Name: "holds 4 billion bytes back", Wasm: mask(field(maskResult, 1), field(maskHold, -1))},
		{Name: "moves the window of forced tokens", Wasm: mask(field(maskResult, 2), field(maskNForce, 1), field(maskForced, -4))},
		{Name: "traps", Wasm: mask(w.Raw(w.OpUnreachable)), Want: "constraint_mask gave up"},
		{Name: "moves the rows away", Wasm: mask(frame(masksAt, -128)), Want: "constraint_mask allows no token here"},
		{Name: "loops", Wasm: mask(w.Loop()), Want: "constraint_mask ran out of fuel"},
		{Name: "loads without end", Wasm: mask(w.Loop(w.Repeat(100, w.Cat(w.I32(0), w.Raw(w.OpI32Load, 2, 0, w.OpDrop))))), Want: "constraint_mask ran out of fuel"},
	}
	for i := range list {
		list[i].Name, list[i].Kind = "constraint: "+list[i].Name, "constraint"
	}
	return list
}

func routers() []Module {
	route := func(code ...[]byte) []byte { return kindOf("router", code...) }
	ids := func(i int, v int64) []byte { return w.Store32(routeIDs, 4*i, v) }
	weight := func(i int, bits int64) []byte { return w.Store32(routeW, 4*i, bits) }
	planned := func(code []byte, plan ...[]byte) []byte {
		return w.Guest{Kind: "router", Funcs: []w.Func{{Name: "router_route", Code: w.OK(code)}, {Name: "router_plan", Code: w.OK(plan...)}}}.Build()
	}
	good := w.Cat(ids(0, 0), ids(1, 1), weight(0, 0x3f800000), weight(1, 0x3f800000))
	list := []Module{
		{Name: "says nothing", Wasm: route(), Want: "chose the expert 4294967295 of 8"},
		{Name: "an expert out of range", Wasm: route(good, ids(1, 8)), Want: "chose the expert 8 of 8"},
		{Name: "the same expert twice", Wasm: route(good, ids(1, 0)), Want: "chose the expert 0 twice"},
		{Name: "a weight that is no number", Wasm: route(good, weight(1, 0x7fc00000)), Want: "gave the weight NaN"},
		{Name: "an infinite weight", Wasm: route(good, weight(0, 0x7f800000)), Want: "gave the weight +Inf"},
		{Name: "a negative weight", Wasm: route(good, weight(0, -0x40800000)), Want: "gave the weight -1"},
		{Name: "traps", Wasm: route(w.Raw(w.OpUnreachable)), Want: "router_route gave up"},
		{Name: "plans a score of nobody", Wasm: planned(good, frame(routeScore, 99)), Want: "router_plan gave a plan that cannot be"},
		{Name: "plans groups that do not divide", Wasm: planned(good, frame(routeGroup, 3)), Want: "router_plan gave a plan that cannot be"},
		{Name: "plans 0 groups", Wasm: planned(good, frame(routeGroup, 0), frame(routeUsed, 0)), Want: "router_plan gave a plan that cannot be"},
		{Name: "plans a factor that is no number", Wasm: planned(good, frame(routeScale, 0x7fc00000)), Want: "router_plan gave a plan that cannot be"},
		{Name: "plans a bias where there is none", Wasm: planned(good, frame(routeBias, 7)), Want: "router_plan gave a plan for layer 0 whose switches"},
		{Name: "windows moved", Wasm: route(good, frame(routeIDs, -4), frame(routeW, 0))},
		{Name: "loops", Wasm: route(w.Loop()), Want: "router_route ran out of fuel"},
	}
	for i := range list {
		list[i].Name, list[i].Kind = "router: "+list[i].Name, "router"
	}
	return list
}

func hostCalls() []Module {
	logs := func(code []byte) []byte {
		return samplerOf(func(g *w.Guest) {
			g.Manifest = "grants = [\"log\"]\n" + oneEntry
			g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iii", Results: ""}}
		}, code)
	}
	log := func(level, ptr, n int64) []byte { return w.Cat(w.I32(level), w.I32(ptr), w.I32(n), w.Call(0)) }
	list := []Module{
		{Name: "log without end", Grants: []string{"log"}, Wasm: logs(w.Loop(log(1, 0, 65536))), Want: "sampler_harm ran out of fuel"},
		{Name: "log outside memory", Grants: []string{"log"}, Wasm: logs(log(99, -1, -1))},
		{Name: "random bytes without end", Grants: []string{"wasi"}, Wasm: WASIGuest(w.Loop(WASICall(8, "random_get", 0, 65536))), Want: "sampler_harm ran out of fuel"},
		{Name: "sleeps for ever", Grants: []string{"wasi"}, Wasm: WASIGuest(w.Loop(WASICall(8, "poll_oneoff", 0, 8192, 64, 4))), Want: "sampler_harm ran out of fuel"},
		{Name: "writes without end", Grants: []string{"wasi"}, Wasm: WASIGuest(w.Loop(WASICall(8, "fd_write", 1, 0, 1024, 4))), Want: "sampler_harm ran out of fuel"},
		{Name: "exits", Grants: []string{"wasi"}, Wasm: WASIGuest(w.I32(0), w.Call(7)), Want: "sampler_harm ended itself with the exit code 0"},
	}
	for i := range list {
		list[i].Name = fmt.Sprintf("host call: %s", list[i].Name)
	}
	return list
}
