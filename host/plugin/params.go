package plugin

import (
	"fmt"
	"maps"
	"slices"
)

const maxParamText = 4096 // bytes of all string settings of one module in a row of a chain

// Setting is a config key that some entry of a chain reads, with the default that plugins.toml or the manifest gives.
type Setting struct {
	ConfigKey
	Plugin string // the first module of the chain that has it
}

// Params are the settings of one sequence, checked and laid out for a chain's modules. They serve that chain alone, are
// not changed by it and may be shared by sequences.
type Params struct {
	chain *Chain
	slots [][]value // for each unit of the chain, in the manifest's order

	idle      [][]bool // for each entry of each stage: it does nothing at these settings
	idleStage []bool
	plans     [][]*plan // for each unit of the chain, once a row was sampled, and each of its exports
}

// Settings lists what Params takes.
func (c *Chain) Settings() []Setting {
	var list []Setting
	seen := map[string]bool{}
	for _, u := range c.units {
		for i, k := range u.m.code.manifest.Config {
			if !u.reads[i] || seen[k.Name] {
				continue
			}
			seen[k.Name] = true
			k.Default = u.m.slots[i].any(k.Type)
			list = append(list, Setting{ConfigKey: k, Plugin: u.m.spec.Name})
		}
	}
	return list
}

// any is the value as ConfigKey.Default has it.
func (v value) any(typ string) any {
	switch typ {
	case "string":
		return v.str
	case "bool":
		return v.num != 0
	case "i32":
		return int64(v.num)
	}
	return v.num
}

// Params checks settings by name against the config keys of the chain's entries. A key that several modules have is set
// in all of them. What is not set has the value of plugins.toml, else the manifest's default.
func (c *Chain) Params(settings map[string]any) (*Params, error) {
	p := &Params{chain: c, slots: make([][]value, len(c.units))}
	for i, u := range c.units {
		p.slots[i] = slices.Clone(u.m.slots)
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if err := c.set(p, name, settings[name]); err != nil {
			return nil, err
		}
	}
	for i, u := range c.units {
		if n := textBytes(p.slots[i]); n > maxParamText {
			return nil, fmt.Errorf("the string settings of plugin %s have %d bytes, a row has room for %d",
				u.m.spec.Name, n, maxParamText)
		}
	}
	p.rest()
	return p, nil
}

func (c *Chain) set(p *Params, name string, v any) error {
	known := false
	for i, u := range c.units {
		k := u.m.code.manifest.configKey(name)
		if k < 0 || !u.reads[k] {
			continue
		}
		known = true
		var err error
		if p.slots[i][k], err = u.m.code.manifest.Config[k].value(v); err != nil {
			return fmt.Errorf("setting %w (plugin %s)", err, u.m.spec.Name)
		}
	}
	if known {
		return nil
	}
	var names []string
	for _, s := range c.Settings() {
		names = append(names, s.Name)
	}
	return fmt.Errorf("setting %s is read by no entry of the sampler chain%s", name, suggest(name, names))
}

// textBytes is the length of all string settings.
func textBytes(values []value) (n int) {
	for i := range values {
		n += len(values[i].str)
	}
	return n
}

// Settings are values for the config keys of one module, checked and laid out: those of a constraint's sequence or of a
// router. They are not changed and may be shared.
type Settings struct {
	m     *Module
	slots []value
}

// Settings checks values by name. What is not set has the value of plugins.toml, else the manifest's default.
func (m *Module) Settings(values map[string]any) (*Settings, error) {
	s := &Settings{m: m, slots: slices.Clone(m.slots)}
	man := m.code.manifest
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := man.configKey(name)
		if i < 0 {
			return nil, fmt.Errorf("setting %s is none of plugin %s's%s", name, m.spec.Name, suggest(name, man.configNames()))
		}
		var err error
		if s.slots[i], err = man.Config[i].value(values[name]); err != nil {
			return nil, fmt.Errorf("setting %w (plugin %s)", err, m.spec.Name)
		}
	}
	return s, nil
}

// of gives the values for a module: the module's own if there are none.
func (s *Settings) of(m *Module) ([]value, error) {
	slots := m.slots
	if s != nil {
		if s.m != m {
			return nil, fmt.Errorf("the settings were made for plugin %s, not for %s", s.m.spec.Name, m.spec.Name)
		}
		slots = s.slots
	}
	if n := textBytes(slots); n > maxConfigBytes {
		return nil, fmt.Errorf("the string settings of plugin %s have %d bytes, the limit is %d", m.spec.Name, n, maxConfigBytes)
	}
	return slots, nil
}

// rowParams is the window of an arena for the settings of a call's rows. Sequences with the same settings share them, and
// what lies there from an earlier call is not written again.
type rowParams struct {
	placed []placedParams
	used   uint32 // bytes of the window
}

type placedParams struct {
	values []value // keeps them from being collected, so that the address tells them from others
	at     uint32  // of the slots, from the arena's beginning
}

// put finds or writes settings in a window of size bytes, and tells whether there was room.
func (p *rowParams) put(in *instance, window, size uint32, values []value) (at uint32, ok bool) {
	if len(values) == 0 {
		return window, true
	}
	for i := range p.placed {
		if &p.placed[i].values[0] == &values[0] {
			return p.placed[i].at, true
		}
	}
	slots := 8 * uint32(len(values))
	need := (slots + uint32(textBytes(values)) + 7) &^ 7
	if size-p.used < need {
		return 0, false
	}
	at = window + p.used
	in.putSlots(at, at+slots, values)
	p.placed = append(p.placed, placedParams{values, at})
	p.used += need
	return at, true
}

// clear empties the window.
func (p *rowParams) clear() {
	clear(p.placed)
	p.placed, p.used = p.placed[:0], 0
}
