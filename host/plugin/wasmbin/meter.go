package wasmbin

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
)

// RewriteVersion belongs into the key of every cache of rewritten or compiled guests: it changes whenever Meter or Hollow
// would give other bytes for the same module, the prices included, and whenever Check refuses more than before.
const RewriteVersion = 6

// Names that the rewrite adds. The exports are mutable i64 globals for the host.
const (
	FuelExport  = "__forge_fuel"  // units left; may end a little below zero
	DepthExport = "__forge_depth" // frames left; negative after the guest nested too deep

	globalExport = "__forge_global_"

	RefillModule = "forge"    // with MeterOptions.Refill the module imports
	RefillName   = refillName // the function RefillModule.RefillName of type () -> ()
)

// GlobalExport names the i-th of Module.MutableGlobals in a module that was metered with MeterOptions.Globals.
func GlobalExport(i int) string { return globalExport + strconv.Itoa(i) }

// Stop is why a guest trapped.
type Stop int

// The causes of a trap.
const (
	StopGuest Stop = iota // the guest's own fault: unreachable, an address out of bounds, a division by zero
	StopFuel              // the meter: no fuel
	StopDepth             // the meter: calls nested too deep
)

// StopOf tells from the two globals, read after a trap, who is to blame for it. A guest that trapped by itself while it
// was in debt counts as out of fuel, which it was.
func StopOf(fuel, depth int64) Stop {
	switch {
	case depth < 0:
		return StopDepth
	case fuel < 0:
		return StopFuel
	}
	return StopGuest
}

// Defaults of MeterOptions.
const (
	DefaultInitialFuel = 10_000_000
	DefaultMaxDepth    = 1000
)

// MeterOptions say what the rewritten module does at its bounds.
type MeterOptions struct {
	// Refill makes a guest that runs out of fuel call the import RefillModule.RefillName before it traps. The host
	// function may add to the global FuelExport of the module that calls it, and so run a long call on small tanks:
	// each refill is a point where Go's scheduler and collector see the goroutine and where a cancelled call ends, by
	// adding nothing. What is below zero is a debt that the tank has to cover: a guest that is still below zero when
	// the function returns traps. The function must not call the guest. Without Refill the guest traps at once.
	Refill bool
	// InitialFuel is the fuel of a fresh instance, which bounds its start function; 0 means DefaultInitialFuel.
	InitialFuel int64
	// Globals exports the guest's own mutable globals too, under the names of GlobalExport, so that the host can copy an
	// instance.
	Globals bool
	// MaxDepth bounds the frames of functions that can recurse, 0 means DefaultMaxDepth. wazero's interpreter stops at
	// 2000 frames of its own accord, so beyond that the two engines differ.
	MaxDepth int64
}

// Meter rewrites a checked module so that it pays fuel and counts its call depth. wasm must be the bytes that Check
// read into m. The result exports what the module did and the two globals; it keeps no custom section but the names of
// functions.
func Meter(wasm []byte, m *Module, opt MeterOptions) ([]byte, error) {
	if m == nil || !m.bodiesRead || maphash.Bytes(digestSeed, wasm) != m.digest {
		return nil, errors.New("meter: these are not the bytes that were checked")
	}
	if opt.InitialFuel == 0 {
		opt.InitialFuel = DefaultInitialFuel
	}
	if opt.MaxDepth == 0 {
		opt.MaxDepth = DefaultMaxDepth
	}
	if opt.InitialFuel < 0 || opt.MaxDepth < 0 {
		return nil, fmt.Errorf("meter: initial fuel %d and depth %d must be positive", opt.InitialFuel, opt.MaxDepth)
	}
	w := &rewriter{m: m, opt: opt, fuel: uint64(len(m.globals)), depth: uint64(len(m.globals)) + 1}
	w.types = append(w.types, m.types...)
	if opt.Refill {
		w.shift = 1
		w.low = w.add(FuncType{})
	}
	var err error
	if w.graph, err = m.countedFuncs(opt.MaxDepth, w.eachBody); err != nil {
		return nil, err
	}
	code, err := w.code()
	if err != nil {
		return nil, err
	}
	return w.module(wasm[:8], code)
}

type rewriter struct {
	m     *Module
	opt   MeterOptions
	types []FuncType // the module's, then those that the rewrite needs
	shift uint32     // imports added, so what every function index grows by
	fuel  uint64     // global indices
	depth uint64
	low   uint64 // function that asks for a refill
	bulk  bulkFuncs
	graph *callGraph
	added []uint64 // types of the functions that follow the guest's own
	body  body
	pay   charges
	spare uint64 // the local that the running body has for the meter
	quiet bool   // the place is in a loop that calls nothing

	isQuiet   []bool
	callsUpTo []int32
}

