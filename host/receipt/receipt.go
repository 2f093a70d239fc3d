// Package receipt writes down what a generation depended on and what it drew, and proves or disproves such a paper by running
// it again.
//
// Nouns: a Receipt is one generation's; a Draw is one of its tokens with the generator's counter before and after; a Verdict says
// how far a second run went the same way.
//
//	r := receipt.New(engine, req, set)
//	req.OnToken = r.Add
//	res, err := engine.Generate(ctx, req)
//	r.Finish = res.Finish
//
// Caveat: a receipt is not signed. Who changes it so that it is of another run, changes it to one that can be proved.
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"forge/abi"
	"forge/host"
	"forge/host/plugin"
)

// form is the number of this file's form. It grows when a reader of the old one would misunderstand the new.
const form = 1

const (
	maxFile    = 64 << 20
	maxContext = 1 << 24
)

// Receipt is what a generation depended on, and what came of it.
type Receipt struct {
	Form  int    `json:"receipt"`
	Forge string `json:"forge"` // the version
	ABI   string `json:"abi"`
	Model Model  `json:"model"`

	Device        string `json:"device"`
	Kernels       string `json:"kernels"` // the instruction set
	CacheTypeK    string `json:"cache_type_k,omitempty"`
	CacheTypeV    string `json:"cache_type_v,omitempty"`
	Context       int    `json:"context"`
	Batch         int    `json:"batch,omitempty"` // prompt tokens of a step, at most, which a device may round by; 0: the default
	Deterministic bool   `json:"deterministic"`

	Plugins []Plugin `json:"plugins"` // those that were loaded, in the set's order
	Router  string   `json:"router,omitempty"`
	Chain   []string `json:"chain"`

	Settings    map[string]any `json:"settings"`
	Constraint  map[string]any `json:"constraint,omitempty"`
	Constraints []string       `json:"constraints,omitempty"`

	Seed      uint64   `json:"seed"`
	MaxTokens int      `json:"max_tokens"`
	Stop      []string `json:"stop,omitempty"`
	IgnoreEOS bool     `json:"ignore_eos,omitempty"`

	Prompt []uint32 `json:"prompt"`
	Tokens []Draw   `json:"tokens"`
	Finish string   `json:"finish"`
}

// Model is the model file.
type Model struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Plugin is a module with what plugins.toml said of it.
type Plugin struct {
	Name    string         `json:"name"`
	Kind    string         `json:"kind"`
	SHA256  string         `json:"sha256"`
	Grants  []string       `json:"grants,omitempty"`
	Config  map[string]any `json:"config,omitempty"`
	Pages   uint32         `json:"pages,omitempty"`
	Fuel    int64          `json:"fuel,omitempty"`
	Strikes int            `json:"strikes,omitempty"`
	OnError string         `json:"on_error,omitempty"`
}

// Draw is a token that was picked or forced, at its position: the generator's counter stood at From before, and at To after. Tokens
// that a constraint took back are there too, and their positions come again.
type Draw struct {
	ID   uint32 `json:"id"`
	Pos  int    `json:"pos"`
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// New begins the receipt of a request to an engine that was opened with a plugin set. What the host does not know (version, device,
// kernels, model) is the caller's to fill in.
func New(e *host.Engine, req *host.Request, set *plugin.Config) *Receipt {
	r := &Receipt{
		Form: form, ABI: fmt.Sprintf("%d.%d", abi.Major, abi.Minor), Context: e.NCtx, Batch: e.NBatch, Router: set.Router, Chain: req.Samplers,
		Settings: req.Settings, Constraint: req.Constraint, Constraints: req.Constraints, Seed: req.Seed, MaxTokens: req.MaxTokens, Stop: req.Stop, IgnoreEOS: req.IgnoreEOS,
		Prompt: req.Prompt, Tokens: []Draw{},
	}
	if r.Chain == nil {
		r.Chain = e.DefaultChain()
	}
	return r
}

// Add writes a token down: the request's OnToken.
func (r *Receipt) Add(p host.Pick) { r.Tokens = append(r.Tokens, Draw(p)) }

// AddPlugins writes down which modules of the set were loaded.
func (r *Receipt) AddPlugins(loaded []*plugin.Module, set *plugin.Config) {
	for _, m := range loaded {
		i := slices.IndexFunc(set.Plugins, func(s plugin.Spec) bool { return s.Name == m.Name() })
		if i < 0 {
			continue
		}
		s := set.Plugins[i]
		r.Plugins = append(r.Plugins, Plugin{
			Name: s.Name, Kind: s.Kind, SHA256: m.Digest(), Grants: s.Grants, Config: s.Config,
			Pages: s.Limits.Pages, Fuel: s.Limits.Fuel, Strikes: s.Limits.Strikes, OnError: s.OnError,
		})
	}
}

// Bytes is the file.
func (r *Receipt) Bytes() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("the receipt cannot be written: %w", err)
	}
	return b.Bytes(), nil
}

