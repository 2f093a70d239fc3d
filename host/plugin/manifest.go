package plugin

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"forge/abi"
)

const (
	maxManifest    = 64 << 10 // bytes of the section
	maxConfigKeys  = 256
	maxEntries     = 256
	maxConfigBytes = 1 << 20 // of one string value, and of all that a constraint's sequence has
)

// Manifest is what a guest says about itself in its custom section; abi/v1.toml documents the keys.
type Manifest struct {
	Name, Version, Kind, ABI, State string
	Provides, Grants                []string
	Config                          []ConfigKey
	Entries                         []Entry
}

// ConfigKey is a setting that a guest has. Default is a float64 (f32), int64 (i32), bool or string.
type ConfigKey struct {
	Name, Type string
	Default    any
	Min, Max   *float64 // inclusive, nil: no bound
	Doc        string
}

// Entry is one sampler_NAME or processor_NAME export and the config keys that it reads; none said means all. Where all
// the keys of Neutral have the values given there, the entry does nothing and is not called.
type Entry struct {
	Name    string
	Config  []string
	Neutral map[string]any
}

// entryPrefix is what stands before an entry's name in its export, empty for kinds without entries.
func entryPrefix(kind string) string {
	if kind == abi.KindSampler || kind == abi.KindProcessor {
		return kind + "_"
	}
	return ""
}

// parseManifest reads and checks a manifest. The errors name the key.
func parseManifest(text []byte) (*Manifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes, the limit is %d", len(text), maxManifest)
	}
	m := new(Manifest)
	md, err := toml.NewDecoder(bytes.NewReader(text)).Decode(m)
	if err != nil {
		return nil, fmt.Errorf("the manifest in section %s: %w", abi.Section, err)
	}
	if u := md.Undecoded(); len(u) > 0 {
		known := []string{"name", "version", "kind", "abi", "state", "provides", "grants", "config", "entries",
			"type", "default", "min", "max", "doc", "neutral"}
		return nil, fmt.Errorf("the manifest has an unknown key %s%s", u[0], suggest(u[0][len(u[0])-1], known))
	}
	for _, f := range []struct{ key, value string }{{"name", m.Name}, {"version", m.Version}, {"kind", m.Kind}, {"abi", m.ABI}} {
		if f.value == "" {
			return nil, fmt.Errorf("the manifest lacks %s", f.key)
		}
		if err := plainName(f.value); err != nil {
			return nil, fmt.Errorf("the manifest's %s %w", f.key, err)
		}
	}
	if err := checkABI(m.ABI); err != nil {
		return nil, err
	}
	if m.State == "" {
		m.State = "stateless"
	}
	if !slices.Contains([]string{"stateless", "explicit", "image"}, m.State) {
		return nil, fmt.Errorf("the manifest's state is %q; it is stateless, explicit or image", m.State)
	}
	for _, g := range m.Grants {
		if _, ok := abi.Capabilities[g]; !ok {
			return nil, fmt.Errorf("the manifest asks for the grant %q, which this forge does not know%s",
				g, suggest(g, capabilityNames()))
		}
	}
	if err := m.checkConfig(); err != nil {
		return nil, err
	}
	return m, m.checkEntries()
}