// add reserves an index for a function of the meter's; code writes the bodies in the same order.
func (w *rewriter) add(t FuncType) uint64 {
	w.added = append(w.added, w.typeOf(t))
	return uint64(len(w.m.funcs)) + uint64(w.shift) + uint64(len(w.added)) - 1
}

// eachBody decodes the bodies in turn; the callee must not keep the body.
func (w *rewriter) eachBody(each func(index uint32, d *body)) error {
	const none = 1<<32 - 1 // the limits held in Check
	lim := Limits{MaxFuncBytes: none, MaxFuncLocals: none, MaxFuncNesting: none, MaxFuncLoops: none, MaxLoopNesting: none,
		MaxLoopMerges: none, MaxFuncMerges: none}
	for _, s := range w.m.sections {
		if s.id != secCode {
			continue
		}
		r := s.reader()
		n := r.u32("")
		for i := uint32(0); i < n && r.err == nil; i++ {
			index := uint32(len(w.m.Imports)) + i
			size := r.u32("")
			base := r.offset()
			if err := w.body.scan(w.m, index, r.bytes(size, ""), base, &lim); err != nil {
				return err
			}
			each(index, &w.body)
		}
		return r.err
	}
	return nil
}

// typeOf finds or adds a function type.
func (w *rewriter) typeOf(t FuncType) uint64 {
	for i, have := range w.types {
		if have.equal(t) {
			return uint64(i)
		}
	}
	w.types = append(w.types, t)
	return uint64(len(w.types) - 1)
}

// code gives the bodies of the code section, without their number.
func (w *rewriter) code() ([]byte, error) {
	var out, buf []byte
	emit := func() {
		out = putU(out, uint64(len(buf)))
		out = append(out, buf...)
	}
	err := w.eachBody(func(index uint32, d *body) {
		buf = w.function(buf[:0], index, d)
		emit()
	})
	if err != nil {
		return nil, err
	}
	if w.opt.Refill {
		buf = w.refill(buf[:0])
		emit()
	}
	for _, f := range w.bulk.list {
		buf = f.write(w, buf[:0])
		emit()
	}
	return out, nil
}

// refill is the function that a guest in debt calls: too deep is beyond help; else ask once, and stop if that was not
// enough.
func (w *rewriter) refill(b []byte) []byte {
	b = ifNegative(append(b, 0), w.depth)
	b = append(b, opUnreachable, opEnd)
	b = putU(append(b, opCall), uint64(len(w.m.Imports)))
	b = ifNegative(b, w.fuel)
	return append(b, opUnreachable, opEnd, opEnd)
}

const (
	opI64LtS       = 0x53
	opI64GeS       = 0x59
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Or        = 0x84
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendI32 = 0xad
	typeVoid       = 0x40
)

// All that follows leaves the guest's operands on the stack alone.

// adjust adds to or takes from a global.
func adjust(b []byte, global uint64, op byte, by int64) []byte {
	b = putU(append(b, opGlobalGet), global)
	b = putS(append(b, opI64Const), by)
	b = append(b, op)
	return putU(append(b, opGlobalSet), global)
}

func (w *rewriter) pays(b []byte, units int64) []byte {
	if units == 0 {
		return b
	}
	if w.quiet {
		return w.payLocal(b, units)
	}
	return adjust(b, w.fuel, opI64Sub, units)
}

// ifNegative opens an if; the caller ends it.
func ifNegative(b []byte, global uint64) []byte {
	b = putU(append(b, opGlobalGet), global)
	return append(b, opI64Const, 0, opI64LtS, opIf, typeVoid)
}

// look asks for fuel, or stops the guest, if there is none left.
func (w *rewriter) look(b []byte) []byte {
	b = w.unlessNegative(b, putU([]byte{opGlobalGet}, w.fuel))
	if w.quiet {
		b = w.readFuel(b)
	}
	return b
}

// descend takes frames from the depth, pays, and looks at both bounds with one comparison: the sign of the two numbers
// or-ed together is set if one of them is negative.
func (w *rewriter) descend(b []byte, frames, units int64) []byte {
	b = adjust(b, w.depth, opI64Sub, frames)
	b = w.pays(b, units)
	both := putU([]byte{opGlobalGet}, w.fuel)
	both = putU(append(both, opGlobalGet), w.depth)
	return w.unlessNegative(b, append(both, opI64Or))
}

// unlessNegative goes on if the number is not negative. Otherwise it stops the guest, or calls for a refill:
//
//	block
//	  loop
//	    br_if 1 (number >= 0)
//	    call low
//	    br 0
//
// An if around the call would do the same, but where its two ways meet again, wazero's register allocation takes the
// state behind the call, with every value in memory. Here nothing meets: the way on comes from the condition alone.
func (w *rewriter) unlessNegative(b, number []byte) []byte {
	if !w.opt.Refill {
		return append(append(b, number...), opI64Const, 0, opI64LtS, opIf, typeVoid, opUnreachable, opEnd)
	}
	b = append(append(b, opBlock, typeVoid, opLoop, typeVoid), number...)
	b = putU(append(b, opI64Const, 0, opI64GeS, opBrIf, 1, opCall), w.low)
	return append(b, opBr, 0, opEnd, opEnd)
}

