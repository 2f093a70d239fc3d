package plugin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"forge/abi"
	w "forge/host/plugin/wasmtest"
)

// hostileModule is a module that means harm, or is what harm is made of.
type hostileModule struct {
	name   string
	kind   string // sampler if empty
	grants []string
	wasm   []byte
	want   string // what the user reads, without "plugin x: "; "" if the module may do that
}

// at is the offset of a field of a frame or record, by its view in package abi: where it writes.
func at(size int, set func([]byte)) int {
	b := make([]byte, size)
	set(b)
	return bytes.IndexFunc(b, func(r rune) bool { return r != 0 })
}

var (
	rowsAt     = at(abi.RowsSize, func(b []byte) { abi.Rows(b).SetRows(1) })
	rowN       = at(abi.RowSize, func(b []byte) { abi.Row(b).SetN(1) })
	rowIDs     = at(abi.RowSize, func(b []byte) { abi.Row(b).SetIDs(1) })
	rowFlags   = at(abi.RowSize, func(b []byte) { abi.Row(b).SetFlags(1) })
	rowPicked  = at(abi.RowSize, func(b []byte) { abi.Row(b).SetSelected(1) })
	rowDraw    = at(abi.RowSize, func(b []byte) { abi.Row(b).SetDraw(1) })
	textUsed   = at(abi.TextSize, func(b []byte) { abi.Text(b).SetConsumed(1) })
	textInput  = at(abi.TextSize, func(b []byte) { abi.Text(b).SetInput(1, 0) })
	textOutput = at(abi.TextSize, func(b []byte) { abi.Text(b).SetOutput(1) })
	textLen    = at(abi.TextSize, func(b []byte) { abi.Text(b).SetOutputLen(1) })
	textMore   = at(abi.TextSize, func(b []byte) { abi.Text(b).SetMore(1) })
	textCarry  = at(abi.TextSize, func(b []byte) { abi.Text(b).SetCarryLen(1) })
	archNW     = at(abi.ArchSize, func(b []byte) { abi.Arch(b).SetNWeights(1) })
	archNOps   = at(abi.ArchSize, func(b []byte) { abi.Arch(b).SetNOps(1) })
	archW      = at(abi.ArchSize, func(b []byte) { abi.Arch(b).SetWeights(1) })
	weightKind = at(abi.WeightSize, func(b []byte) { abi.Weight(b).SetKind(1) })
	weightName = at(abi.WeightSize, func(b []byte) { abi.Weight(b).SetName(1, 0) })
	initCaps   = at(abi.InitSize, func(b []byte) { abi.Init(b).SetAccepted(1) })
	masksAt    = at(abi.MasksSize, func(b []byte) { abi.Masks(b).SetRows(1) })
	maskResult = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetResult(1) })
	maskForced = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetForced(1) })
	maskNForce = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetNForced(1) })
	maskRewind = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetRewind(1) })
	routeIDs   = at(abi.RouteSize, func(b []byte) { abi.Route(b).SetIDs(1) })
	routeW     = at(abi.RouteSize, func(b []byte) { abi.Route(b).SetWeights(1) })
	seqUsed    = at(abi.SeqSize, func(b []byte) { abi.Seq(b).SetUsed(1) })
)

const oneEntry = "[[entries]]\nname = \"x\"\n"

// sampler is a guest whose entry x is the code.
func samplerOf(change func(*w.Guest), code ...[]byte) []byte {
	g := w.Guest{Kind: "sampler", Manifest: oneEntry, Funcs: []w.Func{{Name: "sampler_x", Code: w.OK(code...)}}}
	if change != nil {
		change(&g)
	}
	return g.Build()
}

// kindOf is a guest of another kind whose calls all are the code.
func kindOf(kind string, code ...[]byte) []byte {
	g := w.Guest{Kind: kind}
	for _, e := range abi.Exports {
		if e.Required && slices.Contains(e.Kinds, kind) {
			g.Funcs = append(g.Funcs, w.Func{Name: e.Name, Code: w.OK(code...)})
		}
	}
	return g.Build()
}

