package wasmbin

// instr is one decoded instruction of a function body.
type instr struct {
	op       byte
	leaves   bool   // of a block: some branch to its end comes from inside a loop within it
	sub      uint32 // of opBulk and opSIMD; function index of a call, type index of call_indirect
	pos, end uint32 // bytes pos..end of the body
	a        int32  // block, loop, if, else: index of its end; end: index of its opener
	b        int32  // if: index of its else, or 0; br, br_if, br_table, return: first entry in body.targets
	n        int32  // br, br_if, br_table, return: entries, the default of a table included
}

// target is where a branch leads; a return leads to the function.
type target struct {
	opener int32  // index of the block it names, or toFunction
	depth  uint32 // label as written
	loops  uint32 // loops left on the way, one that is itself the target not counted
}

// toFunction marks the function itself as an opener of a branch target.
const toFunction = -1

// body is one function decoded. The slices are reused from function to function.
type body struct {
	code    []byte // locals and expression
	base    int    // offset of code[0] in the module
	locals  uint32 // parameters included
	groups  uint32 // of the declaration of locals
	declEnd uint32 // where the expression begins
	ins     []instr
	targets []target // of all branches
	loops   uint32
	inLoops uint64 // locals and parameters at loops, see Limits.MaxLoopMerges
	inAll   uint64 // the same at all labels and branches
	open    []frame
}

type frame struct {
	opener int32
	loops  uint32 // loops among the frames from the function to this one
	arity  uint32 // operands of a branch to it
	op     byte
}

// scan decodes the function with the given index, whose body is code, and checks everything but operand types.
func (d *body) scan(m *Module, index uint32, code []byte, base int, lim *Limits) error {
	r := &reader{b: code, base: base, at: m.place(index)}
	d.code, d.base = code, base
	d.ins, d.targets, d.open = d.ins[:0], d.targets[:0], d.open[:0]
	d.loops, d.inLoops, d.inAll = 0, 0, 0
	d.scanLocals(r, m, index, lim)
	d.declEnd = uint32(r.pos)
	d.open = append(d.open, frame{opener: toFunction, arity: uint32(len(m.types[m.funcs[index]].Results))})
	for r.err == nil && len(d.open) > 0 {
		d.scanInstr(r, m, lim)
	}
	if r.err == nil && r.left() > 0 {
		r.fail(r.offset(), "%d bytes follow the end of the body", r.left())
	}
	switch {
	case r.err != nil:
	case d.inLoops > uint64(lim.MaxLoopMerges):
		r.fail(base, "%d locals in %d loops take too long to compile: %d merges, the limit is %d; split the function",
			d.locals, d.loops, d.inLoops, lim.MaxLoopMerges)
	case d.inAll > uint64(lim.MaxFuncMerges):
		r.fail(base, "%d locals and the function's branches take too long to compile: %d merges, the limit is %d; split the function",
			d.locals, d.inAll, lim.MaxFuncMerges)
	}
	return r.err
}

func (d *body) scanLocals(r *reader, m *Module, index uint32, lim *Limits) {
	d.locals = uint32(len(m.types[m.funcs[index]].Params))
	d.groups = uint32(r.count(lim.MaxFuncBytes, "groups of locals"))
	for i := uint32(0); i < d.groups && r.err == nil; i++ {
		start := r.offset()
		n := r.u32("the number of locals")
		if r.err == nil && uint64(n)+uint64(d.locals) > uint64(lim.MaxFuncLocals) {
			r.fail(start, "%d locals, the limit is %d", uint64(n)+uint64(d.locals), lim.MaxFuncLocals)
		}
		d.locals += n
		m.valueType(r, "the type of a local")
	}
}