// header writes a loop and its charge. With a refill the call for it stands behind the guest's loop, for the reason that
// unlessNegative gives, and footer ends what is opened here:
//
//	block $done
//	  loop $refill
//	    block $low
//	      loop $guest
//	        br_if $low (fuel < 0)
//	        fuel -= units
//	        ...
//	      end
//	      br $done
//	    end
//	    call low
//	    br $refill
//
// The local w.spare saves reading the global a second time, and in a quiet loop (see quietLoops) a first time.
func (w *rewriter) header(b, loop []byte, units int64) []byte {
	if !w.opt.Refill {
		b = w.pays(append(b, loop...), units)
		return w.look(b)
	}
	b = append(append(b, opBlock), loop[1:]...)
	b = append(b, loop...)
	b = append(append(b, opBlock), w.operandsOf(loop)...)
	b = append(b, loop...)
	if w.quiet {
		b = putU(append(b, opLocalGet), w.spare)
	} else {
		b = putU(append(b, opGlobalGet), w.fuel)
		b = putU(append(b, opLocalTee), w.spare)
	}
	b = append(b, opI64Const, 0, opI64LtS, opBrIf, 1)
	return w.payLocal(b, units)
}

// payLocal pays where w.spare is what the global has.
func (w *rewriter) payLocal(b []byte, units int64) []byte {
	b = putU(append(b, opLocalGet), w.spare)
	b = putS(append(b, opI64Const), units)
	b = append(b, opI64Sub)
	if w.quiet {
		b = putU(append(b, opLocalTee), w.spare)
	}
	return putU(append(b, opGlobalSet), w.fuel)
}

// loopLabels is how many labels header puts around a guest's loop.
const loopLabels = 3

func (w *rewriter) footer(b []byte) []byte {
	b = putU(append(b, opBr, 2, opEnd, opCall), w.low)
	if w.quiet {
		b = w.readFuel(b)
	}
	return append(b, opBr, 0, opEnd, opEnd)
}

// readFuel makes w.spare what the global has.
func (w *rewriter) readFuel(b []byte) []byte {
	b = putU(append(b, opGlobalGet), w.fuel)
	return putU(append(b, opLocalSet), w.spare)
}

// quietLoops gives, for each instruction of a body, whether it is in a loop that calls nothing: in one, with all loops in
// it, nobody else touches the fuel. Its global is then only written, and what is left stands in the local w.spare: else each
// time around would wait for the store of the time before, which takes longer than a short loop does. Since the
// global is written all the same, every way out leaves it right.
func (w *rewriter) quietLoops(d *body) []bool {
	w.isQuiet = resize(w.isQuiet, len(d.ins))
	if !w.opt.Refill || d.loops == 0 {
		return w.isQuiet
	}
	w.callsUpTo = resize(w.callsUpTo, len(d.ins)+1)
	for i := range d.ins {
		w.callsUpTo[i+1] = w.callsUpTo[i]
		if touchesFuel(&d.ins[i]) {
			w.callsUpTo[i+1]++
		}
	}
	end := -1
	for i := range d.ins {
		if in := &d.ins[i]; in.op == opLoop && i > end && w.callsUpTo[in.a] == w.callsUpTo[i] {
			end = int(in.a)
		}
		w.isQuiet[i] = i <= end
	}
	return w.isQuiet
}

// touchesFuel tells whether an instruction is a call, or becomes one.
func touchesFuel(in *instr) bool {
	return in.op == opCall || in.op == opCallIndirect || in.op == opMemoryGrow || in.op == opBulk && in.sub > bulkTruncLast
}

// operandsOf is the type of a block that takes and gives what a loop takes.
func (w *rewriter) operandsOf(loop []byte) []byte {
	r := &reader{b: loop[1:]}
	index := int64(r.leb(33, true, ""))
	if index < 0 || len(w.types[index].Params) == 0 { // no type, or that of one result
		return []byte{typeVoid}
	}
	params := w.types[index].Params
	return putS(nil, int64(w.typeOf(FuncType{Params: params, Results: params})))
}

