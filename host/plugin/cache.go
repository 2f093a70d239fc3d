package plugin

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// The cache is a folder that nobody else may read or write, since what lies there is trusted: native code, kept by wazero
// under the hash of the metered module and its own version, and for each digest the metered module itself with what the
// check found out. The folder's name has wasmbin.RewriteVersion, so that what another check or meter made is not found.

// privateDir makes dir, or takes it as it is if nobody else may write or read there.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder; remove it", dir)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("%s holds native code and others may write to it (mode %v): %w", dir, info.Mode().Perm(), err)
		}
	}
	return nil
}

func (r *Runtime) cacheFile(c *compiled) string { return filepath.Join(r.dir, "guest-"+c.digest) }

// cached reads the metered module of a digest, if the cache has it and it is whole.
//
//	u32 checksum of what follows | u32 n | n bytes of JSON, the facts | the metered module
func (r *Runtime) cached(c *compiled) ([]byte, bool) {
	if r.dir == "" {
		return nil, false
	}
	b, err := os.ReadFile(r.cacheFile(c))
	if err != nil || len(b) < 8 || crc32.Checksum(b[4:], castagnoli) != getU32(b) {
		return nil, false
	}
	n := uint64(getU32(b[4:]))
	if b = b[8:]; n > uint64(len(b)) || json.Unmarshal(b[:n], &c.facts) != nil {
		return nil, false
	}
	return b[n:], true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// store keeps a metered module for cached. A cache that cannot be written to costs time and nothing else.
func (r *Runtime) store(c *compiled, metered []byte) {
	if r.dir == "" {
		return
	}
	text, err := json.Marshal(&c.facts)
	if err == nil {
		b := binary.LittleEndian.AppendUint32(make([]byte, 4), uint32(len(text)))
		b = append(append(b, text...), metered...)
		putU32(b, crc32.Checksum(b[4:], castagnoli))
		err = writeWhole(r.cacheFile(c), b)
	}
	if err != nil {
		r.opt.logf("plugin cache: %v", err)
	}
}

// writeWhole writes a file under another name first, so that nobody reads half of it.
func writeWhole(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), "new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// emptyCache is for a cache whose files were damaged.
func (r *Runtime) emptyCache(cause error) {
	r.opt.logf("plugin cache %s is emptied: %s", r.dir, firstLine(cause))
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path)
	})
	if err != nil {
		r.opt.logf("plugin cache: %v", err)
	}
}