// row writes a field of the first row of a sampler's frame.
func row(offset int, value int64) []byte { return w.Store32(rowsAt, offset, value) }

// frame writes a field of the frame.
func frame(offset int, value int64) []byte { return w.Store32(-1, offset, value) }

// locals declares n locals of type i32.
func localsOf(n uint64) []byte { return w.Vec(w.Cat(w.U(n), w.Raw(w.TypeI32))) }

// withBody is a sampler with a function beside it of these bytes, () -> ().
func withBody(locals []byte, code ...byte) []byte {
	return samplerOf(func(g *w.Guest) {
		g.Funcs = append(g.Funcs, w.Func{Type: w.None, Locals: locals, Code: code})
	})
}

// patched exchanges one text of a module; it must be there.
func patched(wasm []byte, was, is string) []byte {
	if !bytes.Contains(wasm, []byte(was)) {
		panic("no " + was)
	}
	return bytes.Replace(wasm, []byte(was), []byte(is), 1)
}

func hostileModules() []hostileModule {
	list := slices.Concat(hostileBytes(), hostileFeatures(), hostileSizes(), hostileExports(), hostileManifests(), hostileStarts(),
		hostileTime(), hostileSamplers(), hostileTexts(), hostileArchs(), hostileConstraints(), hostileRouters(), hostileHostCalls())
	for i := range list {
		if list[i].kind == "" {
			list[i].kind = "sampler"
		}
	}
	return list
}

func hostileBytes() []hostileModule {
	good := samplerOf(nil)
	return []hostileModule{
		{name: "a good one, to compare", wasm: good},
		{name: "nothing", wasm: nil, want: `not a WebAssembly module: it does not begin with "\0asm" and a version`},
		{name: "text", wasm: []byte("(module)"), want: `not a WebAssembly module: it does not begin`},
		{name: "component", wasm: []byte("\x00asm\x0d\x00\x01\x00"), want: "this is a component, forge wants a core module"},
		{name: "version 2", wasm: []byte("\x00asm\x02\x00\x00\x00"), want: "WebAssembly version 2, layer 0"},
		{name: "cut off", wasm: good[:len(good)-20], want: "needs"},
		{name: "section longer than the module", wasm: append(slices.Clone(good), 0, 0xff, 0xff, 0xff, 0xff, 0x0f), want: "bytes and 0 are left"},
		{name: "sections out of order", wasm: append(slices.Clone(good), w.Section(w.SecType, w.Vec())...), want: "is repeated or comes too late"},
		{name: "a padded number", wasm: w.Module([]byte{1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0}), want: "a section's size"},
		{name: "operands of the wrong type", wasm: withBody(nil, w.OpI32Const, 0, 0xc0, w.OpI64Const, 0, w.OpI32Add, w.OpDrop), want: "it is not valid WebAssembly"},
		{name: "4 billion segments", wasm: w.Module(w.Section(w.SecData, w.U(1<<32-1))), want: "data segments"},
	}
}

func hostileFeatures() []hostileModule {
	memory := func(limits ...byte) []byte { return w.Module(w.Section(w.SecMemory, w.Vec(limits))) }
	return []hostileModule{
		{name: "64-bit memory", wasm: memory(4, 1), want: "forge does not run 64-bit memory; build for wasm32"},
		{name: "shared memory", wasm: memory(3, 1, 2), want: "forge does not run threads and atomics"},
		{name: "two memories", wasm: w.Module(w.Section(w.SecMemory, w.Vec(w.Raw(0, 1), w.Raw(0, 1)))), want: "more than one memory"},
		{name: "atomics", wasm: withBody(nil, w.OpI32Const, 0, w.OpI32Const, 0, 0xfe, 0x1e, 2, 0, w.OpDrop), want: "forge does not run threads and atomics"},
		{name: "relaxed SIMD", wasm: withBody(nil, 0xfd, 0x80, 0x02), want: "forge does not run relaxed SIMD"},
		{name: "exceptions", wasm: withBody(nil, 0x06, w.TypeVoid, w.OpEnd), want: "forge does not run exceptions"},
		{name: "a tag section", wasm: w.Module(w.Section(13, w.Vec(w.Raw(0, 0)))), want: "forge does not run exceptions"},
		{name: "tail calls", wasm: withBody(nil, 0x12, 0), want: "tail calls"},
		{name: "references", wasm: withBody(nil, 0xd0, 0x70, w.OpDrop), want: "reference"},
		{name: "garbage collection", wasm: withBody(nil, 0xfb, 0), want: "forge"},
		{name: "an opcode of nobody", wasm: withBody(nil, 0xff), want: "is not one that forge knows"},
		{name: "imported memory", wasm: w.Module(w.Section(w.SecImport, w.Vec(w.Cat(w.Name("env"), w.Name("memory"), w.Raw(2, 0, 1))))), want: "memory"},
		{name: "imported global", wasm: w.Module(w.Section(w.SecImport, w.Vec(w.Cat(w.Name("env"), w.Name("g"), w.Raw(3, 0x7f, 1))))), want: "global"},
	}
}

