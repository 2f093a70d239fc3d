package wasmbin

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// A hostile guest is a module whose "run" never ends by itself, or not in this century.
type hostile struct {
	name string
	wasm []byte
	deep bool // ends by its depth, not by fuel
	page int  // memory pages to be set up as one random cycle of pointers
}

// guestWith is a module of one function "run", () -> (), with five locals i32 i64 f32 f64 v128 and five more of the
// same types, and a memory of the given size.
func guestWith(pages int, code []byte) []byte {
	locals := vec(raw(1, 0x7f), raw(1, 0x7e), raw(1, 0x7d), raw(1, 0x7c), raw(1, 0x7b),
		raw(1, 0x7f), raw(1, 0x7e), raw(1, 0x7d), raw(1, 0x7c), raw(1, 0x7b))
	return module(
		sec(secType, vec(ft("", ""))),
		sec(secFunction, vec(raw(0))),
		sec(secTable, vec(cat(raw(0x70, 0), uleb(60000)))),
		sec(secMemory, vec(cat(raw(0), uleb(uint64(pages))))),
		sec(secExport, vec(cat(str("run"), raw(0, 0)), cat(str("memory"), raw(2, 0)))),
		sec(secElement, vec(raw(1, 0, 1, 0))),
		sec(secCode, vec(fnLocals(locals, code...))),
	)
}

func hostiles() []hostile {
	void, number := ft("", ""), ft("i", "i")
	list := []hostile{
		{name: "endless loop", wasm: guestWith(1, loopOf())},
		{name: "endless loop of nothing much", wasm: guestWith(1, loopOf(raw(opNop, opBlock, typeVoid, opEnd)))},
		{name: "loops in a loop", wasm: guestWith(1, loopOf(raw(opLoop, typeVoid), i32c(0), raw(opBrIf, 0, opEnd)))},
		{name: "memory.fill of all", wasm: guestWith(256, loopOf(i32c(0), i32c(1), i32c(256*65536), raw(opBulk, 11, 0)))},
		{name: "memory.copy of all", wasm: guestWith(256, loopOf(i32c(1), i32c(0), i32c(256*65536-1), raw(opBulk, 10, 0, 0)))},
		{name: "memory.fill of nothing", wasm: guestWith(1, loopOf(i32c(0), i32c(1), i32c(0), raw(opBulk, 11, 0)))},
		{name: "table.copy of all", wasm: guestWith(1, loopOf(i32c(1), i32c(0), i32c(59999), raw(opBulk, 14, 0, 0)))},
		{name: "memory.grow by 0", wasm: guestWith(1, loopOf(i32c(0), raw(opMemoryGrow, 0, opDrop)))},
		{name: "memory.grow by 1", wasm: guestWith(1, loopOf(i32c(1), raw(opMemoryGrow, 0, opDrop)))},
		{name: "memory.grow without a loop", wasm: guestWith(1, repeat(2000, cat(i32c(0), raw(opMemoryGrow, 0, opDrop))))},
		{name: "memory.fill without a loop", wasm: guestWith(256, repeat(2000, cat(i32c(0), i32c(1), i32c(256*65536), raw(opBulk, 11, 0))))},
		{name: "pointer chase", page: 256, wasm: guestWith(256, loopOf(raw(opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0)))},
		{name: "pointer chase by vectors", page: 256,
			wasm: guestWith(256, loopOf(raw(opLocalGet, 0, opSIMD, 0, 0, 0, opSIMD, 0x1b, 0, opLocalSet, 0)))},
		{name: "stores all over", page: 256,
			wasm: guestWith(256, loopOf(random, raw(opLocalGet, 1, 0xa7), i32c(0xfffff8), raw(0x71, opLocalGet, 1, 0x37, 0, 0)))},
		{name: "branches at random", wasm: guestWith(1, loopOf(random, raw(opBlock, typeVoid, opLocalGet, 1, 0xa7), i32c(1),
			raw(0x71, opBrIf, 0), i32c(3), raw(opLocalSet, 0, opEnd)))},
		{name: "table of branches at random", wasm: guestWith(1, loopOf(random, switchOf(16)))},
		{name: "divisions", wasm: guestWith(1, loopOf(repeat(16, cat(i64c(-1<<62), raw(opLocalGet, 1), i64c(3), raw(0x84, 0x7f, opLocalSet, 1)))))},
		{name: "straight line", wasm: guestWith(1, loopOf(repeat(20000, raw(opLocalGet, 0, opLocalGet, 5, 0x6a, opLocalSet, 0))))},
		{name: "swaps of locals", wasm: guestWith(1, loopOf(repeat(5000, raw(opLocalGet, 0, opLocalGet, 5, opLocalSet, 0, opLocalSet, 5))))},
		{name: "calls of a leaf", wasm: many([][]byte{void}, []byte{0, 0}, fn(), fn(loopOf(raw(opCall, 0))...))},
		{name: "calls through the table", wasm: many([][]byte{void}, []byte{0, 0}, fn(), fn(loopOf(i32c(0), raw(opCallIndirect, 0, 0))...))},
		{name: "recursion", deep: true, wasm: many([][]byte{void}, []byte{0}, fn(opCall, 0))},
		{name: "recursion with results", deep: true, wasm: many([][]byte{number, void}, []byte{0, 1},
			fn(opLocalGet, 0, opCall, 0, opLocalGet, 0, 0x6a), fn(opI32Const, 1, opCall, 0, opDrop))},
		{name: "recursion of two", deep: true, wasm: many([][]byte{void}, []byte{0, 0}, fn(opCall, 1), fn(opCall, 0))},
		{name: "recursion through the table", deep: true, wasm: many([][]byte{void}, []byte{0, 0},
			fn(opI32Const, 0, opCallIndirect, 0, 0), fn(opCall, 0))},
		{name: "recursion of large frames", deep: true, wasm: many([][]byte{void}, []byte{0}, largeFrame(3000))},
	}
	// A tree of 2^30 calls without a loop or a cycle.
	const depth = 30
	kinds, bodies := make([]byte, depth), make([][]byte, depth)
	for i := range bodies {
		bodies[i] = fn()
		if i > 0 {
			bodies[i] = fn(opCall, byte(i-1), opCall, byte(i-1))
		}
	}
	list = append(list, hostile{name: "call tree", wasm: many([][]byte{void}, kinds, bodies...)})
	// A chain without a cycle, far deeper than allowed.
	const long = 5000
	kinds, bodies = make([]byte, long), make([][]byte, long)
	for i := range bodies {
		bodies[i] = fn()
		if i > 0 {
			bodies[i] = fn(cat(raw(opCall), uleb(uint64(i-1)))...)
		}
	}
	list = append(list, hostile{name: "chain of calls", deep: true, wasm: many([][]byte{void}, kinds, bodies...)})
	// Hours without a loop or a call in the same function: long leaves, and chains that do their work on the way back.
	work := repeat(20000, raw(opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0)) // dependent loads
	leaf := fnLocals(vec(raw(1, 0x7f)), work...)
	list = append(list, hostile{name: "calls of a long leaf", page: 1, wasm: many([][]byte{void}, []byte{0, 0}, leaf,
		fn(repeat(20000, raw(opCall, 0))...))})
	const back = 240
	kinds, bodies = make([]byte, back), make([][]byte, back)
	for i := range bodies {
		code := repeat(100, cat(i32c(0), raw(0x28, 2, 0, opDrop)))
		if i > 0 {
			code = cat(repeat(20, cat(raw(opCall), uleb(uint64(i-1)))), code)
		}
		bodies[i] = fn(code...)
	}
	return append(list, hostile{name: "work on the way back", wasm: many([][]byte{void}, kinds, bodies...)})
}

