package author

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"forge/abi"
	"forge/gguf"
	"forge/host/plugin"
)

// Finding is what one check of a module came to.
type Finding struct {
	Check    string `json:"check"`
	OK       bool   `json:"ok"`
	Detail   string `json:"detail"`             // what was tried, or what is wrong and how to mend it
	Input    string `json:"input,omitempty"`    // what the check failed on
	Expected string `json:"expected,omitempty"` // in place of what came of it
}

// Fault is what a check found wrong: what came of an input, and what should have.
type Fault struct{ Input, Got, Want string }

// Error gives the sentence for the module's author.
func (f *Fault) Error() string {
	text := f.Got
	if f.Input != "" {
		text = f.Input + ": " + text
	}
	if f.Want != "" {
		text += "; expected: " + f.Want
	}
	return text
}

// Report is the outcome of Check.
type Report struct {
	Plugin   string            `json:"plugin"`
	Kind     string            `json:"kind"`
	SHA256   string            `json:"sha256"`
	Findings []Finding         `json:"findings"`
	Golden   map[string]string `json:"-"` // outcome of every case, to record
}

// OK tells whether every check passed.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.OK })
}

func (r *Report) add(check string, problem error, detail string, args ...any) {
	f := Finding{Check: check, OK: problem == nil, Detail: fmt.Sprintf(detail, args...)}
	if problem != nil {
		f.Detail = problem.Error()
	}
	var fault *Fault
	if errors.As(problem, &fault) {
		f.Input, f.Expected = fault.Input, fault.Want
	}
	r.Findings = append(r.Findings, f)
}

// CheckOptions of Check.
type CheckOptions struct {
	// Beside are the plugins that a model would have beside the module: the samplers of which dist ends the chains, and the
	// tokenizers that give the pieces of Model's vocabulary.
	Beside   []plugin.Spec
	Model    *gguf.File        // whose vocabulary, template or tensors are tried beside the built-in ones, or nil
	Settings map[string]any    // the module's, over its manifest's defaults
	Golden   map[string]string // recorded outcomes to compare with, nil: none
	Only     []string          // checks that are made beside static and shapes; nil: all
	Fuzz     int               // random inputs, 0: 200
	Seed     uint64            // of them
	Limits   plugin.Limits     // as plugins.toml will have them
	CacheDir string            // for compiled modules, "": none
}

// A battery is what the modules of one kind are put through.
type battery struct {
	shapes string // what the trials are, for the report
	trials func(s *session) ([]trial, error)
	checks []check
}

// check is one look at a module in a session of its own; it gives what was tried.
type check struct {
	name string
	run  func(s *session) (tried string, err error)
}

// batteries by kind.
func batteries(kind string) *battery {
	switch kind {
	case abi.KindTokenizer:
		return tokenizerBattery()
	case abi.KindTemplate:
		return templateBattery()
	case abi.KindConstraint:
		return constraintBattery()
	case abi.KindRouter:
		return routerBattery()
	case abi.KindArch:
		return archBattery()
	}
	return rowBattery()
}

// Check holds a module to what forge wants of it. What a kind needs of a model has a small stand-in that is made here.
func Check(ctx context.Context, wasm []byte, opt CheckOptions) *Report {
	r := &Report{SHA256: plugin.Digest(wasm), Golden: map[string]string{}}
	info, err := plugin.Inspect(wasm)
	if err != nil {
		r.add("static", err, "")
		return r
	}
	m := info.Manifest
	r.Plugin, r.Kind = m.Name, m.Kind
	s, err := newSession(ctx, wasm, m, &opt, plugin.RuntimeOptions{CacheDir: opt.CacheDir})
	if err != nil {
		r.add("static", err, "")
		return r
	}
	defer s.close()
	r.add("static", nil, "%d bytes, %d functions, %d imports; markers, exports and manifest agree", info.Bytes, info.Functions, len(info.Imports))
	b := batteries(m.Kind)
	list, err := b.trials(s)
	if err != nil {
		r.add("shapes", err, "")
		return r
	}
	outcomes, err := s.pass(list)
	r.add("shapes", err, "%d %s", len(outcomes), b.shapes)
	if err != nil {
		return r
	}
	maps.Copy(r.Golden, outcomes)
	for _, c := range append(commonChecks(wasm, m, list, outcomes), b.checks...) {
		if opt.Only != nil && !slices.Contains(opt.Only, c.name) {
			continue
		}
		s.reset()
		tried, err := c.run(s)
		r.add(c.name, err, "%s", tried)
	}
	s.reset()
	r.add("fuel", nil, "%s", s.cost())
	if opt.Golden != nil {
		r.add("golden", compare(opt.Golden, outcomes, "the record", "the same outcome as on record"), "%d outcomes are those on record", len(opt.Golden))
	}
	return r
}

// commonChecks are those of every kind, which compare with the outcomes of the trials.
func commonChecks(wasm []byte, m *plugin.Manifest, list []trial, outcomes map[string]string) []check {
	return []check{
		{"deterministic", func(s *session) (string, error) {
			if _, err := s.run(list); err != nil { // the session was reset
				return "", err
			}
			return "a second run in the same instances gives the same bits", s.again(outcomes, list)
		}},
		{"independent", func(s *session) (string, error) {
			backward := slices.Clone(list)
			slices.Reverse(backward)
			return "in the opposite order the outcomes are the same", s.same(outcomes, backward, "a run in the opposite order")
		}},
		{"engines", func(s *session) (string, error) {
			return "the compiler and the interpreter give the same bits", interpreted(s.ctx, wasm, m, s.opt, outcomes)
		}},
	}
}

// Checks names the checks of a kind that CheckOptions.Only may choose.
func Checks(kind string) []string {
	var names []string
	for _, c := range append(commonChecks(nil, nil, nil, nil), batteries(kind).checks...) {
		names = append(names, c.name)
	}
	return names
}

// interpreted runs the trials in wazero's interpreter.
func interpreted(ctx context.Context, wasm []byte, m *plugin.Manifest, opt *CheckOptions, want map[string]string) error {
	s, err := newSession(ctx, wasm, m, opt, plugin.RuntimeOptions{Interpreter: true})
	if err != nil {
		return err
	}
	defer s.close()
	list, err := batteries(m.Kind).trials(s)
	if err != nil {
		return err
	}
	return s.same(want, list, "wazero's interpreter")
}

// compare holds outcomes to others.
func compare(want, got map[string]string, by, expected string) error {
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if got[id] != want[id] {
			return &Fault{id, "differs from " + by, expected}
		}
	}
	return nil
}

// ReadGolden and WriteGolden keep the outcomes of a module beside it.
func ReadGolden(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g map[string]string
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// WriteGolden writes outcomes, one a line.
func WriteGolden(path string, g map[string]string) error {
	data, err := json.MarshalIndent(g, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// quote shows a text in a message, cut where it is long.
func quote[T string | []byte](text T) string {
	const most = 48
	if len(text) <= most {
		return fmt.Sprintf("%q", string(text))
	}
	return fmt.Sprintf("%q and so on, %d bytes", strings.ToValidUTF8(string(text[:most]), "?"), len(text))
}
