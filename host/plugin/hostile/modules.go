// Package hostile holds modules that mean harm, for tests: what loads is to be stopped, and the rest refused. Each says
// what the user is to read of it. They are built byte by byte, so that no compiler is needed and no compiler softens them.
package hostile

import (
	"bytes"
	"slices"
	"strings"

	"forge/abi"
	w "forge/host/plugin/wasmtest"
)

// Module is one that means harm, or is what harm is made of.
type Module struct {
	Name   string
	Kind   string
	Grants []string
	Wasm   []byte
	Want   string // what the user reads, without "plugin x: "; "" if the module may do that
	// Tamed samplers do harm only where their config key harm is not 0, which is its default: so they serve good sequences
	// beside a bad one.
	Tamed bool
	// Shrugged modules leave what they do without effect: a row comes out of them as from no sampler at all.
	Shrugged bool
}

// Entry is the only entry of the samplers here.
const Entry = "harm"

// Renamed gives a sampler another name for its entry, of the same length.
func Renamed(wasm []byte, entry string) []byte {
	wasm = bytes.Replace(wasm, []byte("sampler_"+Entry), []byte("sampler_"+entry), 1)
	return bytes.Replace(wasm, []byte(oneEntry), []byte(strings.Replace(oneEntry, Entry, entry, 1)), 1)
}

// at is the offset of a field of a frame or record, by its view in package abi: where it writes.
func at(size int, set func([]byte)) int {
	b := make([]byte, size)
	set(b)
	return bytes.IndexFunc(b, func(r rune) bool { return r != 0 }) &^ 3 // a float's first byte may be 0
}

var (
	rowsAt     = at(abi.RowsSize, func(b []byte) { abi.Rows(b).SetRows(1) })
	rowN       = at(abi.RowSize, func(b []byte) { abi.Row(b).SetN(1) })
	rowIDs     = at(abi.RowSize, func(b []byte) { abi.Row(b).SetIDs(1) })
	rowFlags   = at(abi.RowSize, func(b []byte) { abi.Row(b).SetFlags(1) })
	rowPicked  = at(abi.RowSize, func(b []byte) { abi.Row(b).SetSelected(1) })
	rowLogits  = at(abi.RowSize, func(b []byte) { abi.Row(b).SetLogits(1) })
	rowParams  = at(abi.RowSize, func(b []byte) { abi.Row(b).SetParams(1, 0) })
	rowLogprob = at(abi.RowSize, func(b []byte) { abi.Row(b).SetLogprob(1) })
	rowTop     = at(abi.RowSize, func(b []byte) { abi.Row(b).SetTop(1) })
	rowNTop    = at(abi.RowSize, func(b []byte) { abi.Row(b).SetNTop(1) })
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
	archOps    = at(abi.ArchSize, func(b []byte) { abi.Arch(b).SetOps(1) })
	archNames  = at(abi.ArchSize, func(b []byte) { abi.Arch(b).SetNames(1) })
	planSteps  = at(abi.PlanSize, func(b []byte) { abi.Plan(b).SetSteps(1) })
	planN      = at(abi.PlanSize, func(b []byte) { abi.Plan(b).SetNSteps(1) })
	planIDs    = at(abi.PlanSize, func(b []byte) { abi.Plan(b).SetNIDs(1) })
	stepOp     = at(abi.PlanStepSize, func(b []byte) { abi.PlanStep(b).SetOp(1) })
	stepN      = at(abi.PlanStepSize, func(b []byte) { abi.PlanStep(b).SetN(1) })
	stepValue  = at(abi.PlanStepSize, func(b []byte) { b[8] = 1 })
	stepFirst  = at(abi.PlanStepSize, func(b []byte) { abi.PlanStep(b).SetFirst(1) })
	stepCount  = at(abi.PlanStepSize, func(b []byte) { abi.PlanStep(b).SetCount(1) })
	weightKind = at(abi.WeightSize, func(b []byte) { abi.Weight(b).SetKind(1) })
	weightName = at(abi.WeightSize, func(b []byte) { abi.Weight(b).SetName(1, 0) })
	initCaps   = at(abi.InitSize, func(b []byte) { abi.Init(b).SetAccepted(1) })
	masksAt    = at(abi.MasksSize, func(b []byte) { abi.Masks(b).SetRows(1) })
	maskResult = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetResult(1) })
	maskForced = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetForced(1) })
	maskNForce = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetNForced(1) })
	maskHold   = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetHold(1) })
	maskFits   = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetFits(1) })
	routeScore = at(abi.RoutePlanSize, func(b []byte) { abi.RoutePlan(b).SetScore(1) })
	routeGroup = at(abi.RoutePlanSize, func(b []byte) { abi.RoutePlan(b).SetNGroup(1) })
	routeUsed  = at(abi.RoutePlanSize, func(b []byte) { abi.RoutePlan(b).SetNGroupUsed(1) })
	routeBias  = at(abi.RoutePlanSize, func(b []byte) { abi.RoutePlan(b).SetUseBias(1) })
	routeNorm  = at(abi.RoutePlanSize, func(b []byte) { abi.RoutePlan(b).SetRenormalise(1) })
	routeScale = routeNorm + 4
	maskRewind = at(abi.MaskRowSize, func(b []byte) { abi.MaskRow(b).SetRewind(1) })
	routeIDs   = at(abi.RouteSize, func(b []byte) { abi.Route(b).SetIDs(1) })
	routeW     = at(abi.RouteSize, func(b []byte) { abi.Route(b).SetWeights(1) })
	seqUsed    = at(abi.SeqSize, func(b []byte) { abi.Seq(b).SetUsed(1) })
)