func (d *body) scanInstr(r *reader, m *Module, lim *Limits) {
	start := r.offset()
	in := instr{op: r.byte("an instruction"), pos: uint32(r.pos - 1)}
	self := int32(len(d.ins))
	top := &d.open[len(d.open)-1]
	switch op := in.op; {
	case op == opBlock || op == opLoop || op == opIf:
		params, results := m.blockType(r)
		if uint32(len(d.open)) > lim.MaxFuncNesting {
			r.fail(start, "blocks nest deeper than the limit of %d", lim.MaxFuncNesting)
		}
		inner := frame{opener: self, loops: top.loops, arity: results, op: op}
		d.inAll += uint64(d.locals + results)
		if op == opLoop {
			inner.loops++
			inner.arity = params
			d.loops++
			d.inLoops += uint64(d.locals + params)
			if d.loops > lim.MaxFuncLoops {
				r.fail(start, "more than %d loops; split the function", lim.MaxFuncLoops)
			} else if inner.loops > lim.MaxLoopNesting {
				r.fail(start, "loops nest deeper than the limit of %d", lim.MaxLoopNesting)
			}
		}
		d.open = append(d.open, inner)
	case op == opElse:
		if top.op != opIf {
			r.fail(start, "else without if")
			return
		}
		top.op = opElse
		d.ins[top.opener].b = self
	case op == opEnd:
		in.a = top.opener
		if top.opener >= 0 {
			opener := &d.ins[top.opener]
			opener.a = self
			if top.op == opElse {
				d.ins[opener.b].a = self
			}
		}
		d.open = d.open[:len(d.open)-1]
	case op == opBr || op == opBrIf || op == opBrTable || op == opReturn:
		n := 0
		if op == opBrTable {
			n = r.count(lim.MaxFuncBytes, "br_table targets")
		}
		in.b, in.n = int32(len(d.targets)), int32(n)+1
		for i := 0; i <= n && r.err == nil; i++ {
			depth := uint32(len(d.open)) - 1
			if op != opReturn {
				depth = r.u32("a label")
			}
			d.branch(r, start, depth)
		}
	case op == opCall:
		in.sub = r.u32("a function index")
		if r.err == nil && int(in.sub) >= len(m.funcs) {
			r.fail(start, "call of function %d, the module has %d", in.sub, len(m.funcs))
		}
	case op == opCallIndirect:
		in.sub = m.typeIndex(r)
		m.tableIndex(r, start)
	case op == opUnreachable || op == opNop || op == opDrop || op == opSelect ||
		op >= opNumericFirst && op <= opNumericLast:
	case op >= opLocalGet && op <= opLocalTee:
		if i := r.u32("a local index"); r.err == nil && i >= d.locals {
			r.fail(start, "local %d, the function has %d", i, d.locals)
		}
	case op == opGlobalGet || op == opGlobalSet:
		i := r.u32("a global index")
		if r.err == nil && int(i) >= len(m.globals) {
			r.fail(start, "global %d, the module has %d", i, len(m.globals))
		} else if r.err == nil && op == opGlobalSet && !m.globals[i].mutable {
			r.fail(start, "global.set of global %d, which is constant", i)
		}
	case op >= opLoadFirst && op <= opStoreLast:
		m.memArg(r, start, alignLog2[op-opLoadFirst])
	case op == opMemorySize || op == opMemoryGrow:
		m.memoryIndex(r, start)
	case op == opI32Const:
		r.leb(32, true, "a constant")
	case op == opI64Const:
		r.leb(64, true, "a constant")
	case op == opF32Const:
		r.bytes(4, "a constant")
	case op == opF64Const:
		r.bytes(8, "a constant")
	case op == opBulk:
		in.sub = m.scanBulk(r, start)
	case op == opSIMD:
		in.sub = m.scanSIMD(r, start)
	default:
		refuse(r, start, refusedOpcode(op), "opcode %#02x", op)
	}
	in.end = uint32(r.pos)
	d.ins = append(d.ins, in)
}

// branch appends the target of a label. A branch to the end of a block that leaves a loop on its way is noted at the
// block.
func (d *body) branch(r *reader, start int, depth uint32) {
	if r.err == nil && uint64(depth) >= uint64(len(d.open)) {
		r.fail(start, "branch to label %d, %d are open", depth, len(d.open))
	}
	if r.err != nil {
		return
	}
	to := d.open[len(d.open)-1-int(depth)]
	left := d.open[len(d.open)-1].loops - to.loops
	d.inAll += uint64(to.arity)
	if to.opener >= 0 && to.op != opLoop && left > 0 {
		d.ins[to.opener].leaves = true
	}
	d.targets = append(d.targets, target{to.opener, depth, left})
}

