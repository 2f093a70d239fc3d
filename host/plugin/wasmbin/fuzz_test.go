package wasmbin

import (
	"bytes"
	"testing"
)

// FuzzCheckMeter: what Check accepts, Meter rewrites without a panic and always to the same bytes; the result passes a
// check of its own, and wazero accepts it exactly if it accepts the original.
func FuzzCheckMeter(f *testing.F) {
	for _, name := range guestNames {
		f.Add(guest(f, name))
	}
	for _, h := range hostiles() {
		if len(h.wasm) < 4096 {
			f.Add(h.wasm)
		}
	}
	for _, o := range operations() {
		if len(o.in) != 2 {
			f.Add(guestWith(1, chainOf(o)))
		}
	}
	f.Add(module(
		custom("forge.abi", 1, 2, 3),
		sec(secType, vec(ft("", ""), ft("i", "iI"), ft("", "iI"))),
		sec(secImport, vec(cat(str("env"), str("f"), raw(0, 0)))),
		sec(secFunction, vec(raw(0), raw(1))),
		sec(secTable, vec(raw(0x70, 1, 2, 2))),
		sec(secMemory, vec(raw(1, 1, 2))),
		sec(secExport, vec(cat(str("f"), raw(0, 1)), cat(str("g"), raw(0, 2)))),
		sec(secStart, raw(1)),
		sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 2, 0, 1), raw(1, 0, 1, 2), raw(2, 0, opI32Const, 1, opEnd, 0, 1, 2))),
		sec(secDataCount, raw(1)),
		sec(secCode, vec(fn(opCall, 0, opI32Const, 1, opCall, 2, opDrop, opDrop),
			fn(opI32Const, 3, opLoop, 1, opCall, 2, opEnd, opReturn))),
		sec(secData, vec(raw(1, 3, 'a', 'b', 'c'))),
		custom("name", 1, 5, 1, 1, 2, 'a', 'b'),
	))
	lim := Limits{MaxPages: 16, MaxTable: 4096, AllowImports: func(Import) bool { return true }}
	r := engine(f, "interpreter")
	compiles := func(wasm []byte) error {
		c, err := r.CompileModule(ctx, wasm)
		if err == nil {
			c.Close(ctx)
		}
		return err
	}
	for seed := range uint64(20) {
		f.Add(randomModule(seed))
		m, _ := Check(randomModule(seed), Limits{})
		(&rewriter{m: m}).eachBody(func(index uint32, d *body) { // as bodies, which mutate better than modules
			f.Add(append([]byte{}, d.code[d.declEnd:len(d.code)-1]...))
		})
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if !bytes.HasPrefix(wasm, []byte("\x00asm")) {
			wasm = frameOf(wasm)
		}
		m, err := Check(wasm, lim)
		if err != nil {
			return
		}
		plain := compiles(wasm)
		for _, opt := range []MeterOptions{{}, {Refill: true}} {
			out, err := Meter(wasm, m, opt)
			if err != nil {
				t.Fatalf("Meter, refill %v: %v", opt.Refill, err)
			}
			again, err := Meter(wasm, m, opt)
			if err != nil || !bytes.Equal(out, again) {
				t.Fatalf("Meter, refill %v, differs from run to run: %v", opt.Refill, err)
			}
			if err := compiles(out); (err == nil) != (plain == nil) {
				t.Fatalf("refill %v: the original compiles with %v, the metered with %v", opt.Refill, plain, err)
			}
		}
	})
}

// frameOf puts code into the body of a module that has one of everything.
func frameOf(code []byte) []byte {
	return module(
		sec(secType, vec(programTypes...)),
		sec(secFunction, vec(raw(0), raw(1), raw(2), raw(0))),
		sec(secTable, vec(raw(0x70, 0, 4))),
		sec(secMemory, vec(raw(0, 1))),
		sec(secGlobal, vec(raw(0x7f, 1, opI32Const, 7, opEnd), raw(0x7e, 0, opI64Const, 7, opEnd))),
		sec(secExport, vec(cat(str("run"), raw(0, 0)), cat(str("memory"), raw(2, 0)))),
		sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 4, 0, 1, 2, 3), raw(1, 0, 1, 2))),
		sec(secDataCount, raw(1)),
		sec(secCode, vec(fnLocals(vec(raw(3, 0x7f), raw(1, 0x7e), raw(1, 0x7b)), code...), fn(opUnreachable), fn(), fn(opUnreachable))),
		sec(secData, vec(raw(1, 3, 'a', 'b', 'c'))),
	)
}