const oneEntry = "[[entries]]\nname = \"harm\"\n"

// tame is code that leaves an entry, with status ok, where the first setting is 0.
var tame = w.Cat(w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(rowsAt)), w.Raw(w.OpI32Load, 2), w.U(uint64(rowParams)),
	w.Raw(w.OpI64Load, 3, 0, w.OpI64Eqz, w.OpIf, w.TypeVoid), w.I32(0), w.Raw(w.OpReturn, w.OpEnd))

// tamed is a sampler of its own with the setting harm; its first function is the entry.
func tamed(name, want string, g w.Guest) Module {
	g.Funcs = slices.Clone(g.Funcs)
	g.Funcs[0].Code = w.Cat(tame, g.Funcs[0].Code)
	g.Manifest = strings.Replace(g.Manifest, oneEntry, "[[config]]\nname = \"harm\"\ntype = \"f32\"\ndefault = 1.0\n"+oneEntry, 1)
	return Module{Name: name, Kind: "sampler", Wasm: g.Build(), Want: want, Tamed: true}
}

// entry is a tamed sampler whose entry is the code.
func entry(name, want string, code ...[]byte) Module {
	return tamed(name, want, samplerGuest(nil, code...))
}

// samplerOf is a guest whose entry is the code.
func samplerOf(change func(*w.Guest), code ...[]byte) []byte {
	return samplerGuest(change, code...).Build()
}

func samplerGuest(change func(*w.Guest), code ...[]byte) w.Guest {
	g := w.Guest{Kind: "sampler", Manifest: oneEntry, Funcs: []w.Func{{Name: "sampler_harm", Code: w.OK(code...)}}}
	if change != nil {
		change(&g)
	}
	return g
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

// Modules gives all of them.
func Modules() []Module {
	list := slices.Concat(malformed(), unsupported(), oversized(), misexported(), misdescribed(), starts(),
		endless(), samplers(), liars(), plans(), texts(), archs(), constraints(), routers(), hostCalls(), growths())
	for i := range list {
		if list[i].Kind == "" {
			list[i].Kind = "sampler"
		}
	}
	return list
}

func malformed() []Module {
	good := samplerOf(nil)
	return []Module{
		{Name: "a good one, to compare", Wasm: good},
		{Name: "nothing", Wasm: nil, Want: `not a WebAssembly module: it does not begin with "\0asm" and a version`},
		{Name: "text", Wasm: []byte("(module)"), Want: `not a WebAssembly module: it does not begin`},
		{Name: "component", Wasm: []byte("\x00asm\x0d\x00\x01\x00"), Want: "this is a component, forge wants a core module"},
		{Name: "version 2", Wasm: []byte("\x00asm\x02\x00\x00\x00"), Want: "WebAssembly version 2, layer 0"},
		{Name: "cut off", Wasm: good[:len(good)-20], Want: "needs"},
		{Name: "section longer than the module", Wasm: append(slices.Clone(good), 0, 0xff, 0xff, 0xff, 0xff, 0x0f), Want: "bytes and 0 are left"},
		{Name: "sections out of order", Wasm: append(slices.Clone(good), w.Section(w.SecType, w.Vec())...), Want: "is repeated or comes too late"},
		{Name: "a padded number", Wasm: w.Module([]byte{1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0}), Want: "a section's size"},
		{Name: "operands of the wrong type", Wasm: withBody(nil, w.OpI32Const, 0, 0xc0, w.OpI64Const, 0, w.OpI32Add, w.OpDrop), Want: "it is not valid WebAssembly"},
		{Name: "a code section of 4 billion functions", Wasm: w.Module(w.Section(w.SecCode, w.U(1<<32-1))), Want: "4294967295 bodies, the limit is 16384"},
		{Name: "a body that is longer than its section", Wasm: w.Module(w.Section(w.SecType, w.Vec(w.None)), w.Section(w.SecFunction, w.Vec(w.Raw(0))),
			w.Section(w.SecCode, w.U(1), w.U(1<<20), w.Raw(0, w.OpEnd))), Want: "function 0 has 1048576 bytes, the limit is 262144"},
		{Name: "functions without bodies", Wasm: w.Module(w.Section(w.SecType, w.Vec(w.None)), w.Section(w.SecFunction, w.Vec(w.Raw(0), w.Raw(0)))), Want: "2 functions"},
		{Name: "text that is not UTF-8 as an export's name", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "\xff\xfe", Type: w.None}) }), Want: "UTF-8"},
		{Name: "4 billion segments", Wasm: w.Module(w.Section(w.SecData, w.U(1<<32-1))), Want: "data segments"},
	}
}

