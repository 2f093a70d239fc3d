package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"forge/abi"
	"forge/host/plugin/wasmbin"
)

// Spec is one plugin to load: an entry of plugins.toml with its file's bytes.
type Spec struct {
	Name, Kind, File string
	Where            string // the file and line that ask for it, for messages: plugins.toml:12
	Line             int
	Wasm             []byte // must not change after Load
	SHA256           string // in hex; "" is not pinned
	Grants           []string
	Config           map[string]any // values over the manifest's defaults
	Limits           Limits
	OnError          string // "fail" or "skip" (samplers, processors, routers); "" is fail
}

// Limits of one plugin; zero takes the kind's.
type Limits struct {
	Pages   uint32 // of 65,536 bytes for each instance
	Fuel    int64  // times the kind's fuel
	Strikes int    // traps until it is quarantined, 3 if zero
}

const (
	defaultStrikes = 3
	maxFuelTimes   = 1 << 20
	maxPages       = 65535 // one below 4 GiB, so that no end of a part needs 33 bits
)

// Module is a guest that was checked and compiled. It is safe for concurrent use.
type Module struct {
	r     *Runtime
	spec  Spec
	kind  abi.Kind
	code  *compiled
	slots []value // config values at init, in the manifest's order
	caps  uint64  // granted and asked for

	strikes    atomic.Int64
	lastStrike atomic.Pointer[Error]

	calls, fuel, traps, nanos atomic.Int64
}

// compiled is what all modules of one digest share.
type compiled struct {
	digest   string
	code     wazero.CompiledModule
	manifest *Manifest
	imports  []wasmbin.Import
	exports  map[string]wasmbin.FuncType
	globals  []string // of guests whose state is an image: the exports of their mutable globals
	minPages uint32
}

// Stats are the sums of a module's calls since it was loaded.
type Stats struct {
	Calls       int64
	Fuel        int64 // units
	Traps       int64
	Nanoseconds int64 // a guess once there are many calls: one in sixteen is timed
}

// Name is the plugin's name in plugins.toml.
func (m *Module) Name() string { return m.spec.Name }

// Kind is the plugin's kind.
func (m *Module) Kind() string { return m.kind.Name }

// Digest is the SHA-256 of the module's bytes in hex.
func (m *Module) Digest() string { return m.code.digest }

// Manifest is what the guest says about itself. It must not be changed.
func (m *Module) Manifest() *Manifest { return m.code.manifest }

// Provides tells whether the manifest lists what: an architecture, a tokenizer model, "pre:NAME".
func (m *Module) Provides(what string) bool { return slices.Contains(m.code.manifest.Provides, what) }

// Stats gives the sums so far.
func (m *Module) Stats() Stats {
	return Stats{Calls: m.calls.Load(), Fuel: m.fuel.Load(), Traps: m.traps.Load(), Nanoseconds: m.nanos.Load()}
}

// Load checks a guest and compiles it; nothing of it runs. Its errors are one sentence that names the plugin, the place
// in plugins.toml if the spec has one, and what to change.
func (r *Runtime) Load(ctx context.Context, s Spec) (*Module, error) {
	m, err := r.load(ctx, s)
	if err != nil {
		return nil, s.wrap(err)
	}
	return m, nil
}

func (s *Spec) wrap(err error) error {
	if s.Where == "" {
		return fmt.Errorf("plugin %s: %w", s.Name, err)
	}
	return fmt.Errorf("%s: plugin %s: %w", s.Where, s.Name, err)
}

func (r *Runtime) load(ctx context.Context, s Spec) (*Module, error) {
	if s.Name == "" {
		return nil, fmt.Errorf("it has no name")
	}
	kind, ok := abi.KindByName(s.Kind)
	if !ok {
		return nil, fmt.Errorf("kind %q is none that forge has%s", s.Kind, suggest(s.Kind, kindNames()))
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s.Wasm)
	digest := hex.EncodeToString(sum[:])
	if s.SHA256 != "" && !strings.EqualFold(s.SHA256, digest) {
		return nil, digestError(s.SHA256, digest)
	}
	code, err := r.compile(ctx, s.Wasm, digest)
	if err != nil {
		return nil, err
	}
	m := &Module{r: r, spec: s, kind: kind, code: code}
	m.spec.Wasm = nil // compiled; a Spec's bytes may be a mapped file
	if err := m.admit(); err != nil {
		return nil, err
	}
	return m, m.configure()
}

func digestError(want, have string) error {
	if want == "" {
		return fmt.Errorf("sha256 is missing, the file has %s: put that there if you trust it", have)
	}
	return fmt.Errorf("sha256 is %s, the file has %s: put the latter there if you trust it", want, have)
}

func kindNames() []string {
	names := make([]string, len(abi.Kinds))
	for i, k := range abi.Kinds {
		names[i] = k.Name
	}
	return names
}

