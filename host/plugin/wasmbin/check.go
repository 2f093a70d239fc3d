package wasmbin

import (
	"fmt"
	"hash/maphash"
)

// ReservedPrefix opens the names that belong to the meter; a guest that uses one is refused.
const ReservedPrefix = "__forge"

// Section ids of the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count"}

// sectionOrder is the rank of each section in a module: the data count stands between elements and code.
var sectionOrder = [...]int{secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6,
	secExport: 7, secStart: 8, secElement: 9, secDataCount: 10, secCode: 11, secData: 12}

type section struct {
	id   byte
	body []byte
	base int // offset of body[0] in the module
}

func (s section) reader() *reader {
	return &reader{b: s.body, base: s.base, at: "the " + sectionNames[s.id] + " section"}
}

var digestSeed = maphash.MakeSeed()

// Check decodes the module and says what is in it, or why forge refuses it: one sentence that names the thing, the
// place and, where the author can act, the mend. It allocates in proportion to the module, which the limits bound, and
// keeps slices of wasm, which must therefore not change afterwards.
func Check(wasm []byte, lim Limits) (*Module, error) {
	lim = lim.withDefaults()
	if len(wasm) > int(lim.MaxModuleBytes) {
		return nil, fmt.Errorf("the module has %d bytes, the limit is %d", len(wasm), lim.MaxModuleBytes)
	}
	if err := checkHeader(wasm); err != nil {
		return nil, err
	}
	m := &Module{Custom: map[string][]byte{}, names: map[uint32]string{}, digest: maphash.Bytes(digestSeed, wasm), bodiesRead: !lim.SkipBodies}
	if err := m.split(wasm); err != nil {
		return nil, err
	}
	code := -1
	for i, s := range m.sections {
		if s.id == secCode {
			code = i
			continue
		}
		if err := m.decode(s, &lim); err != nil {
			return nil, err
		}
	}
	// Names only serve the messages about bodies, but stand last in the file: so bodies come after everything else.
	if names, ok := m.Custom["name"]; ok {
		if err := m.decodeNames(names, m.nameBase); err != nil {
			return nil, err
		}
	}
	if m.hasCount && m.nData > 0 && !m.hasSection(secData) {
		return nil, fmt.Errorf("the data count section says %d segments and there is no data section", m.nData)
	}
	if code < 0 && m.NFuncs > 0 {
		return nil, fmt.Errorf("%d functions are declared and there is no code section", m.NFuncs)
	}
	if code >= 0 && !lim.SkipBodies {
		if err := m.decodeCode(m.sections[code], &lim); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Module) hasSection(id byte) bool {
	for _, s := range m.sections {
		if s.id == id {
			return true
		}
	}
	return false
}

func checkHeader(wasm []byte) error {
	if len(wasm) < 8 || string(wasm[:4]) != "\x00asm" {
		return fmt.Errorf("not a WebAssembly module: it does not begin with \"\\0asm\" and a version")
	}
	if version, layer := int(wasm[4])|int(wasm[5])<<8, int(wasm[6])|int(wasm[7])<<8; layer == 1 {
		return fmt.Errorf("this is a component, forge wants a core module; build for wasm32 without a component step " +
			"(wasm32-unknown-unknown or wasip1, not wasip2)")
	} else if layer != 0 || version != 1 {
		return fmt.Errorf("WebAssembly version %d, layer %d; forge wants version 1 of a core module", version, layer)
	}
	return nil
}

// split cuts the module into sections and checks their order and sizes.
func (m *Module) split(wasm []byte) error {
	r := &reader{b: wasm, pos: 8, at: "the module"}
	last := 0
	for r.left() > 0 && r.err == nil {
		start := r.offset()
		s := section{id: r.byte("a section")}
		size := r.u32("a section's size")
		s.base = r.offset()
		switch {
		case r.err != nil:
			return r.err
		case s.id == 13:
			refuse(r, start, featException, "a tag section")
			return r.err
		case int(s.id) >= len(sectionNames):
			r.fail(start, "section %d is not one that forge knows", s.id)
			return r.err
		}
		s.body = r.bytes(size, "the "+sectionNames[s.id]+" section")
		if s.id != secCustom {
			if rank := sectionOrder[s.id]; rank <= last {
				r.fail(start, "the %s section is repeated or comes too late", sectionNames[s.id])
			} else {
				last = rank
			}
		}
		m.sections = append(m.sections, s)
		if len(m.sections) > 1024 {
			r.fail(start, "more than 1024 sections")
		}
	}
	return r.err
}

func (m *Module) decode(s section, lim *Limits) error {
	r := s.reader()
	switch s.id {
	case secCustom:
		m.decodeCustom(r)
	case secType:
		m.decodeTypes(r, lim)
	case secImport:
		m.decodeImports(r, lim)
	case secFunction:
		m.decodeFunctions(r, lim)
	case secTable:
		m.decodeTables(r, lim)
	case secMemory:
		m.decodeMemories(r, lim)
	case secGlobal:
		m.decodeGlobals(r, lim)
	case secExport:
		m.decodeExports(r, lim)
	case secStart:
		m.decodeStart(r)
	case secElement:
		m.decodeElements(r, lim)
	case secDataCount:
		m.hasCount = true
		m.nData = uint32(r.count32(lim.MaxData, "data segments"))
	case secData:
		m.decodeData(r, lim)
	}
	return r.done()
}

// count32 is count without the check against the bytes that are left: the items are elsewhere.
func (r *reader) count32(limit uint32, what string) uint32 {
	start := r.offset()
	n := r.u32("the number of " + what)
	if r.err == nil && n > limit {
		r.fail(start, "%d %s, the limit is %d", n, what, limit)
	}
	return n
}

func (m *Module) decodeCode(s section, lim *Limits) error {
	r := s.reader()
	start := r.offset()
	n := r.count(lim.MaxFunctions, "bodies")
	if r.err == nil && n != m.NFuncs {
		r.fail(start, "%d bodies for %d functions", n, m.NFuncs)
	}
	var d body
	var merges uint64
	for i := 0; i < n && r.err == nil; i++ {
		index := uint32(len(m.Imports) + i)
		start = r.offset()
		size := r.u32("the size of a body")
		if r.err == nil && size > lim.MaxFuncBytes {
			r.fail(start, "%s has %d bytes, the limit is %d; split it", m.place(index), size, lim.MaxFuncBytes)
		}
		base := r.offset()
		code := r.bytes(size, "the body of "+m.place(index))
		if r.err != nil {
			return r.err
		}
		if err := d.scan(m, index, code, base, lim); err != nil {
			return err
		}
		if merges += d.inLoops; merges > uint64(lim.MaxTotalMerges) {
			r.fail(start, "the module's loops take too long to compile: more than %d merges up to %s; build with less inlining",
				lim.MaxTotalMerges, m.place(index))
		}
		m.MaxFuncOps = max(m.MaxFuncOps, len(d.ins))
	}
	return r.done()
}
