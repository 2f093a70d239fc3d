package wasmbin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

var ctx = context.Background()

// engine is one of wazero's two, set up as a host would.
func engine(t testing.TB, name string) wazero.Runtime {
	t.Helper()
	cfg := wazero.NewRuntimeConfigCompiler()
	if name == "interpreter" {
		cfg = wazero.NewRuntimeConfigInterpreter()
	}
	r := wazero.NewRuntimeWithConfig(ctx, cfg.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(256).WithDebugInfoEnabled(false))
	t.Cleanup(func() { r.Close(ctx) })
	return r
}

var engines = []string{"compiler", "interpreter"}

func checked(t testing.TB, wasm []byte, lim Limits) *Module {
	t.Helper()
	m, err := Check(wasm, lim)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func metered(t testing.TB, wasm []byte, opt MeterOptions) []byte {
	t.Helper()
	out, err := Meter(wasm, checked(t, wasm, Limits{}), opt)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// anonymous instantiates a module without a name, so that several may come from one run-time.
func anonymous(t testing.TB, r wazero.Runtime, wasm []byte) api.Module {
	t.Helper()
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

func fuelOf(mod api.Module) api.MutableGlobal {
	return mod.ExportedGlobal(FuelExport).(api.MutableGlobal)
}
func depthOf(mod api.Module) int64 { return int64(mod.ExportedGlobal(DepthExport).Get()) }

const tank = int64(1) << 50

// spend calls the function with a full tank and returns what it used.
func spend(t testing.TB, mod api.Module, name string, args ...uint64) (result uint64, used int64) {
	t.Helper()
	fuelOf(mod).Set(uint64(tank))
	res, err := mod.ExportedFunction(name).Call(ctx, args...)
	if err != nil {
		t.Fatalf("%s: %v (fuel %d, depth %d)", name, err, int64(fuelOf(mod).Get()), depthOf(mod))
	}
	if depthOf(mod) != DefaultMaxDepth {
		t.Errorf("%s: depth is %d after the call", name, depthOf(mod))
	}
	if len(res) > 0 {
		result = res[0]
	}
	return result, tank - int64(fuelOf(mod).Get())
}

// refiller defines the host's side of a refill: adds tank units at a time while more of them are left.
type refiller struct {
	tank  int64
	left  int
	tanks int // added so far
	calls int
}

func (f *refiller) install(t testing.TB, r wazero.Runtime) {
	t.Helper()
	_, err := r.NewHostModuleBuilder(RefillModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, mod api.Module, _ []uint64) {
			f.calls++
			fuel := int64(fuelOf(mod).Get())
			for ok := true; ok && f.left > 0; ok = fuel < 0 { // a debt may be larger than a tank
				f.left--
				f.tanks++
				fuel += f.tank
			}
			fuelOf(mod).Set(uint64(fuel))
		}), nil, nil).Export(RefillName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
}

// Ensure that a metered guest computes what the original does, that both engines count the same fuel, and that neither
// a refill nor the way of refilling changes the count.
func TestMeterKeepsResults(t *testing.T) {
	for _, name := range guestNames {
		wasm := guest(t, name)
		var wantSum uint64
		var wantFuel int64
		for i, engineName := range engines {
			r := engine(t, engineName)
			refills := &refiller{tank: 10_000, left: 1 << 30}
			refills.install(t, r)
			plain := anonymous(t, r, wasm)
			trap := anonymous(t, r, metered(t, wasm, MeterOptions{}))
			refill := anonymous(t, r, metered(t, wasm, MeterOptions{Refill: true}))
			if f := plain.ExportedFunction("setup"); f != nil {
				f.Call(ctx, 7)
				spend(t, trap, "setup", 7)
				spend(t, refill, "setup", 7)
			}
			for _, rounds := range []uint64{0, 1, 2} {
				res, err := plain.ExportedFunction("run").Call(ctx, rounds)
				if err != nil {
					t.Fatal(err)
				}
				sum, used := spend(t, trap, "run", rounds)
				if sum != res[0] {
					t.Errorf("%s on the %s: run(%d) is %d, metered %d", name, engineName, rounds, res[0], sum)
				}
				fuelOf(refill).Set(0)
				refills.tanks = 0
				res, err = refill.ExportedFunction("run").Call(ctx, rounds)
				if err != nil || res[0] != sum {
					t.Errorf("%s on the %s: run(%d) refilled is %v, %v", name, engineName, rounds, res, err)
				}
				refilled := int64(refills.tanks)*refills.tank - int64(fuelOf(refill).Get())
				if refilled != used {
					t.Errorf("%s on the %s: run(%d) used %d units in one tank, %d in %d", name, engineName, rounds, used,
						refilled, refills.tanks)
				}
				if rounds == 2 {
					if i == 0 {
						wantSum, wantFuel = sum, used
					} else if sum != wantSum || used != wantFuel {
						t.Errorf("%s: %d for %d units on the compiler, %d for %d on the interpreter", name, wantSum, wantFuel, sum, used)
					}
				}
			}
		}
		t.Logf("%-9s %10d units", name, wantFuel)
	}
}

// Ensure that a Go guest, with its loop and br_table in every function, passes and runs.
func TestMeterGoGuest(t *testing.T) {
	wasm := buildGoGuest(t)
	m := checked(t, wasm, wasip1(Limits{}))
	start := time.Now()
	out, err := Meter(wasm, m, MeterOptions{Refill: true})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	r := engine(t, "compiler")
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	refills := &refiller{tank: 1_000_000, left: 1 << 30}
	refills.install(t, r)
	var results, times []any
	for _, b := range [][]byte{wasm, out} {
		mod := anonymous(t, r, b)
		if _, err := mod.ExportedFunction("_initialize").Call(ctx); err != nil {
			t.Fatal(err)
		}
		refills.calls = 0
		begin := time.Now()
		res, err := mod.ExportedFunction("run").Call(ctx, 20)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(begin))
		results = append(results, res[0])
	}
	if results[0] != results[1] {
		t.Errorf("run is %v, metered %v", results[0], results[1])
	}
	if refills.calls == 0 {
		t.Error("no refill was asked for")
	}
	t.Logf("metered in %v, %d -> %d bytes; run(20) %v, metered %v, %d M units", took, len(wasm), len(out), times[0], times[1], refills.calls)
}

// Ensure by walks at random through every body that no path costs more than its charge points have collected.
func TestChargesCoverPaths(t *testing.T) {
	wasms := map[string][]byte{}
	for _, name := range guestNames {
		wasms[name] = guest(t, name)
	}
	if !testing.Short() {
		wasms["go"] = buildGoGuest(t)
	}
	for seed := range uint64(200) {
		wasms[fmt.Sprint("program ", seed)] = randomModule(seed)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, wasm := range wasms {
		m := checked(t, wasm, wasip1(Limits{}))
		w := &rewriter{m: m}
		var pay charges
		err := w.eachBody(func(index uint32, d *body) {
			pay.place(m, d)
			for range 20 {
				if at, over := walk(m, d, &pay, rng); over > 0 {
					t.Errorf("%s: %s: a path to instruction %d costs %d quarters more than it paid", name, m.place(index), at, over)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func walk(m *Module, d *body, pay *charges, rng *rand.Rand) (at int, over int64) {
	var credit int64
	jump := func(in *instr) int {
		opener := d.targets[in.b+rng.Int32N(in.n)].opener
		if opener == toFunction {
			return len(d.ins)
		}
		if d.ins[opener].op == opLoop {
			return int(opener) + 1
		}
		return int(d.ins[opener].a) + 1
	}
	i := 0
	for steps := 0; i < len(d.ins) && steps < 20_000; steps++ {
		if pay.fuel[i] > 0 {
			credit = 4 * pay.fuel[i]
		}
		in := &d.ins[i]
		if credit -= m.weight(in); credit < 0 {
			return i, -credit
		}
		switch in.op {
		case opElse:
			i = int(in.a) + 1
		case opIf:
			switch {
			case rng.IntN(2) == 0:
				i++
			case in.b != 0:
				i = int(in.b) + 1
			default:
				i = int(in.a) + 1
			}
		case opBr, opBrTable:
			i = jump(in)
		case opBrIf:
			if rng.IntN(2) == 0 {
				i++
			} else {
				i = jump(in)
			}
		case opReturn, opUnreachable:
			return i, 0
		default:
			i++
		}
	}
	return i, 0
}

// Ensure that a module without any section gets its globals and still loads.
func TestMeterEmptyModule(t *testing.T) {
	for _, opt := range []MeterOptions{{}, {Refill: true, InitialFuel: 5, MaxDepth: 6}} {
		r := engine(t, "compiler")
		(&refiller{}).install(t, r)
		mod := anonymous(t, r, metered(t, module(), opt))
		want := fmt.Sprint(max(opt.InitialFuel, 5), max(opt.MaxDepth, 6))
		if opt.InitialFuel == 0 {
			want = fmt.Sprint(DefaultInitialFuel, DefaultMaxDepth)
		}
		if got := fmt.Sprint(fuelOf(mod).Get(), depthOf(mod)); got != want {
			t.Errorf("globals are %s, want %s", got, want)
		}
	}
}

func TestMeterRefusesOtherBytes(t *testing.T) {
	m := checked(t, guest(t, "fib"), Limits{})
	if _, err := Meter(guest(t, "hash"), m, MeterOptions{}); err == nil {
		t.Error("metered bytes that were not checked")
	}
	if _, err := Meter(guest(t, "fib"), m, MeterOptions{MaxDepth: -1}); err == nil {
		t.Error("took a negative depth")
	}
	skipped := checked(t, guest(t, "fib"), Limits{SkipBodies: true})
	if _, err := Meter(guest(t, "fib"), skipped, MeterOptions{}); err == nil {
		t.Error("metered a module whose bodies were not checked")
	}
	if whole := checked(t, guest(t, "fib"), Limits{}); len(skipped.Exports) != len(whole.Exports) || skipped.NFuncs != whole.NFuncs {
		t.Error("what was read without the bodies differs")
	}
}
