package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forge/host/plugin/wasmbin"
	w "forge/host/plugin/wasmtest"
)

// always is a sampler that picks one id.
func always(id int64) Spec {
	g := w.Guest{Kind: "sampler", Manifest: "[[entries]]\nname = \"it\"\n",
		Funcs: []w.Func{{Name: "sampler_it", Code: w.OK(w.Store32(20, 48, id))}}} // abi/v1.toml: rows.rows, row.selected
	return Spec{Name: "always", Kind: "sampler", Wasm: g.Build()}
}

func pickOf(t *testing.T, r *Runtime, s Spec) int32 {
	t.Helper()
	m, err := r.Load(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	id, err := newChain(t, r, 10, ChainEntry{m, "it"}).Sample(ctx, &Row{Logits: logits(10)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Ensure that guests from the cache do what they were written to do, though they are loaded by modules without bodies: two
// that differ in a body alone, and one whose native code was lost or is another's.
func TestCacheBodies(t *testing.T) {
	dir := t.TempDir()
	wrong := func(_, line string) { t.Error(line) }
	for range 3 {
		r := newRuntime(t, RuntimeOptions{CacheDir: dir, Log: wrong})
		for id := range int32(3) {
			if got := pickOf(t, r, always(int64(id))); got != id {
				t.Fatalf("the guest that picks %d picks %d", id, got)
			}
		}
		files := cacheFiles(t, dir)
		if len(files) != 6 {
			t.Fatalf("the cache of three guests holds %q", files)
		}
		for _, f := range files {
			if !strings.Contains(f, "guest-") {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Ensure that nothing is compiled of what is only looked for. A release of wazero that does otherwise would have guests
// run without bodies; then fileNative has to refuse, and guests are compiled as they are.
func TestCacheOnly(t *testing.T) {
	dir := t.TempDir()
	r := newRuntime(t, RuntimeOptions{CacheDir: dir, Log: func(_, line string) { t.Error(line) }})
	s := always(3)
	info, err := wasmbin.Check(s.Wasm, wasmbin.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	metered, err := wasmbin.Meter(s.Wasm, info, wasmbin.MeterOptions{Refill: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fromCache(ctx, r.wazero, metered); err == nil {
		t.Error("an empty cache had native code")
	}
	if files := cacheFiles(t, dir); len(files) > 0 {
		t.Errorf("the cache holds %q", files)
	}
	if _, err := r.wazero.CompileModule(ctx, metered); err != nil {
		t.Fatal(err)
	}
	if _, err := fromCache(ctx, r.wazero, metered); err != nil {
		t.Errorf("what was compiled: %v", err)
	}
}

// Ensure that a guest runs where nothing can be kept: neither its manifest nor its native code.
func TestCacheFull(t *testing.T) {
	s := always(4)
	for _, place := range []func(r *Runtime) string{
		func(r *Runtime) string { return r.keptFile(Digest(s.Wasm)) },
		func(r *Runtime) string { // of the native code, which another cache tells
			other := newRuntime(t, RuntimeOptions{CacheDir: t.TempDir()})
			pickOf(t, other, s)
			for _, f := range cacheFiles(t, other.dir) {
				if !strings.Contains(f, "guest-") {
					return r.dir + strings.TrimPrefix(f, other.dir)
				}
			}
			return ""
		},
	} {
		var lines []string
		r := newRuntime(t, RuntimeOptions{CacheDir: t.TempDir(), Log: func(_, line string) { lines = append(lines, line) }})
		// A folder in the place of the file.
		if err := os.MkdirAll(filepath.Join(place(r), "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if got := pickOf(t, r, s); got != 4 || len(lines) != 1 || !strings.HasPrefix(lines[0], "plugin cache: ") {
			t.Errorf("it picks %d, and the log has %q", got, lines)
		}
	}
}

// Ensure that a guest from the cache has the manifest that it was written with, the types of its values included.
func TestCacheManifest(t *testing.T) {
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join("testdata", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(shipped, "sampler", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, file := range append(files, more...) {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		man, err := ReadManifest(wasm)
		if err != nil {
			continue // one of the hostile
		}
		spec := Spec{Name: "x", Kind: man.Kind, Wasm: wasm, Grants: []string{"history", "vocab", "log"}}
		if _, err := newRuntime(t, RuntimeOptions{CacheDir: dir}).Load(ctx, spec); err != nil {
			continue
		}
		r := newRuntime(t, RuntimeOptions{CacheDir: dir})
		m, err := r.Load(ctx, spec)
		if err != nil {
			t.Fatal(file, err)
		}
		if r.readKept(m.Digest()) == nil {
			t.Fatalf("%s: nothing was kept", file)
		}
		if got, want := describe(m.Manifest()), describe(man); got != want {
			t.Errorf("%s: from the cache\n%s\nas written\n%s", file, got, want)
		}
		loaded++
	}
	if loaded < 5 {
		t.Fatalf("%d guests were loaded", loaded)
	}
}

// describe writes a manifest with the types of its defaults and the numbers of its neutral values, which are converted
// when they are used.
func describe(m *Manifest) string {
	s := fmt.Sprintf("%q %q %q %q %q %#v %#v\n", m.Name, m.Version, m.Kind, m.ABI, m.State, m.Provides, m.Grants)
	for _, k := range m.Config {
		s += fmt.Sprintf("%q %q %T %v %s %q\n", k.Name, k.Type, k.Default, k.Default, k.Range(), k.Doc)
	}
	for _, e := range m.Entries {
		s += fmt.Sprintf("%q %#v %v\n", e.Name, e.Config, e.Neutral)
	}
	return s
}