func hostileSizes() []hostileModule {
	loops := w.Repeat(900, w.Raw(w.OpLoop, w.TypeVoid))
	loops = append(loops, w.Repeat(900, w.Raw(w.OpEnd))...)
	blocks := append(w.Repeat(40_000, w.Raw(w.OpBlock, w.TypeVoid)), w.Repeat(40_000, w.Raw(w.OpEnd))...)
	var functions w.Guest
	functions.Kind, functions.Manifest = "sampler", oneEntry
	functions.Funcs = append(functions.Funcs, w.Func{Name: "sampler_x", Code: w.I32(0)})
	for range 20_000 {
		functions.Funcs = append(functions.Funcs, w.Func{Type: w.None})
	}
	return []hostileModule{
		{name: "10 million locals", wasm: withBody(localsOf(10_000_000)), want: "10000000 locals, the limit is 2048"},
		{name: "4 billion locals twice", wasm: withBody(w.Vec(w.Cat(w.U(1<<32-1), w.Raw(w.TypeI32)), w.Cat(w.U(1<<32-1), w.Raw(w.TypeI32)))), want: "locals, the limit is 2048"},
		{name: "100 MB of data", wasm: samplerOf(func(g *w.Guest) { g.Pages, g.Data = 1600, make([]byte, 100<<20) }), want: "bytes, the limit is"},
		{name: "4 GB of memory", wasm: samplerOf(func(g *w.Guest) { g.Pages = 65536 }), want: "memory"},
		{name: "more memory than its limit", wasm: samplerOf(func(g *w.Guest) { g.Pages = 257 }), want: "it begins with 257 pages of memory, its limit is 256: raise limits.pages"},
		{name: "data outside memory", wasm: samplerOf(func(g *w.Guest) { g.Data = make([]byte, 65537) }), want: "its start"},
		{name: "40,000 blocks in each other", wasm: withBody(nil, blocks...), want: "blocks nest deeper"},
		{name: "900 loops in each other", wasm: withBody(localsOf(1000), loops...), want: "loops nest deeper"},
		{name: "br_table of 100 million", wasm: withBody(nil, w.Cat(w.I32(0), w.Raw(0x0e), w.U(100_000_000))...), want: "br_table targets"},
		{name: "a function of 300 KB", wasm: withBody(nil, w.Repeat(300_000, w.Raw(0x01))...), want: "the limit is 262144; split it"},
		{name: "20,000 functions", wasm: functions.Build(), want: "the limit is"},
		{name: "a table of 4 billion", wasm: samplerOf(func(g *w.Guest) { g.Tables = w.Vec(w.Cat(w.Raw(0x70, 0), w.U(1<<32-1))) }), want: "the limit is 65536"},
		{name: "a branch to nowhere", wasm: withBody(nil, w.OpBr, 9), want: "branch to label 9"},
		{name: "a call of nobody", wasm: withBody(nil, w.Call(5000)...), want: "call of function 5000"},
	}
}

