package guesttest

import (
	"context"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"forge/host/plugin/wasmbin"
)

// Tank is the fuel between two safe points, that of the host.
const Tank = 1 << 16

// MeteredTwin instantiates the module in the file as the host runs it, metered, on a copy of an instance's memory: what one
// would answer to a call the other does. A C guest keeps nothing outside its memory between calls. Fill its tank before a
// call.
func MeteredTwin(tb testing.TB, file string, of api.Module) api.Module {
	tb.Helper()
	ctx := context.Background()
	wasm, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := wasmbin.Check(wasm, wasmbin.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	if wasm, err = wasmbin.Meter(wasm, m, wasmbin.MeterOptions{Refill: true}); err != nil {
		tb.Fatal(err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(compiled))
	tb.Cleanup(func() { rt.Close(ctx) })
	refill := api.GoModuleFunc(func(_ context.Context, mod api.Module, _ []uint64) { Fill(mod) })
	if _, err := rt.NewHostModuleBuilder(wasmbin.RefillModule).NewFunctionBuilder().WithGoModuleFunction(refill, nil, nil).
		Export(wasmbin.RefillName).Instantiate(ctx); err != nil {
		tb.Fatal(err)
	}
	twin, err := rt.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		tb.Fatal(err)
	}
	size := of.Memory().Size()
	if have := twin.Memory().Size(); have < size {
		if _, ok := twin.Memory().Grow((size - have) / 65536); !ok {
			tb.Fatal("the twin's memory does not grow")
		}
	}
	image, ok := of.Memory().Read(0, size)
	if !ok || !twin.Memory().Write(0, image) {
		tb.Fatal("the memory cannot be copied")
	}
	return twin
}

// Fill gives a metered module a full tank.
func Fill(mod api.Module) { mod.ExportedGlobal(wasmbin.FuelExport).(api.MutableGlobal).Set(Tank) }

// Metered gives the guest's twin, see MeteredTwin.
func (g *Guest) Metered() *Guest {
	twin := *g
	twin.mod, twin.fns = MeteredTwin(g.tb, g.file, g.mod), map[string]api.Function{}
	twin.fuel = twin.mod.ExportedGlobal(wasmbin.FuelExport).(api.MutableGlobal)
	return &twin
}
