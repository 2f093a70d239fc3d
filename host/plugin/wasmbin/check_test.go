package wasmbin

import (
	"fmt"
	"testing"
	"time"
)

func TestCheckReadsGuests(t *testing.T) {
	for _, name := range guestNames {
		m, err := Check(guest(t, name), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		run, ok := m.FuncNamed("run")
		if !ok || run.Type.String() != "(i32) -> i32" {
			t.Errorf("%s: run is %v %v", name, run, ok)
		}
		if len(m.Imports) != 0 || m.NFuncs < 1 || m.MaxFuncOps < 10 {
			t.Errorf("%s: imports %v, %d functions, %d operations", name, m.Imports, m.NFuncs, m.MaxFuncOps)
		}
	}
}

func TestCheckReadsDetails(t *testing.T) {
	wasm := module(
		custom("forge.abi", 1, 2, 3),
		sec(secType, vec(ft("iI", "fF"), ft("", ""))),
		sec(secImport, vec(cat(str("forge"), str("log"), raw(0, 0)))),
		sec(secFunction, vec(raw(1))),
		sec(secMemory, vec(raw(1, 2, 9))),
		sec(secExport, vec(cat(str("memory"), raw(2, 0)), cat(str("go"), raw(0, 1)))),
		sec(secStart, raw(1)),
		sec(secCode, vec(fn(opNop))),
	)
	m, err := Check(wasm, Limits{AllowImports: func(im Import) bool {
		return im.Module == "forge" && im.Name == "log" && im.Type.String() == "(i32, i64) -> (f32, f64)"
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.Imports, m.Exports, m.Custom, m.MemoryMin, m.MemoryMax, m.HasMax, m.NFuncs, m.MaxFuncOps, m.Start)
	want := "[{forge log func (i32, i64) -> (f32, f64)}] [{memory memory 0 () -> ()} {go func 1 () -> ()}] " +
		"map[forge.abi:[1 2 3]] 2 9 true 1 2 true"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCheckReadsGoGuest(t *testing.T) {
	wasm := buildGoGuest(t)
	start := time.Now()
	m, err := Check(wasm, wasip1(Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d functions, longest %d operations, checked in %v", len(wasm), m.NFuncs, m.MaxFuncOps, time.Since(start))
	if len(m.Imports) == 0 || m.NFuncs < 500 {
		t.Errorf("%d imports, %d functions", len(m.Imports), m.NFuncs)
	}
	if _, err := Check(wasm, Limits{}); err == nil {
		t.Error("imports passed without a grant")
	}
}

// Ensure that every way in which a module can be wrong or too much gets its sentence. The whole text is compared.
func TestCheckRefuses(t *testing.T) {
	void, number := ft("", ""), ft("", "i")
	small := Limits{MaxModuleBytes: 2000, MaxTypes: 3, MaxTypeValues: 2, MaxImports: 1, MaxFunctions: 2, MaxGlobals: 2,
		MaxExports: 2, MaxTable: 4, MaxData: 2, MaxPages: 2, MaxFuncBytes: 200, MaxFuncLocals: 20, MaxFuncNesting: 6, MaxFuncMerges: 40}
	body := func(code ...byte) []byte { return one(void, fn(code...)) }
	for _, c := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"empty", nil,
			`not a WebAssembly module: it does not begin with "\0asm" and a version`},
		{"text", []byte("(module)"),
			`not a WebAssembly module: it does not begin with "\0asm" and a version`},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"),
			`this is a component, forge wants a core module; build for wasm32 without a component step (wasm32-unknown-unknown or wasip1, not wasip2)`},
		{"version 2", []byte("\x00asm\x02\x00\x00\x00"),
			`WebAssembly version 2, layer 0; forge wants version 1 of a core module`},
		{"too many bytes", module(custom("x", make([]byte, 2000)...)),
			`the module has 2013 bytes, the limit is 2000`},
		{"section size past the end", module(raw(1, 5, 0)),
			`the module, offset 0xa: the type section needs 5 bytes and 1 are left`},
		{"section size without end", module(raw(1, 0x80)),
			`the module, offset 0xa: a section's size is cut off: the bytes end here`},
		{"section size of 33 bits", module(raw(1, 0x80, 0x80, 0x80, 0x80, 0x10)),
			`the module, offset 0x9: a section's size does not fit 32 bits`},
		{"section size padded too far", module(raw(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)),
			`the module, offset 0x9: a section's size does not fit 32 bits`},
		{"tag section", module(sec(13, raw(0))),
			`the module, offset 0x8: a tag section: forge does not run exceptions; build without -fwasm-exceptions`},
		{"unknown section", module(sec(14)),
			`the module, offset 0x8: section 14 is not one that forge knows`},
		{"section twice", module(sec(secType, raw(0)), sec(secType, raw(0))),
			`the module, offset 0xb: the type section is repeated or comes too late`},
		{"section late", module(sec(secMemory, raw(0)), sec(secType, raw(0))),
			`the module, offset 0xb: the type section is repeated or comes too late`},
		{"data count after code", module(sec(secCode, raw(0)), sec(secDataCount, raw(0))),
			`the module, offset 0xb: the data count section is repeated or comes too late`},
		{"bytes after a section", module(sec(secType, raw(0, 0))),
			`the type section, offset 0xb: 1 bytes follow the last item`},
		{"custom name not UTF-8", module(custom("\xff")),
			`the custom section, offset 0xa: a custom section's name is not UTF-8`},
		{"custom name cut off", module(sec(secCustom, raw(9, 'a'))),
			`the custom section, offset 0xb: a custom section's name needs 9 bytes and 1 are left`},
		{"custom name reserved", module(custom("__forge_x")),
			`the custom section, offset 0xa: a custom section is named "__forge_x", which belongs to forge; rename it`},
		{"custom twice", module(custom("a"), custom("a")),
			`the custom section, offset 0xe: two custom sections are named "a"`},
		{"names malformed", module(custom("name", 1, 3, 1, 0, 9)),
			`the name section, offset 0x14: a name needs 9 bytes and 0 are left`},
		{"names out of order", module(custom("name", 1, 1, 0, 0, 1, 0)),
			`the name section, offset 0x12: subsection 0 is repeated or comes too late`},

		{"type form", module(sec(secType, vec(raw(0x61)))),
			`the type section, offset 0xb: type 0x61 is not a function type (0x60)`},
		{"struct type", module(sec(secType, vec(raw(0x5f)))),
			`the type section, offset 0xb: type 0x5f: forge does not run garbage-collected types; build for linear memory`},
		{"more types than bytes", module(sec(secType, raw(3))),
			`the type section, offset 0xa: 3 types in 0 bytes`},
		{"too many types", module(sec(secType, vec(void, void, void, void))),
			`the type section, offset 0xa: 4 types, the limit is 3`},
		{"too many parameters", module(sec(secType, vec(ft("iii", "")))),
			`the type section, offset 0xc: 3 parameters, the limit is 2`},
		{"parameter externref", module(sec(secType, vec(raw(0x60, 1, 0x6f, 0)))),
			`the type section, offset 0xd: the type of a parameter is externref: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"parameter exnref", module(sec(secType, vec(raw(0x60, 1, 0x69, 0)))),
			`the type section, offset 0xd: the type of a parameter is exnref: forge does not run exceptions; build without -fwasm-exceptions`},
		{"parameter of no type", module(sec(secType, vec(raw(0x60, 1, 0x01, 0)))),
			`the type section, offset 0xd: the type of a parameter is 0x01, which is not a type that forge knows`},

		{"import not granted", module(sec(secType, vec(ft("i", "i"))), sec(secImport, vec(cat(str("env"), str("abort"), raw(0, 0))))),
			`the import section, offset 0x13: the import env.abort (i32) -> i32 is not granted; grant it in the plugin's entry or build without it`},
		{"import of the refill", module(sec(secType, vec(void)), sec(secImport, vec(cat(str("forge"), str("__refill"), raw(0, 0))))),
			`the import section, offset 0x11: an import is named "__refill", which belongs to forge; rename it`},
		{"import of a reserved name", module(sec(secType, vec(void)), sec(secImport, vec(cat(str("forge"), str("__forge_fuel"), raw(0, 0))))),
			`the import section, offset 0x11: an import is named "__forge_fuel", which belongs to forge; rename it`},
		{"import of a memory", module(sec(secImport, vec(cat(str("env"), str("memory"), raw(2, 0, 1))))),
			`the import section, offset 0xb: the import env.memory is a memory; forge grants functions only, so define it in the module`},
		{"import of a tag", module(sec(secImport, vec(cat(str("env"), str("t"), raw(4, 0, 0))))),
			`the import section, offset 0xb: the import env.t of a tag: forge does not run exceptions; build without -fwasm-exceptions`},
		{"import of an unknown type", module(sec(secImport, vec(cat(str("env"), str("f"), raw(0, 0))))),
			`the import section, offset 0x12: type 0, the module has 0`},
		{"too many imports", module(sec(secImport, vec(str("a"), str("b")))),
			`the import section, offset 0xa: 2 imports, the limit is 1`},

		{"function of an unknown type", module(sec(secFunction, vec(raw(0)))),
			`the function section, offset 0xb: type 0, the module has 0`},
		{"too many functions", module(sec(secType, vec(void)), sec(secFunction, raw(3, 0, 0, 0))),
			`the function section, offset 0x10: 3 functions, the limit is 2`},
		{"no code", module(sec(secType, vec(void)), sec(secFunction, vec(raw(0)))),
			`1 functions are declared and there is no code section`},
		{"too few bodies", module(sec(secType, vec(void)), sec(secFunction, vec(raw(0))), sec(secCode, raw(0))),
			`the code section, offset 0x14: 0 bodies for 1 functions`},

		{"two tables", module(sec(secTable, vec(raw(0x70, 0, 1), raw(0x70, 0, 1)))),
			`the table section, offset 0xa: 2 tables: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"table of externref", module(sec(secTable, vec(raw(0x6f, 0, 1)))),
			`the table section, offset 0xb: a table of externref: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"table too large", module(sec(secTable, vec(raw(0x70, 0, 5)))),
			`the table section, offset 0xb: a table of 5 entries, the limit is 4`},
		{"table limits upside down", module(sec(secTable, vec(raw(0x70, 1, 2, 1)))),
			`the table section, offset 0xc: the maximum 1 of a table is below its minimum 2`},
		{"two memories", module(sec(secMemory, vec(raw(0, 1), raw(0, 1)))),
			`the memory section, offset 0xa: 2 memories: forge does not run more than one memory; build with one memory`},
		{"memory too large", module(sec(secMemory, vec(raw(0, 3)))),
			`the memory section, offset 0xa: a memory of at least 3 pages, the limit is 2; raise the plugin's limit or build for less`},
		{"memory maximum", module(sec(secMemory, vec(raw(1, 1, 0x81, 0x80, 4)))),
			`the memory section, offset 0xa: a memory of up to 65537 pages, 32-bit memory has 65536`},
		{"shared memory", module(sec(secMemory, vec(raw(3, 1, 1)))),
			`the memory section, offset 0xb: a shared memory: forge does not run threads and atomics; build without -pthread and -matomics`},
		{"64-bit memory", module(sec(secMemory, vec(raw(4, 1)))),
			`the memory section, offset 0xb: a memory of 64-bit size: forge does not run 64-bit memory; build for wasm32`},
		{"memory limits of no kind", module(sec(secMemory, vec(raw(8, 1)))),
			`the memory section, offset 0xb: limits of kind 0x08 of a memory are not ones that forge knows`},

		{"too many globals", module(sec(secGlobal, raw(3, 0, 0, 0))),
			`the global section, offset 0xa: 3 globals, the limit is 2`},
		{"global mutability", module(sec(secGlobal, vec(raw(0x7f, 2, opI32Const, 0, opEnd)))),
			`the global section, offset 0xc: mutability 0x02 of a global, it is 0 or 1`},
		{"global of another type", module(sec(secGlobal, vec(raw(0x7f, 0, opI64Const, 0, opEnd)))),
			`the global section, offset 0xd: the initial value of a global is i64 and should be i32`},
		{"global computed", module(sec(secGlobal, vec(raw(0x7f, 0, opI32Const, 0, opI32Const, 0, 0x6a, opEnd)))),
			`the global section, offset 0xf: opcode 0x41 after the constant of the initial value of a global: forge does not run computed constants; build without -mextended-const`},
		{"global from a global", module(sec(secGlobal, vec(raw(0x7f, 0, opGlobalGet, 0, opEnd)))),
			`the global section, offset 0xd: the initial value of a global reads a global; only an imported one is allowed there and forge grants none`},
		{"global ref.func", module(sec(secGlobal, vec(raw(0x7f, 0, 0xd2, 0, opEnd)))),
			`the global section, offset 0xd: opcode 0xd2 in the initial value of a global: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"global constant of 33 bits", module(sec(secGlobal, vec(raw(0x7f, 0, opI32Const, 0x80, 0x80, 0x80, 0x80, 0x08, opEnd)))),
			`the global section, offset 0xe: the initial value of a global does not fit 32 bits`},
		{"global SIMD add", module(sec(secGlobal, vec(raw(0x7b, 0, opSIMD, 0x6e, opEnd)))),
			`the global section, offset 0xd: the initial value of a global is computed by opcode 0xfd 0x6e; it has to be one constant`},

		{"export of nothing", module(sec(secExport, vec(cat(str("f"), raw(0, 0))))),
			`the export section, offset 0xb: the export "f" is func 0, the module has 0`},
		{"export of a tag", module(sec(secExport, vec(cat(str("f"), raw(4, 0))))),
			`the export section, offset 0xb: the export "f" has kind 4, which is not one that forge knows`},
		{"export reserved", module(sec(secMemory, vec(raw(0, 1))), sec(secExport, vec(cat(str("__forge_fuel"), raw(2, 0))))),
			`the export section, offset 0x10: an export is named "__forge_fuel", which belongs to forge; rename it`},
		{"export twice", module(sec(secMemory, vec(raw(0, 1))), sec(secExport, vec(cat(str("m"), raw(2, 0)), cat(str("m"), raw(2, 0))))),
			`the export section, offset 0x14: two exports are named "m"`},
		{"start of nothing", module(sec(secStart, raw(0))),
			`the start section, offset 0xa: the start function is function 0, the module has 0`},
		{"start with a result", module(sec(secType, vec(number)), sec(secFunction, vec(raw(0))), sec(secStart, raw(0)), sec(secCode, vec(fn(opI32Const, 0)))),
			`the start section, offset 0x15: the start function has the type () -> i32 and should take and return nothing`},

		{"elements without a table", module(sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 0)))),
			`the element section, offset 0xb: an element segment for table 0 in a module without a table`},
		{"element of an unknown function", module(sec(secTable, vec(raw(0x70, 0, 1))), sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 1, 0)))),
			`the element section, offset 0x16: an element is function 0, the module has 0`},
		{"declared elements", module(sec(secElement, vec(raw(3, 0, 0)))),
			`the element section, offset 0xb: an element segment of kind 3: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"element kind", module(sec(secElement, vec(raw(1, 1, 0)))),
			`the element section, offset 0xb: elements of kind 1 are not ones that forge knows`},
		{"element segment kind", module(sec(secElement, vec(raw(8, 0, 0)))),
			`the element section, offset 0xb: an element segment of kind 8 is not one that forge knows`},
		{"data without a memory", module(sec(secData, vec(raw(0, opI32Const, 0, opEnd, 0)))),
			`the data section, offset 0xb: a data segment for memory 0 in a module without a memory`},
		{"data past the end", module(sec(secMemory, vec(raw(0, 1))), sec(secData, vec(raw(0, opI32Const, 0, opEnd, 9)))),
			`the data section, offset 0x15: a data segment needs 9 bytes and 0 are left`},
		{"data in memory 1", module(sec(secMemory, vec(raw(0, 1))), sec(secData, vec(raw(2, 1, opI32Const, 0, opEnd, 0)))),
			`the data section, offset 0x10: memory 1: forge does not run more than one memory; build with one memory`},
		{"data kind", module(sec(secData, vec(raw(3)))),
			`the data section, offset 0xb: a data segment of kind 3 is not one that forge knows`},
		{"data count differs", module(sec(secDataCount, raw(2)), sec(secData, vec(raw(1, 0)))),
			`the data section, offset 0xd: 1 data segments, the data count section says 2`},
		{"data count alone", module(sec(secDataCount, raw(2))),
			`the data count section says 2 segments and there is no data section`},

		{"body too long", body(make([]byte, 200)...),
			`the code section, offset 0x49: function 0 "run" has 202 bytes, the limit is 200; split it`},
		{"body cut off", one(void, raw(5, 0, opEnd)),
			`the code section, offset 0x49: the body of function 0 "run" needs 5 bytes and 2 are left`},
		{"body of zero bytes", one(void, raw(0)),
			`function 0 "run", offset 0x49: the number of groups of locals is cut off: the bytes end here`},
		{"body without end", one(void, raw(2, 0, opNop)),
			`function 0 "run", offset 0x4b: an instruction is cut off: the bytes end here`},
		{"code after the end", body(opEnd, opNop),
			`function 0 "run", offset 0x4b: 2 bytes follow the end of the body`},
		{"locals", one(void, fnLocals(raw(1, 21, 0x7f))),
			`function 0 "run", offset 0x4a: 21 locals, the limit is 20`},
		{"locals of 2^32", one(void, fnLocals(raw(2, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f))),
			`function 0 "run", offset 0x4c: 4294967296 locals, the limit is 20`},
		{"local of a reference", one(void, fnLocals(raw(1, 1, 0x70))),
			`function 0 "run", offset 0x4b: the type of a local is funcref: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"merges", one(void, fnLocals(raw(1, 20, 0x7f), opLoop, 0x40, opEnd, opLoop, 0x40, opEnd, opLoop, 0x40, opEnd)),
			`function 0 "run", offset 0x49: 20 locals times 3 labels exceed the limit of 40; split the function`},
		{"nesting", body(opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40),
			`function 0 "run", offset 0x56: blocks nest deeper than the limit of 6`},
		{"else without if", body(opElse),
			`function 0 "run", offset 0x4a: else without if`},
		{"else twice", body(opI32Const, 0, opIf, 0x40, opElse, opElse, opEnd),
			`function 0 "run", offset 0x4f: else without if`},
		{"unclosed block", body(opBlock, 0x40),
			`function 0 "run", offset 0x4d: an instruction is cut off: the bytes end here`},
		{"label", body(opBr, 1),
			`function 0 "run", offset 0x4a: branch to label 1, 1 are open`},
		{"label of br_table", body(opI32Const, 0, opBrTable, 1, 0, 1),
			`function 0 "run", offset 0x4c: branch to label 1, 1 are open`},
		{"br_table longer than the body", body(opI32Const, 0, opBrTable, 0x80, 1),
			`function 0 "run", offset 0x4d: 128 br_table targets in 1 bytes`},
		{"block of a reference", body(opBlock, 0x70, opEnd),
			`function 0 "run", offset 0x4b: a block type is funcref: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"block of an unknown type", body(opBlock, 9, opEnd),
			`function 0 "run", offset 0x4b: type 9, the module has 1`},
		{"local index", body(opLocalGet, 0, opDrop),
			`function 0 "run", offset 0x4a: local 0, the function has 0`},
		{"global index", body(opGlobalGet, 2, opDrop),
			`function 0 "run", offset 0x4a: global 2, the module has 2`},
		{"global constant", body(opI32Const, 0, opGlobalSet, 1),
			`function 0 "run", offset 0x4c: global.set of global 1, which is constant`},
		{"call", body(opCall, 1),
			`function 0 "run", offset 0x4a: call of function 1, the module has 1`},
		{"call_indirect type", body(opI32Const, 0, opCallIndirect, 1, 0),
			`function 0 "run", offset 0x4d: type 1, the module has 1`},
		{"call_indirect table", body(opI32Const, 0, opCallIndirect, 0, 1),
			`function 0 "run", offset 0x4c: table 1: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"call_indirect without a table", module(sec(secType, vec(void)), sec(secFunction, vec(raw(0))), sec(secCode, vec(fn(opI32Const, 0, opCallIndirect, 0, 0)))),
			`function 0, offset 0x19: a table instruction in a module without a table`},
		{"load without a memory", module(sec(secType, vec(void)), sec(secFunction, vec(raw(0))), sec(secCode, vec(fn(opI32Const, 0, 0x28, 2, 0, opDrop)))),
			`function 0, offset 0x19: a memory instruction in a module without a memory`},
		{"load alignment", body(opI32Const, 0, 0x2d, 1, 0, opDrop),
			`function 0 "run", offset 0x4c: alignment 2^1 of an access of 2^0 bytes`},
		{"load of memory 1", body(opI32Const, 0, 0x28, 0x42, 1, 0, opDrop),
			`function 0 "run", offset 0x4c: a memory index: forge does not run more than one memory; build with one memory`},
		{"memory.size of memory 1", body(opMemorySize, 1, opDrop),
			`function 0 "run", offset 0x4a: memory 1: forge does not run more than one memory; build with one memory`},
		{"try", body(0x06, 0x40),
			`function 0 "run", offset 0x4a: opcode 0x06: forge does not run exceptions; build without -fwasm-exceptions`},
		{"return_call", body(0x12, 0),
			`function 0 "run", offset 0x4a: opcode 0x12: forge does not run tail calls; build without -mtail-call`},
		{"select of a type", body(0x1c, 1, 0x7f),
			`function 0 "run", offset 0x4a: opcode 0x1c: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"table.get", body(0x25, 0),
			`function 0 "run", offset 0x4a: opcode 0x25: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"table.grow", body(opBulk, 15, 0),
			`function 0 "run", offset 0x4a: opcode 0xfc 15: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"ref.func", body(0xd2, 0, opDrop),
			`function 0 "run", offset 0x4a: opcode 0xd2: forge does not run reference types; build with -mno-reference-types and keep function pointers in one table`},
		{"struct.new", body(0xfb, 0, 0),
			`function 0 "run", offset 0x4a: opcode 0xfb: forge does not run garbage-collected types; build for linear memory`},
		{"atomic", body(0xfe, 0x10, 2, 0),
			`function 0 "run", offset 0x4a: opcode 0xfe: forge does not run threads and atomics; build without -pthread and -matomics`},
		{"relaxed SIMD", body(opSIMD, 0x80, 2),
			`function 0 "run", offset 0x4a: opcode 0xfd 0x100: forge does not run relaxed SIMD; build with -msimd128 alone, without -mrelaxed-simd`},
		{"hole in SIMD", body(opSIMD, 0x9a, 1),
			`function 0 "run", offset 0x4a: opcode 0xfd 0x9a is not one that forge knows`},
		{"SIMD past its end", body(opSIMD, 0xb0, 2),
			`function 0 "run", offset 0x4a: opcode 0xfd 0x130 is not one that forge knows`},
		{"wide arithmetic", body(opBulk, 19),
			`function 0 "run", offset 0x4a: opcode 0xfc 19: forge does not run wide arithmetic; build without -mwide-arithmetic`},
		{"bulk past its end", body(opBulk, 23),
			`function 0 "run", offset 0x4a: opcode 0xfc 23 is not one that forge knows`},
		{"unknown opcode", body(0x27),
			`function 0 "run", offset 0x4a: opcode 0x27 is not one that forge knows`},
		{"unknown opcode 0xff", body(0xff),
			`function 0 "run", offset 0x4a: opcode 0xff is not one that forge knows`},
		{"lane", body(opSIMD, 0x1b, 4),
			`function 0 "run", offset 0x4a: lane 4 of 4`},
		{"lane of a load", body(opSIMD, 0x57, 3, 0, 2),
			`function 0 "run", offset 0x4a: lane 2 of 2`},
		{"lane of a shuffle", body(opSIMD, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32),
			`function 0 "run", offset 0x4a: lane 32 of 32`},
		{"memory.init without a count", body(opBulk, 8, 0, 0),
			`function 0 "run", offset 0x4a: memory.init or data.drop in a module without a data count section`},
		{"elem.drop", body(opBulk, 13, 1),
			`function 0 "run", offset 0x4a: element segment 1, the module has 1`},
		{"constant cut off", one(void, raw(3, 0, opF64Const, 0)),
			`function 0 "run", offset 0x4b: a constant needs 8 bytes and 1 are left`},
		{"constant of 65 bits", body(opI64Const, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, opDrop),
			`function 0 "run", offset 0x4b: a constant does not fit 64 bits`},
		{"named function", module(sec(secType, vec(void)), sec(secFunction, vec(raw(0))), sec(secCode, vec(fn(opElse))), custom("name", 1, 5, 1, 0, 2, 'a', 'b')),
			`function 0 "ab", offset 0x17: else without if`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Check(c.wasm, small)
			if err == nil {
				t.Fatalf("passed: %+v", m)
			}
			if err.Error() != c.want {
				t.Errorf("got  `%s`\nwant `%s`", err, c.want)
			}
		})
	}
}

// Ensure that a cut anywhere and a changed byte anywhere are refused or accepted, never a panic.
func TestCheckSurvivesDamage(t *testing.T) {
	for _, name := range guestNames {
		wasm := guest(t, name)
		for i := range wasm {
			if m, err := Check(wasm[:i], Limits{}); err == nil && len(m.sections) == 0 && i > 8 {
				t.Fatalf("%s cut to %d bytes passed without sections", name, i)
			}
			for _, bit := range []byte{1, 0x40, 0x80, 0xff} {
				broken := append([]byte{}, wasm...)
				broken[i] ^= bit
				_, _ = Check(broken, Limits{})
			}
		}
	}
}
