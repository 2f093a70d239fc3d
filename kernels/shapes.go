package kernels

import (
	"errors"
	"fmt"
)

// shape checks attributes and shapes of the operation and returns what it makes. Slots are padded, enums are in range and
// numbers are finite by now.
func (c *checker) shape() (Value, error) {
	op := c.op
	x := Value{}
	if len(op.In) > 0 {
		x = c.values[op.In[0]]
	}
	switch op.Code {
	case OpEmbed:
		table := &c.p.Weights[op.W[0]]
		if len(table.Shape) != 2 {
			return x, c.weightErr(0, "a table is [n_vocab, n]")
		}
		return Value{Width: table.Shape[1]}, nil
	case OpNorm:
		return x, c.norm(x)
	case OpLinear:
		return c.linear(x)
	case OpRope:
		return x, c.rope(x)
	case OpAttention:
		return c.attention(x)
	case OpGLU:
		a := op.GLU()
		if err := sameWidth(x, c.values[op.In[1]], "gate", "up"); err != nil {
			return x, err
		}
		return x, checkGLU(a)
	case OpAct:
		return x, nil
	case OpAdd:
		return x, sameWidth(x, c.values[op.In[1]], "a", "b")
	case OpMul:
		if c.values[op.In[1]].Width == 1 {
			return x, nil
		}
		return x, sameWidth(x, c.values[op.In[1]], "a", "b")
	case OpScale:
		return x, inRange("factor", float64(op.Scale().Factor), -1e9, 1e9)
	case OpSoftcap:
		return x, inRange("cap", float64(op.Softcap().Cap), 1e-6, 1e9)
	case OpView:
		return c.view(x)
	case OpConcat:
		return c.concat(x)
	case OpRoute:
		return c.route(x)
	case OpExperts:
		return x, c.expertsShape(x)
	case OpRows, OpPool:
		if c.cut != 0 && c.cut != op.Code {
			return x, errors.New("a program has rows or pool, not both")
		}
		c.cut = op.Code
		x.Selected = true
		return x, nil
	case OpOutput:
		return x, nil
	}
	return x, fmt.Errorf("%s has no shape rule", op.Code) // a code of Specs that this switch lacks
}

func (c *checker) norm(x Value) error {
	a := c.op.Norm()
	if err := inRange("eps", float64(a.Eps), 0, 1); err != nil {
		return err
	}
	group, err := groupOf(x.Width, a.Group)
	if err != nil {
		return err
	}
	return firstOf(c.vector(0, group, "the norm's group"), c.vector(1, group, "the norm's group"))
}

func (c *checker) linear(x Value) (Value, error) {
	heads := c.op.Linear().Heads
	if err := inRange("heads", float64(heads), 1, MaxWidth); err != nil {
		return x, err
	}
	h, nOut, nIn, ok := matrices(c.p.Weights[c.op.W[0]].Shape)
	if !ok || h != heads {
		return x, c.weightErr(0, fmt.Sprintf("heads is %d", heads))
	}
	if x.Width != heads*nIn {
		return x, c.weightErr(0, fmt.Sprintf("the input has %d entries", x.Width))
	}
	if c.op.W[1] >= 0 && heads != 1 {
		return x, errors.New("a bias goes with heads 1 only")
	}
	if err := c.vector(1, nOut, "the weight's rows"); err != nil {
		return x, err
	}
	return Value{Width: heads * nOut, Selected: x.Selected}, nil
}

func (c *checker) rope(x Value) error {
	a := c.op.Rope()
	if a.HeadDim < 1 || x.Width%a.HeadDim != 0 {
		return fmt.Errorf("head_dim is %d, the input has %d entries", a.HeadDim, x.Width)
	}
	if a.First < 0 || a.NRot < 2 || a.NRot%2 != 0 || a.First+a.NRot > a.HeadDim {
		return fmt.Errorf("entries %d to %d of a head of %d cannot be rotated in pairs", a.First, a.First+a.NRot-1, a.HeadDim)
	}
	err := firstOf(
		inRange("base", float64(a.Base), 1e-3, 1e15), inRange("freq_scale", float64(a.FreqScale), 1e-9, 1e9),
		inRange("ext_factor", float64(a.ExtFactor), 0, 1e3), inRange("attn_factor", float64(a.AttnFactor), -1e6, 1e6),
		inRange("beta_fast", float64(a.BetaFast), 0, 1e6), inRange("beta_slow", float64(a.BetaSlow), 0, 1e6),
		inRange("n_ctx_orig", float64(a.NCtxOrig), 0, 1<<30),
	)
	if a.ExtFactor != 0 {
		// The ramp takes logarithms of these.
		err = firstOf(err, inRange("base", float64(a.Base), 1.001, 1e15), inRange("n_ctx_orig", float64(a.NCtxOrig), 1, 1<<30),
			inRange("beta_fast", float64(a.BetaFast), 1e-6, 1e6), inRange("beta_slow", float64(a.BetaSlow), 1e-6, 1e6))
	}
	return firstOf(err, c.vector(0, a.NRot/2, "the pairs"))
}

