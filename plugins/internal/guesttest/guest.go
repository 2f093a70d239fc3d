// Package guesttest calls a guest's exports directly, record by record, for the tests of the shipped guests: what a
// sampler does to one candidate table, what an architecture makes of one metadata list. It has none of the host's
// checks, limits and pools.
package guesttest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"forge/abi"
)

// Guest is one instance with its arena.
type Guest struct {
	tb    testing.TB
	file  string
	mod   api.Module
	fuel  api.MutableGlobal // of a metered twin, else nil
	fns   map[string]api.Function
	arena uint32
	size  uint32
	used  uint32
	stack [1]uint64
}

const errorCap = 512

// compiled spares the tests the compiler's time for each of their many instances.
var compiled = wazero.NewCompilationCache()

// Open instantiates the module in the file with an arena of that many bytes and calls forge_init with the frame that
// fill completes (nil: nothing to add).
func Open(tb testing.TB, file string, arena uint32, fill func(g *Guest, frame abi.Init)) *Guest {
	tb.Helper()
	return OpenWith(tb, wazero.NewRuntimeConfigCompiler(), file, arena, fill)
}

// OpenWith is Open on the runtime that config chooses.
func OpenWith(tb testing.TB, config wazero.RuntimeConfig, file string, arena uint32, fill func(g *Guest, frame abi.Init)) *Guest {
	tb.Helper()
	code, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(compiled))
	tb.Cleanup(func() { rt.Close(ctx) })
	mod, err := rt.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	g := &Guest{tb: tb, file: file, mod: mod, fns: map[string]api.Function{}, size: arena}
	g.stack[0] = uint64(arena)
	if err := g.function("forge_arena").CallWithStack(ctx, g.stack[:]); err != nil {
		tb.Fatal(err)
	}
	g.arena = uint32(g.stack[0])
	if g.arena == 0 || g.arena%abi.ArenaAlign != 0 {
		tb.Fatalf("%s: forge_arena(%d) = %d", file, arena, g.arena)
	}
	at, frame := g.Frame(abi.InitSize)
	init := abi.Init(frame)
	init.SetMajor(abi.Major)
	init.SetMinor(abi.Minor)
	if fill != nil {
		fill(g, init)
	}
	if err := g.Call("forge_init", at); err != nil {
		tb.Fatal(err)
	}
	return g
}

func (g *Guest) function(name string) api.Function {
	fn := g.fns[name]
	if fn == nil {
		if fn = g.mod.ExportedFunction(name); fn == nil {
			g.tb.Fatalf("no export %s", name)
		}
		g.fns[name] = fn
	}
	return fn
}

// Alloc takes n bytes of the arena, 64-byte aligned, zeroed.
func (g *Guest) Alloc(n uint32) uint32 {
	at := g.arena + g.used
	if g.used += (n + 63) &^ 63; g.used > g.size {
		g.tb.Fatalf("the arena of %d bytes is full", g.size)
	}
	clear(g.Bytes(at, n))
	return at
}

// Reset gives all of the arena back.
func (g *Guest) Reset() { g.used = 0 }

// Bytes views the guest's memory.
func (g *Guest) Bytes(at, n uint32) []byte {
	b, ok := g.mod.Memory().Read(at, n)
	if !ok {
		g.tb.Fatalf("memory ends before %d+%d", at, n)
	}
	return b
}

// MemorySize is how much memory the guest has.
func (g *Guest) MemorySize() uint32 { return g.mod.Memory().Size() }

// Put copies bytes into the arena.
func (g *Guest) Put(b []byte) (at, n uint32) {
	at = g.Alloc(uint32(len(b)))
	copy(g.Bytes(at, uint32(len(b))), b)
	return at, uint32(len(b))
}

// Frame allocates a frame with its head filled and an error slot.
func (g *Guest) Frame(size uint32) (uint32, []byte) {
	slot := g.Alloc(errorCap)
	at := g.Alloc(size)
	frame := g.Bytes(at, size)
	head := abi.Head(frame)
	head.SetSize(size)
	head.SetErrorPtr(slot)
	head.SetErrorCap(errorCap)
	return at, frame
}

// Call calls an export; a negative status is an error with the guest's text.
func (g *Guest) Call(name string, frame uint32) error {
	_, err := g.Status(name, frame)
	return err
}

// Status calls an export and gives its status.
func (g *Guest) Status(name string, frame uint32) (abi.Status, error) {
	if g.fuel != nil {
		g.fuel.Set(Tank)
	}
	g.stack[0] = uint64(frame)
	if err := g.function(name).CallWithStack(context.Background(), g.stack[:]); err != nil {
		return abi.StatusErrInternal, fmt.Errorf("%s: %w", name, err)
	}
	status := abi.Status(int32(g.stack[0]))
	if status < 0 {
		head := abi.Head(g.Bytes(frame, abi.HeadSize))
		return status, fmt.Errorf("%s: %s", status, g.Bytes(head.ErrorPtr(), min(head.ErrorLen(), errorCap)))
	}
	return status, nil
}
