// Package host is the engine: it opens a model with a plugin set on a device and turns requests into text, many
// sequences in one loop.
//
// Nouns: an Engine is an open model; a Request becomes a sequence; a step computes rows of all running sequences at
// once; a Session keeps a sequence's cache for the next request of a dialogue.
//
//	e, err := host.Open(ctx, "model.gguf", host.Options{Device: simd.New(), Runtime: rt, Plugins: cfg})
//	ids, err := e.Tokenize(ctx, "Once upon a time", true)
//	res, err := e.Generate(ctx, &host.Request{Prompt: ids, MaxTokens: 64})
//
// Caveats: the model file stays mapped until Close, unless Options.NoMmap; replacing it on disk while it is open is the user's peril.
// The host has no sampler, tokenizer, template or architecture of its own: they are guests, and it imports no device and
// no shipped guest.
package host

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"forge/abi"
	"forge/gguf"
	"forge/host/model"
	"forge/host/plugin"
	"forge/kernels"
)

// Options of an engine.
type Options struct {
	Device        kernels.Device
	Runtime       *plugin.Runtime
	Plugins       *plugin.Config
	NCtx          int // positions a sequence may have; 0: 4096 or what the model was trained for, if less
	NBatch        int // rows of one step; 0: 512
	NSeq          int // sequences at once; 0: 1
	Threads       int
	Deterministic bool
	NoMmap        bool           // have a copy of the file in memory, see gguf.Load, in place of mapping it
	KeyType       gguf.Type      // of the cached keys; 0: the device's own choice
	ValueType     gguf.Type      // of the cached values
	Overrides     map[string]any // metadata for the architecture guest
	// RouterCalls has router guests asked at every step even where they have a plan: to measure, and to compare the two.
	RouterCalls bool
	// Template gives the text of the chat template that will be rendered, "" for none: it is compiled beside the rest.
	Template func(f *gguf.File) string
	// Constraint and Constraints are what requests will be held to, as in Request: the guests for it are made ready beside
	// the rest. It holds no request to anything.
	Constraint  map[string]any
	Constraints []string
	// OnProgress is told what is being loaded and how far it is, from 0 to 1.
	OnProgress func(what string, done float64)
}

// Engine is an open model.
type Engine struct {
	File    *gguf.File
	Program *kernels.Program
	Vocab   *model.Vocab
	NCtx    int
	NBatch  int
	NVocab  int

	opt      Options
	runner   kernels.Runner
	routing  *routing
	kv       *kvCache
	tok      *plugin.Tokenizer
	pieces   func() (text []byte, offsets []uint32)
	modules  *moduleSet
	template *earlyTemplate           // nil: none
	chains   map[string]*plugin.Chain // by joined entry names; the loop's
	// constraints at work, by their index in the plugin set
	constraints map[int]*constraintModule
	warming     sync.WaitGroup // of constraints that are made ready ahead of requests
	chainMu     sync.Mutex
	batch       kernels.Batch
	seqIDs      []uint64 // of batch.Seqs
	nextSeq     atomic.Uint64

	submit chan *sequence
	jobs   chan func()
	stop   chan struct{}
	ended  chan struct{}
}

// DefaultNCtx is the context size when the user asks for none and the model allows it.
const DefaultNCtx = 4096

// Open maps or loads the file, asks the guests that the plugin set names for its program and tokenizer, and starts the loop.
func Open(ctx context.Context, path string, opt Options) (*Engine, error) {
	progress := opt.OnProgress
	if progress == nil {
		progress = func(string, float64) {}
	}
	progress("model file", 0)
	read := gguf.Open
	if opt.NoMmap {
		read = gguf.Load
	}
	f, err := read(path)
	if err != nil {
		return nil, err
	}
	e := &Engine{File: f, opt: opt, modules: newModuleSet(opt.Runtime, opt.Plugins), chains: map[string]*plugin.Chain{}, constraints: map[int]*constraintModule{}}
	if err := e.open(ctx, progress); err != nil {
		f.Close()
		return nil, err
	}
	progress("ready", 1)
	e.submit, e.jobs = make(chan *sequence), make(chan func())
	e.stop, e.ended = make(chan struct{}), make(chan struct{})
	go e.loop()
	return e, nil
}

