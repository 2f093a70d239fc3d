package plugin

import (
	"fmt"
	"slices"
	"strings"

	"forge/abi"
	"forge/host/plugin/wasmbin"
)

func sameType(a, b wasmbin.FuncType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

// admit holds a compiled guest against what this plugin was declared and granted to be.
func (m *Module) admit() error {
	man := m.code.manifest
	if man.Kind != m.kind.Name {
		return fmt.Errorf("its manifest says %s, plugins.toml says %s: correct kind", man.Kind, m.kind.Name)
	}
	if limit := m.pages(); m.code.minPages > limit {
		return fmt.Errorf("it begins with %d pages of memory, its limit is %d: raise limits.pages", m.code.minPages, limit)
	}
	if err := m.checkMarkers(); err != nil {
		return err
	}
	var granted uint64
	for _, g := range m.spec.Grants {
		granted |= abi.Capabilities[g]
	}
	for _, g := range man.Grants {
		// logprobs gives a guest nothing to see or do: without it nobody asks what it would tell.
		if granted&abi.Capabilities[g] == 0 && abi.Capabilities[g] != abi.CapLogprobs {
			return fmt.Errorf("it asks for %s: add it to grants (grants = [%q]) if you agree", g, g)
		}
		m.caps |= granted & abi.Capabilities[g]
	}
	for _, i := range m.code.imports {
		if c := grantOf(i); m.caps&c == 0 {
			return fmt.Errorf("it imports %s.%s and its manifest does not ask for the grant %s", i.Module, i.Name, capabilityName(c))
		}
	}
	return m.checkExports()
}

// checkMarkers wants the marker export of the kind, and no other kind's.
func (m *Module) checkMarkers() error {
	t, ok := m.code.exports[m.kind.Marker]
	for name := range m.code.exports {
		for _, k := range abi.Kinds {
			if name == k.Marker && k.Name != m.kind.Name {
				return fmt.Errorf("it exports %s, the marker of a %s; a module is of one kind, and this one is declared a %s",
					name, k.Name, m.kind.Name)
			}
		}
	}
	if !ok {
		for name := range m.code.exports {
			if base := strings.TrimSuffix(m.kind.Marker, "1"); strings.HasPrefix(name, base) {
				return fmt.Errorf("it exports %s, this forge runs %s: get the plugin for ABI %d",
					name, m.kind.Marker, abi.Major)
			}
		}
		return fmt.Errorf("it lacks the export %s, which marks a %s", m.kind.Marker, m.kind.Name)
	}
	if len(t.Params)+len(t.Results) > 0 {
		return fmt.Errorf("its marker %s is %s; it has neither parameters nor results", m.kind.Marker, t)
	}
	return nil
}

var callType = wasmbin.FuncType{Params: []wasmbin.ValueType{wasmbin.I32}, Results: []wasmbin.ValueType{wasmbin.I32}}

// checkExports wants every required export of the kind, and the ABI's signature of every export it names.
func (m *Module) checkExports() error {
	for _, e := range abi.Exports {
		if !slices.Contains(e.Kinds, "*") && !slices.Contains(e.Kinds, m.kind.Name) {
			continue
		}
		names := []string{e.Name}
		if base, ok := strings.CutSuffix(e.Name, "*"); ok {
			names = names[:0]
			for _, entry := range m.code.manifest.Entries {
				names = append(names, base+entry.Name)
			}
			if extra := m.extraEntry(base, names); extra != "" {
				return fmt.Errorf("it exports %s, which the manifest's [[entries]] do not have", extra)
			}
		}
		for _, name := range names {
			t, ok := m.code.exports[name]
			if !ok && e.Required {
				return fmt.Errorf("it lacks the export %s", name)
			}
			if ok && !sameType(t, callType) {
				return fmt.Errorf("its export %s is %s; the ABI has %s", name, t, callType)
			}
		}
	}
	return nil
}

func (m *Module) extraEntry(base string, names []string) string {
	for name := range m.code.exports {
		if strings.HasPrefix(name, base) && !slices.Contains(names, name) {
			return name
		}
	}
	return ""
}

// configure checks the config values of plugins.toml and completes them with the manifest's defaults.
func (m *Module) configure() error {
	man := m.code.manifest
	m.slots = make([]value, len(man.Config))
	for name := range m.spec.Config {
		if man.configKey(name) < 0 {
			return fmt.Errorf("config key %s is none of its%s", name, suggest(name, man.configNames()))
		}
	}
	for i := range man.Config {
		k := &man.Config[i]
		v, given := m.spec.Config[k.Name]
		if !given {
			v = k.Default
		}
		var err error
		if m.slots[i], err = k.value(v); err != nil {
			return fmt.Errorf("config key %w", err)
		}
	}
	return nil
}
