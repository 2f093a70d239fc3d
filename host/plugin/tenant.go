package plugin

import (
	"context"
	"fmt"

	"forge/abi"
)

// Windows that the calls about sequences need.
const (
	tokenRoom  = 4096    // tokens of one forge_accept
	bufferRoom = 1 << 20 // bytes of one sequence's state in forge_save and forge_load
)

// tenant is a module at work for many sequences: an instance for all of them, or, if its state is an image, one for each.
//
// What a guest knows of a sequence depends on the settings and the accepted tokens alone, says the ABI. The host keeps
// both, and so can tell them again: to a new instance after a fault, so that only the sequence that was being served
// feels it, and after a rollback that the guest does not do by itself.
type tenant struct {
	m     *Module
	arena arena
	names []string // exports that the owner calls: instance.fns has them in this order

	main *instance // image: sequences start as copies of it, and nothing else calls it
	seqs map[uint64]*sequence

	params, strings, tokens, buffer uint32 // offsets of windows
	stringRoom                      uint32
}

// arena lays out the owner's part of an arena; what it returns completes the frame of forge_init and writes what that
// points to.
type arena func(l *layout) (fill func(*instance, abi.Init), err error)

// lifeCalls are the exports about sequences.
type lifeCalls struct{ begin, accept, rollback, fork, save, load, end export }

func (g *tenant) state() string { return g.m.code.manifest.State }

// stateful tells whether the guest is told about sequences.
func (g *tenant) stateful() bool { return g.state() != "stateless" }

func (g *tenant) image() bool { return g.state() == "image" }

// ready makes the main instance if there is none that can be used.
func (g *tenant) ready(ctx context.Context) error {
	if g.main != nil && !g.main.dead {
		return g.m.quarantined()
	}
	if g.seqs == nil {
		g.seqs = map[uint64]*sequence{}
	}
	l := newLayout()
	g.params = l.take(8*uint64(len(g.m.slots)), 64)
	g.strings = l.take(uint64(g.stringRoom), 64)
	if g.stateful() {
		g.tokens = l.take(4*tokenRoom, 64)
		if _, ok := g.m.code.exports["forge_save"]; ok && !g.image() {
			g.buffer = l.take(bufferRoom, 64)
		}
	}
	fill, err := g.arena(l)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", g.m.spec.Name, err)
	}
	g.main, err = g.m.start(ctx, l, fill)
	if err != nil {
		return err
	}
	g.bind(g.main)
	return nil
}

// paramRoom is the size of the window of settings: slots and then texts.
func (g *tenant) paramRoom() uint32 { return g.strings + g.stringRoom - g.params }

// bind finds the exports of an instance.
func (g *tenant) bind(in *instance) {
	for _, name := range g.names {
		in.fns = append(in.fns, in.export(name))
	}
	if !g.stateful() {
		return
	}
	in.life = lifeCalls{
		begin: in.export("forge_begin"), accept: in.export("forge_accept"), rollback: in.export("forge_rollback"),
		fork: in.export("forge_fork"), save: in.export("forge_save"), load: in.export("forge_load"), end: in.export("forge_end"),
	}
}

// close frees the instances.
func (g *tenant) close() {
	for _, s := range g.seqs {
		if s.in != nil {
			s.in.discard()
		}
	}
	if g.main != nil {
		g.main.discard()
	}
}

// clone makes an instance with the memory and the globals of another.
func (g *tenant) clone(ctx context.Context, of *instance) (*instance, error) {
	if err := g.m.quarantined(); err != nil {
		return nil, err
	}
	in, err := g.m.instantiate(ctx, of.mem.limit)
	if err != nil {
		return nil, err
	}
	if err := in.become(of); err != nil {
		in.discard()
		return nil, g.m.spec.wrap(err)
	}
	g.bind(in)
	return in, nil
}