func checkABI(s string) error {
	major, minor, ok := strings.Cut(s, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	switch {
	case !ok || err1 != nil || err2 != nil || a < 0 || b < 0:
		return fmt.Errorf("the manifest's abi is %q; write it as \"%d.%d\"", s, abi.Major, abi.Minor)
	case a != abi.Major:
		return fmt.Errorf("it was written for ABI %s, this forge has %d.%d; get the plugin for that one",
			s, abi.Major, abi.Minor)
	case b > abi.Minor:
		return fmt.Errorf("it needs ABI %s, this forge has %d.%d; a newer forge runs it", s, abi.Major, abi.Minor)
	}
	return nil
}

// plainName holds a name to what fits in messages, on a command line and in an export.
func plainName(s string) error {
	if len(s) > 64 {
		return fmt.Errorf("is longer than 64 bytes")
	}
	for _, r := range s {
		if r <= ' ' || r == utf8.RuneError || r == '"' || r == 0x7f {
			return fmt.Errorf("%q holds a character that names do not have", s)
		}
	}
	return nil
}

func capabilityNames() []string {
	names := make([]string, 0, len(abi.Capabilities))
	for n := range abi.Capabilities {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (m *Manifest) checkConfig() error {
	if len(m.Config) > maxConfigKeys {
		return fmt.Errorf("the manifest has %d config keys, the limit is %d", len(m.Config), maxConfigKeys)
	}
	seen := map[string]bool{}
	for i := range m.Config {
		k := &m.Config[i]
		if k.Name == "" {
			return fmt.Errorf("the manifest's config key %d lacks name", i+1)
		}
		if err := plainName(k.Name); err != nil {
			return fmt.Errorf("the manifest's config key %d %w", i+1, err)
		}
		if seen[k.Name] {
			return fmt.Errorf("the manifest has the config key %s twice", k.Name)
		}
		seen[k.Name] = true
		zero, ok := map[string]any{"f32": 0.0, "i32": int64(0), "bool": false, "string": ""}[k.Type]
		if !ok {
			return fmt.Errorf("the manifest's config key %s has the type %q; it is f32, i32, bool or string",
				k.Name, k.Type)
		}
		if (k.Min != nil || k.Max != nil) && k.Type != "f32" && k.Type != "i32" {
			return fmt.Errorf("the manifest's config key %s is a %s and cannot have min or max", k.Name, k.Type)
		}
		if k.Default == nil {
			k.Default = zero
		}
		if i, ok := k.Default.(int64); ok && k.Type == "f32" {
			k.Default = float64(i)
		}
		if _, err := k.value(k.Default); err != nil {
			return fmt.Errorf("the manifest's default of %w", err)
		}
	}
	return nil
}

func (m *Manifest) checkEntries() error {
	prefix := entryPrefix(m.Kind)
	if prefix == "" && len(m.Entries) > 0 {
		return fmt.Errorf("the manifest has entries, which a %s does not have", m.Kind)
	}
	if prefix != "" && (len(m.Entries) == 0 || len(m.Entries) > maxEntries) {
		return fmt.Errorf("the manifest names %d [[entries]]; a %s has 1 to %d", len(m.Entries), m.Kind, maxEntries)
	}
	seen := map[string]bool{}
	for i, e := range m.Entries {
		if e.Name == "" {
			return fmt.Errorf("the manifest has an entry without a name")
		}
		if err := plainName(e.Name); err != nil {
			return fmt.Errorf("the manifest's entry %w", err)
		}
		if seen[e.Name] {
			return fmt.Errorf("the manifest has the entry %s twice", e.Name)
		}
		seen[e.Name] = true
		for _, c := range e.Config {
			if m.configKey(c) < 0 {
				return fmt.Errorf("the manifest's entry %s reads the config key %s, which [[config]] does not have%s",
					e.Name, c, suggest(c, m.configNames()))
			}
		}
		if err := m.checkNeutral(&m.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifest) entry(name string) *Entry {
	for i := range m.Entries {
		if m.Entries[i].Name == name {
			return &m.Entries[i]
		}
	}
	return nil
}

func (m *Manifest) configKey(name string) int {
	return slices.IndexFunc(m.Config, func(k ConfigKey) bool { return k.Name == name })
}

func (m *Manifest) configNames() []string {
	names := make([]string, len(m.Config))
	for i, k := range m.Config {
		names[i] = k.Name
	}
	return names
}

func (m *Manifest) entryNames() []string {
	names := make([]string, len(m.Entries))
	for i, e := range m.Entries {
		names[i] = e.Name
	}
	return names
}

// value is one config slot: a number (bools are 0 and 1), or a string.
type value struct {
	num float64
	str string
}

// value checks v against the key's type and range. Its errors begin with the key's name.
func (k *ConfigKey) value(v any) (value, error) {
	if k.Type == "string" {
		s, ok := v.(string)
		switch {
		case !ok:
			return value{}, fmt.Errorf("%s is %v, it wants a string", k.Name, v)
		case len(s) > maxConfigBytes || !utf8.ValidString(s):
			return value{}, fmt.Errorf("%s wants UTF-8 text of at most %d bytes", k.Name, maxConfigBytes)
		}
		return value{str: s}, nil
	}
	if b, ok := v.(bool); ok && k.Type == "bool" {
		if b {
			return value{num: 1}, nil
		}
		return value{}, nil
	}
	x, ok := number(v)
	switch {
	case k.Type == "bool":
		return value{}, fmt.Errorf("%s is %v, it wants true or false", k.Name, v)
	case !ok || math.IsNaN(x) || math.IsInf(x, 0):
		return value{}, fmt.Errorf("%s is %v, it wants a number", k.Name, v)
	case k.Type == "i32" && (x != math.Trunc(x) || x < math.MinInt32 || x > math.MaxInt32):
		return value{}, fmt.Errorf("%s is %v, it wants a whole number of 32 bits", k.Name, v)
	case k.Type == "f32" && math.Abs(x) > math.MaxFloat32:
		return value{}, fmt.Errorf("%s is %v, more than an f32 holds", k.Name, v)
	case k.Min != nil && x < *k.Min || k.Max != nil && x > *k.Max:
		return value{}, fmt.Errorf("%s is %v, its range is %s", k.Name, v, k.span())
	}
	if k.Type == "f32" {
		x = float64(float32(x))
	}
	return value{num: x}, nil
}

// span says a key's range in words.
func (k *ConfigKey) span() string {
	plain := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	switch {
	case k.Min != nil && k.Max != nil:
		return plain(*k.Min) + " to " + plain(*k.Max)
	case k.Min != nil:
		return plain(*k.Min) + " or more"
	case k.Max != nil:
		return plain(*k.Max) + " or less"
	}
	return "any"
}

// Range says a setting's range for a reader, beginning with a comma, or nothing.
func (k *ConfigKey) Range() string {
	if k.Min == nil && k.Max == nil {
		return ""
	}
	return ", " + k.span()
}

// number takes the number types that Go callers, TOML and JSON give.
func number(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case int32:
		return float64(x), true
	case uint32:
		return float64(x), true
	case uint64:
		return float64(x), true
	case uint:
		return float64(x), true
	}
	return 0, false
}
