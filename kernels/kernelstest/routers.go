package kernelstest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"forge/gguf"
	"forge/kernels"
)

// routed are cases whose scores are rows of the table of the first operation, so that a router can tell by them which row
// of the batch it is asked about: all rows, those that want output, and one a sequence.
func routed() []*Case {
	var all []*Case
	for _, cut := range []string{"all rows", "rows", "pool"} {
		b := NewBuilder("routers/" + cut)
		scores, x := b.Embed(12, 2), b.Embed(24, 1)
		switch cut {
		case "rows":
			scores, x = b.Op(kernels.OpRows, nil, nil, scores), b.Op(kernels.OpRows, nil, nil, x)
		case "pool":
			last := kernels.PoolAttrs{Kind: kernels.PoolKindLast}
			scores, x = b.Op(kernels.OpPool, last, nil, scores), b.Op(kernels.OpPool, last, nil, x)
		}
		a := kernels.RouteAttrs{TopK: 3, NGroup: 1, NGroupUsed: 1, Renormalise: 1, Factor: 1}
		routes := b.Op(kernels.OpRoute, a, []kernels.WeightID{b.Vector(0, 12)}, scores)
		all = append(all, b.Case(b.experts(gguf.F32, x, routes, 12, 24, 10, kernels.ExpertsAttrs{Alpha: 1}, false), mixed(b)))
	}
	return all
}

// Routers runs programs whose route operations ask a router of the options: it is told the right rows and scores, its
// answer counts and nothing else, its error is Step's and leaves the runner whole. allow is that of [Against].
func Routers(t *testing.T, dev kernels.Device, opt kernels.Options, allow func(c *Case) float64) {
	for _, c := range append(routed(), Cases()...) {
		if !c.Has(kernels.OpRoute) || (c.Quantised() && !strings.HasPrefix(c.Name, "model/")) {
			continue
		}
		opt.MaxRows = c.MaxRows
		t.Run(c.Name, func(t *testing.T) { sameAsNative(t, c, dev, opt) })
		t.Run(c.Name+", backwards", func(t *testing.T) {
			opt := opt
			opt.Routers = everyRoute(c, backwards)
			diff, err := kernels.Compare(kernels.Scalar{}, dev, kernels.Whole(c.Program), opt, c.Batches)
			if err != nil {
				t.Fatal(err)
			}
			if limit := allow(c); !(diff.Relative <= limit) {
				t.Errorf("%v; allowed is %g", diff, limit)
			}
		})
	}
	t.Run("errors", func(t *testing.T) { routerErrors(t, routed()[0], dev, opt) })
}

// everyRoute makes a router for every route operation.
func everyRoute(c *Case, router func(c *Case, op int) kernels.Router) map[int]kernels.Router {
	all := map[int]kernels.Router{}
	for i := range c.Program.Ops {
		if c.Program.Ops[i].Code == kernels.OpRoute {
			all[i] = router(c, i)
		}
	}
	return all
}

// sameAsNative wants the bits of a run without routers from one with routers that answer as the operations' attributes do.
func sameAsNative(t *testing.T, c *Case, dev kernels.Device, opt kernels.Options) {
	native, err := kernels.Outputs(dev, kernels.Whole(c.Program), opt, c.Batches)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	opt.Routers = everyRoute(c, func(c *Case, i int) kernels.Router {
		op := &c.Program.Ops[i]
		a, n, bias := op.Route(), c.Program.Values[op.In[0]].Width, floats(c.Program, op.W[0])
		return func(call *kernels.RouteCall) error {
			asked++
			if err := checkCall(c, call, n, a.TopK); err != nil {
				t.Error(err)
			}
			for row := range call.Rows {
				copy(call.Out[row*a.TopK:], kernels.ChooseExperts(nil, call.Scores[row*n:(row+1)*n], bias, a))
			}
			return nil
		}
	})
	got, err := kernels.Outputs(dev, kernels.Whole(c.Program), opt, c.Batches)
	if err != nil {
		t.Fatal(err)
	}
	if asked != len(opt.Routers)*len(c.Batches) {
		t.Errorf("%d routers were asked %d times in %d steps", len(opt.Routers), asked, len(c.Batches))
	}
	if !slices.EqualFunc(got, native, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) {
		t.Error("routers that answer as the operations would give other results")
	}
}