func hostileExports() []hostileModule {
	wrong := w.FuncType("ii", "I")
	return []hostileModule{
		{name: "no marker", wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_sampler_1" }), want: "it lacks the export forge_sampler_1, which marks a sampler"},
		{name: "two markers", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_router_1", Type: w.None}) }),
			want: "it exports forge_router_1, the marker of a router"},
		{name: "a marker with operands", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_sampler_1", Code: w.I32(0)}) }),
			want: "it has neither parameters nor results"},
		{name: "no init", wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_init" }), want: "it lacks the export forge_init"},
		{name: "no arena", wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_arena" }), want: "it lacks the export forge_arena"},
		{name: "no entry", wasm: samplerOf(func(g *w.Guest) { g.Funcs = nil }), want: "it lacks the export sampler_x"},
		{name: "an entry of another type", wasm: samplerOf(func(g *w.Guest) { g.Funcs[0] = w.Func{Name: "sampler_x", Type: wrong, Code: w.I64(0)} }),
			want: "its export sampler_x is (i32, i32) -> i64; the ABI has (i32) -> i32"},
		{name: "an entry that nobody named", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "sampler_y", Code: w.I32(0)}) }),
			want: "it exports sampler_y, which the manifest's [[entries]] do not have"},
		{name: "begin of another type", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_begin", Type: w.None}) }),
			want: "its export forge_begin is () -> (); the ABI has (i32) -> i32"},
		{name: "the meter's name", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "__forge_fuel", Type: w.None}) }), want: "__forge"},
		{name: "the same export twice", wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, g.Funcs[0]) }), want: `two exports are named "sampler_x"`},
		{name: "import of a shell", wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "env", Name: "system", Params: "i", Results: "i"}} }), want: "env.system"},
		{name: "import of files", wasm: samplerOf(func(g *w.Guest) {
			g.Imports = []w.Import{{Module: "wasi_snapshot_preview1", Name: "path_open", Params: "iiiiiIIii", Results: "i"}}
		}), grants: []string{"wasi"}, want: "path_open"},
		{name: "import of the clock, not asked for", wasm: samplerOf(func(g *w.Guest) {
			g.Imports = []w.Import{{Module: "wasi_snapshot_preview1", Name: "clock_time_get", Params: "iIi", Results: "i"}}
		}), grants: []string{"wasi"}, want: "its manifest does not ask for the grant wasi"},
		{name: "import of log, not granted", wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "grants = [\"log\"]\n" + oneEntry
			g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iii", Results: ""}}
		}), want: "it asks for log: add it to grants"},
		{name: "import of log with another type", wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iI", Results: ""}} }),
			grants: []string{"log"}, want: "forge.log"},
		{name: "import of the refill", wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "forge", Name: "__refill", Params: "", Results: ""}} }),
			grants: []string{"log"}, want: "__refill"},
	}
}

func hostileManifests() []hostileModule {
	section := func(text string) []byte {
		return samplerOf(func(g *w.Guest) { g.Section = []byte(text) })
	}
	const head = "name = \"a\"\nversion = \"1\"\nkind = \"sampler\"\nabi = \"1.0\"\n"
	return []hostileModule{
		{name: "no manifest", wasm: patched(samplerOf(nil), "forge.abi", "forge.abx"), want: "it has no custom section forge.abi"},
		{name: "a manifest of no TOML", wasm: section("\x00\xff{{{"), want: "the manifest"},
		{name: "a manifest of 100 KB", wasm: section(head + "#" + strings.Repeat("x", 100_000)), want: "the limit is 65536"},
		{name: "a manifest of nested arrays", wasm: section(head + "provides = " + strings.Repeat("[", 30_000)), want: "the manifest"},
		{name: "a manifest of another kind", wasm: section(patchedText(head, "sampler", "router")), want: "its manifest says router, plugins.toml says sampler"},
		{name: "a manifest for another ABI", wasm: section(patchedText(head, "1.0", "9.9")), want: "it was written for ABI 9.9"},
		{name: "a name that writes on the terminal", wasm: section(patchedText(head, "\"a\"", "\"a\\u001b[2J\"")), want: "holds a character that names do not have"},
		{name: "a default outside its range", wasm: section(head + "[[config]]\nname = \"k\"\ntype = \"f32\"\ndefault = nan\n" + oneEntry), want: "it wants a number"},
		{name: "300 config keys", wasm: section(head + strings.Repeat("[[config]]\nname = \"k\"\ntype = \"f32\"\n", 300) + oneEntry), want: "config keys, the limit is 256"},
		{name: "a custom section whose name ends outside it", wasm: samplerOf(func(g *w.Guest) { g.Custom = [][]byte{w.Section(w.SecCustom, w.U(200), w.Raw('x'))} }), want: "name"},
		{name: "a name section of lies", wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom("name", w.Cat(w.Raw(1), w.U(11), w.U(1), w.U(70000), w.Name("x\x1b[2J"))...)}
		}), want: "name"},
		{name: "debug information of lies", wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom(".debug_info", bytes.Repeat([]byte{0xff}, 1000)...), w.Custom(".debug_line", 1, 2, 3)}
		})},
		{name: "two manifests", wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom("forge.abi", []byte(patchedText(head, "sampler", "router"))...)}
		}), want: "forge.abi"},
	}
}