func (e *Engine) open(ctx context.Context, progress func(string, float64)) error {
	opt := &e.opt
	e.beginTemplate(context.WithoutCancel(ctx))
	var err error
	if e.Vocab, err = model.ReadVocab(e.File); err != nil {
		return err
	}
	if e.NCtx, err = contextSize(e.File, opt.NCtx); err != nil {
		return err
	}
	if opt.NSeq <= 0 {
		opt.NSeq = 1
	}
	if opt.NBatch <= 0 {
		opt.NBatch = 512
	}
	e.NBatch = max(opt.NBatch, opt.NSeq)
	if opt.Threads <= 0 {
		opt.Threads = runtime.GOMAXPROCS(0)
	}
	// The program and the tokenizer do not need each other: whichever takes longer hides the other.
	progress("program and tokenizer", 0.2)
	var wait sync.WaitGroup
	var programErr, tokenizerErr error
	wait.Add(2)
	go func() {
		defer wait.Done()
		programErr = e.openProgram(ctx)
	}()
	go func() {
		defer wait.Done()
		tokenizerErr = e.openTokenizer(ctx)
	}()
	e.compileTemplate(context.WithoutCancel(ctx))
	wait.Wait()
	if err := errors.Join(programErr, tokenizerErr); err != nil {
		e.warming.Wait()
		e.closeTemplate()
		if e.runner != nil {
			e.runner.Close()
		}
		if e.routing != nil {
			e.routing.close()
		}
		return err
	}
	return nil
}

// contextSize settles how many positions a sequence may have.
func contextSize(f *gguf.File, asked int) (int, error) {
	arch, err := model.Architecture(f)
	if err != nil {
		return 0, err
	}
	trained, found, err := f.Uint(arch + ".context_length")
	if err != nil {
		return 0, err
	}
	switch {
	case asked < 0:
		return 0, fmt.Errorf("a context of %d tokens is not possible: -c takes a positive number", asked)
	case asked > 0:
		return asked, nil
	case found && trained > 0 && trained < DefaultNCtx:
		return int(trained), nil
	}
	return DefaultNCtx, nil
}

// BuildProgram asks the architecture guest that serves the file and binds what it answers.
func BuildProgram(ctx context.Context, f *gguf.File, rt *plugin.Runtime, cfg *plugin.Config, nCtx int, overrides map[string]any) (*kernels.Program, error) {
	return newModuleSet(rt, cfg).program(ctx, f, nCtx, overrides)
}