// Read reads a receipt and checks what a run would rely on.
func Read(path string) (*Receipt, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: a receipt has at most %d bytes", path, maxFile)
	}
	r := &Receipt{}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: not a receipt of forge run --receipt: %w", path, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *Receipt) check() error {
	switch {
	case r.Form == 0:
		return errors.New("not a receipt of forge run --receipt: it lacks the key receipt")
	case r.Form != form:
		return fmt.Errorf("the receipt has the form %d, this forge reads %d", r.Form, form)
	case r.Context < 1 || r.Context > maxContext:
		return fmt.Errorf("context is %d; it is 1 to %d", r.Context, maxContext)
	case r.Batch < 0 || r.Batch > maxContext:
		return fmt.Errorf("batch is %d; it is 1 to %d, or left out", r.Batch, maxContext)
	case len(r.Prompt) == 0:
		return errors.New("prompt is empty")
	case len(r.Chain) == 0:
		return errors.New("chain is empty")
	}
	return nil
}

// Hash is the sha256 of a file in hex, and its size.
func Hash(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// CheckModel says whether a file is the receipt's model.
func (r *Receipt) CheckModel(path string) error {
	sum, _, err := Hash(path)
	if err != nil {
		return err
	}
	if !strings.EqualFold(sum, r.Model.SHA256) {
		return fmt.Errorf("another model: %s has sha256 %s, the receipt has %s", path, sum, r.Model.SHA256)
	}
	return nil
}

// Set makes a plugin set of the receipt's modules, with the receipt's settings for each. They are found in the set given by their
// digests.
func (r *Receipt) Set(from *plugin.Config) (*plugin.Config, error) {
	set := &plugin.Config{File: from.File, Chain: r.Chain, Router: r.Router}
	for _, p := range r.Plugins {
		var found *plugin.Spec
		namesake := ""
		for i, s := range from.Plugins {
			digest := plugin.Digest(s.Wasm)
			if found == nil && s.Kind == p.Kind && strings.EqualFold(digest, p.SHA256) {
				found = &from.Plugins[i]
			}
			if s.Name == p.Name && namesake == "" {
				namesake = digest
			}
		}
		switch {
		case found == nil && namesake != "":
			return nil, fmt.Errorf("another module: plugin %s has sha256 %s here, the receipt has %s", p.Name, namesake, p.SHA256)
		case found == nil:
			return nil, fmt.Errorf("plugin %s (%s, sha256 %s) is not here: name its file with --plugin, or a set that has it with --plugins", p.Name, p.Kind, p.SHA256)
		}
		s := *found
		s.Name, s.Grants, s.Config, s.OnError = p.Name, p.Grants, p.Config, p.OnError
		s.Limits = plugin.Limits{Pages: p.Pages, Fuel: p.Fuel, Strikes: p.Strikes}
		set.Plugins = append(set.Plugins, s)
	}
	if err := set.CheckRouter(); err != nil {
		return nil, fmt.Errorf("the receipt's router: %w", err)
	}
	return set, nil
}
