package wasmbin

// module writes the sections of the rewritten module in their order.
func (w *rewriter) module(header, code []byte) ([]byte, error) {
	have := map[byte][]byte{}
	for _, s := range w.m.sections {
		if s.id != secCustom {
			have[s.id] = s.body
		}
	}
	out := append([]byte{}, header...)
	emit := func(id byte, n int, items []byte) {
		if n == 0 {
			return
		}
		out = putSection(out, id, append(putU(nil, uint64(n)), items...))
	}
	keep := func(id byte) {
		if b, ok := have[id]; ok {
			out = putSection(out, id, b)
		}
	}
	items := func(id byte) []byte {
		r := &reader{b: have[id]}
		if len(r.b) > 0 {
			r.u32("")
		}
		return append([]byte{}, r.b[r.pos:]...)
	}

	types := items(secType)
	for _, t := range w.types[len(w.m.types):] {
		types = append(types, 0x60)
		types = append(putU(types, uint64(len(t.Params))), typeBytes(t.Params)...)
		types = append(putU(types, uint64(len(t.Results))), typeBytes(t.Results)...)
	}
	emit(secType, len(w.types), types)

	imports := items(secImport)
	funcs := items(secFunction)
	if w.opt.Refill {
		imports = putName(imports, RefillModule)
		imports = putName(imports, RefillName)
		imports = putU(append(imports, byte(Func)), w.added[0]) // of the same type as its caller, the first that is added
	}
	for _, t := range w.added {
		funcs = putU(funcs, t)
	}
	emit(secImport, len(w.m.Imports)+int(w.shift), imports)
	emit(secFunction, w.m.NFuncs+len(w.added), funcs)
	keep(secTable)
	keep(secMemory)

	globals := items(secGlobal)
	for _, initial := range []int64{w.opt.InitialFuel, w.opt.MaxDepth} {
		globals = putS(append(globals, byte(I64), 1, opI64Const), initial)
		globals = append(globals, opEnd)
	}
	emit(secGlobal, len(w.m.globals)+2, globals)

	var exports []byte
	for _, e := range w.m.Exports {
		index := uint64(e.Index)
		if e.Kind == Func {
			index = w.newIndex(e.Index)
		}
		exports = putU(append(putName(exports, e.Name), byte(e.Kind)), index)
	}
	exports = putU(append(putName(exports, FuelExport), byte(Global)), w.fuel)
	exports = putU(append(putName(exports, DepthExport), byte(Global)), w.depth)
	n := len(w.m.Exports) + 2
	if w.opt.Globals {
		for i, g := range w.m.globals {
			if g.mutable {
				exports = putU(append(putName(exports, GlobalExport(n-len(w.m.Exports)-2)), byte(Global)), uint64(i))
				n++
			}
		}
	}
	emit(secExport, n, exports)

	if w.m.Start {
		out = putSection(out, secStart, putU(nil, w.newIndex(w.m.start)))
	}
	if w.shift == 0 {
		keep(secElement)
	} else {
		elements, err := w.elements(have[secElement])
		if err != nil {
			return nil, err
		}
		emit(secElement, w.m.nElems, elements)
	}
	keep(secDataCount)
	emit(secCode, w.m.NFuncs+len(w.added), code)
	keep(secData)

	if names := w.names(); len(names) > 0 {
		out = putSection(out, secCustom, names)
	}
	return out, nil
}

func putSection(b []byte, id byte, body []byte) []byte {
	return append(putU(append(b, id), uint64(len(body))), body...)
}

func putName(b []byte, name string) []byte { return append(putU(b, uint64(len(name))), name...) }

// elements rewrites the function indices of the element section.
func (w *rewriter) elements(section []byte) (out []byte, err error) {
	r := &reader{b: section, at: "the element section"}
	if len(section) > 0 {
		r.u32("")
	}
	for i := 0; i < w.m.nElems && r.err == nil; i++ {
		start := r.pos
		flags := r.u32("")
		if flags == 2 {
			r.u32("")
		}
		if flags != 1 {
			w.m.constant(r, I32, "")
		}
		if flags != 0 {
			r.byte("")
		}
		out = append(out, r.b[start:r.pos]...)
		n := r.u32("")
		out = putU(out, uint64(n))
		for ; n > 0 && r.err == nil; n-- {
			out = putU(out, w.newIndex(r.u32("")))
		}
	}
	return out, r.err
}

// names is a name section of all functions whose name is known, so that a trace of the metered guest can be read.
func (w *rewriter) names() []byte {
	var list []byte
	n := 0
	for i := range w.m.funcs {
		if name, ok := w.m.names[uint32(i)]; ok {
			list = putName(putU(list, w.newIndex(uint32(i))), name)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	list = append(putU(nil, uint64(n)), list...)
	return append(putU(append(putName(nil, "name"), 1), uint64(len(list))), list...)
}