// random steps local 1 by a linear congruence and folds its high bits down.
var random = cat(raw(opLocalGet, 1), i64c(6364136223846793005), raw(0x7e), i64c(1442695040888963407), raw(0x7c, opLocalSet, 1),
	raw(opLocalGet, 1), i64c(33), raw(0x88, opLocalGet, 1, 0x85, opLocalSet, 1))

// switchOf jumps to one of n blocks by local 1.
func switchOf(n int) []byte {
	b := repeat(n, raw(opBlock, typeVoid))
	b = append(b, raw(opLocalGet, 1, 0xa7, opI32Const, byte(n-1), 0x71, opBrTable, byte(n-1))...)
	for i := range n {
		b = append(b, byte(i))
	}
	for range n {
		b = cat(b, raw(opEnd, opLocalGet, 0), i32c(1), raw(0x6a, opLocalSet, 0))
	}
	return b
}

// largeFrame keeps n values across a call of itself.
func largeFrame(n int) []byte {
	code := repeat(n, raw(opI32Const, 0, 0x28, 2, 0))
	code = append(code, opCall, 0)
	code = append(code, repeat(n-1, raw(0x73))...)
	return fn(append(code, opGlobalSet, 0)...)
}

// cyclic makes a guest's memory one cycle of pointers through random cache lines.
func cyclic(mem api.Memory, pages int) {
	lines := pages * 65536 / 64
	order := rand.New(rand.NewPCG(3, 4)).Perm(lines)
	buf := make([]byte, pages*65536)
	for i, at := range order {
		binary.LittleEndian.PutUint32(buf[at*64:], uint32(order[(i+1)%lines]*64))
	}
	mem.Write(0, buf)
}

