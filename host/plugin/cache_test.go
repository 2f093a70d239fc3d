package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

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
