package author

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"forge/abi"
	"forge/host/model"
	"forge/host/plugin"
)

// Work is what a piece of a kind's work costs: medians of many times.
type Work struct {
	Plugin string  `json:"plugin"`
	Work   string  `json:"work"`
	Micros float64 `json:"us"`
	Fuel   int64   `json:"fuel"`
	In     int     `json:"in"`  // bytes that go into the module's memory
	Out    int     `json:"out"` // bytes that come back
	Times  int     `json:"times"`
	Error  string  `json:"error,omitempty"`
}

// String is the work as a line of a table: its cells, by tabs.
func (w Work) String() string {
	if w.Error != "" {
		return fmt.Sprintf("%s\t%s\t\t\t\t\t%s", w.Work, w.Plugin, w.Error)
	}
	return fmt.Sprintf("%s\t%s\t%.1f\t%d\t%d\t%d\t", w.Work, w.Plugin, w.Micros, w.Fuel, w.In, w.Out)
}

// job is a piece of work that can be done again and again.
type job struct {
	name string
	in   int
	run  func() (out int, err error)
}

// worker is a module with its jobs.
type worker struct {
	s      *session
	jobs   []job
	failed error
}

// BenchWork times what modules of a kind do that has no rows of logits, beside the shipped ones that serve the same: each piece of
// work by all in turn, so that a noisy machine is unfair to none. The first time warms up.
func BenchWork(ctx context.Context, wasm []byte, opt CheckOptions, rounds int) ([]Work, error) {
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		return nil, err
	}
	own, err := newWorker(ctx, wasm, m, opt)
	if err != nil {
		return nil, err
	}
	workers := []*worker{own}
	defer func() {
		for _, w := range workers {
			w.s.close()
		}
	}()
	if own.failed != nil {
		return nil, own.failed
	}
	for _, spec := range opt.Beside {
		if spec.Kind != m.Kind {
			continue
		}
		w, err := newPeer(ctx, spec, m, opt)
		if err != nil {
			return nil, err
		}
		if w != nil {
			workers = append(workers, w)
		}
	}
	var out []Work
	for i := range own.jobs {
		out = append(out, together(workers, i, rounds)...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return out, nil
}

func newWorker(ctx context.Context, wasm []byte, m *plugin.Manifest, opt CheckOptions) (*worker, error) {
	s, err := newSession(ctx, wasm, m, &opt, plugin.RuntimeOptions{CacheDir: opt.CacheDir})
	if err != nil {
		return nil, err
	}
	w := &worker{s: s}
	w.jobs, w.failed = s.jobsOf(m.Kind)
	return w, nil
}

// newPeer is a shipped module beside the one that is timed, nil if the two do not serve the same.
func newPeer(ctx context.Context, spec plugin.Spec, of *plugin.Manifest, opt CheckOptions) (*worker, error) {
	m, err := plugin.ReadManifest(spec.Wasm)
	if err != nil {
		return nil, err
	}
	serves := func(what string) bool { return slices.Contains(m.Provides, what) }
	if of.Kind == abi.KindTokenizer && opt.Model != nil {
		v, err := model.ReadVocab(opt.Model)
		if err != nil || !serves(v.Model) {
			return nil, err
		}
	}
	if of.Kind == abi.KindRouter && len(of.Provides) > 0 && !slices.ContainsFunc(of.Provides, serves) {
		return nil, nil
	}
	opt.Limits, opt.Settings = spec.Limits, nil
	if m.Kind == abi.KindConstraint {
		opt.Settings = map[string]any{"regex": "[ -~]*"} // without any setting it has no work
	}
	w, err := newWorker(ctx, spec.Wasm, m, opt)
	if err == nil && w.failed != nil { // it does not take what the other does
		w.s.close()
		return nil, nil
	}
	return w, err
}

// timing is what a job has come to so far.
type timing struct {
	Work
	job
	s    *session
	took []float64
	fuel []int64
}

// once does the job; the first time warms up.
func (t *timing) once(count bool) {
	if t.Error != "" {
		return
	}
	before, start := t.s.mod.Stats().Fuel, time.Now()
	out, err := t.run()
	took := time.Since(start)
	switch {
	case err != nil:
		t.Error = err.Error()
	case count:
		t.Out = out
		t.took, t.fuel = append(t.took, float64(took.Nanoseconds())/1e3), append(t.fuel, t.s.mod.Stats().Fuel-before)
	}
}

// together does the i-th job of all workers many times, in turn.
func together(workers []*worker, i, rounds int) []Work {
	var all []*timing
	for _, w := range workers {
		if i < len(w.jobs) {
			j := w.jobs[i]
			all = append(all, &timing{Work: Work{Plugin: w.s.mod.Name(), Work: j.name, In: j.in}, job: j, s: w.s})
		}
	}
	for round := range rounds + 1 {
		for _, t := range all {
			t.once(round > 0)
		}
	}
	var out []Work
	for _, t := range all {
		if t.Times = len(t.took); t.Error == "" {
			slices.Sort(t.took)
			slices.Sort(t.fuel)
			t.Micros, t.Fuel = t.took[len(t.took)/2], t.fuel[len(t.fuel)/2]
		}
		out = append(out, t.Work)
	}
	return out
}

func (s *session) jobsOf(kind string) ([]job, error) {
	switch kind {
	case abi.KindTokenizer:
		return s.tokenizerJobs()
	case abi.KindTemplate:
		return s.templateJobs()
	case abi.KindConstraint:
		return s.constraintJobs()
	case abi.KindRouter:
		return s.routerJobs()
	}
	return s.archJobs()
}

// tokenizerJobs encode and decode English words with the first vocabulary that is taken, or the model's if there is one.
func (s *session) tokenizerJobs() ([]job, error) {
	vocabs, err := s.taken()
	if err != nil {
		return nil, err
	}
	use := vocabs[0]
	if s.opt.Model != nil {
		use = vocabs[len(vocabs)-1]
	}
	t, err := s.tokenizer(use)
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, size := range []int{1 << 10, 64 << 10} {
		text := []byte(strings.Repeat("Hello world, the hen and her ring on 123 abc. ", 1+size/46)[:size])
		ids, err := t.Encode(s.ctx, nil, text, false)
		if err != nil {
			return nil, err
		}
		var back []byte
		jobs = append(jobs, job{fmt.Sprintf("encode %d KiB", size>>10), len(text), func() (int, error) {
			ids, err = t.Encode(s.ctx, ids[:0], text, false)
			return 4 * len(ids), err
		}}, job{fmt.Sprintf("decode %d KiB", size>>10), 4 * len(ids), func() (int, error) {
			back, err = t.Decode(s.ctx, back[:0], ids, nil, plugin.Last)
			return len(back), err
		}})
	}
	return jobs, nil
}

func (s *session) templateJobs() ([]job, error) {
	list, err := s.templates()
	if err != nil {
		return nil, err
	}
	use := list[0]
	if s.opt.Model != nil {
		use = list[len(list)-1]
	}
	t, err := s.template(use)
	if err != nil {
		return nil, err
	}
	var jobs []job
	dialogues := shapedDialogues()
	for _, d := range []namedDialogue{dialogues[2], dialogues[len(dialogues)-1]} {
		jobs = append(jobs, job{"render: " + d.name, len(d.json), func() (int, error) {
			text, err := t.Render(s.ctx, d.json, time.Unix(1_700_000_000, 0))
			return len(text), err
		}})
	}
	return jobs, nil
}

// constraintJobs begin a sequence, and ask for masks at its beginning and behind eight tokens.
func (s *session) constraintJobs() ([]job, error) {
	sets, err := s.constraintSets()
	if err != nil {
		return nil, err
	}
	// The settings are those that were given, with the largest vocabulary.
	set := sets[slices.IndexFunc(sets, func(c constrained) bool { return c.vocab.name == "of all bytes and words" })]
	if s.opt.Model != nil {
		set = sets[len(sets)-1]
		set.settings = nil
	}
	w, err := s.begin(&set, 1)
	if err != nil {
		return nil, err
	}
	deep, err := s.begin(&set, 2)
	if err != nil {
		return nil, err
	}
	if err := deep.walk(s.random("bench"), 8, func(*answer) error { return nil }); err != nil {
		return nil, err
	}
	settings, err := s.mod.Settings(nil)
	if err != nil {
		return nil, err
	}
	mask := func(w *walker) func() (int, error) {
		w.row[0].Drafts = nil
		return func() (int, error) {
			if err := w.c.Mask(s.ctx, w.row[:]); err != nil {
				return 0, err
			}
			return 4 * len(w.row[0].Mask), w.row[0].Err
		}
	}
	size := fmt.Sprintf(" of %d tokens", w.v.N)
	return []job{
		{"begin and end", 0, func() (int, error) {
			if err := w.c.Begin(s.ctx, 3, settings); err != nil {
				return 0, err
			}
			return 0, w.c.End(s.ctx, 3)
		}},
		{"mask" + size, 0, mask(w)},
		{fmt.Sprintf("mask%s behind %d", size, len(deep.tokens)), 0, mask(deep)},
	}, nil
}

func (s *session) routerJobs() ([]job, error) {
	r, err := s.router()
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, l := range s.routerLayers() {
		if l.Bias != nil || l.NGroup > 1 || l.TopK != 2 && l.NExperts < 128 || l.Score != s.routerLayers()[0].Score {
			continue
		}
		for _, n := range []int{1, model.Probes} {
			b := newBatch(&l, model.ProbeScores(l.NExperts)[:n*l.NExperts])
			name := fmt.Sprintf("%d tokens: %s", n, l.name)
			if n == 1 {
				name = "1 token: " + l.name
			}
			if err := r.Begin(s.ctx, 1); err != nil {
				return nil, err
			}
			jobs = append(jobs, job{name, 4 * len(b.Scores), func() (int, error) {
				return 8 * len(b.IDs), r.Route(s.ctx, l.Layer, b)
			}})
		}
	}
	return jobs, nil
}

// archJobs build the first model that is taken, or the one that was given.
func (s *session) archJobs() ([]job, error) {
	var use *namedModel
	err := s.eachModel(func(m *namedModel) error {
		if use == nil || m.file == s.opt.Model {
			use = m
		}
		return nil
	})
	if err != nil || use == nil {
		return nil, fmt.Errorf("it takes none of the models that are made here; give it one with -m FILE.gguf (%v)", err)
	}
	in := abi.MetaSize*len(use.input.Meta) + abi.TensorSize*len(use.input.Tensors)
	return []job{{fmt.Sprintf("build, %d tensors", len(use.input.Tensors)), in, func() (int, error) {
		records, err := s.mod.BuildProgram(s.ctx, use.input)
		if err != nil {
			return 0, err
		}
		return abi.WeightSize*len(records.Weights) + abi.OpSize*len(records.Ops), nil
	}}}, nil
}