// Ensure that every hostile guest is stopped, with and without refills, on both engines, and for the right reason; and
// print what a unit of fuel took, which says how well fuel bounds time.
func TestMeterStopsHostileGuests(t *testing.T) {
	for _, engineName := range engines {
		budget := int64(20_000_000)
		if engineName == "interpreter" {
			budget = 1_000_000
		}
		r := engine(t, engineName)
		refills := &refiller{}
		refills.install(t, r)
		var worst float64
		var which string
		for _, h := range hostiles() {
			full, want := budget, StopFuel
			if h.deep {
				full, want = tank, StopDepth
			}
			plain, left := stopped(t, r, h, MeterOptions{}, full, want)
			refills.tank, refills.left = full/4, 3
			refilled, _ := stopped(t, r, h, MeterOptions{Refill: true}, full/4, want)
			perUnit := float64(plain.Nanoseconds()) / float64(full-left)
			t.Logf("%-11s %-30s stopped after %9v, refilled %9v, %8.2f ns a unit", engineName, h.name,
				plain.Round(time.Microsecond), refilled.Round(time.Microsecond), perUnit)
			if !h.deep && perUnit > worst {
				worst, which = perUnit, h.name
			}
		}
		t.Logf("%-11s the dearest unit: %.1f ns (%s)", engineName, worst, which)
	}
}

func stopped(t *testing.T, r wazero.Runtime, h hostile, opt MeterOptions, fuel int64, want Stop) (took time.Duration, left int64) {
	t.Helper()
	mod := anonymous(t, r, metered(t, h.wasm, opt))
	defer mod.Close(ctx)
	if h.page > 0 {
		cyclic(mod.Memory(), h.page)
	}
	fuelOf(mod).Set(uint64(fuel))
	start := time.Now()
	_, err := mod.ExportedFunction("run").Call(ctx)
	took = time.Since(start)
	left = int64(fuelOf(mod).Get())
	if err == nil || StopOf(left, depthOf(mod)) != want {
		t.Errorf("%s, refill %v: error %.40v, fuel %d, depth %d", h.name, opt.Refill, err, left, depthOf(mod))
	}
	// What was done without a look: exitDebt a frame, maxDebt in the last two, and what is paid in one go.
	if most := int64(DefaultMaxDepth*exitDebt/4 + 2*maxDebt/4 + growUnits + 2<<20>>bytesShift + 60000<<entriesShift); left < -most {
		t.Errorf("%s, refill %v: stopped with a debt of %d, more than %d", h.name, opt.Refill, -left, most)
	}
	return took, left
}

// Ensure that code which runs before the host can set any fuel is bounded.
func TestMeterStopsStartFunction(t *testing.T) {
	wasm := module(sec(secType, vec(ft("", ""))), sec(secFunction, vec(raw(0))), sec(secStart, raw(0)),
		sec(secCode, vec(fn(loopOf()...))))
	for _, opt := range []MeterOptions{{InitialFuel: 1000}, {InitialFuel: 1000, Refill: true}} {
		r := engine(t, "compiler")
		refills := &refiller{}
		refills.install(t, r)
		_, err := r.Instantiate(ctx, metered(t, wasm, opt))
		if err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("start ended with %v", err)
		}
		if opt.Refill && refills.calls != 1 {
			t.Errorf("%d refills", refills.calls)
		}
	}
}

