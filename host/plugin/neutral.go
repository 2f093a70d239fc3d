package plugin

import (
	"fmt"
	"maps"
	"slices"

	"forge/abi"
)

// checkNeutral holds an entry's neutral values to the config keys that it reads.
func (m *Manifest) checkNeutral(e *Entry) error {
	for _, name := range slices.Sorted(maps.Keys(e.Neutral)) {
		reads := e.Config
		if reads == nil {
			reads = m.configNames()
		}
		k := m.configKey(name)
		if k < 0 || !slices.Contains(reads, name) {
			return fmt.Errorf("the manifest's entry %s is neutral at a value of %s, which is no config key that it reads%s",
				e.Name, name, suggest(name, reads))
		}
		if _, err := m.Config[k].value(e.Neutral[name]); err != nil {
			return fmt.Errorf("the manifest's entry %s is neutral where %w", e.Name, err)
		}
	}
	return nil
}

// idleAt tells whether an entry does nothing at these settings, so that it need not be called: all the keys that its
// manifest calls neutral at some value have that value.
func (m *Manifest) idleAt(e *Entry, slots []value) bool {
	for name, v := range e.Neutral {
		k := m.configKey(name)
		if want, err := m.Config[k].value(v); err != nil || slots[k] != want {
			return false
		}
	}
	return len(e.Neutral) > 0
}

// rest finds out which entries of the chain the settings leave idle, and which stages have no other.
func (p *Params) rest() {
	c := p.chain
	p.plans = make([][]*plan, len(c.units))
	p.idle, p.idleStage = make([][]bool, len(c.stages)), make([]bool, len(c.stages))
	for i := range c.stages {
		s := &c.stages[i]
		p.idle[i], p.idleStage[i] = make([]bool, len(s.entries)), true
		for j, e := range s.entries {
			man := s.unit.m.code.manifest
			p.idle[i][j] = man.idleAt(man.entry(e.name), p.slots[s.unit.index])
			p.idleStage[i] = p.idleStage[i] && p.idle[i][j]
		}
	}
}

// idleFor tells whether the settings leave all of a unit's entries idle.
func (p *Params) idleFor(u *unit) bool {
	for i := range p.chain.stages {
		if p.chain.stages[i].unit == u && !p.idleStage[i] {
			return false
		}
	}
	return true
}

// WantsVocab tells whether the settings want an entry of a module that was granted vocab.
func (p *Params) WantsVocab() bool {
	for _, u := range p.chain.units {
		if u.m.caps&abi.CapVocab != 0 && !p.idleFor(u) {
			return true
		}
	}
	return false
}
