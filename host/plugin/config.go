package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"forge/abi"
)

// Config is a plugins.toml.
type Config struct {
	File    string
	Plugins []Spec
	Chain   []string // of samplers and processors, in order: ENTRY, or PLUGIN.ENTRY
	Router  string   // the plugin that routes all layers with experts; "": the first that provides a layer's score
}

const (
	maxConfigFile = 1 << 20
	maxPlugins    = 1024
	maxChain      = 256
)

// fileConfig is the file as TOML has it.
type fileConfig struct {
	Plugin []filePlugin
	Chain  struct{ Default []string }
	Router struct{ Default string }
}

type filePlugin struct {
	Name, Kind, File, SHA256 string
	Grants                   []string
	Config                   map[string]any
	Limits                   struct {
		Pages   int64
		Fuel    int64
		Strikes int64
	}
	OnError string `toml:"on_error"`
}

var knownKeys = map[string][]string{
	"":              {"plugin", "chain", "router"},
	"plugin":        {"name", "kind", "file", "sha256", "grants", "config", "limits", "on_error"},
	"plugin.limits": {"pages", "fuel", "strikes"},
	"chain":         {"default"},
	"router":        {"default"},
}

// ParseConfig reads a plugins.toml. name is the file's, for messages; open gives the bytes of a plugin's file, whose
// path it makes sense of. The digest that every plugin pins is checked here, so what is returned is what was meant.
func ParseConfig(name string, data []byte, open func(file string) ([]byte, error)) (*Config, error) {
	if len(data) > maxConfigFile {
		return nil, fmt.Errorf("%s: it has %d bytes, the limit is %d", name, len(data), maxConfigFile)
	}
	var f fileConfig
	md, err := toml.Decode(string(data), &f)
	if err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			return nil, fmt.Errorf("%s:%d: %s", name, p.Position.Line, sentence([]byte(p.Message), 512))
		}
		// A value of the wrong type: the library says the line in its text.
		if m := typeError.FindStringSubmatch(err.Error()); m != nil {
			return nil, fmt.Errorf("%s:%s: %s: %s", name, m[1], m[2], sentence([]byte(m[3]), 512))
		}
		return nil, fmt.Errorf("%s: %s", name, sentence([]byte(err.Error()), 512))
	}
	lines := findLines(string(data))
	for _, k := range md.Undecoded() {
		if err := unknownKey(k); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, lines.of(k), err)
		}
	}
	if len(f.Plugin) > maxPlugins || len(f.Chain.Default) > maxChain {
		return nil, fmt.Errorf("%s: %d plugins and a chain of %d entries; the limits are %d and %d",
			name, len(f.Plugin), len(f.Chain.Default), maxPlugins, maxChain)
	}
	c := &Config{File: name, Chain: f.Chain.Default, Router: f.Router.Default}
	seen := map[string]int{}
	for i := range f.Plugin {
		s, err := f.Plugin[i].spec(name, lines.plugin(i), open)
		if err != nil {
			return nil, s.wrap(err)
		}
		if first, ok := seen[s.Name]; ok {
			return nil, s.wrap(fmt.Errorf("the name is taken by the plugin of line %d", first))
		}
		seen[s.Name] = s.Line
		c.Plugins = append(c.Plugins, s)
	}
	for i, e := range c.Chain {
		if err := plainName(e); err != nil || e == "" {
			return nil, fmt.Errorf("%s:%d: entry %d of chain.default is no name of a sampler or processor entry",
				name, lines.of(toml.Key{"chain", "default"}), i+1)
		}
	}
	if err := c.CheckRouter(); err != nil {
		return nil, fmt.Errorf("%s:%d: router.default: %w", name, lines.of(toml.Key{"router", "default"}), err)
	}
	return c, nil
}

// CheckRouter says whether Router, if it is set, is a plugin of the set that routes.
func (c *Config) CheckRouter() error {
	var known []string
	for _, s := range c.Plugins {
		if s.Kind == abi.KindRouter {
			known = append(known, s.Name)
		}
	}
	if c.Router == "" || slices.Contains(known, c.Router) {
		return nil
	}
	return fmt.Errorf("there is no plugin of kind router named %q%s", c.Router, suggest(c.Router, known))
}

