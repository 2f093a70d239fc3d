// Package spec reads definitions of the plugin ABI (abi/v1.toml and those in abi/released), holds them to the ABI's own
// rules, prints them and compares two of them.
//
//	s, err := spec.Parse("v1.toml", abi.Source())
//	for _, c := range spec.Diff(old, s) { ... }
//
// It is for tools: the host needs only what package abi has.
package spec

import (
	"fmt"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// Spec is a definition.
type Spec struct {
	ABI        ABI          `json:"abi"`
	Wasm       Wasm         `json:"wasm"`
	Rule       []Rule       `json:"rule"`
	Manifest   Manifest     `json:"manifest"`
	Status     []Status     `json:"status"`
	Capability []Capability `json:"capability"`
	Struct     []Struct     `json:"struct"`
	Enum       []Enum       `json:"enum"`
	Export     []Export     `json:"export"`
	Kind       []Kind       `json:"kind"`
	Generator  Generator    `json:"generator"`
	Op         []Op         `json:"op"`
	OpReserved []OpReserved `json:"op_reserved" toml:"op_reserved"`
}

// ABI is its name and version.
type ABI struct {
	Name    string `json:"name"`
	Major   int    `json:"major"`
	Minor   int    `json:"minor"`
	Pre     string `json:"pre,omitempty"` // "rc1" before the version is released
	Section string `json:"section"`
	Doc     string `json:"doc"`
}

// Version is "1.0" or "1.0-rc1".
func (a ABI) Version() string {
	v := fmt.Sprintf("%d.%d", a.Major, a.Minor)
	if a.Pre != "" {
		v += "-" + a.Pre
	}
	return v
}

// Wasm says what modules may be.
type Wasm struct {
	Features       []string `json:"features"`
	MaxModuleBytes int      `json:"max_module_bytes" toml:"max_module_bytes"`
	PageBytes      int      `json:"page_bytes" toml:"page_bytes"`
	ArenaAlign     int      `json:"arena_align" toml:"arena_align"`
}

// Rule is one thing that both sides keep.
type Rule struct {
	Title string `json:"title"`
	Doc   string `json:"doc"`
}

// Manifest lists the keys of a plugin's custom section.
type Manifest struct {
	Keys []ManifestKey `json:"keys"`
}

// ManifestKey is a key of the manifest.
type ManifestKey struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Doc      string `json:"doc"`
}

// Status is what an export may return.
type Status struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
	Doc   string `json:"doc"`
}

// Capability is what a plugin may be granted.
type Capability struct {
	Name    string   `json:"name"`
	Bit     int      `json:"bit"`
	Imports []Import `json:"imports,omitempty"`
	Doc     string   `json:"doc"`
}

// Import is a function that a granted guest may import.
type Import struct {
	Module  string   `json:"module"`
	Name    string   `json:"name"`
	Params  []string `json:"params"`
	Results []string `json:"results"`
}

// Struct is a record, or a frame if its first field is the head.
type Struct struct {
	Name   string  `json:"name"`
	Size   int     `json:"size"`
	Fields []Field `json:"fields"`
	Doc    string  `json:"doc"`
}

// IsFrame tells whether a call is given it.
func (s *Struct) IsFrame() bool { return len(s.Fields) > 0 && s.Fields[0].Name == "head" }

// Field of a Struct.
type Field struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Of   string `json:"of,omitempty"`
	At   int    `json:"at"`
	Dir  string `json:"dir"`
	Doc  string `json:"doc"`
}

// Array splits a type like u32[4] into u32 and 4; n is 0 for a type that is no array.
func (f *Field) Array() (base string, n int) {
	base, rest, ok := strings.Cut(f.Type, "[")
	if ok {
		fmt.Sscanf(rest, "%d]", &n) // verified when the definition was read
	}
	return base, n
}

// Enum is a list of numbers with names.
type Enum struct {
	Name   string      `json:"name"`
	Values []EnumValue `json:"values"`
	Doc    string      `json:"doc"`
}

// EnumValue is one of them.
type EnumValue struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
	Doc   string `json:"doc,omitempty"`
}

// Export is a function that guests have.
type Export struct {
	Name     string   `json:"name"`
	Kinds    []string `json:"kinds"`
	Required bool     `json:"required"`
	Frame    string   `json:"frame"`
	Doc      string   `json:"doc"`
}

// Kind of plugin.
type Kind struct {
	Name     string `json:"name"`
	Marker   string `json:"marker"`
	MaxPages int    `json:"max_pages" toml:"max_pages"`
	Fuel     Fuel   `json:"fuel"`
	Element  string `json:"element"`
	Doc      string `json:"doc"`
}

// Fuel of a kind's calls.
type Fuel struct {
	Init int64 `json:"init"`
	Base int64 `json:"base"`
	Per  int64 `json:"per"`
	Text int64 `json:"text"`
}

// Generator is the counter-based generator of random numbers.
type Generator struct {
	Name    string            `json:"name"`
	Source  string            `json:"source"`
	Doc     string            `json:"doc"`
	Vectors []GeneratorVector `json:"vectors"`
}

// GeneratorVector is what the generator makes of a key and a counter.
type GeneratorVector struct {
	Key     [2]uint32 `json:"key"`
	Counter [4]uint32 `json:"counter"`
	Words   [4]uint32 `json:"words"`
}

// Op is an operation of programs.
type Op struct {
	Name  string   `json:"name"`
	Code  int      `json:"code"`
	In    []string `json:"in"`
	W     []string `json:"w"`
	Out   []string `json:"out"`
	Attr  []Attr   `json:"attr,omitempty"`
	Shape string   `json:"shape"`
	Doc   string   `json:"doc"`
}

// Attr is an attribute of an operation.
type Attr struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default any    `json:"default,omitempty"`
	Doc     string `json:"doc,omitempty"`
}

// OpReserved is a range of codes that are kept for a class of operations.
type OpReserved struct {
	First int        `json:"first"`
	Last  int        `json:"last"`
	Attr  []SlotName `json:"attr"`
	Doc   string     `json:"doc"`
}

// SlotName names a slot of the op record's attributes.
type SlotName struct {
	Name string `json:"name"`
	Slot int    `json:"slot"`
}

// Parse reads a definition and holds it to the ABI's rules. name is the file's, for messages.
func Parse(name string, text []byte) (*Spec, error) {
	s := new(Spec)
	md, err := toml.Decode(string(text), s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if u := md.Undecoded(); len(u) > 0 {
		keys := make([]string, len(u))
		for i, k := range u {
			keys[i] = k.String()
		}
		sort.Strings(keys)
		return nil, fmt.Errorf("%s: unknown keys %v", name, keys)
	}
	if err := s.verify(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// Width is a field type's bytes and alignment.
func (s *Spec) Width(t string) (size, align int, err error) {
	base, n := t, 1
	if i := strings.IndexByte(t, '['); i >= 0 {
		base = t[:i]
		if _, err := fmt.Sscanf(t[i:], "[%d]", &n); err != nil {
			return 0, 0, fmt.Errorf("type %q: %w", t, err)
		}
	}
	switch base {
	case "u32", "i32", "f32", "ptr":
		return 4 * n, 4, nil
	case "u64", "i64", "f64":
		return 8 * n, 8, nil
	case "span":
		return 8 * n, 4, nil
	}
	if st := s.record(base); st != nil {
		return st.Size * n, 8, nil
	}
	return 0, 0, fmt.Errorf("unknown type %q", t)
}

func (s *Spec) record(name string) *Struct {
	for i := range s.Struct {
		if s.Struct[i].Name == name {
			return &s.Struct[i]
		}
	}
	return nil
}
