package wasmbin

import "strings"

func (m *Module) decodeCustom(r *reader) {
	start := r.offset()
	name := r.name("a custom section's name")
	body := r.bytes(uint32(r.left()), "a custom section")
	if r.err != nil {
		return
	}
	m.reserved(r, start, name, "a custom section")
	if _, ok := m.Custom[name]; ok {
		r.fail(start, "two custom sections are named %q", name)
	}
	m.Custom[name] = body
	if name == "name" {
		m.nameBase = r.offset() - len(body)
	}
}

func (m *Module) reserved(r *reader, start int, name, what string) {
	if strings.HasPrefix(name, ReservedPrefix) || name == refillName {
		r.fail(start, "%s is named %q, which belongs to forge; rename it", what, name)
	}
}

func (m *Module) valueType(r *reader, what string) ValueType {
	start := r.offset()
	b := r.byte(what)
	if r.err == nil {
		m.checkValueType(r, start, b, what)
	}
	return ValueType(b)
}

func (m *Module) checkValueType(r *reader, start int, b byte, what string) {
	switch {
	case b >= byte(V128) && b <= byte(I32):
	case b == 0x70 || b == 0x6f:
		refuse(r, start, featRefs, "%s is %s", what, ValueType(b))
	case b == 0x69:
		refuse(r, start, featException, "%s is exnref", what)
	case b >= 0x63 && b <= 0x74:
		refuse(r, start, featGC, "%s is %#02x", what, b)
	default:
		r.fail(start, "%s is %#02x, which is not a type that forge knows", what, b)
	}
}

func (m *Module) decodeTypes(r *reader, lim *Limits) {
	for n := r.count(lim.MaxTypes, "types"); n > 0 && r.err == nil; n-- {
		start := r.offset()
		if form := r.byte("a type"); r.err == nil && form != 0x60 {
			if form >= 0x4e && form <= 0x5f {
				refuse(r, start, featGC, "type %#02x", form)
			} else {
				r.fail(start, "type %#02x is not a function type (0x60)", form)
			}
		}
		var t FuncType
		for k := r.count(lim.MaxTypeValues, "parameters"); k > 0 && r.err == nil; k-- {
			t.Params = append(t.Params, m.valueType(r, "the type of a parameter"))
		}
		for k := r.count(lim.MaxTypeValues, "results"); k > 0 && r.err == nil; k-- {
			t.Results = append(t.Results, m.valueType(r, "the type of a result"))
		}
		m.types = append(m.types, t)
	}
}

func (m *Module) decodeImports(r *reader, lim *Limits) {
	for n := r.count(lim.MaxImports, "imports"); n > 0 && r.err == nil; n-- {
		start := r.offset()
		im := Import{Module: r.name("an import's module"), Name: r.name("an import's name"), Kind: Kind(r.byte("an import's kind"))}
		if r.err != nil {
			return
		}
		if im.Kind == 4 {
			refuse(r, start, featException, "the import %s.%s of a tag", im.Module, im.Name)
			return
		}
		if im.Kind != Func {
			r.fail(start, "the import %s.%s is a %s; forge grants functions only, so define it in the module",
				im.Module, im.Name, im.Kind)
			return
		}
		m.reserved(r, start, im.Module, "an import's module")
		m.reserved(r, start, im.Name, "an import")
		t := m.typeIndex(r)
		if r.err != nil {
			return
		}
		im.Type = m.types[t]
		if lim.AllowImports == nil || !lim.AllowImports(im) {
			r.fail(start, "the import %s.%s %s is not granted; grant it in the plugin's entry or build without it",
				im.Module, im.Name, im.Type)
			return
		}
		m.Imports = append(m.Imports, im)
		m.funcs = append(m.funcs, t)
		m.names[uint32(len(m.funcs)-1)] = im.Module + "." + im.Name
	}
}

func (m *Module) decodeFunctions(r *reader, lim *Limits) {
	m.NFuncs = r.count(lim.MaxFunctions, "functions")
	for i := 0; i < m.NFuncs && r.err == nil; i++ {
		m.funcs = append(m.funcs, m.typeIndex(r))
	}
}

