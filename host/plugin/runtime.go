package plugin

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"forge/host/plugin/wasmbin"
)

// RuntimeOptions of NewRuntime; the zero value is a runtime with wazero's compiler, no disk cache and no log.
type RuntimeOptions struct {
	// CacheDir holds compiled guests between runs, in a folder of its own with mode 0700: what lies there is native code
	// that the next run executes. "" is no cache.
	CacheDir string
	// Interpreter runs guests in wazero's interpreter: much slower, same results.
	Interpreter bool
	// Log is given the lines of guests that were granted log, and what the runtime itself has to say of a plugin. It is
	// called from any goroutine.
	Log func(plugin, line string)
}

// Runtime runs guests. It is safe for concurrent use.
type Runtime struct {
	opt    RuntimeOptions
	wazero wazero.Runtime
	config wazero.RuntimeConfig
	cache  wazero.CompilationCache
	dir    string // of the cache, "" without one

	// wazero counts the references of a compiled module wrongly when two goroutines compile the same bytes, and closing
	// one of two such modules breaks the other: so one build a digest at a time, one result, closed at the end.
	mu       sync.Mutex
	builds   map[string]*build // by digest
	building sync.WaitGroup
	closed   bool

	onRefill func() // for tests, nil
}

// build is a guest's compilation: nothing until one succeeds.
type build struct {
	mu   sync.Mutex
	done *compiled
}

const (
	hostModule   = wasmbin.RefillModule
	coreFeatures = api.CoreFeaturesV2
	maxLogLine   = 4096
	maxLogLines  = 100               // of one call
	cacheRewrite = "forge-guests-%v" // wasmbin.RewriteVersion: what is compiled is the rewritten module
)

// NewRuntime makes a runtime. ctx counts only for this call.
func NewRuntime(ctx context.Context, opt RuntimeOptions) (*Runtime, error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("plugin: this machine is big-endian; guests' memory is little-endian and is shared without conversion")
	}
	r := &Runtime{opt: opt, builds: map[string]*build{}}
	config := wazero.NewRuntimeConfig()
	if opt.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	r.config = config.WithCoreFeatures(coreFeatures).WithDebugInfoEnabled(false)
	if opt.CacheDir != "" && !opt.Interpreter {
		r.dir = filepath.Join(opt.CacheDir, fmt.Sprintf(cacheRewrite, wasmbin.RewriteVersion))
		if err := privateDir(r.dir); err != nil {
			return nil, fmt.Errorf("plugin cache: %w", err)
		}
	}
	return r, r.open(ctx)
}

// open starts wazero, on the disk cache if there is one.
func (r *Runtime) open(ctx context.Context) error {
	config := r.config
	if r.dir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(r.dir)
		if err != nil {
			return fmt.Errorf("plugin cache: %w", err)
		}
		r.cache = cache
		config = config.WithCompilationCache(cache)
	}
	r.wazero = wazero.NewRuntimeWithConfig(ctx, config)
	_, err := r.wazero.NewHostModuleBuilder(hostModule).
		NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(r.hostLog), []api.ValueType{api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32}, nil).
		Export("log").
		NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(r.hostRefill), nil, nil).
		Export(wasmbin.RefillName).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("plugin: host functions: %w", err)
	}
	return r.addWASI(ctx)
}

// Close ends all guests. Nothing made from the runtime may be used after it.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	r.building.Wait()
	err := r.wazero.Close(ctx)
	if r.cache != nil {
		if e := r.cache.Close(ctx); err == nil {
			err = e
		}
	}
	return err
}

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

// hostLog is forge.log(level, ptr, len).
func (r *Runtime) hostLog(ctx context.Context, _ api.Module, stack []uint64) {
	in := caller(ctx)
	if in == nil || r.opt.Log == nil {
		return
	}
	if in.lines++; in.lines >= maxLogLines {
		if in.lines == maxLogLines {
			in.m.log("more log lines of this call are left out")
		}
		return
	}
	ptr, n := uint64(uint32(stack[1])), uint64(uint32(stack[2]))
	if ptr+n > uint64(len(in.mem.buf)) {
		in.m.log(fmt.Sprintf("log line at %d of %d bytes lies outside the plugin's memory", ptr, n))
		return
	}
	n = min(n, maxLogLine)
	in.charge(int64(16 * n))
	in.m.log(sentence(in.mem.buf[ptr:ptr+n], maxLogLine))
}

func (m *Module) log(line string) {
	if m.r.opt.Log != nil {
		m.r.opt.Log(m.spec.Name, line)
	}
}