func patchedText(text, was, is string) string { return string(patched([]byte(text), was, is)) }

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

func hostileStarts() []hostileModule {
	return []hostileModule{
		{name: "a start function that loops", wasm: samplerOf(inStart(w.Loop())), want: "its start ran out of fuel"},
		{name: "a start function that traps", wasm: samplerOf(inStart(w.Raw(w.OpUnreachable))), want: "its start gave up"},
		{name: "a start function that loads", wasm: samplerOf(func(g *w.Guest) {
			*g = busy()["dependent loads"]
			inStart(g.Funcs[0].Code[:len(g.Funcs[0].Code)-2])(g)
			g.Funcs[g.Start-1].Locals = localsOf(2)
		}), want: "its start ran out of fuel"},
		{name: "a start function that recurses", wasm: samplerOf(inStart(w.Call(1))), want: "its start"},
		{name: "a start function that takes all memory", wasm: samplerOf(inStart(w.Loop(w.I32(100), w.Raw(w.OpMemoryGrow, 0, w.OpDrop)))), want: "its start"},
		{name: "an arena that loops", wasm: samplerOf(inArena(w.Loop(), w.I32(0))), want: "forge_arena ran out of fuel"},
		{name: "no room for the arena", wasm: samplerOf(inArena(w.I32(0))), want: "forge_arena cannot have the"},
		{name: "an arena beyond memory", wasm: samplerOf(inArena(w.I32(-65536))), want: "beyond its memory of 65536"},
		{name: "an arena at an odd place", wasm: samplerOf(inArena(w.I32(7))), want: "forge_arena gave the address 0x7, which is not a multiple"},
		{name: "an arena over the code's own data", wasm: samplerOf(func(g *w.Guest) {
			g.Pages = 200
			inArena(w.I32(65536))(g)
		})},
		{name: "an init that loops", wasm: samplerOf(inInit(w.Loop())), want: "forge_init ran out of fuel"},
		{name: "an init that grants itself", wasm: samplerOf(inInit(frame(initCaps, 0xff))), want: "forge_init accepted capabilities that were not offered"},
		{name: "an error text of 4 GB", wasm: samplerOf(func(g *w.Guest) {
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_init", Code: w.Cat(frame(12, -1), w.I32(-3))})
		}), want: "forge_init gives no reason"},
	}
}

