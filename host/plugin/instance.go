package plugin

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"forge/abi"
	"forge/host/plugin/wasmbin"
)

const (
	frameRoom = 128 // bytes at the arena's beginning for the frame of any call
	errorRoom = 1024
)

// A tank is the fuel that a guest runs on before it comes to a safe point. Compiled code cannot be interrupted, and the
// dearest unit found, a chain of loads that all miss the caches, takes some 50 ns: that is 3 ms in which the collector and
// who wants to cancel may have to wait. The interpreter is Go and can be interrupted anywhere, but is some 50 times slower,
// and a cancelled context is seen at a refill only. At some refills the guest goes to the end of the queue, so that
// others have their turn before the scheduler insists on it.
const (
	tankCompiled    = 1 << 16
	tankInterpreted = 1 << 14
	yieldEvery      = 4 // refills
)

// A start function runs before the host knows the instance: on startTank, and from its first refill on like any call.
const (
	startTank = tankCompiled
	startFuel = 10_000_000
)

// instance is a guest at work: one caller at a time.
type instance struct {
	m       *Module
	mod     api.Module
	ctx     callContext
	mem     *memory
	fuel    api.MutableGlobal
	depth   api.Global
	stack   []uint64
	tank    int64
	spare   int64  // fuel of the running call that is not in the tank yet
	used    int64  // by the last call
	calls   uint32 // so far
	refills uint32 // so far
	clock   uint64 // nanoseconds that the guest has seen pass, if it was granted wasi
	lines   int    // logged by the running call
	base    uint32 // of the arena
	size    uint32
	caps    uint64 // accepted by the guest
	dead    bool

	lenient bool // faults are no strikes: the call is for several rows, and which is at fault will be found out

	fns  []export // that the owner calls, in its order
	life lifeCalls
	rows rowParams
}

// callContext is the context of a running call. Host functions get it and so know their instance.
type callContext struct {
	context.Context
	in *instance
}

// caller is the instance that calls a host function, nil for one that is still being made.
func caller(ctx context.Context) *instance {
	if c, ok := ctx.(*callContext); ok {
		return c.in
	}
	return nil
}

// export is a function of a guest by its name; the zero fn is one that it does not have.
type export struct {
	name string
	fn   api.Function
}

func (in *instance) export(name string) export {
	return export{name, in.mod.ExportedFunction(name)}
}

// newLayout begins an arena: the frame and the error slot stand first in every one.
func newLayout() *layout {
	l := new(layout)
	l.take(frameRoom+errorRoom, 64)
	return l
}

// start makes an instance with an arena as laid out, to which it adds the room for the config values, and calls
// forge_init; fill completes that frame and writes what it points to.
func (m *Module) start(ctx context.Context, l *layout, fill func(*instance, abi.Init)) (*instance, error) {
	if err := m.quarantined(); err != nil {
		return nil, err
	}
	strBytes := 0
	for _, v := range m.slots {
		strBytes += len(v.str)
	}
	slots, strs := l.take(8*uint64(len(m.slots)), 64), l.take(uint64(strBytes), 1)
	limit := uint64(m.pages()) * abi.PageBytes
	if l.size > limit {
		return nil, m.spec.wrap(fmt.Errorf("its work needs an arena of %d MiB, its limit is %d pages (%d MiB): raise limits.pages",
			l.size>>20+1, m.pages(), limit>>20))
	}
	in, err := m.instantiate(ctx, limit)
	if err != nil {
		return nil, err
	}
	if err := in.init(ctx, uint32(l.size), func(init abi.Init) {
		in.putSlots(slots, strs, m.slots)
		init.SetConfig(in.base+slots, uint32(len(m.slots)))
		if fill != nil {
			fill(in, init)
		}
	}); err != nil {
		in.discard()
		return nil, err
	}
	return in, nil
}

func (m *Module) instantiate(ctx context.Context, limit uint64) (*instance, error) {
	in := &instance{m: m, mem: &memory{limit: limit}, stack: make([]uint64, 1), tank: tankCompiled, spare: startFuel - startTank}
	if m.r.opt.Interpreter {
		in.tank = tankInterpreted
	}
	in.ctx.in = in
	in.ctx.Context = experimental.WithMemoryAllocator(ctx, in.mem)
	mod, err := m.r.wazero.InstantiateModule(&in.ctx, m.code.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	in.ctx.Context = nil
	if err != nil {
		in.dead = true
		return nil, in.startFault(ctx, err)
	}
	in.mod = mod
	var ok bool
	if in.fuel, ok = mod.ExportedGlobal(wasmbin.FuelExport).(api.MutableGlobal); !ok {
		in.discard()
		return nil, m.spec.wrap(fmt.Errorf("the metered module lost its fuel"))
	}
	in.depth = mod.ExportedGlobal(wasmbin.DepthExport)
	return in, nil
}

// startFault is the error of an instance that could not be made.
func (in *instance) startFault(ctx context.Context, err error) error {
	const call = "its start"
	e := &Error{Plugin: in.m.spec.Name, Call: call, Why: trapWhy(err), Trapped: true, Fuel: firstTank}
	if in.fuel == nil { // it never wanted more than the first tank, and its globals are gone with it
		if e.Why == whyUnreachable {
			e.Why = "gave up, or nested its calls too deep (unreachable)"
		}
	} else {
		left := int64(in.fuel.Get())
		if e.Fuel = startFuel - in.spare - left; left < 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			e.Why = "ran out of fuel: it has " + units(startFuel) + ", so do the work in forge_init"
		}
	}
	in.m.strike(e)
	return e
}