func (c *checker) attention(q Value) (Value, error) {
	a, k, v := c.op.Attention(), c.values[c.op.In[1]], c.values[c.op.In[2]]
	err := firstOf(
		inRange("n_head", float64(a.NHead), 1, MaxWidth), inRange("n_head_kv", float64(a.NHeadKV), 1, MaxWidth),
		inRange("head_dim_k", float64(a.HeadDimK), 1, MaxWidth), inRange("head_dim_v", float64(a.HeadDimV), 1, MaxWidth),
		inRange("scale", float64(a.Scale), -1e6, 1e6), inRange("causal", float64(a.Causal), 0, 1),
		inRange("window", float64(a.Window), 0, 1<<30), inRange("softcap", float64(a.Softcap), 0, 1e9),
	)
	if err != nil {
		return q, err
	}
	switch {
	case a.NHead%a.NHeadKV != 0:
		return q, fmt.Errorf("n_head %d is no multiple of n_head_kv %d", a.NHead, a.NHeadKV)
	case a.Causal == 0 && a.Window != 0:
		return q, errors.New("a window is defined for causal attention only")
	case q.Width != a.NHead*a.HeadDimK:
		return q, fmt.Errorf("q has %d entries, %d heads of %d are %d", q.Width, a.NHead, a.HeadDimK, a.NHead*a.HeadDimK)
	case k.Width != a.NHeadKV*a.HeadDimK:
		return q, fmt.Errorf("k has %d entries, %d heads of %d are %d", k.Width, a.NHeadKV, a.HeadDimK, a.NHeadKV*a.HeadDimK)
	case v.Width != a.NHeadKV*a.HeadDimV:
		return q, fmt.Errorf("v has %d entries, %d heads of %d are %d", v.Width, a.NHeadKV, a.HeadDimV, a.NHeadKV*a.HeadDimV)
	}
	if err := c.vector(0, a.NHead, "n_head"); err != nil {
		return q, err
	}
	key := geometry{a.Window, a.NHeadKV, a.HeadDimK, a.HeadDimV}
	g, ok := c.groups[key]
	if !ok {
		g = len(c.list)
		c.groups[key] = g
		c.list = append(c.list, KVGroup{
			Window: a.Window, WidthK: k.Width, WidthV: v.Width, HeadsKV: a.NHeadKV, HeadDimK: a.HeadDimK, HeadDimV: a.HeadDimV,
		})
	}
	c.opGroup[c.i], c.opLayer[c.i] = g, len(c.list[g].Layers)
	c.list[g].Layers = append(c.list[g].Layers, c.i)
	return Value{Width: a.NHead * a.HeadDimV}, nil
}

// geometry is what attention operations of one group have in common.
type geometry struct{ window, headsKV, headDimK, headDimV int }

func checkGLU(a GLUAttrs) error {
	if a.Alpha == 0 {
		return errors.New("alpha is 0, it divides")
	}
	return firstOf(inRange("limit", float64(a.Limit), 0, 1e9), inRange("alpha", float64(a.Alpha), -1e6, 1e6),
		inRange("what is added to up", float64(a.UpBias), -1e6, 1e6))
}

func (c *checker) view(x Value) (Value, error) {
	a := c.op.View()
	group, err := groupOf(x.Width, a.Group)
	if err != nil {
		return x, err
	}
	if a.Offset < 0 || a.Width < 1 || a.Offset+a.Width > group {
		return x, fmt.Errorf("offset %d and width %d do not lie in a group of %d entries", a.Offset, a.Width, group)
	}
	return Value{Width: x.Width / group * a.Width, Selected: x.Selected}, nil
}

func (c *checker) concat(x Value) (Value, error) {
	a := c.op.Concat()
	if err := firstOf(inRange("heads", float64(a.Heads), 1, MaxWidth), inRange("shared", float64(a.Shared), 0, 15)); err != nil {
		return x, err
	}
	part := 0 // entries of one head
	for k, id := range c.op.In {
		shared := a.Shared>>k&1 != 0
		switch {
		case id < 0 && shared:
			return x, fmt.Errorf("shared names input %d, which is not set", k)
		case id < 0:
		case shared:
			part += c.values[id].Width
		case c.values[id].Width%a.Heads != 0:
			return x, fmt.Errorf("v%d has %d entries, heads is %d", id, c.values[id].Width, a.Heads)
		default:
			part += c.values[id].Width / a.Heads
		}
	}
	return Value{Width: a.Heads * part, Selected: x.Selected}, nil
}