func hostileTime() []hostileModule {
	const outOfFuel = "sampler_x ran out of fuel: raise limits.fuel"
	var list []hostileModule
	for name, g := range busy() {
		want := outOfFuel
		list = append(list, hostileModule{name: name, wasm: g.Build(), want: want})
	}
	slices.SortFunc(list, func(a, b hostileModule) int { return strings.Compare(a.name, b.name) })
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
	return append(list,
		hostileModule{name: "a tree of calls", wasm: samplerOf(tree), want: outOfFuel},
		hostileModule{name: "mutual recursion", wasm: samplerOf(mutual), want: "sampler_x nested its calls too deep"},
		hostileModule{name: "recursion through the table", wasm: samplerOf(table), want: "sampler_x nested its calls too deep"},
		hostileModule{name: "recursion of large frames", wasm: samplerOf(frames), want: outOfFuel},
		hostileModule{name: "a load outside memory", wasm: samplerOf(nil, w.I32(-4), w.Raw(w.OpI32Load, 2, 0, w.OpDrop)), want: "sampler_x read or wrote outside its memory"},
		hostileModule{name: "a fill outside memory", wasm: samplerOf(nil, w.I32(-4), w.I32(0), w.I32(8), w.Raw(w.OpBulk, 11, 0)), want: "sampler_x read or wrote outside its memory"},
		hostileModule{name: "a division by zero", wasm: samplerOf(nil, w.I32(1), w.I32(0), w.Raw(0x6d, w.OpDrop)), want: "sampler_x trapped: integer divide by zero"},
		hostileModule{name: "a call of an empty table entry", wasm: samplerOf(func(g *w.Guest) { g.Tables = w.Vec(w.Raw(0x70, 0, 1)) },
			w.Raw(w.OpLocalGet, 0), w.I32(0), w.Raw(w.OpCallIndirect, 0, 0, w.OpDrop)), want: "sampler_x trapped"},
		hostileModule{name: "unreachable", wasm: samplerOf(nil, w.Raw(w.OpUnreachable)), want: "sampler_x gave up"},
	)
}

func hostileSamplers() []hostileModule {
	const whole = 1
	return []hostileModule{
		{name: "more candidates than there are", wasm: samplerOf(nil, row(rowN, 1<<20)), want: "sampler_x left 1048576 candidates of 258"},
		{name: "-1 candidates", wasm: samplerOf(nil, row(rowN, -1)), want: "sampler_x left 4294967295 candidates of 258"},
		{name: "no candidates", wasm: samplerOf(nil, row(rowN, 0), row(rowFlags, 0)), want: "sampler_x left no candidates"},
		{name: "unknown flags", wasm: samplerOf(nil, row(rowFlags, -1)), want: "sampler_x set the row flags 0xffffffff"},
		{name: "a whole row that is not", wasm: samplerOf(nil, row(rowN, 5), row(rowFlags, whole)), want: "sampler_x calls a table of 5 candidates the whole row"},
		{name: "a pick outside the table", wasm: samplerOf(nil, row(rowPicked, 258)), want: "sampler_x picked candidate 258 of 258"},
		{name: "a pick of -7", wasm: samplerOf(nil, row(rowPicked, -7)), want: "sampler_x picked candidate -7 of 258"},
		{name: "an id outside the vocabulary", wasm: samplerOf(nil, row(rowFlags, 0), row(rowPicked, 0),
			w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(rowsAt)), w.Raw(w.OpI32Load, 2), w.U(uint64(rowIDs)), w.I32(-1), w.Raw(w.OpI32Store, 2, 0)),
			want: "sampler_x picked the id 4294967295, the vocabulary has 258"},
		{name: "the draw counter set back", wasm: samplerOf(nil, row(rowDraw, 0)), want: "sampler_x set the draw counter back"},
		{name: "windows moved", wasm: samplerOf(nil, row(rowIDs, -64), w.Store32(-1, rowsAt, 12), row(rowIDs, 0))},
		{name: "an unknown status", wasm: samplerOf(func(g *w.Guest) { g.Funcs[0].Code = w.I32(99) }), want: "sampler_x returned the status status 99"},
		{name: "a row of duplicates", wasm: samplerOf(nil, row(rowFlags, 0), row(rowN, 3))}, // three times whatever id: each is a token
		{name: "save of more than there is room", wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_save", Code: w.OK(frame(seqUsed, -1))}, w.Func{Name: "forge_load", Code: w.I32(0)})
		})},
		{name: "accept that loops", wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_accept", Code: w.OK(w.Loop())})
		}), want: "forge_accept ran out of fuel"},
		{name: "end that traps", wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"explicit\"\n" + oneEntry
			g.Funcs = append(g.Funcs, w.Func{Name: "forge_end", Code: w.Raw(w.OpUnreachable)})
		}), want: "forge_end gave up"},
		{name: "an image with a vector in a global", wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "state = \"image\"\n" + oneEntry
			g.Globals = [][]byte{w.Cat(w.Raw(0x7b, 1, 0xfd, 0x0c), make([]byte, 16), w.Raw(w.OpEnd))}
		}), want: "its state is an image, and it keeps a vector in a mutable global"},
	}
}