// Ensure that the depth stops recursion at the same place on both engines and gives its frames back on every way out.
func TestMeterDepth(t *testing.T) {
	// leave(n) recurses and comes back by return, br, br_if, br_table or falling through, in turns.
	leave := cat(
		raw(opLocalGet, 0, 0x45, opIf, typeVoid), i32c(0), raw(opReturn, opEnd),
		raw(opLocalGet, 0), i32c(1), raw(0x6b, opCall, 0, opLocalSet, 1),
		raw(opBlock, typeVoid, opBlock, typeVoid, opBlock, typeVoid, opBlock, typeVoid, opLocalGet, 0), i32c(3), raw(0x71),
		raw(opBrTable, 3, 0, 1, 2, 3),
		raw(opEnd, opLocalGet, 1, opReturn),
		raw(opEnd, opLocalGet, 1, opBr, 2),
		raw(opEnd, opLocalGet, 1, opI32Const, 1, opBrIf, 1, opDrop),
		raw(opEnd, opLocalGet, 1),
	)
	wasm := many([][]byte{ft("i", "i")}, []byte{0}, fnLocals(raw(1, 1, 0x7f), leave...))
	for _, engineName := range engines {
		for _, opt := range []MeterOptions{{MaxDepth: 100}, {MaxDepth: 100, Refill: true}} {
			r := engine(t, engineName)
			(&refiller{}).install(t, r)
			mod := anonymous(t, r, metered(t, wasm, opt))
			run := mod.ExportedFunction("run")
			for _, n := range []uint64{0, 1, 5, 99, 99} {
				if _, err := run.Call(ctx, n); err != nil || depthOf(mod) != 100 {
					t.Errorf("%s: depth %d: %v, %d left", engineName, n+1, err, depthOf(mod))
				}
			}
			if _, err := run.Call(ctx, 100); err == nil || StopOf(int64(fuelOf(mod).Get()), depthOf(mod)) != StopDepth {
				t.Errorf("%s: 101 frames: %v, %d left", engineName, err, depthOf(mod))
			}
		}
	}
	for name, want := range map[string]int{"fib": 2, "topk": 0, "dispatch": 0} {
		m := checked(t, guest(t, name), Limits{})
		w := &rewriter{m: m}
		g, err := m.countedFuncs(DefaultMaxDepth, w.eachBody)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range g.counted {
			n += b2i(c)
		}
		if n != want {
			t.Errorf("%s counts the depth of %d functions, want %d", name, n, want)
		}
	}
}

// Ensure that the allowed depth keeps the engine's stack small even with the largest frames.
func TestMeterDepthBoundsStack(t *testing.T) {
	r := engine(t, "compiler")
	mod := anonymous(t, r, metered(t, many([][]byte{ft("", "")}, []byte{0}, largeFrame(16000)), MeterOptions{}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := mod.ExportedFunction("run").Call(ctx)
	runtime.ReadMemStats(&after)
	if StopOf(int64(fuelOf(mod).Get()), depthOf(mod)) != StopDepth {
		t.Errorf("ended with %v", err)
	}
	grown := after.TotalAlloc - before.TotalAlloc
	t.Logf("stacks of %d KiB were allocated", grown>>10)
	if grown > 64<<20 {
		t.Errorf("stacks took %s", fmt.Sprint(grown))
	}
}

// Ensure that a function at the limits of Check compiles in seconds; without them the first would take minutes.
func TestCheckBoundsCompileTime(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for seconds")
	}
	shape := func(locals, groups, nest int, kind byte, per int) []byte {
		var code []byte
		n := 0
		work := func() {
			for range per {
				n++
				code = cat(code, raw(opLocalGet), uleb(uint64(n%locals)), raw(opLocalGet), uleb(uint64((n*7+1)%locals)),
					raw(0x6a, opLocalSet), uleb(uint64((n*3+2)%locals)))
			}
		}
		for range groups {
			for range nest {
				code = append(code, kind, typeVoid)
				work()
			}
			for range nest {
				work()
				code = append(code, opLocalGet, 0, opBrIf, 0, opEnd)
			}
		}
		return module(sec(secType, vec(ft("", ""))), sec(secFunction, vec(raw(0))),
			sec(secCode, vec(fnLocals(vec(cat(uleb(uint64(locals)), raw(0x7f))), code...))))
	}
	for _, c := range []struct {
		locals, groups, nest int
		kind                 byte
		per                  int
		refused              bool
	}{
		{locals: 1000, groups: 1, nest: 1000, kind: opLoop, per: 2, refused: true},
		{locals: 50, groups: 5000, nest: 1, kind: opLoop, per: 1, refused: true},
		{locals: 64, groups: 256, nest: 1, kind: opLoop, per: 5},
		{locals: 256, groups: 1, nest: 64, kind: opLoop, per: 20},
		{locals: 2000, groups: 1, nest: 8, kind: opLoop, per: 400},
		{locals: 50, groups: 3000, nest: 1, kind: opBlock, per: 5},
	} {
		wasm := shape(c.locals, c.groups, c.nest, c.kind, c.per)
		if _, err := Check(wasm, Limits{}); (err != nil) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
		if c.refused {
			continue
		}
		for _, w := range [][]byte{wasm, metered(t, wasm, MeterOptions{}), metered(t, wasm, MeterOptions{Refill: true})} {
			r := engine(t, "compiler")
			start := time.Now()
			if _, err := r.CompileModule(ctx, w); err != nil {
				t.Error(err)
			}
			took := time.Since(start)
			t.Logf("%d locals, %d times %d of %#02x: %d bytes compile in %v", c.locals, c.groups, c.nest, c.kind, len(w), took)
			if took > 30*time.Second {
				t.Errorf("%+v compiles in %v", c, took)
			}
		}
	}
}