func (s *moduleSet) program(ctx context.Context, f *gguf.File, nCtx int, overrides map[string]any) (*kernels.Program, error) {
	arch, err := model.Architecture(f)
	if err != nil {
		return nil, err
	}
	guest, known, err := s.serving(ctx, abi.KindArch, arch)
	if err != nil {
		return nil, err
	}
	if guest == nil {
		return nil, fmt.Errorf("%s: no plugin serves the architecture %q (there are %s): add one of kind arch to plugins.toml", f.Name, arch, list(known))
	}
	in, err := model.Input(f, nCtx, overrides)
	if err != nil {
		return nil, err
	}
	rec, err := guest.BuildProgram(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return model.Bind(f, rec)
}

func (e *Engine) openProgram(ctx context.Context) error {
	var err error
	if e.Program, err = e.modules.program(ctx, e.File, e.NCtx, e.opt.Overrides); err != nil {
		return err
	}
	if e.Program, e.routing, err = e.modules.routed(ctx, e.Program, e.opt.RouterCalls); err != nil {
		return fmt.Errorf("%s: %w", e.File.Name, err)
	}
	seg := kernels.Whole(e.Program)
	e.NVocab = e.Program.Values[seg.Out].Width
	if e.NVocab != e.Vocab.N {
		return fmt.Errorf("%s: the model gives %d logits, its vocabulary has %d tokens: the file is damaged or was converted wrongly", e.File.Name, e.NVocab, e.Vocab.N)
	}
	e.runner, err = e.opt.Device.Compile(seg, kernels.Options{
		MaxRows: e.NBatch, Threads: e.opt.Threads, Deterministic: e.opt.Deterministic, Routers: e.routing.options(),
		KeyType: e.opt.KeyType, ValueType: e.opt.ValueType,
	})
	if err != nil {
		return fmt.Errorf("%s: device %s: %w", e.File.Name, e.opt.Device.Name(), err)
	}
	e.kv = newKVCache(e.runner, e.Program.Groups, e.NCtx, e.opt.NSeq+1, e.NBatch)
	return nil
}

// OpenTokenizer loads the tokenizer guest that serves a vocabulary.
func OpenTokenizer(ctx context.Context, f *gguf.File, v *model.Vocab, rt *plugin.Runtime, cfg *plugin.Config) (*plugin.Tokenizer, error) {
	return newModuleSet(rt, cfg).tokenizer(ctx, f, v)
}

func (s *moduleSet) tokenizer(ctx context.Context, f *gguf.File, v *model.Vocab) (*plugin.Tokenizer, error) {
	guest, known, err := s.serving(ctx, abi.KindTokenizer, v.Model)
	if err != nil {
		return nil, err
	}
	if guest == nil {
		return nil, fmt.Errorf("%s: no plugin serves the tokenizer model %q (there are %s): add one of kind tokenizer to plugins.toml", f.Name, v.Model, list(known))
	}
	t, err := guest.NewTokenizer(ctx, &v.Vocab)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return t, nil
}

func (e *Engine) openTokenizer(ctx context.Context) error {
	var err error
	if e.tok, err = e.modules.tokenizer(ctx, e.File, e.Vocab); err != nil {
		return err
	}
	e.Vocab.Pieces = e.lazyPieces()
	// The chain is made beside the program, so that the first token need not wait for it.
	if _, err = e.chain(ctx, e.DefaultChain()); err != nil {
		return err
	}
	e.warmConstraints(context.WithoutCancel(ctx))
	return nil
}

// Threads is how many the device was asked to use.
func (e *Engine) Threads() int { return e.opt.Threads }

// DefaultChain is the plugin set's chain.
func (e *Engine) DefaultChain() []string { return e.opt.Plugins.Chain }

// chain gives the chain of these entries, made once.
func (e *Engine) chain(ctx context.Context, entries []string) (*plugin.Chain, error) {
	e.chainMu.Lock()
	defer e.chainMu.Unlock()
	key := strings.Join(entries, ";")
	if c := e.chains[key]; c != nil {
		return c, nil
	}
	if len(entries) == 0 {
		return nil, errors.New("the sampler chain is empty: plugins.toml needs [chain] default, or --samplers a name")
	}
	links := make([]plugin.ChainEntry, 0, len(entries))
	for _, name := range entries {
		m, known, err := e.modules.entry(ctx, name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, fmt.Errorf("no plugin has a sampler %q (there are %s): see forge plugin list", name, list(known))
		}
		links = append(links, plugin.ChainEntry{Module: m, Entry: name})
	}
	c, err := e.opt.Runtime.NewChain(ctx, links, e.Vocab.N, plugin.WithVocab(&e.Vocab.Vocab))
	if err != nil {
		return nil, err
	}
	e.chains[key] = c
	return c, nil
}

// Tokenize gives the ids of a text, special tokens parsed; withEnds adds BOS and EOS where the file says so.
func (e *Engine) Tokenize(ctx context.Context, text string, withEnds bool) ([]uint32, error) {
	return Tokenize(ctx, e.tok, e.Vocab, text, withEnds, true)
}

// Tokenize gives the ids of a text.
func Tokenize(ctx context.Context, t *plugin.Tokenizer, v *model.Vocab, text string, withEnds, parseSpecial bool) ([]uint32, error) {
	var ids []uint32
	if withEnds && v.AddBOS {
		ids = append(ids, uint32(v.BOS))
	}
	ids, err := t.Encode(ctx, ids, []byte(text), parseSpecial)
	if err != nil {
		return nil, err
	}
	// A template that writes BOS itself is not to have it twice.
	if len(ids) > 1 && withEnds && v.AddBOS && ids[0] == ids[1] && ids[1] == uint32(v.BOS) {
		ids = ids[1:]
	}
	if withEnds && v.AddEOS {
		ids = append(ids, uint32(v.EOS))
	}
	return ids, nil
}

// Tokenizer is the engine's.
func (e *Engine) Tokenizer() *plugin.Tokenizer { return e.tok }

// Modules lists the plugins loaded so far, by name.
func (e *Engine) Modules() []*plugin.Module { return e.modules.loaded() }

// Close ends the loop, failing what still runs, and gives the model's memory back.
func (e *Engine) Close() error {
	close(e.stop)
	<-e.ended
	e.warming.Wait()
	for _, c := range e.chains {
		c.Close()
	}
	for _, c := range e.constraints {
		c.Close()
	}
	e.routing.close()
	e.closeTemplate()
	return errors.Join(e.runner.Close(), e.File.Close())
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// Piece gives one token's text, control tokens included, as it stands in the middle of a text.
func (e *Engine) Piece(ctx context.Context, id uint32) (string, error) {
	st := plugin.MidText()
	b, err := e.tok.Decode(ctx, nil, []uint32{id}, &st, plugin.Last)
	return string(b), err
}

// Detokenize gives the text of ids.
func Detokenize(ctx context.Context, t *plugin.Tokenizer, ids []uint32, skipSpecial bool) ([]byte, error) {
	flags := plugin.Last
	if skipSpecial {
		flags |= plugin.SkipSpecial
	}
	return t.Decode(ctx, nil, ids, new(plugin.DecodeState), flags)
}
