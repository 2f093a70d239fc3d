package plugin

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"forge/host/plugin/hostile"
	w "forge/host/plugin/wasmtest"
)

// goExample builds the example's Go guest.
func goExample(t *testing.T) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles a Go guest")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	file := filepath.Join(t.TempDir(), "guest.wasm")
	const folder = "../../examples/sampler-go"
	if out, err := exec.Command("sh", "../../plugins/sdk/go/build.sh", folder, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(folder, "manifest.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if wasm, err = Stamp(wasm, manifest); err != nil {
		t.Fatal(err)
	}
	return wasm
}

// Ensure that a guest in standard Go loads with the grant wasi and not without, narrows tables as its source says, and
// uses the same fuel on both engines.
func TestGoGuest(t *testing.T) {
	wasm := goExample(t)
	_, err := newRuntime(t, RuntimeOptions{}).Load(ctx, Spec{Name: "margin", Kind: "sampler", Wasm: wasm})
	wantError(t, err, `plugin margin: it asks for wasi: add it to grants (grants = ["wasi"]) if you agree`)
	var fuel []int64
	engines(t, func(t *testing.T, r *Runtime) {
		if r.opt.Interpreter && os.Getenv("FORGE_TEST_ALL") == "" {
			t.Skip("a Go guest takes seconds here")
		}
		m, err := r.Load(ctx, Spec{Name: "margin", Kind: "sampler", Wasm: wasm, Grants: []string{"wasi"}, Limits: Limits{Fuel: 10}})
		if err != nil {
			t.Fatal(err)
		}
		pair := load(t, r, "pair", "sampler", nil)
		const n = 1009
		l := logits(n)
		c := newChain(t, r, n, ChainEntry{m, "margin"}, ChainEntry{pair, "draw"})
		var left []int32 // the candidates within the margin, in the order of their ids
		for i, x := range l {
			if x >= l[highest(l)[0]]-0.02 {
				left = append(left, int32(i))
			}
		}
		p, err := c.Params(map[string]any{"margin": 0.02})
		if err != nil {
			t.Fatal(err)
		}
		draw := uint64(0)
		for i := range 40 {
			id, err := c.Sample(ctx, &Row{Logits: l, Draw: &draw, Params: p})
			if err != nil || !slices.Contains(left, id) {
				t.Fatalf("draw %d: %d is none of %v; %v", i, id, left, err)
			}
		}
		fuel = append(fuel, m.Stats().Fuel)
	})
	if len(fuel) == 2 && fuel[0] != fuel[1] {
		t.Errorf("%d units on the compiler, %d on the interpreter", fuel[0], fuel[1])
	}
}

// TestWASI calls every function of the shim, rightly and wrongly.
func TestWASI(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		run := func(code ...[]byte) (*instance, error) {
			t.Helper()
			m, err := r.Load(ctx, Spec{Name: "wasi", Kind: "sampler", Wasm: hostile.WASIGuest(code...), Grants: []string{"wasi"}})
			if err != nil {
				t.Fatal(err)
			}
			c := newChain(t, r, 10, ChainEntry{m, hostile.Entry})
			in := c.units[0].main
			_, err = in.invoke(ctx, in.fns[0], in.base, 1_000_000)
			return in, err
		}
		put := func(at, v int64) []byte { return w.Cat(w.I32(at), w.I32(v), w.Raw(w.OpI32Store, 2, 0)) }
		const far = 1 << 30
		for _, k := range []struct {
			name string
			args []int64
			want uint32
		}{
			{"args_get", []int64{0, 0}, wasiOK},
			{"environ_get", []int64{0, 0}, wasiOK},
			{"args_sizes_get", []int64{2048, 2052}, wasiOK},
			{"args_sizes_get", []int64{2048, far}, wasiFault},
			{"environ_sizes_get", []int64{-1, 2052}, wasiFault},
			{"clock_time_get", []int64{0, 1, far}, wasiFault},
			{"random_get", []int64{2048, 65537}, wasiInval},
			{"random_get", []int64{far, 5}, wasiFault},
			{"random_get", []int64{-3, 8}, wasiFault},
			{"fd_write", []int64{3, 2048, 1, 2040}, wasiBadf},
			{"fd_write", []int64{1, 2048, 1025, 2040}, wasiInval},
			{"fd_write", []int64{1, -8, 1024, 2040}, wasiFault},
			{"fd_write", []int64{1, 2048, 2, far}, wasiFault},
			{"poll_oneoff", []int64{2048, 4096, 0, 2040}, wasiInval},
			{"poll_oneoff", []int64{2048, 4096, 65, 2040}, wasiInval},
			{"poll_oneoff", []int64{far, 4096, 1, 2040}, wasiFault},
			{"poll_oneoff", []int64{2048, far, 1, 2040}, wasiFault},
			{"sched_yield", nil, wasiOK},
		} {
			in, err := run(put(1024, 77), hostile.WASICall(1024, k.name, k.args...))
			if err != nil {
				t.Fatalf("%s%v: %v", k.name, k.args, err)
			}
			if got := getU32(in.mem.buf[1024:]); got != k.want {
				t.Errorf("%s%v gives %d, want %d", k.name, k.args, got, k.want)
			}
		}

		in, err := run(
			hostile.WASICall(1024, "clock_time_get", 0, 1, 2048), hostile.WASICall(1024, "clock_time_get", 1, 1, 2056),
			hostile.WASICall(1024, "random_get", 2064, 20), hostile.WASICall(1024, "random_get", 2084, 20),
			put(4096, 1), put(4100, 10), put(4104, 1), put(4108, 32), hostile.WASICall(1024, "fd_write", 2, 4096, 2, 2104),
			put(4112, 0x55), put(4120, 1), hostile.WASICall(1024, "poll_oneoff", 4112, 8192, 1, 2108),
			hostile.WASICall(1024, "clock_time_get", 1, 1, 2112))
		if err != nil {
			t.Fatal(err)
		}
		m := in.mem.buf
		if a, b, c := getU32(m[2048:]), getU32(m[2056:]), getU32(m[2112:]); a != 1000 || b != 2000 || c != 3000+sleepStep {
			t.Errorf("the clock says %d, %d, %d", a, b, c)
		}
		// Of splitmix64 from 0 the first word is known from its authors' program.
		if first := uint64(getU32(m[2064:])) | uint64(getU32(m[2068:]))<<32; first != 0xe220a8397b1dcdaf || !bytes.Equal(m[2064:2084], m[2084:2104]) {
			t.Errorf("random bytes % x, then % x", m[2064:2084], m[2084:2104])
		}
		if getU32(m[2104:]) != 42 || getU32(m[2108:]) != 1 || getU32(m[8192:]) != 0x55 || m[8192+10] != 1 {
			t.Errorf("wrote %d, %d events, user data %#x, kind %d", getU32(m[2104:]), getU32(m[2108:]), getU32(m[8192:]), m[8202])
		}
		_, err = run(w.I32(3), w.Call(7))
		wantError(t, err, "plugin wasi: sampler_harm ended itself with the exit code 3 (fuel used: ...")
	})
}
