package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
)

// The cache on disk. wazero keeps the native code of guests there by the bytes that it compiled. Beside it lie these bytes,
// the metered modules, and the manifests, by the digest of the guest that they were made from: to check and meter a large
// guest, or to read TOML, takes longer than to read what came of it. The folder is the user's own, what is read there is as
// trusted as the native code. A checksum finds files that were damaged.
//
// A file is the checksum of what follows (4 bytes, little-endian), the manifest's length (4), the manifest as JSON, and the
// metered module.

// kept is what an earlier run left of a guest that it found valid.
type kept struct {
	manifest *Manifest
	metered  []byte
}

const keptHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readKept gives what an earlier run left of a guest, or nil. A damaged file is as none: it is made anew.
func (r *Runtime) readKept(digest string) *kept {
	if r.dir == "" {
		return nil
	}
	b, err := os.ReadFile(r.keptFile(digest))
	if err != nil || len(b) < keptHead || getU32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil
	}
	n, rest := getU32(b[4:]), b[keptHead:]
	if uint64(n) > uint64(len(rest)) {
		return nil
	}
	k := &kept{manifest: new(Manifest), metered: rest[n:]}
	if json.Unmarshal(rest[:n], k.manifest) != nil {
		return nil
	}
	k.manifest.wholeNumbers()
	return k
}

// writeKept keeps the metered module of a guest that passed every check. Runs that write at once write the same.
func (r *Runtime) writeKept(digest string, k *kept) {
	if r.dir == "" {
		return
	}
	manifest, err := json.Marshal(k.manifest)
	if err != nil {
		return // a bound that is infinite: such a guest is checked each time
	}
	head := make([]byte, keptHead, keptHead+len(manifest))
	putU32(head[4:], uint32(len(manifest)))
	head = append(head, manifest...)
	putU32(head, crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, k.metered))
	if err := writeWhole(r.keptFile(digest), head, k.metered); err != nil {
		r.opt.logf("plugin cache: %v", err)
	}
}

// wholeNumbers gives the values of i32 keys the type that TOML gives them, where JSON knows floats alone.
func (m *Manifest) wholeNumbers() {
	for i := range m.Config {
		k := &m.Config[i]
		if k.Type != "i32" {
			continue
		}
		k.Default = wholeNumber(k.Default)
		for _, e := range m.Entries {
			if v, ok := e.Neutral[k.Name]; ok {
				e.Neutral[k.Name] = wholeNumber(v)
			}
		}
	}
}

func wholeNumber(v any) any {
	if x, ok := v.(float64); ok && x == math.Trunc(x) {
		return int64(x)
	}
	return v
}

func (r *Runtime) keptFile(digest string) string { return filepath.Join(r.dir, "metered-"+digest) }

// writeWhole writes a file under another name first, so that nobody finds half of it.
func writeWhole(path string, parts ...[]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Join(parts, nil))
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// validate lets wazero check the operand types of the bytes as they were written, which wasmbin does not. The interpreter
// does that without making native code.
func validate(ctx context.Context, wasm []byte) error {
	config := wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(coreFeatures).WithDebugInfoEnabled(false)
	rt := wazero.NewRuntimeWithConfig(ctx, config)
	defer rt.Close(ctx)
	if _, err := rt.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("it is not valid WebAssembly: %s", firstLine(err))
	}
	return nil
}

// recompile is for a cache whose files were damaged: it empties the cache and compiles once more.
func (r *Runtime) recompile(ctx context.Context, c *compiled, metered []byte, cause error) error {
	r.opt.logf("plugin cache %s is emptied: %s", r.dir, firstLine(cause))
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path)
	})
	if err != nil {
		return fmt.Errorf("%s; the cache cannot be emptied: %w", firstLine(cause), err)
	}
	c.code, err = r.wazero.CompileModule(ctx, metered)
	return err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
