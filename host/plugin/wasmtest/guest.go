package wasmtest

import "fmt"

// Guest is a module of the plugin ABI. What it does not say is right: memory, marker, manifest, an arena that grows the
// memory, and an init that does nothing.
type Guest struct {
	Kind     string
	Manifest string   // lines behind name, version, kind and abi; tables last
	Section  []byte   // the manifest's section instead of that text
	Pages    int      // of memory at the start, 1 if zero
	Imports  []Import // their functions come first in the index space
	Funcs    []Func   // the next ones
	Globals  [][]byte // encoded
	Start    int      // 1 + index of the start function
	Omit     string   // an export that is left out
	Custom   [][]byte // encoded sections at the end
	Data     []byte   // one segment at address 0
	Tables   []byte   // encoded table section
	Elements []byte   // encoded element section
}

// Import is a function that the guest asks for; Kind 0 is a function.
type Import struct {
	Module, Name    string
	Params, Results string
}

// Func is a function, exported if it has a name. A nil Type is that of a call: (i32 frame) -> i32.
type Func struct {
	Name   string
	Type   []byte
	Locals []byte // encoded declaration; nil is none
	Code   []byte
}

// None is the type () -> ().
var None = FuncType("", "")

// Build writes the module.
func (g Guest) Build() []byte {
	funcs := append([]Func{}, g.Funcs...)
	have := map[string]bool{g.Omit: true}
	for _, f := range funcs {
		have[f.Name] = true
	}
	for _, f := range []Func{
		{Name: "forge_" + g.Kind + "_1", Type: None},
		// memory.grow by the pages that hold the bytes, and the address of the first of them.
		{Name: "forge_arena", Code: Cat(Raw(OpLocalGet, 0), I32(65535), Raw(OpI32Add), I32(16), Raw(OpI32ShrU, OpMemoryGrow, 0),
			I32(16), Raw(OpI32Shl))},
		{Name: "forge_init", Code: I32(0)},
	} {
		if !have[f.Name] {
			funcs = append(funcs, f)
		}
	}
	var types, imports, kinds, exports, bodies [][]byte
	typeOf := func(t []byte) []byte {
		if t == nil {
			t = FuncType("i", "i")
		}
		types = append(types, t)
		return U(uint64(len(types) - 1))
	}
	for _, im := range g.Imports {
		imports = append(imports, Cat(Name(im.Module), Name(im.Name), Raw(0), typeOf(FuncType(im.Params, im.Results))))
	}
	exports = append(exports, Cat(Name("memory"), Raw(2, 0)))
	for i, f := range funcs {
		kinds = append(kinds, typeOf(f.Type))
		if f.Name != "" && f.Name != g.Omit {
			exports = append(exports, Cat(Name(f.Name), Raw(0), U(uint64(len(g.Imports)+i))))
		}
		locals := f.Locals
		if locals == nil {
			locals = Raw(0)
		}
		bodies = append(bodies, Body(locals, f.Code...))
	}
	sections := [][]byte{Section(SecType, Vec(types...))}
	add := func(id byte, content []byte) { sections = append(sections, Section(id, content)) }
	if len(imports) > 0 {
		add(SecImport, Vec(imports...))
	}
	add(SecFunction, Vec(kinds...))
	if g.Tables != nil {
		add(SecTable, g.Tables)
	}
	add(SecMemory, Vec(Cat(Raw(0), U(uint64(max(1, g.Pages))))))
	if len(g.Globals) > 0 {
		add(SecGlobal, Vec(g.Globals...))
	}
	add(SecExport, Vec(exports...))
	if g.Start > 0 {
		add(SecStart, U(uint64(g.Start-1)))
	}
	if g.Elements != nil {
		add(SecElement, g.Elements)
	}
	add(SecCode, Vec(bodies...))
	if g.Data != nil {
		add(SecData, Vec(Cat(Raw(0), I32(0), Raw(OpEnd), U(uint64(len(g.Data))), g.Data)))
	}
	manifest := g.Section
	if manifest == nil {
		manifest = fmt.Appendf(nil, "name = \"built\"\nversion = \"1\"\nkind = %q\nabi = \"1.0\"\n%s", g.Kind, g.Manifest)
	}
	sections = append(sections, Custom("forge.abi", manifest...))
	return Module(append(sections, g.Custom...)...)
}

// Store32 writes a number at an offset from the frame, or from what the frame's word at ptr points to if ptr is not
// negative.
func Store32(ptr, offset int, value int64) []byte {
	b := Raw(OpLocalGet, 0)
	if ptr >= 0 {
		b = Cat(b, Raw(OpI32Load, 2), U(uint64(ptr)))
	}
	return Cat(b, I32(value), Raw(OpI32Store, 2), U(uint64(offset)))
}

// OK returns status 0 at the end of a call's code.
func OK(code ...[]byte) []byte { return append(Cat(code...), I32(0)...) }