func unsupported() []Module {
	memory := func(limits ...byte) []byte { return w.Module(w.Section(w.SecMemory, w.Vec(limits))) }
	return []Module{
		{Name: "64-bit memory", Wasm: memory(4, 1), Want: "forge does not run 64-bit memory; build for wasm32"},
		{Name: "shared memory", Wasm: memory(3, 1, 2), Want: "forge does not run threads and atomics"},
		{Name: "two memories", Wasm: w.Module(w.Section(w.SecMemory, w.Vec(w.Raw(0, 1), w.Raw(0, 1)))), Want: "more than one memory"},
		{Name: "atomics", Wasm: withBody(nil, w.OpI32Const, 0, w.OpI32Const, 0, 0xfe, 0x1e, 2, 0, w.OpDrop), Want: "forge does not run threads and atomics"},
		{Name: "relaxed SIMD", Wasm: withBody(nil, 0xfd, 0x80, 0x02), Want: "forge does not run relaxed SIMD"},
		{Name: "exceptions", Wasm: withBody(nil, 0x06, w.TypeVoid, w.OpEnd), Want: "forge does not run exceptions"},
		{Name: "a tag section", Wasm: w.Module(w.Section(13, w.Vec(w.Raw(0, 0)))), Want: "forge does not run exceptions"},
		{Name: "tail calls", Wasm: withBody(nil, 0x12, 0), Want: "tail calls"},
		{Name: "references", Wasm: withBody(nil, 0xd0, 0x70, w.OpDrop), Want: "reference"},
		{Name: "garbage collection", Wasm: withBody(nil, 0xfb, 0), Want: "forge"},
		{Name: "an opcode of nobody", Wasm: withBody(nil, 0xff), Want: "is not one that forge knows"},
		{Name: "imported memory", Wasm: w.Module(w.Section(w.SecImport, w.Vec(w.Cat(w.Name("env"), w.Name("memory"), w.Raw(2, 0, 1))))), Want: "memory"},
		{Name: "imported global", Wasm: w.Module(w.Section(w.SecImport, w.Vec(w.Cat(w.Name("env"), w.Name("g"), w.Raw(3, 0x7f, 1))))), Want: "global"},
	}
}