func (m *Module) scanBulk(r *reader, start int) uint32 {
	sub := r.u32("an opcode")
	if sub == bulkDataDrop || sub >= bulkTableInit && sub <= bulkTableCopy {
		m.MutatesSegments = true
	}
	switch {
	case sub <= bulkTruncLast:
	case sub == bulkMemoryInit || sub == bulkDataDrop:
		i := r.u32("a data segment index")
		switch {
		case r.err != nil:
		case !m.hasCount:
			r.fail(start, "memory.init or data.drop in a module without a data count section")
		case i >= m.nData:
			r.fail(start, "data segment %d, the module has %d", i, m.nData)
		}
		if sub == bulkMemoryInit {
			m.memoryIndex(r, start)
		}
	case sub == bulkMemoryCopy:
		m.memoryIndex(r, start)
		m.memoryIndex(r, start)
	case sub == bulkMemoryFill:
		m.memoryIndex(r, start)
	case sub == bulkTableInit || sub == bulkElemDrop:
		i := r.u32("an element segment index")
		if r.err == nil && int64(i) >= int64(m.nElems) {
			r.fail(start, "element segment %d, the module has %d", i, m.nElems)
		}
		if sub == bulkTableInit {
			m.tableIndex(r, start)
		}
	case sub == bulkTableCopy:
		m.tableIndex(r, start)
		m.tableIndex(r, start)
	default:
		refuse(r, start, refusedSub(opBulk, sub), "opcode 0xfc %d", sub)
	}
	return sub
}

func (m *Module) scanSIMD(r *reader, start int) uint32 {
	sub := r.u32("an opcode")
	form, align, lanes, ok := simd(sub)
	if !ok {
		refuse(r, start, refusedSub(opSIMD, sub), "opcode 0xfd %#02x", sub)
		return sub
	}
	if form == simdMem || form == simdMemLane {
		m.memArg(r, start, align)
	}
	switch form {
	case simdConst:
		r.bytes(16, "a constant")
	case simdShuffle:
		for _, lane := range r.bytes(16, "the lanes of a shuffle") {
			if lane >= lanes {
				r.fail(start, "lane %d of %d", lane, lanes)
			}
		}
	case simdLane, simdMemLane:
		if lane := r.byte("a lane"); lane >= lanes {
			r.fail(start, "lane %d of %d", lane, lanes)
		}
	}
	return sub
}

// blockType reads the type of a block and returns its numbers of operands; their types are the compiler's to check.
func (m *Module) blockType(r *reader) (params, results uint32) {
	start := r.offset()
	v := int64(r.leb(33, true, "a block type"))
	switch {
	case r.err != nil || v == -0x40:
	case v < 0:
		m.checkValueType(r, start, byte(v&0x7f), "a block type")
		results = 1
	case v >= int64(len(m.types)):
		r.fail(start, "type %d, the module has %d", v, len(m.types))
	default:
		params, results = uint32(len(m.types[v].Params)), uint32(len(m.types[v].Results))
	}
	return
}

func (m *Module) typeIndex(r *reader) uint32 {
	start := r.offset()
	i := r.u32("a type index")
	if r.err == nil && int64(i) >= int64(len(m.types)) {
		r.fail(start, "type %d, the module has %d", i, len(m.types))
	}
	if r.err != nil {
		return 0
	}
	return i
}

func (m *Module) tableIndex(r *reader, start int) {
	i := r.u32("a table index")
	switch {
	case r.err != nil:
	case !m.hasTable:
		r.fail(start, "a table instruction in a module without a table")
	case i != 0:
		refuse(r, start, featRefs, "table %d", i)
	}
}

func (m *Module) memoryIndex(r *reader, start int) {
	i := r.byte("a memory index")
	switch {
	case r.err != nil:
	case !m.HasMemory:
		r.fail(start, "a memory instruction in a module without a memory")
	case i != 0:
		refuse(r, start, featMultiMem, "memory %d", i)
	}
}

func (m *Module) memArg(r *reader, start int, natural byte) {
	align := r.u32("an alignment")
	switch {
	case r.err != nil:
	case !m.HasMemory:
		r.fail(start, "a memory instruction in a module without a memory")
	case align&0x40 != 0 && align < 0x80:
		refuse(r, start, featMultiMem, "a memory index")
	case align > uint32(natural):
		r.fail(start, "alignment 2^%d of an access of 2^%d bytes", align, natural)
	}
	r.u32("an offset")
}

// refuse says which feature the thing belongs to and how to build without it.
func refuse(r *reader, off int, f feature, format string, args ...any) {
	if f.name == "" {
		r.fail(off, format+" is not one that forge knows", args...)
		return
	}
	r.fail(off, format+": forge does not run %s; %s", append(args, f.name, f.mend)...)
}