var typeError = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]*)"\): (.*)$`)

// unknownKey is the error of a key that the file may not have. The values under config are the plugin's to know.
func unknownKey(k toml.Key) error {
	if len(k) >= 2 && k[0] == "plugin" && k[1] == "config" {
		return nil
	}
	table := strings.Join(k[:len(k)-1], ".")
	known, ok := knownKeys[table]
	if !ok {
		return fmt.Errorf("unknown key %s", k)
	}
	in := ""
	if table != "" {
		in = " in " + table
	}
	return fmt.Errorf("unknown key %s%s%s", k[len(k)-1:], in, suggest(k[len(k)-1], known))
}

// spec checks one [[plugin]] and opens its file. The spec is good for messages even when there is an error.
func (p *filePlugin) spec(file string, line int, open func(string) ([]byte, error)) (Spec, error) {
	s := Spec{Name: p.Name, Kind: p.Kind, File: p.File, Where: fmt.Sprintf("%s:%d", file, line), Line: line,
		Grants: p.Grants, Config: p.Config, OnError: p.OnError}
	if p.Name == "" {
		s.Name = "(no name)"
		return s, errors.New("name is missing")
	}
	if err := plainName(p.Name); err != nil {
		s.Name = "(bad name)"
		return s, fmt.Errorf("name %w", err)
	}
	for _, v := range []struct{ key, value, mend string }{
		{"kind", p.Kind, "it is one of " + strings.Join(kindNames(), ", ")},
		{"file", p.File, "it is a path beside this file, or shipped:NAME"},
	} {
		if v.value == "" {
			return s, fmt.Errorf("%s is missing; %s", v.key, v.mend)
		}
	}
	if _, ok := abi.KindByName(p.Kind); !ok {
		return s, fmt.Errorf("kind %q is none that forge has%s", p.Kind, suggest(p.Kind, kindNames()))
	}
	for _, v := range []struct {
		key    string
		value  int64
		atMost int64
	}{{"pages", p.Limits.Pages, maxPages}, {"fuel", p.Limits.Fuel, maxFuelTimes}, {"strikes", p.Limits.Strikes, 1 << 30}} {
		if v.value < 0 || v.value > v.atMost {
			return s, fmt.Errorf("limits.%s is %d; it is 1 to %d", v.key, v.value, v.atMost)
		}
	}
	s.Limits = Limits{Pages: uint32(p.Limits.Pages), Fuel: p.Limits.Fuel, Strikes: int(p.Limits.Strikes)}
	if err := s.check(); err != nil {
		return s, err
	}
	wasm, err := open(p.File)
	if err != nil {
		return s, fmt.Errorf("file %s: %w", filepath.ToSlash(p.File), err)
	}
	sum := sha256.Sum256(wasm)
	if have := hex.EncodeToString(sum[:]); !strings.EqualFold(p.SHA256, have) {
		return s, digestError(p.SHA256, have)
	}
	s.Wasm, s.SHA256 = wasm, p.SHA256
	return s, nil
}

// Resolve finds the entries of a chain among loaded modules. A name is ENTRY, or PLUGIN.ENTRY where several plugins have
// an entry of that name.
func Resolve(modules []*Module, chain []string) ([]ChainEntry, error) {
	var list []ChainEntry
	for _, name := range chain {
		var found []ChainEntry
		var all []string
		for _, m := range modules {
			if entryPrefix(m.kind.Name) == "" {
				continue
			}
			for _, e := range m.code.manifest.Entries {
				full := m.spec.Name + "." + e.Name
				if !slices.Contains(all, e.Name) {
					all = append(all, e.Name)
				}
				if name == e.Name || name == full {
					found = append(found, ChainEntry{m, e.Name})
				}
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("no plugin has the chain's entry %s%s", name, suggest(name, all))
		case 1:
			list = append(list, found[0])
		default:
			return nil, fmt.Errorf("the chain's entry %s is in several plugins: write %s.%s or %s.%s",
				name, found[0].Module.spec.Name, name, found[1].Module.spec.Name, name)
		}
	}
	return list, nil
}