func oversized() []Module {
	loops := w.Repeat(900, w.Raw(w.OpLoop, w.TypeVoid))
	loops = append(loops, w.Repeat(900, w.Raw(w.OpEnd))...)
	blocks := append(w.Repeat(40_000, w.Raw(w.OpBlock, w.TypeVoid)), w.Repeat(40_000, w.Raw(w.OpEnd))...)
	var functions w.Guest
	functions.Kind, functions.Manifest = "sampler", oneEntry
	functions.Funcs = append(functions.Funcs, w.Func{Name: "sampler_harm", Code: w.I32(0)})
	for range 20_000 {
		functions.Funcs = append(functions.Funcs, w.Func{Type: w.None})
	}
	return []Module{
		{Name: "10 million locals", Wasm: withBody(localsOf(10_000_000)), Want: "10000000 locals, the limit is 2048"},
		{Name: "4 billion locals twice", Wasm: withBody(w.Vec(w.Cat(w.U(1<<32-1), w.Raw(w.TypeI32)), w.Cat(w.U(1<<32-1), w.Raw(w.TypeI32)))), Want: "locals, the limit is 2048"},
		{Name: "100 MB of data", Wasm: samplerOf(func(g *w.Guest) { g.Pages, g.Data = 1600, make([]byte, 100<<20) }), Want: "bytes, the limit is"},
		{Name: "4 GB of memory", Wasm: samplerOf(func(g *w.Guest) { g.Pages = 65536 }), Want: "memory"},
		{Name: "more memory than its limit", Wasm: samplerOf(func(g *w.Guest) { g.Pages = 257 }), Want: "it begins with 257 pages of memory, its limit is 256: raise limits.pages"},
		{Name: "data outside memory", Wasm: samplerOf(func(g *w.Guest) { g.Data = make([]byte, 65537) }), Want: "its start"},
		{Name: "40,000 blocks in each other", Wasm: withBody(nil, blocks...), Want: "blocks nest deeper"},
		{Name: "900 loops in each other", Wasm: withBody(localsOf(1000), loops...), Want: "loops nest deeper"},
		{Name: "br_table of 100 million", Wasm: withBody(nil, w.Cat(w.I32(0), w.Raw(0x0e), w.U(100_000_000))...), Want: "br_table targets"},
		{Name: "a function of 300 KB", Wasm: withBody(nil, w.Repeat(300_000, w.Raw(0x01))...), Want: "the limit is 262144; split it"},
		{Name: "20,000 functions", Wasm: functions.Build(), Want: "the limit is"},
		{Name: "a table of 4 billion", Wasm: samplerOf(func(g *w.Guest) { g.Tables = w.Vec(w.Cat(w.Raw(0x70, 0), w.U(1<<32-1))) }), Want: "the limit is 65536"},
		{Name: "40,000 segments of nothing", Wasm: w.Module(w.Section(w.SecData, w.Vec(slices.Repeat([][]byte{w.Cat(w.Raw(0), w.I32(0), w.Raw(w.OpEnd, 0))}, 40_000)...))),
			Want: "40000 data segments, the limit is 32768"},
		{Name: "a function of 3,000 parameters", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Type: w.FuncType(strings.Repeat("I", 3000), "")}) }), Want: "the limit is"},
		{Name: "5,000 imports", Wasm: samplerOf(func(g *w.Guest) {
			g.Imports = slices.Repeat([]w.Import{{Module: "forge", Name: "log", Params: "iii"}}, 5000)
		}),
			Grants: []string{"log"}, Want: "the limit is"},
		{Name: "elements outside the table", Wasm: samplerOf(func(g *w.Guest) {
			g.Tables = w.Vec(w.Raw(0x70, 0, 1))
			g.Elements = w.Vec(w.Cat(w.Raw(0), w.I32(1000), w.Raw(w.OpEnd, 1, 0)))
		})}, // wazero leaves them out
		{Name: "a global that is made from one after it", Wasm: samplerOf(func(g *w.Guest) {
			g.Globals = [][]byte{w.Raw(w.TypeI32, 0, w.OpGlobalGet, 1, w.OpEnd), w.Cat(w.Raw(w.TypeI32, 0), w.I32(1), w.Raw(w.OpEnd))}
		}), Want: "global"},
		{Name: "a branch to nowhere", Wasm: withBody(nil, w.OpBr, 9), Want: "branch to label 9"},
		{Name: "a call of nobody", Wasm: withBody(nil, w.Call(5000)...), Want: "call of function 5000"},
	}
}

