package author

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"forge/host/plugin"
)

// A trial is one input of a module. Its outcome depends on the input alone, so that it can be recorded and compared.
type trial struct {
	id  string
	run func(s *session) (outcome string, err error)
}

// session is a module at work in one engine, with the guests that are open.
type session struct {
	ctx    context.Context
	rt     *plugin.Runtime
	mod    *plugin.Module
	opt    *CheckOptions
	guests map[string]interface{ Close() }

	// of the dearest call, and the largest instance
	share   float64 // of what it may use
	sharer  string
	dearest int64 // samplers and processors: units for a candidate
	pages   int
}

// manyStrikes: a checked module goes on after its faults.
const manyStrikes = 1 << 20

// fuzzTime bounds the random inputs of a check.
const fuzzTime = 20 * time.Second

func newSession(ctx context.Context, wasm []byte, m *plugin.Manifest, opt *CheckOptions, options plugin.RuntimeOptions) (*session, error) {
	rt, err := plugin.NewRuntime(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &session{ctx: ctx, rt: rt, opt: opt, guests: map[string]interface{ Close() }{}}
	spec := plugin.Spec{Name: m.Name, Kind: m.Kind, Wasm: wasm, Grants: m.Grants, Limits: opt.Limits, Config: opt.Settings}
	spec.Limits.Strikes = manyStrikes
	if s.mod, err = rt.Load(ctx, spec); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	s.reset()
	s.rt.Close(s.ctx)
}

// reset ends the guests that are open, so that what comes next finds fresh instances.
func (s *session) reset() {
	for _, g := range s.guests {
		g.Close()
	}
	clear(s.guests)
}

// open gives the guest of a name, made if it is not there.
func open[G interface{ Close() }](s *session, name string, start func() (G, error)) (G, error) {
	if g, ok := s.guests[name].(G); ok {
		return g, nil
	}
	g, err := start()
	if err == nil {
		s.guests[name] = g
	}
	return g, err
}

// beside loads the modules of a kind that a model would have beside the one that is checked.
func (s *session) beside(kind string) ([]*plugin.Module, error) {
	var list []*plugin.Module
	for _, spec := range s.opt.Beside {
		if spec.Kind != kind {
			continue
		}
		m, err := s.rt.Load(s.ctx, spec)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// pass runs trials on fresh instances and gives their outcomes.
func (s *session) pass(list []trial) (map[string]string, error) {
	s.reset()
	return s.run(list)
}

// again runs trials a second time, in the instances that ran them.
func (s *session) again(want map[string]string, list []trial) error {
	got, err := s.run(list)
	if err != nil {
		return err
	}
	return compare(want, got, "a second run", aloneMatters)
}

// aloneMatters is what is expected of every answer.
const aloneMatters = "an answer that depends on the input, the settings and the sequence alone"

// run runs trials in the instances that are open.
func (s *session) run(list []trial) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range list {
		outcome, err := s.settled(t.run(s))
		if err != nil {
			return out, at(t.id, err)
		}
		out[t.id] = outcome
	}
	return out, nil
}

func (s *session) same(want map[string]string, list []trial, by string) error {
	got, err := s.pass(list)
	if err != nil {
		return err
	}
	return compare(want, got, by, aloneMatters)
}

// refusal is the module's own error if err is one: it returned a negative status and can go on.
func (s *session) refusal(err error) *plugin.Error {
	var e *plugin.Error
	if errors.As(err, &e) && e.Plugin == s.mod.Name() && !e.Trapped {
		return e
	}
	return nil
}

// settled makes a refusal an outcome. It must have a sentence for the user; anything worse is a fault.
func (s *session) settled(outcome string, err error) (string, error) {
	e := s.refusal(err)
	switch {
	case err == nil:
		return outcome, nil
	case e == nil:
		return "", s.fault(err)
	case strings.HasPrefix(e.Why, "gives no reason"):
		return "", &Fault{"", e.Call + " refuses without a sentence (status " + e.Status.String() + ")", "a sentence for the user in the error slot"}
	}
	return "refused: " + e.Why, nil
}

// fault says of a trap, or of an answer that the ABI forbids, what was expected.
func (s *session) fault(err error) error {
	var e *plugin.Error
	if errors.As(err, &e) && e.Trapped {
		return &Fault{"", e.Error(), "an answer, or a negative status and a sentence"}
	}
	return err
}

// at says which input an error belongs to.
func at(input string, err error) error {
	if err == nil {
		return nil
	}
	var f *Fault
	if errors.As(err, &f) {
		where := input
		if strings.Contains(f.Input, input) {
			where = f.Input
		} else if f.Input != "" {
			where += ", " + f.Input
		}
		return &Fault{where, f.Got, f.Want}
	}
	return fmt.Errorf("%s: %w", input, err)
}

// random is a generator of its own for each check.
func (s *session) random(check string) *rand.Rand {
	sum := sha256.Sum256([]byte(check))
	return rand.New(rand.NewPCG(s.opt.Seed, uint64(sum[0])|uint64(sum[1])<<8))
}

// fuzz runs f with a generator until the rounds, or the time, are over. Round i is the same whatever came before it.
func (s *session) fuzz(f func(rng *rand.Rand) error) (string, error) {
	rounds := s.opt.Fuzz
	if rounds == 0 {
		rounds = 200
	}
	until := time.Now().Add(fuzzTime)
	for i := range rounds {
		if time.Now().After(until) {
			rounds = i
			break
		}
		if err := f(rand.New(rand.NewPCG(s.opt.Seed, uint64(i)+77))); err != nil {
			return "", at(fmt.Sprintf("seed %d round %d", s.opt.Seed, i), err)
		}
	}
	return fmt.Sprintf("%d random inputs of seed %d are borne", rounds, s.opt.Seed), nil
}

// cost says what the calls so far took.
func (s *session) cost() string {
	if s.sharer == "" {
		return fmt.Sprintf("at most %d units for a candidate of a large row", s.dearest)
	}
	return fmt.Sprintf("at most %.1f%% of what a call may use (%s), %d of %d pages", 100*s.share, s.sharer, s.pages, s.mod.MaxPages())
}

// digest is short for the bytes of an outcome.
func digest(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprint(h, p, "\x00")
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
