package host

import (
	"context"
	"slices"
	"strings"
	"sync"

	"forge/abi"
	"forge/host/plugin"
)

// moduleSet loads plugins of a set when they are first needed: what a model does not use is not compiled.
type moduleSet struct {
	rt  *plugin.Runtime
	cfg *plugin.Config

	mu      sync.Mutex
	modules map[int]*load // by index into cfg.Plugins
}

type load struct {
	once   sync.Once
	module *plugin.Module
	err    error
}

func newModuleSet(rt *plugin.Runtime, cfg *plugin.Config) *moduleSet {
	return &moduleSet{rt: rt, cfg: cfg, modules: map[int]*load{}}
}

// load gives the i-th plugin, compiled once.
func (s *moduleSet) load(ctx context.Context, i int) (*plugin.Module, error) {
	s.mu.Lock()
	l := s.modules[i]
	if l == nil {
		l = &load{}
		s.modules[i] = l
	}
	s.mu.Unlock()
	l.once.Do(func() { l.module, l.err = s.rt.Load(ctx, s.cfg.Plugins[i]) })
	return l.module, l.err
}

// serving finds the first plugin of a kind that provides something, and what plugins of that kind provide altogether.
func (s *moduleSet) serving(ctx context.Context, kind, what string) (*plugin.Module, []string, error) {
	var known []string
	for i, spec := range s.cfg.Plugins {
		if spec.Kind != kind {
			continue
		}
		m, err := plugin.ReadManifest(spec.Wasm)
		if err != nil {
			return nil, nil, spec.Errorf("%w", err)
		}
		if slices.Contains(m.Provides, what) {
			module, err := s.load(ctx, i)
			return module, nil, err
		}
		for _, p := range m.Provides {
			if !strings.Contains(p, ":") {
				known = append(known, p)
			}
		}
	}
	return nil, known, nil
}

// first finds the first plugin of a kind.
func (s *moduleSet) first(ctx context.Context, kind string) (*plugin.Module, error) {
	for i, spec := range s.cfg.Plugins {
		if spec.Kind == kind {
			return s.load(ctx, i)
		}
	}
	return nil, nil
}

// entry finds the first plugin that has a sampler or processor of this name.
func (s *moduleSet) entry(ctx context.Context, name string) (*plugin.Module, []string, error) {
	var known []string
	for i, spec := range s.cfg.Plugins {
		if spec.Kind != abi.KindSampler && spec.Kind != abi.KindProcessor {
			continue
		}
		m, err := plugin.ReadManifest(spec.Wasm)
		if err != nil {
			return nil, nil, spec.Errorf("%w", err)
		}
		for _, e := range m.Entries {
			if e.Name == name {
				module, err := s.load(ctx, i)
				return module, nil, err
			}
			known = append(known, e.Name)
		}
	}
	return nil, known, nil
}

// loaded lists the modules in use, in the set's order.
func (s *moduleSet) loaded() []*plugin.Module {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*plugin.Module
	for i := range s.cfg.Plugins {
		if l := s.modules[i]; l != nil && l.module != nil {
			out = append(out, l.module)
		}
	}
	return out
}
