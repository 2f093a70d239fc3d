// Package sdk_test compiles the SDKs and holds their accessors and generators to vectors.json.
package sdk_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

type vector struct {
	Struct string
	Bytes  string
	Values []struct {
		Name, Type, Value string
		At                int
	}
}

type random struct {
	Key            [2]uint32
	Counter, Words [4]uint32
}

func vectors(t *testing.T) ([]vector, []random) {
	t.Helper()
	b, err := os.ReadFile("../vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Random  []random `json:"philox4x32-10"`
		Vectors []vector
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 20 || len(file.Random) < 3 {
		t.Fatalf("vectors.json has %d records and %d draws", len(file.Vectors), len(file.Random))
	}
	return file.Vectors, file.Random
}

// path is a value's way from the record: where it lies, and whether it is a span's address or length.
type path struct {
	name  string // "head.size", "dims[2]"
	typ   string
	which string // "", "address" or "length" of a span
}

func (v *vector) paths() []path {
	var list []path
	for i, x := range v.Values {
		p := path{x.Name, x.Type, ""}
		if x.Type == "ptr" && i+1 < len(v.Values) && v.Values[i+1].Name == x.Name+"_len" && v.Values[i+1].At == x.At+4 {
			p.which = "address"
		}
		if n := len(list); n > 0 && list[n-1].which == "address" {
			p = path{list[n-1].name, "u32", "length"}
		}
		list = append(list, p)
	}
	return list
}

// want are the values as bits, those of 32 bits in the lower half.
func (v *vector) want(t *testing.T) []uint64 {
	t.Helper()
	var list []uint64
	for _, x := range v.Values {
		var bits uint64
		var err error
		switch x.Type {
		case "f32":
			var f float64
			f, err = strconv.ParseFloat(x.Value, 32)
			bits = uint64(math.Float32bits(float32(f)))
		case "f64":
			var f float64
			f, err = strconv.ParseFloat(x.Value, 64)
			bits = math.Float64bits(f)
		case "i32", "i64":
			var i int64
			i, err = strconv.ParseInt(x.Value, 10, 64)
			bits = uint64(i)
			if x.Type == "i32" {
				bits = uint64(uint32(i))
			}
		default:
			bits, err = strconv.ParseUint(x.Value, 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bits)
	}
	return list
}

// hold compares what a probe read with the vectors: the values of each record, then a line for each draw.
func hold(t *testing.T, got [][]uint64) {
	t.Helper()
	vs, rs := vectors(t)
	if len(got) != len(vs)+len(rs) {
		t.Fatalf("the probe read %d records and draws, not %d", len(got), len(vs)+len(rs))
	}
	for i := range vs {
		v, want := &vs[i], vs[i].want(t)
		if len(got[i]) != len(want) {
			t.Fatalf("%s: %d values, want %d", v.Struct, len(got[i]), len(want))
		}
		for k := range want {
			if got[i][k] != want[k] {
				t.Errorf("%s.%s reads %#x, want %#x", v.Struct, v.Values[k].Name, got[i][k], want[k])
			}
		}
	}
	for i, r := range rs {
		for k, w := range got[len(vs)+i] {
			if uint32(w) != r.Words[k] {
				t.Errorf("word %d of key %x, counter %x is %#x, want %#x", k, r.Key, r.Counter, w, r.Words[k])
			}
		}
	}
}

func data(t *testing.T, v *vector) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// list writes bytes or words as a literal's inside.
func list[T byte | uint32](v []T) string {
	var b strings.Builder
	for _, x := range v {
		fmt.Fprintf(&b, "%d,", x)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func join(name string, word func(string) string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		p, index, _ := strings.Cut(p, "[")
		parts[i] = word(p)
		if index != "" {
			parts[i] += "[" + index
		}
	}
	return strings.Join(parts, ".")
}

func pascal(s string) string {
	var b strings.Builder
	for _, w := range strings.Split(s, "_") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func run(t *testing.T, dir string, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%.3000s%.3000s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	return out
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exports calls probe_0, probe_1, ... of a module, each of which gives the address of its values.
func exports(t *testing.T, file string) [][]uint64 {
	t.Helper()
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	mod, err := rt.Instantiate(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	vs, rs := vectors(t)
	var got [][]uint64
	for i := range len(vs) + len(rs) {
		res, err := mod.ExportedFunction(fmt.Sprintf("probe_%d", i)).Call(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n := 4
		if i < len(vs) {
			n = len(vs[i].Values)
		}
		b, ok := mod.Memory().Read(uint32(res[0]), uint32(8*n))
		if !ok {
			t.Fatalf("probe_%d gives %#x", i, res[0])
		}
		values := make([]uint64, n)
		for k := range values {
			values[k] = binary.LittleEndian.Uint64(b[8*k:])
		}
		got = append(got, values)
	}
	return got
}

// lines reads what a probe printed: a line of numbers for each record or draw.
func lines(t *testing.T, out []byte) [][]uint64 {
	t.Helper()
	var got [][]uint64
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var values []uint64
		for _, f := range strings.Fields(line) {
			v, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		got = append(got, values)
	}
	return got
}

func TestC(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("clang-19 is not installed")
	}
	vs, rs := vectors(t)
	var b strings.Builder
	b.WriteString("#include \"guest.h\"\n#include \"random.h\"\nstatic uint64_t out[64];\n")
	for i := range vs {
		fmt.Fprintf(&b, "FORGE_EXPORT(probe_%d) uint64_t *probe_%d(void) {\n\t_Alignas(8) static const uint8_t data[] = {%s};\n\tconst forge_%s *r = (const void *)data;\n",
			i, i, list(data(t, &vs[i])), vs[i].Struct)
		for k, p := range vs[i].paths() {
			at := "r->" + p.name
			switch {
			case p.which == "length":
				at += "_len"
			case p.typ == "ptr":
				at = "(uint32_t)(uintptr_t)" + at
			case p.typ == "f32":
				at = "__builtin_bit_cast(uint32_t, " + at + ")"
			case p.typ == "f64":
				at = "__builtin_bit_cast(uint64_t, " + at + ")"
			case p.typ == "i32":
				at = "(uint32_t)" + at
			}
			fmt.Fprintf(&b, "\tout[%d] = %s;\n", k, at)
		}
		b.WriteString("\treturn out;\n}\n")
	}
	for i, r := range rs {
		fmt.Fprintf(&b, "FORGE_EXPORT(probe_%d) uint64_t *probe_%d(void) {\n\tuint32_t c[4] = {%s};\n\tforge_philox(%d, %d, c);\n\tfor (int i = 0; i < 4; i++) out[i] = c[i];\n\treturn out;\n}\n",
			len(vs)+i, len(vs)+i, list(r.Counter[:]), r.Key[0], r.Key[1])
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "probe.c"), b.String())
	run(t, dir, nil, clang, "--target=wasm32", "-mbulk-memory", "-O1", "-ffreestanding", "-Wall", "-Wextra", "-Werror", "-I"+abs(t, "../c"), "-c", "probe.c", "-o", "probe.o")
	run(t, dir, nil, "wasm-ld-19", "--no-entry", "probe.o", "-o", "probe.wasm")
	hold(t, exports(t, filepath.Join(dir, "probe.wasm")))
}

// The records hold 32-bit addresses on every target, so the crate runs here as it does in a guest, but for the arena.
func TestRust(t *testing.T) {
	rustc := "/usr/bin/rustc" // Debian's; another may stand first in the path
	if _, err := os.Stat(rustc); err != nil {
		if rustc, err = exec.LookPath("rustc"); err != nil {
			t.Skip("rustc is not installed")
		}
	}
	vs, rs := vectors(t)
	var b strings.Builder
	b.WriteString("use forge_guest::*;\n#[repr(align(8))]\nstruct A<const N: usize>([u8; N]);\nfn show(v: &[u64]) { for x in v { print!(\"{} \", x); } println!(); }\nfn main() {\n")
	for i := range vs {
		d := data(t, &vs[i])
		fmt.Fprintf(&b, "{ let data = A::<%d>([%s]); let r = unsafe { &*(data.0.as_ptr() as *const %s) }; show(&[", len(d), list(d), pascal(vs[i].Struct))
		for _, p := range vs[i].paths() {
			at := "r." + join(p.name, func(s string) string {
				if s == "type" {
					return "type_"
				}
				return s
			})
			switch {
			case p.which == "address":
				at += ".ptr.as_ptr() as usize"
			case p.which == "length":
				at += ".len"
			case p.typ == "ptr":
				at += ".as_ptr() as usize"
			case p.typ == "f32" || p.typ == "f64":
				at += ".to_bits()"
			case p.typ == "i32":
				at += " as u32"
			}
			b.WriteString(at + " as u64, ")
		}
		b.WriteString("]); }\n")
	}
	for _, r := range rs {
		fmt.Fprintf(&b, "show(&philox([%s], [%s]).map(|x| x as u64));\n", list(r.Key[:]), list(r.Counter[:]))
	}
	b.WriteString("}\n")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "probe.rs"), b.String())
	run(t, dir, nil, rustc, "--edition", "2021", "--crate-type", "rlib", "--crate-name", "forge_guest", "-Dwarnings", abs(t, "../rust/src/lib.rs"))
	run(t, dir, nil, rustc, "--edition", "2021", "--extern", "forge_guest=libforge_guest.rlib", "probe.rs")
	hold(t, lines(t, run(t, dir, nil, "./probe")))
}

func TestGo(t *testing.T) {
	vs, rs := vectors(t)
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"fmt\"\n\t\"math\"\n\t\"unsafe\"\n\n\tforge \"forge/plugins/sdk/go\"\n)\n\nvar _ = math.Pi\n\nfunc main() {\n")
	special := map[string]string{"bos": "BOS", "eos": "EOS", "eog": "EOG", "ids": "IDs", "id": "ID"}
	for i := range vs {
		d := data(t, &vs[i])
		name := pascal(vs[i].Struct)
		// A u64 first makes the bytes aligned.
		fmt.Fprintf(&b, "\t{\n\t\tdata := struct { _ uint64; b [%d]byte }{b: [%d]byte{%s}}\n\t\tr := (*forge.%s)(unsafe.Pointer(&data.b))\n\t\tfmt.Println(", len(d), len(d), list(d), name)
		for _, p := range vs[i].paths() {
			at := "r." + join(p.name, func(s string) string {
				var words []string
				for _, w := range strings.Split(s, "_") {
					if v, ok := special[w]; ok {
						words = append(words, v)
					} else {
						words = append(words, pascal(w))
					}
				}
				return strings.Join(words, "")
			})
			switch {
			case p.which == "address":
				at = "uint32(" + at + ".Ptr)"
			case p.which == "length":
				at += ".Len"
			case p.typ == "ptr":
				at = "uint32(" + at + ")"
			case p.typ == "f32":
				at = "math.Float32bits(" + at + ")"
			case p.typ == "f64":
				at = "math.Float64bits(" + at + ")"
			case p.typ == "i32":
				at = "uint32(" + at + ")"
			case p.typ == "i64":
				at = "uint64(" + at + ")"
			}
			b.WriteString(at + ", ")
		}
		b.WriteString(")\n\t}\n")
	}
	for _, r := range rs {
		fmt.Fprintf(&b, "\t{\n\t\tw := forge.Philox([2]uint32{%s}, [4]uint32{%s})\n\t\tfmt.Println(w[0], w[1], w[2], w[3])\n\t}\n", list(r.Key[:]), list(r.Counter[:]))
	}
	b.WriteString("}\n")
	dir := t.TempDir()
	source := write(t, filepath.Join(dir, "main.go"), b.String())
	// The overlay lets the probe stand in this module, where the SDK is, without a file in the tree.
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{abs(t, "probe/main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	file := filepath.Join(dir, "probe.wasm")
	env := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}
	run(t, ".", env, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", file, "./probe")
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter()) // it starts once and runs a moment
	defer rt.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	var out strings.Builder
	if _, err := rt.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithStdout(&out)); err != nil {
		t.Fatal(err)
	}
	hold(t, lines(t, []byte(out.String())))
}

func TestAssemblyScript(t *testing.T) {
	asc := assemblyScript(t)
	vs, rs := vectors(t)
	var b strings.Builder
	names := map[string]bool{}
	for i := range vs {
		names[pascal(vs[i].Struct)] = true
	}
	fmt.Fprintf(&b, "import * as abi from \"./abi\";\nimport { philox } from \"./guest\";\nconst out = memory.data(512, 8);\n")
	for i := range vs {
		name := pascal(vs[i].Struct)
		fmt.Fprintf(&b, "export function probe_%d(): usize {\n  const r = abi.%s.at(memory.data<u8>([%s], 8));\n", i, name, list(data(t, &vs[i])))
		for k, p := range vs[i].paths() {
			at := "r." + join(p.name, func(s string) string {
				s = pascal(s)
				return strings.ToLower(s[:1]) + s[1:]
			})
			at = strings.NewReplacer("[", "(", "]", ")").Replace(at)
			switch {
			case p.which == "length":
				at += "Len"
			case p.typ == "f32":
				at = "reinterpret<u32>(" + at + ")"
			case p.typ == "f64":
				at = "reinterpret<u64>(" + at + ")"
			case p.typ == "i32":
				at = "(<u64>" + at + " & 0xffffffff)"
			}
			fmt.Fprintf(&b, "  store<u64>(out, <u64>(%s), %d);\n", at, 8*k)
		}
		b.WriteString("  return out;\n}\n")
	}
	for i, r := range rs {
		// The companion gives the first word alone.
		fmt.Fprintf(&b, "export function probe_%d(): usize {\n  store<u64>(out, philox(%s, %s));\n", len(vs)+i, list(r.Key[:]), list(r.Counter[:]))
		for k := 1; k < 4; k++ {
			fmt.Fprintf(&b, "  store<u64>(out, %d, %d);\n", r.Words[k], 8*k)
		}
		b.WriteString("  return out;\n}\n")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "probe.ts"), b.String())
	for _, name := range []string{"abi.ts", "guest.ts"} {
		text, err := os.ReadFile(filepath.Join("../assemblyscript", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	run(t, dir, nil, asc, "probe.ts", "-O2", "--noAssert", "--runtime", "stub", "--use", "abort=", "-o", "probe.wasm")
	hold(t, exports(t, filepath.Join(dir, "probe.wasm")))
}

// assemblyScript gives the compiler: $ASC, or the one that npm fetches when everything is to be tested.
func assemblyScript(t *testing.T) string {
	t.Helper()
	if asc := os.Getenv("ASC"); asc != "" {
		return asc
	}
	npm, err := exec.LookPath("npm")
	if os.Getenv("FORGE_TEST_ALL") == "" || err != nil {
		t.Skip("asc comes from npm: set FORGE_TEST_ALL, or ASC to the compiler")
	}
	dir := t.TempDir()
	run(t, dir, nil, npm, "install", "--no-audit", "--no-fund", "--prefix", dir, "assemblyscript@0.28.20")
	return filepath.Join(dir, "node_modules", ".bin", "asc")
}
