package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"forge/host/plugin/wasmbin"
)

// The cache on disk. Native code lies there in files of wazero's, under the digest of the bytes that it was asked to
// compile. To validate these at each start takes wazero longer than all the rest of a start, so native code is made of
// a metered module once, and filed under its hollow module (wasmbin.Hollow), which is the same but for bodies that take
// no time: later starts ask for the hollow one. Nothing but the cache may answer that, or the guest would be an empty
// one: see fromCache.
//
// Beside it lie the hollow modules and the manifests, by the digest of the guest that they were made from: to check and
// meter a large guest, or to read TOML, takes longer than to read what came of it. The folder is the user's own, what is
// read there is as trusted as the native code. A checksum finds files that were damaged.
//
// A file is the checksum of what follows (4 bytes, little-endian), the manifest's length (4), the manifest as JSON, and the
// hollow module.

// kept is what an earlier run left of a guest that it found valid.
type kept struct {
	manifest *Manifest
	hollow   []byte
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
	k := &kept{manifest: new(Manifest), hollow: rest[n:]}
	if json.Unmarshal(rest[:n], k.manifest) != nil {
		return nil
	}
	k.manifest.wholeNumbers()
	return k
}

// writeKept keeps the manifest and the hollow module of a guest that passed every check. Runs that write at once write
// the same.
func (r *Runtime) writeKept(digest string, k *kept) error {
	manifest, err := json.Marshal(k.manifest)
	if err != nil {
		return nil // a bound that is infinite: such a guest is checked each time
	}
	head := make([]byte, keptHead, keptHead+len(manifest))
	putU32(head[4:], uint32(len(manifest)))
	head = append(head, manifest...)
	putU32(head, crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, k.hollow))
	return writeWhole(r.keptFile(digest), head, k.hollow)
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

func (r *Runtime) keptFile(digest string) string { return filepath.Join(r.dir, "guest-"+digest) }

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

// openKept gives what an earlier run left of a guest, with its native code, or nothing if one of the two is missing or
// damaged: then it is made anew.
func (r *Runtime) openKept(ctx context.Context, digest string) (*kept, wazero.CompiledModule) {
	k := r.readKept(digest)
	if k == nil {
		return nil, nil
	}
	code, err := fromCache(ctx, r.wazero, k.hollow)
	if err != nil {
		return nil, nil
	}
	return k, code
}

// fromCache gives the native code that the cache has for a module, and never makes any: wazero looks into its cache
// before it looks whether the caller still wants the module compiled, and no caller does. (One worker would not look.)
func fromCache(ctx context.Context, rt wazero.Runtime, hollow []byte) (wazero.CompiledModule, error) {
	ctx, cancel := context.WithCancel(experimental.WithCompilationWorkers(ctx, 2))
	cancel()
	return rt.CompileModule(ctx, hollow)
}

// keep makes a metered module's native code, files it under the hollow module, and gives what openKept will give.
func (r *Runtime) keep(ctx context.Context, digest string, manifest *Manifest, metered []byte) (wazero.CompiledModule, error) {
	hollow, err := wasmbin.Hollow(metered)
	if err != nil {
		return nil, err
	}
	code, err := fromCache(ctx, r.wazero, hollow)
	if err != nil {
		if err := r.fileNative(ctx, metered, hollow); err != nil {
			return nil, err
		}
		if code, err = fromCache(ctx, r.wazero, hollow); err != nil {
			return nil, err
		}
	}
	if err := r.writeKept(digest, &kept{manifest, hollow}); err != nil {
		r.opt.logf("plugin cache: %v", err)
	}
	return code, nil
}

// errCompiles is for a machine that wazero makes no native code for, and for a release that does not stop when it is told to.
var errCompiles = errors.New("wazero compiles what it was only to look for")

// fileNative has the cache give the native code of a metered module to whoever asks for the hollow one. A cache apart tells
// the file that wazero looks for, and makes the one to put there.
func (r *Runtime) fileNative(ctx context.Context, metered, hollow []byte) error {
	dir, err := os.MkdirTemp(r.dir, "new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return err
	}
	defer cache.Close(ctx)
	rt := wazero.NewRuntimeWithConfig(ctx, r.config.WithCompilationCache(cache))
	defer rt.Close(ctx)
	if _, err := fromCache(ctx, rt, hollow); err == nil {
		return errCompiles
	}
	place, err := makeNative(ctx, rt, dir, hollow)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, place)); err != nil {
		return err
	}
	made, err := makeNative(ctx, rt, dir, metered)
	if err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, made), filepath.Join(r.dir, place))
}

// makeNative compiles a module with an empty cache in dir, and tells which file below it that made.
func makeNative(ctx context.Context, rt wazero.Runtime, dir string, wasm []byte) (file string, err error) {
	if _, err := rt.CompileModule(ctx, wasm); err != nil {
		return "", err
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		file, err = filepath.Rel(dir, path)
		return err
	})
	if err == nil && files != 1 {
		err = fmt.Errorf("wazero made %d files of one module", files)
	}
	return file, err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