func hostileTexts() []hostileModule {
	var list []hostileModule
	for _, kind := range []string{"tokenizer", "template"} {
		call := map[string]string{"tokenizer": "tokenizer_encode", "template": "template_render"}[kind]
		all := w.Cat(w.Raw(w.OpLocalGet, 0, w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(textInput+4)), w.Raw(w.OpI32Store, 2), w.U(uint64(textUsed)))
		add := func(name, want string, code ...[]byte) {
			list = append(list, hostileModule{name: kind + ": " + name, kind: kind, wasm: kindOf(kind, code...), want: call + " " + want})
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
	return append(list, hostileModule{name: "tokenizer: an id outside the vocabulary", kind: "tokenizer",
		wasm: kindOf("tokenizer", all, frame(textLen, 1), w.Store32(textOutput, 0, -1)), want: "tokenizer_encode gave the id 4294967295, the vocabulary has 258"})
}

func hostileArchs() []hostileModule {
	arch := func(code ...[]byte) []byte { return kindOf("arch", code...) }
	weight := func(field int, value int64) []byte { return w.Store32(archW, field, value) }
	return []hostileModule{
		{name: "arch: more weights than there is room", kind: "arch", wasm: arch(frame(archNW, -1), frame(archNOps, 1)), want: "arch_build claims 4294967295 weights"},
		{name: "arch: more operations than there is room", kind: "arch", wasm: arch(frame(archNOps, 1<<30)), want: "arch_build claims 1073741824 operations"},
		{name: "arch: no operations", kind: "arch", wasm: arch(), want: "arch_build built a program without operations"},
		{name: "arch: a weight of an unknown kind", kind: "arch", wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightKind, 77)), want: "arch_build gave weight 0 the kind 77"},
		{name: "arch: a name outside the arena", kind: "arch", wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightName, -16), weight(weightName+4, 32)),
			want: "arch_build gave weight 0 a name of 32 bytes at 0xfffffff0, outside its arena"},
		{name: "arch: a name of 4 GB", kind: "arch", wasm: arch(frame(archNOps, 1), frame(archNW, 1), weight(weightName, 65536), weight(weightName+4, -1)), want: "outside its arena"},
		{name: "arch: loops", kind: "arch", wasm: arch(w.Loop()), want: "arch_build ran out of fuel"},
	}
}

func hostileConstraints() []hostileModule {
	mask := func(code ...[]byte) []byte { return kindOf("constraint", code...) }
	field := func(offset int, value int64) []byte { return w.Store32(masksAt, offset, value) }
	forced := func(value int64) []byte { // into the first place of the window that the row points to
		return w.Cat(w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(masksAt)), w.Raw(w.OpI32Load, 2), w.U(uint64(maskForced)), w.I32(value), w.Raw(w.OpI32Store, 2, 0))
	}
	list := []hostileModule{
		{name: "says nothing", wasm: mask(), want: "constraint_mask allows no token here"},
		{name: "an unknown result", wasm: mask(field(maskResult, 99)), want: "constraint_mask gives the result 99"},
		{name: "forces nothing", wasm: mask(field(maskResult, 2)), want: "constraint_mask forces 0 tokens"},
		{name: "forces 4 billion tokens", wasm: mask(field(maskResult, 2), field(maskNForce, -1)), want: "constraint_mask forces 4294967295 tokens"},
		{name: "forces an id outside the vocabulary", wasm: mask(field(maskResult, 2), field(maskNForce, 1), forced(-1)), want: "constraint_mask forces the id 4294967295, the vocabulary has 258"},
		{name: "rewinds further than what was picked", wasm: mask(field(maskResult, 4), field(maskRewind, 1<<30)), want: "constraint_mask takes 1073741824 tokens back"},
		{name: "moves the rows away", wasm: mask(frame(masksAt, -128)), want: "constraint_mask allows no token here"},
		{name: "loops", wasm: mask(w.Loop()), want: "constraint_mask ran out of fuel"},
		{name: "loads without end", wasm: mask(w.Loop(w.Repeat(100, w.Cat(w.I32(0), w.Raw(w.OpI32Load, 2, 0, w.OpDrop))))), want: "constraint_mask ran out of fuel"},
	}
	for i := range list {
		list[i].name, list[i].kind = "constraint: "+list[i].name, "constraint"
	}
	return list
}