// init asks for the arena and calls forge_init.
func (in *instance) init(ctx context.Context, size uint32, fill func(abi.Init)) error {
	if t, ok := in.m.code.exports["_initialize"]; ok && len(t.Params)+len(t.Results) == 0 {
		if _, err := in.invoke(ctx, in.export("_initialize"), 0, in.m.initBudget()); err != nil {
			return err
		}
	}
	arena := in.export("forge_arena")
	ptr, err := in.invoke(ctx, arena, size, in.m.initBudget())
	if err != nil {
		return err
	}
	switch {
	case ptr == 0:
		return in.fault(arena.name, abi.StatusErrNoMem, "cannot have the %d KiB that it is asked for; raise limits.pages (now %d)",
			size>>10, in.m.pages())
	case ptr%abi.ArenaAlign != 0:
		return in.fault(arena.name, 0, "gave the address %#x, which is not a multiple of %d", ptr, abi.ArenaAlign)
	case uint64(ptr)+uint64(size) > uint64(len(in.mem.buf)):
		return in.fault(arena.name, 0, "gave %d bytes at %#x, beyond its memory of %d", size, ptr, len(in.mem.buf))
	}
	in.base, in.size = ptr, size
	init := abi.Init(in.frame(abi.InitSize))
	init.SetMajor(abi.Major)
	init.SetMinor(abi.Minor)
	init.SetOffered(in.m.caps)
	fill(init)
	status, err := in.call(ctx, in.export("forge_init"), in.m.initBudget())
	if err != nil {
		return err
	}
	if status != abi.StatusOk {
		return in.fault("forge_init", status, "returned the status %s", status)
	}
	in.caps = abi.Init(in.at(0, abi.InitSize)).Accepted()
	if in.caps&^in.m.caps != 0 {
		return in.fault("forge_init", 0, "accepted capabilities that were not offered (%#x of %#x)", in.caps, in.m.caps)
	}
	return nil
}

// at is the part of the arena that begins at an offset. It holds until the next call.
func (in *instance) at(off, n uint32) []byte {
	p := in.base + off
	return in.mem.buf[p : p+n : p+n]
}

// frame clears the frame and fills its head.
func (in *instance) frame(size uint32) []byte {
	f := in.at(0, size)
	clear(f)
	h := abi.Head(f)
	h.SetSize(size)
	h.SetErrorCap(errorRoom)
	h.SetErrorPtr(in.base + frameRoom)
	return f
}

// putSlots writes config values: 8 bytes each, a number or the address and length of a string that lies in strs.
func (in *instance) putSlots(slots, strs uint32, values []value) {
	b := in.at(slots, 8*uint32(len(values)))
	for i := range values {
		v := &values[i]
		slot := b[8*i:]
		if v.str == "" {
			putF64(slot, v.num)
			continue
		}
		putU32(slot, in.base+strs)
		putU32(slot[4:], uint32(len(v.str)))
		strs += uint32(copy(in.at(strs, uint32(len(v.str))), v.str))
	}
}

// call runs an export on the frame. The error is an *Error, or ctx's; a status below zero is one.
func (in *instance) call(ctx context.Context, e export, budget int64) (abi.Status, error) {
	v, err := in.invoke(ctx, e, in.base, budget)
	if err != nil {
		return 0, err
	}
	status := abi.Status(int32(v))
	if status < 0 {
		return status, in.refusal(e.name, status)
	}
	return status, nil
}

// refusal is the error of a guest that returned a negative status, with the sentence it left.
func (in *instance) refusal(name string, status abi.Status) error {
	head := abi.Head(in.at(0, abi.HeadSize))
	n := min(head.ErrorLen(), errorRoom)
	why := sentence(in.at(frameRoom, n), errorRoom)
	if why == "" {
		why = "gives no reason (status " + status.String() + ")"
	} else {
		why = "says: " + strings.TrimSuffix(why, ".")
	}
	if status == abi.StatusErrInternal { // its own bug, and nobody knows what it left behind
		return in.fault(name, status, "%s", why)
	}
	return &Error{Plugin: in.m.spec.Name, Call: name, Why: why, Status: status, Fuel: in.used}
}