// chargeLength pays for the i32 on top of the stack and leaves it there, by way of the scratch local.
func (w *rewriter) chargeLength(b []byte, scratch uint64, shift int) []byte {
	b = putU(append(b, opLocalTee), scratch)
	b = putU(append(b, opGlobalGet), w.fuel)
	b = putU(append(b, opLocalGet), scratch)
	b = append(b, opI64ExtendI32)
	if shift < 0 {
		b = append(b, opI64Const, byte(-shift), opI64ShrU)
	} else {
		b = append(b, opI64Const, byte(shift), opI64Shl)
	}
	b = putU(append(b, opI64Sub, opGlobalSet), w.fuel)
	return w.look(b)
}

// function rewrites one body.
//
// Charges are subtractions; whether anything is left is looked at where time can run away (charges.look), so most
// charges are free of branches. Bulk instructions, which take long by themselves, look right before they run.
//
// A function that counts its depth is wrapped in a block of its results, so that every way out (falling through,
// branching, and return, which becomes a branch) passes the code behind the block that gives the frame back.
func (w *rewriter) function(b []byte, index uint32, d *body) []byte {
	w.pay.place(w.m, d)
	w.spare = uint64(d.locals)
	b = w.declareLocals(b, d, d.loops > 0 && w.opt.Refill)
	counted, frames := w.graph.counted[index], d.frameWeight()
	if counted {
		b = w.descend(b, frames, w.pay.fuel[0])
		b = append(b, opBlock)
		switch results := w.m.types[w.m.funcs[index]].Results; len(results) {
		case 0:
			b = append(b, typeVoid)
		case 1:
			b = append(b, byte(results[0]))
		default:
			b = putS(b, int64(w.typeOf(FuncType{Results: results})))
		}
	} else {
		b = w.pays(b, w.pay.fuel[0])
		if w.pay.look[0] {
			b = w.look(b)
		}
	}
	from := d.declEnd // everything before is written
	flush := func(to uint32) {
		b = append(b, d.code[from:to]...)
		from = to
	}
	for i, quiet := range w.quietLoops(d) {
		in := &d.ins[i]
		if quiet && !w.quiet {
			flush(in.pos)
			b = w.readFuel(b)
		}
		w.quiet = quiet
		if i > 0 && w.pay.fuel[i] > 0 && d.ins[i-1].op != opLoop { // a header paid with its loop
			flush(in.pos)
			b = w.pays(b, w.pay.fuel[i])
		}
		if i > 0 && w.pay.look[i] {
			flush(in.pos)
			b = w.look(b)
		}
		switch in.op {
		case opLoop:
			flush(in.pos)
			b = w.header(b, d.code[in.pos:in.end], w.pay.fuel[i+1])
			from = in.end
		case opEnd:
			if w.opt.Refill && in.a >= 0 && d.ins[in.a].op == opLoop {
				flush(in.end)
				b = w.footer(b)
			}
		case opBr, opBrIf, opBrTable, opReturn:
			if in.op == opReturn && !counted {
				break
			}
			flush(in.pos)
			b = w.branch(b, d, in)
			from = in.end
		case opCall:
			if w.opt.Refill {
				flush(in.pos)
				b = putU(append(b, opCall), w.newIndex(in.sub))
				from = in.end
			}
		case opBulk, opMemoryGrow:
			flush(in.pos)
			if f, ok := w.bulk.of(w, in); ok {
				b = putU(append(b, opCall), f)
				from = in.end
			} else if shift, ok := dynamic(in); ok {
				b = putU(append(b, opCall), w.bulk.length(w, shift))
			}
		}
	}
	flush(uint32(len(d.code)))
	if counted {
		b = adjust(b, w.depth, opI64Add, frames)
		b = append(b, opEnd)
	}
	return b
}

// branch writes a branch with its labels moved past those that header added.
func (w *rewriter) branch(b []byte, d *body, in *instr) []byte {
	targets := d.targets[in.b : in.b+in.n]
	switch in.op {
	case opReturn:
		b = append(b, opBr)
	case opBrTable:
		b = putU(append(b, opBrTable), uint64(in.n-1))
	default:
		b = append(b, in.op)
	}
	for _, t := range targets {
		label := uint64(t.depth)
		if w.opt.Refill {
			label += loopLabels * uint64(t.loops)
		}
		b = putU(b, label)
	}
	return b
}

// declareLocals copies the declaration of locals and may add an i64.
func (w *rewriter) declareLocals(b []byte, d *body, add bool) []byte {
	r := &reader{b: d.code}
	r.u32("")
	if !add {
		return append(b, d.code[:d.declEnd]...)
	}
	b = putU(b, uint64(d.groups)+1)
	b = append(b, d.code[r.pos:d.declEnd]...)
	return append(b, 1, byte(I64))
}

// newIndex is where a function of the guest stands in the rewritten module: the refill follows the guest's imports.
func (w *rewriter) newIndex(i uint32) uint64 {
	if i >= uint32(len(w.m.Imports)) {
		return uint64(i) + uint64(w.shift)
	}
	return uint64(i)
}
