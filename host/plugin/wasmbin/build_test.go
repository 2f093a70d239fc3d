package wasmbin

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"forge/host/plugin/wasmtest"
)

// The builders of package wasmtest by short names: the tests write bytes where they mean bytes.
var (
	module     = wasmtest.Module
	sec        = wasmtest.Section
	vec        = wasmtest.Vec
	raw        = wasmtest.Raw
	str        = wasmtest.Name
	cat        = wasmtest.Cat
	custom     = wasmtest.Custom
	ft         = wasmtest.FuncType
	fnLocals   = wasmtest.Body
	uleb       = wasmtest.U
	i32c, i64c = wasmtest.I32, wasmtest.I64
	loopOf     = wasmtest.Loop
	repeat     = wasmtest.Repeat
)

// fn is a body without locals.
func fn(code ...byte) []byte { return fnLocals(raw(0), code...) }

// one is a module of one exported function "run" with the given type and body, a memory of one page, a table of one
// entry, a mutable i32 global and a constant one.
func one(t []byte, body []byte) []byte { return many([][]byte{t}, []byte{0}, body) }

// many has a function of type kinds[i] for every body; the last one is exported as "run".
func many(types [][]byte, kinds []byte, bodies ...[]byte) []byte {
	return module(
		sec(secType, vec(types...)),
		sec(secFunction, putU(nil, uint64(len(kinds))), kinds),
		sec(secTable, vec(raw(0x70, 0, 1))),
		sec(secMemory, vec(raw(0, 1))),
		sec(secGlobal, vec(raw(0x7f, 1, opI32Const, 7, opEnd), raw(0x7f, 0, opI32Const, 7, opEnd))),
		sec(secExport, vec(cat(str("run"), raw(0), putU(nil, uint64(len(kinds)-1))), cat(str("memory"), raw(2, 0)))),
		sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 1, 0))),
		sec(secCode, vec(bodies...)),
	)
}

var guestNames = []string{"topk", "softmax", "hash", "fib", "bulk", "dispatch"}

func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var goGuest struct {
	sync.Once
	wasm []byte
	err  error
}

// buildGoGuest compiles testdata/goguest, a reactor of standard Go, once per test process.
func buildGoGuest(t testing.TB) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles a Go guest")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	goGuest.Do(func() {
		dir, err := os.MkdirTemp("", "wasmbin")
		if err != nil {
			goGuest.err = err
			return
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "goguest.wasm")
		cmd := exec.Command(tool, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
		cmd.Dir = filepath.Join("testdata", "goguest")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Logf("%s", text)
			goGuest.err = err
			return
		}
		goGuest.wasm, goGuest.err = os.ReadFile(out)
	})
	if goGuest.err != nil {
		t.Fatal(goGuest.err)
	}
	return goGuest.wasm
}

// wasip1 grants the functions that a Go guest asks for.
func wasip1(l Limits) Limits {
	l.AllowImports = func(im Import) bool { return im.Module == "wasi_snapshot_preview1" }
	return l
}