// invoke runs an export with one argument and gives its result.
func (in *instance) invoke(ctx context.Context, e export, arg uint32, budget int64) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	in.spare = budget
	in.fuel.Set(uint64(in.draw(in.tank)))
	in.stack[0] = uint64(arg)
	in.lines = 0
	timer := in.startTimer()
	in.ctx.Context = ctx
	err := e.fn.CallWithStack(&in.ctx, in.stack)
	in.ctx.Context = nil
	timer.stop(in.m)
	left := int64(in.fuel.Get())
	in.used = budget - in.spare - left
	in.m.calls.Add(1)
	in.m.fuel.Add(in.used)
	if err == nil {
		return uint32(in.stack[0]), nil
	}
	switch depth := int64(in.depth.Get()); wasmbin.StopOf(left, depth) {
	case wasmbin.StopFuel:
		if ctx.Err() != nil {
			in.discard() // it was stopped between two tanks: no fault of the guest
			return 0, ctx.Err()
		}
		return 0, in.fault(e.name, 0, "ran out of fuel: raise limits.fuel, which multiplies the %s of such a call, if the plugin is not stuck",
			units(budget))
	case wasmbin.StopDepth:
		return 0, in.fault(e.name, 0, "nested its calls too deep")
	}
	return 0, in.fault(e.name, 0, "%s", trapWhy(err))
}

// draw takes up to n units from what the running call has left.
func (in *instance) draw(n int64) int64 {
	n = min(n, in.spare)
	in.spare -= n
	return n
}

// callTimer measures each of the first calls of an instance, then one in timedCalls for all of them: to read the clock
// twice takes longer than a short call.
type callTimer struct {
	start time.Time
	times int64
}

const timedCalls = 16

func (in *instance) startTimer() callTimer {
	in.calls++
	switch {
	case in.calls <= timedCalls:
		return callTimer{time.Now(), 1}
	case in.calls%timedCalls == 0:
		return callTimer{time.Now(), timedCalls}
	}
	return callTimer{}
}

func (t callTimer) stop(m *Module) {
	if t.times > 0 {
		m.nanos.Add(t.times * int64(time.Since(t.start)))
	}
}

// charge makes the guest pay for the work of a host function beyond the call; the next look sees the debt.
func (in *instance) charge(units int64) {
	if in.fuel != nil { // it is not in a start function's first tank
		in.fuel.Set(in.fuel.Get() - uint64(units))
	}
}

// hostRefill is called by a guest whose tank is empty, with what it is below zero as a debt. To add nothing stops the
// guest.
func (r *Runtime) hostRefill(ctx context.Context, mod api.Module, _ []uint64) {
	in := caller(ctx)
	if in == nil {
		return
	}
	if in.refills++; in.refills%yieldEvery == 0 {
		runtime.Gosched()
	}
	if in.fuel == nil {
		in.fuel, _ = mod.ExportedGlobal(wasmbin.FuelExport).(api.MutableGlobal)
	}
	if r.onRefill != nil {
		r.onRefill()
	}
	if ctx.Err() != nil || in.fuel == nil {
		return
	}
	left := int64(in.fuel.Get())
	in.fuel.Set(uint64(left + in.draw(in.tank-left)))
}

// fault throws the instance away, counts a strike and gives the error.
func (in *instance) fault(call string, status abi.Status, format string, args ...any) error {
	in.discard()
	why := fmt.Sprintf(format, args...)
	e := &Error{Plugin: in.m.spec.Name, Call: call, Why: why, Status: status, Trapped: true, Fuel: in.used}
	if !in.lenient {
		in.m.strike(e)
	}
	return e
}

// become makes the instance's memory and globals those of another of the same module.
func (in *instance) become(of *instance) error {
	have, want := uint32(len(in.mem.buf)/abi.PageBytes), uint32(len(of.mem.buf)/abi.PageBytes)
	if want > have {
		if _, ok := in.mod.Memory().Grow(want - have); !ok {
			return fmt.Errorf("its %d pages of memory cannot be copied", want)
		}
	}
	copyPieces(in.mem.buf, of.mem.buf)
	for _, name := range in.m.code.globals {
		in.mod.ExportedGlobal(name).(api.MutableGlobal).Set(of.mod.ExportedGlobal(name).Get())
	}
	in.base, in.size, in.caps, in.clock = of.base, of.size, of.caps, of.clock
	return nil
}

// discard ends the instance. It may be called twice.
func (in *instance) discard() {
	if in.dead {
		return
	}
	in.dead = true
	in.mod.Close(context.Background()) // frees memory; there is no host resource whose error would matter
}

func (m *Module) strike(e *Error) {
	m.traps.Add(1)
	m.lastStrike.Store(e)
	m.strikes.Add(1)
}

// quarantined is the error of a plugin that had its strikes.
func (m *Module) quarantined() error {
	n := m.strikes.Load()
	if n < m.maxStrikes() {
		return nil
	}
	return fmt.Errorf("%w after %d strikes, the last: %w", ErrQuarantined, n, m.lastStrike.Load())
}