func misexported() []Module {
	wrong := w.FuncType("ii", "I")
	return []Module{
		{Name: "no marker", Wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_sampler_1" }), Want: "it lacks the export forge_sampler_1, which marks a sampler"},
		{Name: "two markers", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_router_1", Type: w.None}) }),
			Want: "it exports forge_router_1, the marker of a router"},
		{Name: "a marker with operands", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_sampler_1", Code: w.I32(0)}) }),
			Want: "it has neither parameters nor results"},
		{Name: "no init", Wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_init" }), Want: "it lacks the export forge_init"},
		{Name: "no arena", Wasm: samplerOf(func(g *w.Guest) { g.Omit = "forge_arena" }), Want: "it lacks the export forge_arena"},
		{Name: "no entry", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = nil }), Want: "it lacks the export sampler_harm"},
		{Name: "an entry of another type", Wasm: samplerOf(func(g *w.Guest) { g.Funcs[0] = w.Func{Name: "sampler_harm", Type: wrong, Code: w.I64(0)} }),
			Want: "its export sampler_harm is (i32, i32) -> i64; the ABI has (i32) -> i32"},
		{Name: "an entry that nobody named", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "sampler_y", Code: w.I32(0)}) }),
			Want: "it exports sampler_y, which the manifest's [[entries]] do not have"},
		{Name: "begin of another type", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "forge_begin", Type: w.None}) }),
			Want: "its export forge_begin is () -> (); the ABI has (i32) -> i32"},
		{Name: "the meter's name", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, w.Func{Name: "__forge_fuel", Type: w.None}) }), Want: "__forge"},
		{Name: "the same export twice", Wasm: samplerOf(func(g *w.Guest) { g.Funcs = append(g.Funcs, g.Funcs[0]) }), Want: `two exports are named "sampler_harm"`},
		{Name: "import of a shell", Wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "env", Name: "system", Params: "i", Results: "i"}} }), Want: "env.system"},
		{Name: "import of files", Wasm: samplerOf(func(g *w.Guest) {
			g.Imports = []w.Import{{Module: "wasi_snapshot_preview1", Name: "path_open", Params: "iiiiiIIii", Results: "i"}}
		}), Grants: []string{"wasi"}, Want: "path_open"},
		{Name: "import of the clock, not asked for", Wasm: samplerOf(func(g *w.Guest) {
			g.Imports = []w.Import{{Module: "wasi_snapshot_preview1", Name: "clock_time_get", Params: "iIi", Results: "i"}}
		}), Grants: []string{"wasi"}, Want: "its manifest does not ask for the grant wasi"},
		{Name: "import of log, not granted", Wasm: samplerOf(func(g *w.Guest) {
			g.Manifest = "grants = [\"log\"]\n" + oneEntry
			g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iii", Results: ""}}
		}), Want: "it asks for log: add it to grants"},
		{Name: "import of log with another type", Wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "forge", Name: "log", Params: "iI", Results: ""}} }),
			Grants: []string{"log"}, Want: "forge.log"},
		{Name: "import of the refill", Wasm: samplerOf(func(g *w.Guest) { g.Imports = []w.Import{{Module: "forge", Name: "__refill", Params: "", Results: ""}} }),
			Grants: []string{"log"}, Want: "__refill"},
	}
}

func misdescribed() []Module {
	section := func(text string) []byte {
		return samplerOf(func(g *w.Guest) { g.Section = []byte(text) })
	}
	const head = "name = \"a\"\nversion = \"1\"\nkind = \"sampler\"\nabi = \"1.0\"\n"
	return []Module{
		{Name: "no manifest", Wasm: patched(samplerOf(nil), "forge.abi", "forge.abx"), Want: "it has no custom section forge.abi"},
		{Name: "a manifest of no TOML", Wasm: section("\x00\xff{{{"), Want: "the manifest"},
		{Name: "a manifest of 100 KB", Wasm: section(head + "#" + strings.Repeat("x", 100_000)), Want: "the limit is 65536"},
		{Name: "a manifest of nested arrays", Wasm: section(head + "provides = " + strings.Repeat("[", 30_000)), Want: "the manifest"},
		{Name: "a manifest of another kind", Wasm: section(patchedText(head, "sampler", "router")), Want: "its manifest says router, plugins.toml says sampler"},
		{Name: "a manifest for another ABI", Wasm: section(patchedText(head, "1.0", "9.9")), Want: "it was written for ABI 9.9"},
		{Name: "a name that writes on the terminal", Wasm: section(patchedText(head, "\"a\"", "\"a\\u001b[2J\"")), Want: "holds a character that names do not have"},
		{Name: "a default outside its range", Wasm: section(head + "[[config]]\nname = \"k\"\ntype = \"f32\"\ndefault = nan\n" + oneEntry), Want: "it wants a number"},
		{Name: "300 config keys", Wasm: section(head + strings.Repeat("[[config]]\nname = \"k\"\ntype = \"f32\"\n", 300) + oneEntry), Want: "config keys, the limit is 256"},
		{Name: "a custom section whose name ends outside it", Wasm: samplerOf(func(g *w.Guest) { g.Custom = [][]byte{w.Section(w.SecCustom, w.U(200), w.Raw('x'))} }), Want: "name"},
		{Name: "a name section of lies", Wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom("name", w.Cat(w.Raw(1), w.U(11), w.U(1), w.U(70000), w.Name("x\x1b[2J"))...)}
		}), Want: "name"},
		{Name: "debug information of lies", Wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom(".debug_info", bytes.Repeat([]byte{0xff}, 1000)...), w.Custom(".debug_line", 1, 2, 3)}
		})},
		{Name: "two manifests", Wasm: samplerOf(func(g *w.Guest) {
			g.Custom = [][]byte{w.Custom("forge.abi", []byte(patchedText(head, "sampler", "router"))...)}
		}), Want: "forge.abi"},
	}
}

func patchedText(text, was, is string) string { return string(patched([]byte(text), was, is)) }
