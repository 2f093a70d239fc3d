package model

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"forge/gguf"
	"forge/host/plugin"
	"forge/host/plugin/hostile"
	"forge/kernels"
)

// tensorFile is a model file of one tensor.
func tensorFile(t *testing.T) *gguf.File {
	t.Helper()
	w := gguf.NewWriter()
	w.Set("general.architecture", "test")
	w.AddTensor(hostile.Tensor, gguf.F32, []uint64{hostile.TensorWidth, hostile.TensorRows}, make([]byte, 4*hostile.TensorWidth*hostile.TensorRows))
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var oneSentence = regexp.MustCompile(`^\S+\.gguf: [^\n\x1b]{10,400}[^\n\x1b.]$`)

// Ensure that programs which lie about shapes, offsets, counts and sizes are refused before a device sees them, in one
// sentence that names the file and says what is wrong, and cost the host no memory.
func TestHostilePrograms(t *testing.T) {
	ctx := context.Background()
	f := tensorFile(t)
	in, err := Input(f, 128, nil)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	for i, h := range hostile.Programs() {
		m, err := rt.Load(ctx, plugin.Spec{Name: "x", Kind: h.Kind, Wasm: h.Wasm})
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		rec, err := m.BuildProgram(ctx, in)
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Bind(f, rec)
		runtime.ReadMemStats(&after)
		if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 4<<20 {
			t.Errorf("%s: %d bytes for a program that is refused", h.Name, grown)
		}
		if i == 0 {
			if err == nil {
				_, err = kernels.Scalar{}.Compile(kernels.Whole(p), kernels.Options{MaxRows: 3, Threads: 1})
			}
			if err != nil {
				t.Errorf("%s: %v", h.Name, err)
			}
			continue
		}
		switch {
		case err == nil:
			t.Errorf("%s: is not refused", h.Name)
		case !oneSentence.MatchString(err.Error()):
			t.Errorf("%s: not one sentence: %q", h.Name, err)
		case !strings.Contains(err.Error(), h.Want):
			t.Errorf("%s: %q, want %q", h.Name, err, h.Want)
		default:
			t.Logf("%-50s %v", h.Name, strings.TrimPrefix(err.Error(), f.Name+": "))
		}
	}
}
