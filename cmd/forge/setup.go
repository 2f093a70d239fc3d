package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"forge/abi"
	"forge/gguf"
	"forge/host"
	"forge/host/chat"
	"forge/host/plugin"
	"forge/kernels"
	"forge/kernels/simd"
	"forge/plugins"
)

// pluginSet finds plugins.toml: --plugins, FORGE_PLUGINS, the user's configuration directory, or the shipped set; never
// the working directory. Modules named by --plugin come on top.
func pluginSet(c *cli.Context) (*plugin.Config, error) {
	path := c.String("plugins")
	if path == "" {
		if dir, err := os.UserConfigDir(); err == nil {
			user := filepath.Join(dir, "forge", "plugins.toml")
			if _, err := os.Stat(user); err == nil {
				path = user
			}
		}
	}
	name, data := "default.toml", plugins.Default()
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("the plugin set cannot be read: %w", err)
		}
		name = path
	}
	cfg, err := plugin.ParseConfig(name, data, pluginFiles(path))
	if err != nil {
		return nil, err
	}
	for _, file := range c.StringSlice("plugin") {
		if err := addPlugin(cfg, file); err != nil {
			return nil, err
		}
	}
	if name := c.String("router"); name != "" {
		cfg.Router = name
		if err := cfg.CheckRouter(); err != nil {
			return nil, fmt.Errorf("--router: %w", err)
		}
	}
	return cfg, nil
}

// pluginFiles opens what a plugins.toml at path names: shipped modules, and files relative to it.
func pluginFiles(path string) func(file string) ([]byte, error) {
	return func(file string) ([]byte, error) {
		if shipped, ok := strings.CutPrefix(file, "shipped:"); ok {
			if wasm, ok := plugins.Shipped()[shipped]; ok {
				return wasm, nil
			}
			return nil, fmt.Errorf("forge ships no plugin %q", shipped)
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		return os.ReadFile(file)
	}
}

// addPlugin adds a module for this run and prints its digest, so that the user can pin it.
func addPlugin(cfg *plugin.Config, file string) error {
	wasm, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--plugin: %w", err)
	}
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		return fmt.Errorf("--plugin %s: %w", file, err)
	}
	spec := plugin.Spec{Name: m.Name, Kind: m.Kind, File: file, Wasm: wasm, Grants: m.Grants}
	// In front, so that it serves before one of the set would.
	cfg.Plugins = append([]plugin.Spec{spec}, cfg.Plugins...)
	if m.Kind == abi.KindRouter {
		cfg.Router = m.Name // whoever names one wants to be routed by it
	}
	fmt.Fprintf(os.Stderr, "plugin %s (%s) from %s, sha256 %s\n", m.Name, m.Kind, file, plugin.Digest(wasm))
	return nil
}

// newRuntime makes the plugin runtime with the compilation cache of this user.
func newRuntime(c *cli.Context) (*plugin.Runtime, error) {
	opt := plugin.RuntimeOptions{CacheDir: pluginCache()}
	if c.Bool("verbose") {
		opt.Log = func(name, line string) { fmt.Fprintf(os.Stderr, "plugin %s: %s\n", name, line) }
	}
	return plugin.NewRuntime(c.Context, opt)
}

// pluginCache is the folder of compiled guests, "" where there is none to be had.
func pluginCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "forge", "wasm")
}

// device finds a device by what the user typed.
func device(name string) (kernels.Device, error) {
	switch name {
	case "", "auto", "simd":
		return simd.New(), nil
	case "scalar":
		return kernels.Scalar{}, nil
	case "null":
		return kernels.Null{}, nil
	}
	return nil, fmt.Errorf("there is no device %q: possible are auto, simd and scalar (forge devices)", name)
}

// cacheType reads a format of keys or values. F32 is what the scalar device has without being asked, and no other.
func cacheType(flag, name string, dev kernels.Device) (gguf.Type, error) {
	if name == "" {
		return 0, nil
	}
	t, ok := gguf.ParseType(name)
	if _, scalar := dev.(kernels.Scalar); !ok || t == gguf.F32 && !scalar {
		return 0, fmt.Errorf("--%s %q: possible are f16 and q8_0", flag, name)
	}
	return t, nil
}

// session is an open engine with what the commands need beside it.
type session struct {
	*host.Engine
	runtime  *plugin.Runtime
	renderer *chat.Renderer
	device   kernels.Device
	plugins  *plugin.Config
}

// open opens the engine that the flags describe.
func open(c *cli.Context, nSeq int) (*session, error) {
	path, err := requireModel(c)
	if err != nil {
		return nil, err
	}
	return openFile(c, path, c.String("device"), nSeq)
}

func openFile(c *cli.Context, path, deviceName string, nSeq int) (*session, error) {
	dev, err := device(deviceName)
	if err != nil {
		return nil, err
	}
	if c.Int("threads") < 0 || c.Int("threads") > 1024 {
		return nil, fmt.Errorf("-t %d: give a number of threads from 1 to 1024", c.Int("threads"))
	}
	keyType, err := cacheType("cache-type-k", c.String("cache-type-k"), dev)
	if err != nil {
		return nil, err
	}
	valueType, err := cacheType("cache-type-v", c.String("cache-type-v"), dev)
	if err != nil {
		return nil, err
	}
	threads := c.Int("threads")
	if threads == 0 {
		threads = simd.Threads()
	}
	threads = min(threads, runtime.GOMAXPROCS(0)) // Go runs no more at once: others would only wait for their turns
	given, err := givenTemplate(c)
	if err != nil {
		return nil, err
	}
	cfg, err := pluginSet(c)
	if err != nil {
		return nil, err
	}
	held, err := constraints(c)
	if err != nil {
		return nil, err
	}
	s, err := openWith(c, path, host.Options{
		Constraint: held, Constraints: c.StringSlice("constraint"),
		Device: dev, Plugins: cfg, NCtx: c.Int("ctx-size"), NBatch: c.Int("batch-size"), NSeq: nSeq,
		Threads: threads, Deterministic: c.Bool("deterministic"), NoMmap: c.Bool("no-mmap"), KeyType: keyType, ValueType: valueType,
		Template: func(f *gguf.File) string { return templateText(c, f, given) },
	})
	if err != nil {
		return nil, err
	}
	s.renderer = s.newRenderer(given)
	return s, nil
}

// openWith opens an engine with a runtime of its own, and a bar that says how far it is. It renders no dialogues.
func openWith(c *cli.Context, path string, opt host.Options) (*session, error) {
	rt, err := newRuntime(c)
	if err != nil {
		return nil, err
	}
	bar := newBar("loading")
	opt.Runtime, opt.OnProgress = rt, bar.set
	e, err := host.Open(c.Context, path, opt)
	bar.clear()
	if err != nil {
		rt.Close(context.WithoutCancel(c.Context))
		return nil, err
	}
	return &session{Engine: e, runtime: rt, device: opt.Device, plugins: opt.Plugins}, nil
}

func (s *session) close() {
	s.Engine.Close()
	s.runtime.Close(context.Background())
}

// readText reads a file, or standard input for "-".
func readText(name string) (string, error) {
	if name == "-" {
		return readAll(os.Stdin, "standard input")
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return string(b), err
}
