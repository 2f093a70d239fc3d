package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
)

// The cache on disk. wazero keeps the native code of guests there by the bytes that it compiled. Beside it lie these bytes,
// the metered modules, by the digest of the guest that they were made from: to check and meter a large guest takes longer
// than to read what came of it. The folder is the user's own, what is read there is as trusted as the native code.

// readMetered gives the metered module of a guest that an earlier run found valid, or nothing.
func (r *Runtime) readMetered(digest string) []byte {
	if r.dir == "" {
		return nil
	}
	b, err := os.ReadFile(r.meteredFile(digest))
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	if sum := sha256.Sum256(b[sha256.Size:]); !bytes.Equal(sum[:], b[:sha256.Size]) {
		return nil // damaged: it is made anew
	}
	return b[sha256.Size:]
}

// writeMetered keeps the metered module of a guest that passed every check. Runs that write at once write the same.
func (r *Runtime) writeMetered(digest string, metered []byte) {
	if r.dir == "" {
		return
	}
	sum := sha256.Sum256(metered)
	if err := writeWhole(r.meteredFile(digest), sum[:], metered); err != nil {
		r.opt.logf("plugin cache: %v", err)
	}
}

func (r *Runtime) meteredFile(digest string) string { return filepath.Join(r.dir, "metered-"+digest) }

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
