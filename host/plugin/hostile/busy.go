package hostile

import (
	"slices"
	"strings"

	"forge/abi"
	w "forge/host/plugin/wasmtest"
)

// Busy are guests that never come back, each a sampler whose entry x is the code.
func Busy() map[string]w.Guest {
	sampler := func(pages int, locals []byte, code ...[]byte) w.Guest {
		return w.Guest{Kind: "sampler", Manifest: "[[entries]]\nname = \"harm\"\n", Pages: pages,
			Funcs: []w.Func{{Name: "sampler_harm", Locals: locals, Code: w.Cat(w.Cat(code...), w.I32(0))}}}
	}
	local := w.Vec(w.Raw(1, w.TypeI32))
	const chase = 200
	chain := w.Raw(w.OpLocalGet, 1, w.OpI32Load, 2, 0, w.OpLocalSet, 1)
	fill := w.Cat(w.I32(0), w.I32(1), w.I32(chase*65536), w.Raw(w.OpBulk, 11, 0))
	copies := w.Cat(w.I32(0), w.I32(1), w.I32(chase*65536-1), w.Raw(w.OpBulk, 10, 0, 0))
	guests := map[string]w.Guest{
		"endless loop":            sampler(1, nil, w.Loop()),
		"dependent loads":         sampler(chase, local, w.Loop(chain)),
		"dependent loads, a line": sampler(chase, local, w.Loop(w.Repeat(20_000, chain))),
		"memory.fill":             sampler(chase, nil, w.Loop(fill)),
		"memory.copy":             sampler(chase, nil, w.Loop(copies)),
		"memory.grow":             sampler(1, nil, w.Loop(w.I32(1), w.Raw(w.OpMemoryGrow, 0, w.OpDrop))),
	}
	leaf := sampler(chase, nil, w.Loop(w.Repeat(1000, w.Call(1))))
	leaf.Funcs = append(leaf.Funcs, w.Func{Type: w.None, Locals: local, Code: w.Repeat(20_000, w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2, 0, w.OpLocalSet, 0))})
	guests["calls of a long leaf"] = leaf
	deep := sampler(chase, nil, w.Loop(w.I32(900), w.Call(1)))
	deep.Funcs = append(deep.Funcs, w.Func{Type: w.FuncType("i", ""), Locals: local, Code: w.Cat( // down 900 calls, and loads on the way back
		w.Raw(w.OpLocalGet, 0, w.OpIf, w.TypeVoid, w.OpLocalGet, 0), w.I32(-1), w.Raw(w.OpI32Add), w.Call(1), w.Raw(w.OpEnd),
		w.Repeat(50, chain))})
	guests["loads on the way back"] = deep
	return guests
}

// WASIGuest is a sampler that imports the functions of the shim and calls what code says; its marker apart, it stores
// results from address 1024 on, where the test reads them.
func WASIGuest(code ...[]byte) []byte {
	g := w.Guest{Kind: "sampler", Manifest: "grants = [\"wasi\"]\n[[entries]]\nname = \"harm\"\n",
		Funcs: []w.Func{{Name: "sampler_harm", Code: w.OK(code...)}}}
	letters := map[string]string{"i32": "i", "i64": "I"}
	for _, im := range abi.Imports {
		if im.Cap != abi.CapWASI {
			continue
		}
		join := func(names []string) (s string) {
			for _, n := range names {
				s += letters[n]
			}
			return s
		}
		g.Imports = append(g.Imports, w.Import{Module: im.Module, Name: im.Name, Params: join(im.Params), Results: join(im.Results)})
	}
	return g.Build()
}

// WASICall calls an import by name and stores its errno at an address.
func WASICall(at int64, name string, args ...int64) []byte {
	index := slices.IndexFunc(abi.Imports, func(i abi.Import) bool { return i.Name == name }) - 1 // log is first
	b := w.I32(at)
	for i, a := range args {
		if name == "clock_time_get" && i == 1 {
			b = append(b, w.I64(a)...)
			continue
		}
		b = append(b, w.I32(a)...)
	}
	return w.Cat(b, w.Call(index), w.Raw(w.OpI32Store, 2, 0))
}

// Picker is a good sampler: its entry first picks the first candidate.
func Picker() []byte {
	return w.Guest{Kind: "sampler", Manifest: "[[entries]]\nname = \"first\"\n",
		Funcs: []w.Func{{Name: "sampler_first", Code: w.OK(row(rowPicked, 0))}}}.Build()
}

// Good is a guest that does well, with every export that its kind may have; each ends with its status.
func Good(kind string) w.Guest {
	g := w.Guest{Kind: kind, Manifest: "state = \"explicit\"\ngrants = [\"history\", \"vocab\", \"logprobs\"]\n"}
	if kind != "sampler" && kind != "processor" && kind != "constraint" {
		g.Manifest = ""
	}
	entry := ""
	if kind == "sampler" || kind == "processor" {
		entry = Entry
		g.Manifest += oneEntry
	}
	takeAll := w.Cat(w.Raw(w.OpLocalGet, 0, w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(textInput+4)), w.Raw(w.OpI32Store, 2), w.U(uint64(textUsed)))
	acceptAll := w.Cat(w.Raw(w.OpLocalGet, 0, w.OpLocalGet, 0, w.OpI64Load, 3), w.U(uint64(initCaps-8)), w.Raw(w.OpI64Store, 3), w.U(uint64(initCaps)))
	code := map[string][]byte{
		"forge_init": acceptAll, "tokenizer_encode": takeAll, "tokenizer_decode": takeAll, "template_render": takeAll, "arch_build": plain,
		"constraint_mask": w.Store32(masksAt, maskResult, 1), "router_route": w.Cat(w.Store32(routeIDs, 0, 0), w.Store32(routeIDs, 4, 1), w.Store32(routeW, 0, 0x3f800000), w.Store32(routeW, 4, 0x3f800000)),
	}
	for _, e := range abi.Exports {
		if e.Name == "forge_arena" || !slices.Contains(e.Kinds, "*") && !slices.Contains(e.Kinds, kind) {
			continue
		}
		if kind == "sampler" && e.Name == "processor_*" || kind == "processor" && e.Name == "sampler_*" {
			continue
		}
		name := strings.Replace(e.Name, "*", entry, 1)
		g.Funcs = append(g.Funcs, w.Func{Name: name, Code: w.OK(code[name])})
	}
	return g
}