// checkCall holds a call to the batch that it says it is of.
func checkCall(c *Case, call *kernels.RouteCall, n, topK int) error {
	if len(call.Scores) != n*len(call.Rows) || len(call.Out) != topK*len(call.Rows) {
		return fmt.Errorf("%d rows with %d scores and room for %d routes", len(call.Rows), len(call.Scores), len(call.Out))
	}
	if !strings.HasPrefix(c.Name, "routers/") {
		return nil
	}
	table := floats(c.Program, c.Program.Ops[0].W[0])
	for i, row := range call.Rows {
		from := int(call.Batch.Rows[row].Token) * n
		if !slices.Equal(call.Scores[i*n:(i+1)*n], table[from:from+n]) {
			return fmt.Errorf("the scores of row %d are not those of its token", row)
		}
		if c.Name == "routers/rows" && !call.Batch.Rows[row].Want {
			return fmt.Errorf("row %d wants no output", row)
		}
	}
	return nil
}

// backwards routes to the experts with the lowest scores, at weights that fall from one to the next.
func backwards(c *Case, i int) kernels.Router {
	op := &c.Program.Ops[i]
	n, topK := c.Program.Values[op.In[0]].Width, op.Route().TopK
	lowest := kernels.RouteAttrs{Score: kernels.RouteScoreSoftmaxChosen, TopK: topK, NGroup: 1, NGroupUsed: 1, Factor: 1}
	return func(call *kernels.RouteCall) error {
		turned := make([]float32, n)
		for row := range call.Rows {
			for e := range turned {
				turned[e] = -call.Scores[row*n+e]
			}
			for k, r := range kernels.ChooseExperts(nil, turned, nil, lowest) {
				call.Out[row*topK+k] = kernels.Route{Expert: r.Expert, Weight: 1 / float32(k+1)}
			}
		}
		return nil
	}
}

func routerErrors(t *testing.T, c *Case, dev kernels.Device, opt kernels.Options) {
	broken := errors.New("the router is broken")
	fault := func(*kernels.RouteCall) error { return nil }
	native := everyRoute(c, backwards)
	opt.MaxRows, opt.Routers = c.MaxRows, map[int]kernels.Router{}
	for i, router := range native {
		opt.Routers[i] = func(call *kernels.RouteCall) error {
			if err := router(call); err != nil {
				return err
			}
			return fault(call)
		}
	}
	r, err := dev.Compile(kernels.Whole(c.Program), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	step := func() ([]float32, error) {
		out, err := r.Step(&c.Batches[0])
		return slices.Clone(out), err
	}
	want, err := step()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		fault func(*kernels.RouteCall) error
		is    func(error) bool
	}{
		{func(*kernels.RouteCall) error { return broken }, func(err error) bool { return errors.Is(err, broken) }},
		{func(c *kernels.RouteCall) error { c.Out[1].Expert = 12; return nil }, func(err error) bool {
			return err != nil && strings.HasSuffix(err.Error(), "the router chose expert 12, there are 12")
		}},
		{func(c *kernels.RouteCall) error { c.Out[0].Expert = -1; return nil }, func(err error) bool {
			return err != nil && strings.HasSuffix(err.Error(), "the router chose expert -1, there are 12")
		}},
	} {
		fault = f.fault
		if _, err := step(); !f.is(err) {
			t.Errorf("Step's error is %v", err)
		}
		fault = func(*kernels.RouteCall) error { return nil }
		if got, err := step(); err != nil || !slices.Equal(got, want) {
			t.Errorf("after a router's error the step gives another result (%v)", err)
		}
	}
	opt.Routers = map[int]kernels.Router{0: func(*kernels.RouteCall) error { return nil }}
	if r, err := dev.Compile(kernels.Whole(c.Program), opt); err == nil {
		r.Close()
		t.Error("a router for the embedding was accepted")
	}
}

// floats decodes a weight; nil for -1.
func floats(p *kernels.Program, id kernels.WeightID) []float32 {
	if id < 0 {
		return nil
	}
	w := &p.Weights[id]
	x := make([]float32, elems(w.Shape))
	if err := gguf.Dequantize(w.Type, x, w.Data); err != nil {
		panic(err)
	}
	return x
}