func (c *checker) route(x Value) (Value, error) {
	a := c.op.Route()
	err := firstOf(inRange("top_k", float64(a.TopK), 1, min(MaxTopK, float64(x.Width))), inRange("n_group", float64(a.NGroup), 1, float64(x.Width)),
		inRange("renormalise", float64(a.Renormalise), 0, 1), inRange("factor", float64(a.Factor), -1e6, 1e6), c.vector(0, x.Width, "the experts"))
	if err != nil {
		return x, err
	}
	if x.Width%a.NGroup != 0 {
		return x, fmt.Errorf("%d experts do not part into %d groups", x.Width, a.NGroup)
	}
	if err := inRange("n_group_used", float64(a.NGroupUsed), 1, float64(a.NGroup)); err != nil {
		return x, err
	}
	if n := a.NGroupUsed * (x.Width / a.NGroup); a.TopK > n {
		return x, fmt.Errorf("top_k is %d, the groups used have %d experts", a.TopK, n)
	}
	c.experts = append(c.experts, x.Width)
	return Value{Width: a.TopK, Routes: true, Selected: x.Selected}, nil
}

func (c *checker) expertsShape(x Value) error {
	a := c.op.Experts()
	if err := checkGLU(GLUAttrs{Act: a.Act, Limit: a.Limit, Alpha: a.Alpha, UpBias: a.UpAdd}); err != nil {
		return err
	}
	n := c.experts[c.op.In[1]]
	gate := c.p.Weights[c.op.W[0]].Shape
	if len(gate) != 3 || gate[0] != n || gate[2] != x.Width {
		return c.weightErr(0, fmt.Sprintf("the input has %d entries and the routes choose from %d experts", x.Width, n))
	}
	nFF := gate[1]
	if nFF > MaxWidth {
		return c.weightErr(0, fmt.Sprintf("the limit is %d entries a row", MaxWidth))
	}
	for k, want := range [][]int{1: {n, nFF, x.Width}, 2: {n, x.Width, nFF}, 3: {n, nFF}, 4: {n, nFF}, 5: {n, x.Width}} {
		if k == 0 || c.op.W[k] < 0 {
			continue
		}
		if got := c.p.Weights[c.op.W[k]].Shape; shapeText(got) != shapeText(want) {
			return c.weightErr(k, "it must be "+shapeText(want))
		}
	}
	return nil
}

// vector checks that weight k, if it is there, has n entries.
func (c *checker) vector(k, n int, of string) error {
	if c.op.W[k] < 0 {
		return nil
	}
	shape := c.p.Weights[c.op.W[k]].Shape
	for _, d := range shape[:len(shape)-1] {
		if d != 1 {
			return c.weightErr(k, fmt.Sprintf("a vector of %d is wanted", n))
		}
	}
	if shape[len(shape)-1] != n {
		return c.weightErr(k, fmt.Sprintf("%s: %d entries", of, n))
	}
	return nil
}

func (c *checker) weightErr(k int, but string) error {
	w := &c.p.Weights[c.op.W[k]]
	return fmt.Errorf("weight %s is %s, %s", printable(w.Name), shapeText(w.Shape), but)
}

// matrices reads a shape as heads matrices [nOut, nIn]; a vector is a matrix of one row.
func matrices(shape []int) (heads, nOut, nIn int, ok bool) {
	switch len(shape) {
	case 1:
		return 1, 1, shape[0], true
	case 2:
		return 1, shape[0], shape[1], true
	case 3:
		return shape[0], shape[1], shape[2], true
	}
	return 0, 0, 0, false
}

// groupOf is the size of a group: all entries if the attribute is 0.
func groupOf(width, group int) (int, error) {
	if group == 0 {
		return width, nil
	}
	if group < 1 || width%group != 0 {
		return 0, fmt.Errorf("group is %d, the input has %d entries", group, width)
	}
	return group, nil
}

func sameWidth(a, b Value, nameA, nameB string) error {
	if a.Width == b.Width {
		return nil
	}
	return fmt.Errorf("%s has %d entries and %s has %d", nameA, a.Width, nameB, b.Width)
}

// firstOf is the first error: a message is one sentence.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
