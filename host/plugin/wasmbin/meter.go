package wasmbin

import (
	"errors"
	"fmt"
	"hash/maphash"
)

// RewriteVersion belongs into the key of every cache of rewritten or compiled guests: it changes whenever Meter would
// give other bytes for the same module, the prices included.
const RewriteVersion = 1

// Names that the rewrite adds. The exports are mutable i64 globals for the host.
const (
	FuelExport  = "__forge_fuel"  // units left; negative after the guest ran out
	DepthExport = "__forge_depth" // frames left; negative after the guest nested too deep

	RefillModule = "forge"    // with MeterOptions.Refill the module imports
	RefillName   = refillName // the function RefillModule.RefillName of type () -> ()
)

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
	// adding nothing. The function must not call the guest. Without Refill the guest traps at once.
	Refill bool
	// InitialFuel is the fuel of a fresh instance, which bounds its start function; 0 means DefaultInitialFuel.
	InitialFuel int64
	// MaxDepth bounds the frames of functions that can recurse, 0 means DefaultMaxDepth. wazero's interpreter stops at
	// 2000 frames of its own accord, so beyond that the two engines differ.
	MaxDepth int64
}

// Meter rewrites a checked module so that it pays fuel and counts its call depth. wasm must be the bytes that Check
// read into m. The result exports what the module did and the two globals; it keeps no custom section but the names of
// functions.
func Meter(wasm []byte, m *Module, opt MeterOptions) ([]byte, error) {
	if m == nil || maphash.Bytes(digestSeed, wasm) != m.digest {
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
	w.low = uint64(len(m.funcs))
	if opt.Refill {
		w.shift = 1
		w.low++
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
	graph *callGraph
	body  body
	pay   charges
}

// eachBody decodes the bodies in turn; the callee must not keep the body.
func (w *rewriter) eachBody(each func(index uint32, d *body)) error {
	lim := Limits{MaxFuncBytes: 1<<32 - 1, MaxFuncLocals: 1<<32 - 1, MaxFuncNesting: 1<<32 - 1, MaxFuncMerges: 1<<32 - 1}
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
	err := w.eachBody(func(index uint32, d *body) {
		buf = w.function(buf[:0], index, d)
		out = putU(out, uint64(len(buf)))
		out = append(out, buf...)
	})
	if err != nil || !w.opt.Refill {
		return out, err
	}
	// The refilling function: too deep is beyond help; else ask once, and trap if that was not enough.
	buf = append(buf[:0], 0)
	buf = w.trapIfNegative(buf, w.depth)
	buf = putU(append(buf, opCall), uint64(len(w.m.Imports)))
	buf = w.trapIfNegative(buf, w.fuel)
	buf = append(buf, opEnd)
	out = putU(out, uint64(len(buf)))
	return append(out, buf...), nil
}

const (
	opI64LtS       = 0x53
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Or        = 0x84
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendI32 = 0xad
	typeVoid       = 0x40
)

func (w *rewriter) trapIfNegative(b []byte, global uint64) []byte {
	b = putU(append(b, opGlobalGet), global)
	return append(b, opI64Const, 0, opI64LtS, opIf, typeVoid, opUnreachable, opEnd)
}

// cold is what runs when a bound is reached.
func (w *rewriter) cold(b []byte) []byte {
	b = append(b, opI64Const, 0, opI64LtS, opIf, typeVoid)
	if w.opt.Refill {
		b = putU(append(b, opCall), w.low)
	} else {
		b = append(b, opUnreachable)
	}
	return append(b, opEnd)
}

// charge pays units of fuel: all instructions leave the guest's operands on the stack alone.
func (w *rewriter) charge(b []byte, units int64) []byte {
	b = w.adjust(b, w.fuel, opI64Sub, units)
	b = putU(append(b, opGlobalGet), w.fuel)
	return w.cold(b)
}

// adjust adds to or takes from a global.
func (w *rewriter) adjust(b []byte, global uint64, op byte, by int64) []byte {
	b = putU(append(b, opGlobalGet), global)
	b = putS(append(b, opI64Const), by)
	b = append(b, op)
	return putU(append(b, opGlobalSet), global)
}

// enter takes a frame from the depth and pays; one comparison sees both bounds, because the sign of the two numbers
// or-ed together is set if one of them is negative.
func (w *rewriter) enter(b []byte, frames, units int64) []byte {
	b = w.adjust(b, w.depth, opI64Sub, frames)
	b = w.adjust(b, w.fuel, opI64Sub, units)
	b = putU(append(b, opGlobalGet), w.fuel)
	b = putU(append(b, opGlobalGet), w.depth)
	b = append(b, opI64Or)
	return w.cold(b)
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
	b = append(b, opI64Sub)
	b = putU(append(b, opGlobalSet), w.fuel)
	b = putU(append(b, opGlobalGet), w.fuel)
	return w.cold(b)
}

// function rewrites one body. A function that counts its depth is wrapped in a block of its results, so that every way
// out (falling through, branching, and return, which becomes a branch) passes the code behind the block that gives the
// frame back.
func (w *rewriter) function(b []byte, index uint32, d *body) []byte {
	w.pay.place(w.m, d)
	lengths := false
	for i := range d.ins {
		if _, ok := dynamic(&d.ins[i]); ok {
			lengths = true
			break
		}
	}
	scratch := uint64(d.locals)
	b = w.declareLocals(b, d, lengths)
	counted, frames := w.graph.counted[index], d.frameWeight()
	if counted {
		b = w.enter(b, frames, w.pay.fuel[0])
		b = append(b, opBlock)
		switch results := w.m.types[w.m.funcs[index]].Results; len(results) {
		case 0:
			b = append(b, typeVoid)
		case 1:
			b = append(b, byte(results[0]))
		default:
			b = putS(b, int64(w.typeOf(FuncType{Results: results})))
		}
	} else if w.pay.fuel[0] > 0 {
		b = w.charge(b, w.pay.fuel[0])
	}
	from := d.declEnd // everything before is written
	for i := range d.ins {
		in := &d.ins[i]
		if units := w.pay.fuel[i]; units > 0 && i > 0 {
			b = append(b, d.code[from:in.pos]...)
			from = in.pos
			b = w.charge(b, units)
		}
		shift, length := dynamic(in)
		switch {
		case length:
			b = append(b, d.code[from:in.pos]...)
			from = in.pos
			b = w.chargeLength(b, scratch, shift)
		case in.op == opCall && w.shift > 0:
			b = append(b, d.code[from:in.pos]...)
			from = in.end
			b = putU(append(b, opCall), w.newIndex(in.sub))
		case in.op == opReturn && counted:
			b = append(b, d.code[from:in.pos]...)
			from = in.end
			b = putU(append(b, opBr), uint64(in.n))
		}
	}
	b = append(b, d.code[from:]...)
	if counted {
		b = w.adjust(b, w.depth, opI64Add, frames)
		b = append(b, opEnd)
	}
	return b
}

// declareLocals copies the declaration of locals and adds the scratch local if asked for.
func (w *rewriter) declareLocals(b []byte, d *body, scratch bool) []byte {
	if !scratch {
		return append(b, d.code[:d.declEnd]...)
	}
	r := &reader{b: d.code}
	r.u32("")
	b = putU(b, uint64(d.groups)+1)
	b = append(b, d.code[r.pos:d.declEnd]...)
	return append(b, 1, byte(I32))
}

// newIndex is where a function of the guest stands in the rewritten module: the refill follows the guest's imports.
func (w *rewriter) newIndex(i uint32) uint64 {
	if i >= uint32(len(w.m.Imports)) {
		return uint64(i) + uint64(w.shift)
	}
	return uint64(i)
}