// sizes reads the limits of a table or a memory.
func (m *Module) sizes(r *reader, what string) (minimum, maximum uint32, hasMax bool) {
	start := r.offset()
	flags := r.byte("the limits of a " + what)
	switch {
	case r.err != nil:
		return
	case flags&4 != 0 && flags <= 7:
		refuse(r, start, featMemory64, "a %s of 64-bit size", what)
	case flags&2 != 0 && flags <= 7:
		refuse(r, start, featThreads, "a shared %s", what)
	case flags > 1:
		r.fail(start, "limits of kind %#02x of a %s are not ones that forge knows", flags, what)
	}
	minimum = r.u32("the minimum of a " + what)
	if hasMax = flags == 1; hasMax {
		maximum = r.u32("the maximum of a " + what)
		if r.err == nil && maximum < minimum {
			r.fail(start, "the maximum %d of a %s is below its minimum %d", maximum, what, minimum)
		}
	}
	return
}

func (m *Module) decodeTables(r *reader, lim *Limits) {
	start := r.offset()
	n := r.count(1<<20, "tables")
	if n > 1 {
		refuse(r, start, featRefs, "%d tables", n)
	}
	for ; n > 0 && r.err == nil; n-- {
		start = r.offset()
		switch t := r.byte("the type of a table"); {
		case r.err != nil:
		case t == 0x40:
			refuse(r, start, featGC, "a table with an initial value")
		case t != 0x70:
			refuse(r, start, featRefs, "a table of %s", ValueType(t))
		}
		m.hasTable = true
		m.TableMin, _, _ = m.sizes(r, "table")
		if r.err == nil && m.TableMin > lim.MaxTable {
			r.fail(start, "a table of %d entries, the limit is %d", m.TableMin, lim.MaxTable)
		}
	}
}

func (m *Module) decodeMemories(r *reader, lim *Limits) {
	start := r.offset()
	n := r.count(1<<20, "memories")
	if n > 1 {
		refuse(r, start, featMultiMem, "%d memories", n)
	}
	for ; n > 0 && r.err == nil; n-- {
		m.HasMemory = true
		m.MemoryMin, m.MemoryMax, m.HasMax = m.sizes(r, "memory")
		switch {
		case r.err != nil:
		case m.MemoryMin > lim.MaxPages:
			r.fail(start, "a memory of at least %d pages, the limit is %d; raise the plugin's limit or build for less",
				m.MemoryMin, lim.MaxPages)
		case m.MemoryMax > 65536:
			r.fail(start, "a memory of up to %d pages, 32-bit memory has 65536", m.MemoryMax)
		}
	}
}

// constant reads a constant expression of the type t: one constant and the end. Reading an imported global cannot
// occur, because no global is ever imported.
func (m *Module) constant(r *reader, t ValueType, what string) {
	start := r.offset()
	var got ValueType
	switch op := r.byte(what); {
	case r.err != nil:
		return
	case op == opI32Const:
		got = I32
		r.leb(32, true, what)
	case op == opI64Const:
		got = I64
		r.leb(64, true, what)
	case op == opF32Const:
		got = F32
		r.bytes(4, what)
	case op == opF64Const:
		got = F64
		r.bytes(8, what)
	case op == opSIMD:
		got = V128
		if sub := r.u32(what); r.err == nil && sub != 0x0c {
			r.fail(start, "%s is computed by opcode 0xfd %#02x; it has to be one constant", what, sub)
		}
		r.bytes(16, what)
	case op == opGlobalGet:
		r.fail(start, "%s reads a global; only an imported one is allowed there and forge grants none", what)
	default:
		refuse(r, start, refusedOpcode(op), "opcode %#02x in %s", op, what)
	}
	if r.err == nil && got != t {
		r.fail(start, "%s is %s and should be %s", what, got, t)
	}
	end := r.offset()
	if op := r.byte(what); r.err == nil && op != opEnd {
		refuse(r, end, featExtConst, "opcode %#02x after the constant of %s", op, what)
	}
}

func (m *Module) decodeGlobals(r *reader, lim *Limits) {
	for n := r.count(lim.MaxGlobals, "globals"); n > 0 && r.err == nil; n-- {
		t := m.valueType(r, "the type of a global")
		start := r.offset()
		mut := r.byte("the mutability of a global")
		if r.err == nil && mut > 1 {
			r.fail(start, "mutability %#02x of a global, it is 0 or 1", mut)
		}
		m.constant(r, t, "the initial value of a global")
		m.globals = append(m.globals, globalType{t, mut == 1})
		if mut == 1 {
			m.MutableGlobals = append(m.MutableGlobals, t)
		}
	}
}

