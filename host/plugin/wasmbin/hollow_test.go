package wasmbin

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// outside writes what a host sees of a compiled module: imports and exports with their types.
func outside(c wazero.CompiledModule) string {
	var b strings.Builder
	types := func(list ...[]api.ValueType) {
		for _, l := range list {
			b.WriteByte(' ')
			for _, t := range l {
				b.WriteString(api.ValueTypeName(t))
			}
		}
		b.WriteByte('\n')
	}
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		b.WriteString(module + "." + name)
		types(f.ParamTypes(), f.ResultTypes())
	}
	for _, name := range slices.Sorted(maps.Keys(c.ExportedFunctions())) {
		f := c.ExportedFunctions()[name]
		b.WriteString(name + " is " + f.Name())
		types(f.ParamTypes(), f.ResultTypes())
	}
	for name := range c.ExportedMemories() {
		b.WriteString(name + "\n")
	}
	return b.String()
}

// Ensure that a hollow module is valid, looks like the one that it was made from, has its memory, and only traps.
func TestHollow(t *testing.T) {
	for _, name := range guestNames {
		full := metered(t, guest(t, name), MeterOptions{Refill: true, Globals: true})
		hollow, err := Hollow(full)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, e := range engines {
			r := engine(t, e)
			(&refiller{tank: tank}).install(t, r)
			var seen [2]string
			var mods [2]api.Module
			for i, wasm := range [][]byte{full, hollow} {
				c, err := r.CompileModule(ctx, wasm)
				if err != nil {
					t.Fatal(name, err)
				}
				seen[i], mods[i] = outside(c), anonymous(t, r, wasm)
			}
			if seen[0] != seen[1] || seen[0] == "" {
				t.Errorf("%s has\n%s\nhollow\n%s", name, seen[0], seen[1])
			}
			if memory := mods[0].Memory(); memory != nil {
				want, _ := memory.Read(0, memory.Size())
				if got, ok := mods[1].Memory().Read(0, memory.Size()); !ok || !bytes.Equal(got, want) {
					t.Errorf("%s: the hollow module begins with another memory", name)
				}
			}
			for _, g := range []string{FuelExport, DepthExport} {
				if got, want := mods[1].ExportedGlobal(g).Get(), mods[0].ExportedGlobal(g).Get(); got != want {
					t.Errorf("%s: %s begins at %d, hollow at %d", name, g, want, got)
				}
			}
			spend(t, mods[0], "run", 1)
			if _, err := mods[1].ExportedFunction("run").Call(ctx, 1); err == nil || !strings.Contains(err.Error(), "unreachable") {
				t.Errorf("%s: a hollow function gives %v", name, err)
			}
		}
	}
}

// Ensure that modules that differ in a body alone have hollow modules of different bytes: native code is filed by them.
func TestHollow_Differs(t *testing.T) {
	of := func(value byte) []byte {
		hollow, err := Hollow(metered(t, one(ft("", "i"), fn(opI32Const, value)), MeterOptions{Refill: true}))
		if err != nil {
			t.Fatal(err)
		}
		return hollow
	}
	if bytes.Equal(of(1), of(2)) || !bytes.Equal(of(1), of(1)) {
		t.Error("the hollow modules of two guests are the same, or those of one are not")
	}
}

// Ensure that what is no module is refused, wherever it breaks off.
func TestHollow_Broken(t *testing.T) {
	full := metered(t, guest(t, "fib"), MeterOptions{Refill: true})
	ends := map[int]bool{8: true} // where a section ends the rest is a module
	for pos := 8; pos < len(full); {
		r := &reader{b: full, pos: pos + 1}
		pos = int(r.u32("")) + r.pos
		ends[pos] = true
	}
	for n := range full {
		if _, err := Hollow(full[:n]); (err == nil) != ends[n] {
			t.Errorf("%d bytes of %d: %v", n, len(full), err)
		}
	}
	if _, err := Hollow(module(raw(secCode, 3, 0x80, 0x80, 0x40))); err == nil {
		t.Error("a million bodies in three bytes")
	}
}
