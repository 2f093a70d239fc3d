package wasmbin

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A module by hand: the tests write bytes where they mean bytes and use these for lengths and counts.

func module(sections ...[]byte) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		b = append(b, s...)
	}
	return b
}

func sec(id byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(putU([]byte{id}, uint64(len(body))), body...)
}

// vec is a vector of items, each already encoded.
func vec(items ...[]byte) []byte {
	b := putU(nil, uint64(len(items)))
	for _, it := range items {
		b = append(b, it...)
	}
	return b
}

func raw(b ...byte) []byte { return b }

func str(s string) []byte { return append(putU(nil, uint64(len(s))), s...) }

func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func custom(name string, body ...byte) []byte { return sec(secCustom, str(name), body) }

// typ is a function type; ft("i", "") takes an i32: i I f F v are the five value types.
func ft(params, results string) []byte {
	list := func(s string) []byte {
		b := putU(nil, uint64(len(s)))
		for _, c := range s {
			b = append(b, map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b}[c])
		}
		return b
	}
	return cat(raw(0x60), list(params), list(results))
}

// fn is a body without locals; the end is added.
func fn(code ...byte) []byte { return fnLocals(raw(0), code...) }

func fnLocals(decl []byte, code ...byte) []byte {
	b := cat(decl, code, raw(opEnd))
	return append(putU(nil, uint64(len(b))), b...)
}

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