func hostileRouters() []hostileModule {
	route := func(code ...[]byte) []byte { return kindOf("router", code...) }
	ids := func(i int, v int64) []byte { return w.Store32(routeIDs, 4*i, v) }
	weight := func(i int, bits int64) []byte { return w.Store32(routeW, 4*i, bits) }
	good := w.Cat(ids(0, 0), ids(1, 1), weight(0, 0x3f800000), weight(1, 0x3f800000))
	list := []hostileModule{
		{name: "says nothing", wasm: route(), want: "chose the expert 4294967295 of 8"},
		{name: "an expert out of range", wasm: route(good, ids(1, 8)), want: "chose the expert 8 of 8"},
		{name: "the same expert twice", wasm: route(good, ids(1, 0)), want: "chose the expert 0 twice"},
		{name: "a weight that is no number", wasm: route(good, weight(1, 0x7fc00000)), want: "gave the weight NaN"},
		{name: "an infinite weight", wasm: route(good, weight(0, 0x7f800000)), want: "gave the weight +Inf"},
		{name: "a negative weight", wasm: route(good, weight(0, -0x40800000)), want: "gave the weight -1"},
		{name: "windows moved", wasm: route(good, frame(routeIDs, -4), frame(routeW, 0))},
		{name: "loops", wasm: route(w.Loop()), want: "router_route ran out of fuel"},
	}
	for i := range list {
		list[i].name, list[i].kind = "router: "+list[i].name, "router"
	}
	return list
}

func hostileHostCalls() []hostileModule {
	logs := func(code []byte) []byte {
		return samplerOf(func(g *w.Guest) {
			g.Manifest = "grants = [\"log\"]\n" + oneEntry
			g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iii", Results: ""}}
		}, code)
	}
	log := func(level, ptr, n int64) []byte { return w.Cat(w.I32(level), w.I32(ptr), w.I32(n), w.Call(0)) }
	list := []hostileModule{
		{name: "log without end", grants: []string{"log"}, wasm: logs(w.Loop(log(1, 0, 65536))), want: "sampler_x ran out of fuel"},
		{name: "log outside memory", grants: []string{"log"}, wasm: logs(log(99, -1, -1))},
		{name: "random bytes without end", grants: []string{"wasi"}, wasm: wasiGuest(w.Loop(wasiCallAt(8, "random_get", 0, 65536))), want: "sampler_x ran out of fuel"},
		{name: "sleeps for ever", grants: []string{"wasi"}, wasm: wasiGuest(w.Loop(wasiCallAt(8, "poll_oneoff", 0, 8192, 64, 4))), want: "sampler_x ran out of fuel"},
		{name: "writes without end", grants: []string{"wasi"}, wasm: wasiGuest(w.Loop(wasiCallAt(8, "fd_write", 1, 0, 1024, 4))), want: "sampler_x ran out of fuel"},
		{name: "exits", grants: []string{"wasi"}, wasm: wasiGuest(w.I32(0), w.Call(7)), want: "sampler_x ended itself with the exit code 0"},
	}
	for i := range list {
		list[i].name = fmt.Sprintf("host call: %s", list[i].name)
	}
	return list
}
