package plugin

import (
	"fmt"
	"maps"
	"slices"
)

const maxParamText = 4096 // bytes of all string settings of one module in a row

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
		n := 0
		for _, v := range p.slots[i] {
			n += len(v.str)
		}
		if n > maxParamText {
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