func (m *Module) decodeExports(r *reader, lim *Limits) {
	seen := map[string]bool{}
	for n := r.count(lim.MaxExports, "exports"); n > 0 && r.err == nil; n-- {
		start := r.offset()
		e := Export{Name: r.name("an export's name"), Kind: Kind(r.byte("an export's kind")), Index: r.u32("an export's index")}
		if r.err != nil {
			return
		}
		m.reserved(r, start, e.Name, "an export")
		if seen[e.Name] {
			r.fail(start, "two exports are named %q", e.Name)
		}
		seen[e.Name] = true
		have := 0
		switch e.Kind {
		case Func:
			have = len(m.funcs)
		case Table:
			have = b2i(m.hasTable)
		case Memory:
			have = b2i(m.HasMemory)
		case Global:
			have = len(m.globals)
		default:
			r.fail(start, "the export %q has %s, which is not one that forge knows", e.Name, e.Kind)
			return
		}
		if int64(e.Index) >= int64(have) {
			r.fail(start, "the export %q is %s %d, the module has %d", e.Name, e.Kind, e.Index, have)
			return
		}
		if e.Kind == Func {
			e.Type = m.types[m.funcs[e.Index]]
			m.names[e.Index] = e.Name
		}
		m.Exports = append(m.Exports, e)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (m *Module) decodeStart(r *reader) {
	start := r.offset()
	m.Start, m.start = true, m.funcIndex(r, "the start function")
	if r.err != nil {
		return
	}
	if t := m.types[m.funcs[m.start]]; len(t.Params)+len(t.Results) > 0 {
		r.fail(start, "the start function has the type %s and should take and return nothing", t)
	}
}

func (m *Module) funcIndex(r *reader, what string) uint32 {
	start := r.offset()
	i := r.u32(what)
	if r.err == nil && int64(i) >= int64(len(m.funcs)) {
		r.fail(start, "%s is function %d, the module has %d", what, i, len(m.funcs))
	}
	return i
}

func (m *Module) decodeElements(r *reader, lim *Limits) {
	n := r.count(lim.MaxTable, "element segments")
	for m.nElems = 0; m.nElems < n && r.err == nil; m.nElems++ {
		start := r.offset()
		flags := r.u32("the kind of an element segment")
		switch {
		case r.err != nil:
			return
		case flags > 7:
			r.fail(start, "an element segment of kind %d is not one that forge knows", flags)
		case flags > 2:
			refuse(r, start, featRefs, "an element segment of kind %d", flags)
		}
		if flags == 2 {
			m.tableIndex(r, start)
		} else if flags == 0 && !m.hasTable {
			r.fail(start, "an element segment for table 0 in a module without a table")
		}
		if flags != 1 {
			m.constant(r, I32, "the offset of an element segment")
		}
		if flags != 0 {
			if k := r.byte("the kind of an element"); r.err == nil && k != 0 {
				r.fail(start, "elements of kind %d are not ones that forge knows", k)
			}
		}
		for k := r.count(lim.MaxTable, "elements"); k > 0 && r.err == nil; k-- {
			m.elemFuncs = append(m.elemFuncs, m.funcIndex(r, "an element"))
		}
		if r.err == nil && len(m.elemFuncs) > int(lim.MaxTable) {
			r.fail(start, "more than %d elements in all segments", lim.MaxTable)
		}
	}
}

func (m *Module) decodeData(r *reader, lim *Limits) {
	start := r.offset()
	n := r.count(lim.MaxData, "data segments")
	if r.err == nil && m.hasCount && m.nData != uint32(n) {
		r.fail(start, "%d data segments, the data count section says %d", n, m.nData)
	}
	for ; n > 0 && r.err == nil; n-- {
		start = r.offset()
		flags := r.u32("the kind of a data segment")
		switch {
		case r.err != nil:
			return
		case flags > 2:
			r.fail(start, "a data segment of kind %d is not one that forge knows", flags)
		case flags != 1 && !m.HasMemory:
			r.fail(start, "a data segment for memory 0 in a module without a memory")
		}
		if flags == 2 {
			if i := r.u32("a memory index"); r.err == nil && i != 0 {
				refuse(r, start, featMultiMem, "memory %d", i)
			}
		}
		if flags != 1 {
			m.constant(r, I32, "the offset of a data segment")
		}
		r.bytes(r.u32("the size of a data segment"), "a data segment")
	}
}