// check holds a spec's own values to their ranges.
func (s *Spec) check() error {
	for _, g := range s.Grants {
		if _, ok := abi.Capabilities[g]; !ok {
			return fmt.Errorf("grant %q is none that forge has%s", g, suggest(g, capabilityNames()))
		}
	}
	switch {
	case s.Limits.Pages > maxPages:
		return fmt.Errorf("limits.pages is %d; a guest can have %d", s.Limits.Pages, maxPages)
	case s.Limits.Fuel < 0 || s.Limits.Fuel > maxFuelTimes:
		return fmt.Errorf("limits.fuel is %d; it multiplies the kind's fuel and is 1 to %d", s.Limits.Fuel, maxFuelTimes)
	case s.Limits.Strikes < 0:
		return fmt.Errorf("limits.strikes is %d; it is 1 or more", s.Limits.Strikes)
	case s.OnError != "" && s.OnError != "fail" && s.OnError != "skip":
		return fmt.Errorf("on_error is %q; it is fail or skip%s", s.OnError, suggest(s.OnError, []string{"fail", "skip"}))
	case s.OnError == "skip" && entryPrefix(s.Kind) == "" && s.Kind != abi.KindRouter:
		return fmt.Errorf("on_error = \"skip\" is for samplers, processors and routers; without its %s nothing can go on", s.Kind)
	}
	return nil
}

// compile checks, meters and compiles a guest once for each digest, guests of different digests side by side. A failure
// is not kept.
func (r *Runtime) compile(ctx context.Context, wasm []byte, digest string) (*compiled, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, fmt.Errorf("the runtime is closed")
	}
	b := r.builds[digest]
	if b == nil {
		b = &build{}
		r.builds[digest] = b
	}
	r.building.Add(1)
	r.mu.Unlock()
	defer r.building.Done()

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		return b.done, nil
	}
	c := &compiled{digest: digest}
	if err := r.build(ctx, c, wasm); err != nil {
		return nil, err
	}
	b.done = c
	return c, nil
}

func (r *Runtime) build(ctx context.Context, c *compiled, wasm []byte) error {
	k, code := r.openKept(ctx, c.digest)
	info, err := wasmbin.Check(wasm, wasmbin.Limits{
		MaxModuleBytes: abi.MaxModuleBytes, MaxPages: maxPages, AllowImports: grantable, SkipBodies: k != nil,
	})
	if err != nil {
		return err
	}
	section, ok := info.Custom[abi.Section]
	if !ok {
		return fmt.Errorf("it has no custom section %s, which says what it is; build it with the SDK's manifest",
			abi.Section)
	}
	if k != nil {
		c.manifest = k.manifest
	} else if c.manifest, err = parseManifest(bytes.Clone(section)); err != nil {
		return err
	}
	if !info.HasMemory {
		return fmt.Errorf("it has no memory")
	}
	c.minPages = info.MemoryMin
	c.imports = info.Imports
	c.exports = map[string]wasmbin.FuncType{}
	for _, e := range info.Exports {
		if e.Kind == wasmbin.Func {
			c.exports[e.Name] = e.Type
		}
	}
	image := c.manifest.State == "image"
	if image {
		if c.globals, err = imageGlobals(info); err != nil {
			return err
		}
	}
	if code == nil {
		metered, err := wasmbin.Meter(wasm, info, wasmbin.MeterOptions{Refill: true, InitialFuel: startTank, Globals: image})
		if err != nil {
			return err
		}
		if err := validate(ctx, wasm); err != nil {
			return err
		}
		if code, err = r.compileNew(ctx, c, metered); err != nil {
			return fmt.Errorf("it does not compile: %s", firstLine(err))
		}
	}
	c.code = code
	return nil
}

// compileNew makes native code of a metered module that the cache does not have, and keeps it there if it can.
func (r *Runtime) compileNew(ctx context.Context, c *compiled, metered []byte) (wazero.CompiledModule, error) {
	if r.dir != "" {
		code, err := r.keep(ctx, c.digest, c.manifest, metered)
		if err == nil {
			return code, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, errCompiles) {
			r.opt.logf("plugin cache: %s", firstLine(err))
		}
	}
	return r.wazero.CompileModule(ctx, metered)
}

// imageGlobals names the mutable globals of a guest that is to be copied, or says what cannot be copied in it.
func imageGlobals(info *wasmbin.Module) ([]string, error) {
	if info.MutatesSegments {
		return nil, fmt.Errorf("its state is an image, and it drops segments or changes its table, which cannot be copied: " +
			"declare state explicit")
	}
	var names []string
	for i, t := range info.MutableGlobals {
		if t == wasmbin.V128 {
			return nil, fmt.Errorf("its state is an image, and it keeps a vector in a mutable global, which cannot be copied: " +
				"keep it in memory")
		}
		names = append(names, wasmbin.GlobalExport(i))
	}
	return names, nil
}

func (o *RuntimeOptions) logf(format string, args ...any) {
	if o.Log != nil {
		o.Log("", fmt.Sprintf(format, args...))
	}
}

func (m *Module) pages() uint32 {
	if m.spec.Limits.Pages > 0 {
		return m.spec.Limits.Pages
	}
	return m.kind.MaxPages
}

// budget is the fuel of a call over n elements of work.
func (m *Module) budget(n int) int64 {
	return (m.kind.Fuel.Base + m.kind.Fuel.Per*int64(n)) * max(1, m.spec.Limits.Fuel)
}

// initBudget is the fuel of forge_init, beginBudget that of forge_begin.
func (m *Module) initBudget() int64 { return m.settingsBudget(m.kind.Fuel.Init, m.slots) }

func (m *Module) beginBudget(params []value) int64 {
	return m.settingsBudget(m.kind.Fuel.Base, params)
}

func (m *Module) settingsBudget(base int64, params []value) int64 {
	return (base + m.kind.Fuel.Text*int64(textBytes(params))) * max(1, m.spec.Limits.Fuel)
}

func (m *Module) maxStrikes() int64 {
	if m.spec.Limits.Strikes > 0 {
		return int64(m.spec.Limits.Strikes)
	}
	return defaultStrikes
}
