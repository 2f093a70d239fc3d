package kernels

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits of a program. They bound what a hostile builder can make the host allocate; real models stay far below.
const (
	MaxOps     = 4096
	MaxWeights = 8192
	MaxWidth   = 1 << 22 // entries of one row of a value; the largest vocabularies have 1 << 18
	MaxTopK    = 256     // experts of one row
	MaxLive    = 1 << 24 // entries of a row that are alive at one time
	maxLayer   = 1 << 16
	maxName    = 256
)

// Check holds the program against the op vocabulary: slots, value ids, attributes, shapes, weight types and sizes, which
// rows a value holds, one output at the end. It then sets Values, Groups, OpGroup and OpLayer and pads the In, Out and W
// of every operation with -1 to the length of their lists in Specs, so that slots can be indexed. On error nothing is
// changed; the error names the operation and the weight. Programs come from guests, so nothing in one is trusted, except
// that Weights[i].Data is a slice of the file. The time is linear in the operations.
func (p *Program) Check() error {
	if len(p.Weights) > MaxWeights {
		return fmt.Errorf("program has %d weights, the limit is %d", len(p.Weights), MaxWeights)
	}
	if len(p.Ops) == 0 {
		return fmt.Errorf("program has no operations")
	}
	if len(p.Ops) > MaxOps {
		return fmt.Errorf("program has %d operations, the limit is %d", len(p.Ops), MaxOps)
	}
	for i := range p.Weights {
		if err := checkWeight(&p.Weights[i]); err != nil {
			return fmt.Errorf("weight %d (%s): %w", i, printable(p.Weights[i].Name), err)
		}
	}
	c := checker{p: p, groups: map[geometry]int{}}
	ops := make([]Op, len(p.Ops))
	for i := range p.Ops {
		ops[i] = p.Ops[i]
		c.i, c.op = i, &ops[i]
		if err := c.one(); err != nil {
			return fmt.Errorf("%s: %w", opName(i, c.op), err)
		}
	}
	if last := ops[len(ops)-1]; last.Code != OpOutput {
		return fmt.Errorf("%s is the last operation: a program ends with output", opName(len(ops)-1, &last))
	}
	if live := liveEntries(ops, c.values); live > MaxLive {
		return fmt.Errorf("program keeps %d entries a row alive at one time, the limit is %d", live, MaxLive)
	}
	p.Ops, p.Values, p.Groups, p.OpGroup, p.OpLayer = ops, c.values, c.list, c.opGroup, c.opLayer
	return nil
}

func checkWeight(w *Weight) error {
	if len(w.Name) > maxName {
		return fmt.Errorf("a name of %d bytes, the limit is %d", len(w.Name), maxName)
	}
	if !w.Type.Supported() {
		return fmt.Errorf("its type %s cannot be read by this version of forge", w.Type)
	}
	if len(w.Shape) < 1 || len(w.Shape) > 4 {
		return fmt.Errorf("it has %d dimensions, 1 to 4 are possible", len(w.Shape))
	}
	for _, d := range w.Shape {
		if d < 1 || d > math.MaxInt32 {
			return fmt.Errorf("its shape is %s", shapeText(w.Shape))
		}
	}
	n := w.Shape[len(w.Shape)-1]
	if n%w.Type.BlockElems() != 0 {
		return fmt.Errorf("its rows of %d entries are not whole blocks of %s, which have %d", n, w.Type, w.Type.BlockElems())
	}
	// Multiply up to the length of the data and not beyond, which no shape can overflow.
	size := w.Type.RowBytes(n)
	for _, d := range w.Shape[:len(w.Shape)-1] {
		if size > len(w.Data)/d {
			return fmt.Errorf("%s of %s needs more than its %d bytes", shapeText(w.Shape), w.Type, len(w.Data))
		}
		size *= d
	}
	if size != len(w.Data) {
		return fmt.Errorf("%s of %s is %d bytes, it has %d", shapeText(w.Shape), w.Type, size, len(w.Data))
	}
	return nil
}

// checker is the state of one walk over the operations.
type checker struct {
	p       *Program
	i       int
	op      *Op
	values  []Value
	experts []int // for a value that holds routes: how many experts they choose from
	cut     OpCode
	groups  map[geometry]int // index in list
	list    []KVGroup
	opGroup []int
	opLayer []int
}

// one checks what all operations have in common, then the shapes of its own.
func (c *checker) one() error {
	op := c.op
	spec, ok := Specs[op.Code]
	if !ok {
		return fmt.Errorf("code %d is no operation of this version's ABI: the architecture plugin wants a newer forge", uint32(op.Code))
	}
	if op.Layer < -1 || op.Layer > maxLayer {
		return fmt.Errorf("layer %d is out of range", op.Layer)
	}
	if n := len(c.p.Ops); op.Code == OpOutput && c.i != n-1 {
		return fmt.Errorf("output must be the last operation, %d follow", n-1-c.i)
	}
	var err error
	if op.In, err = slots("input", spec.In, op.In, len(c.values)); err != nil {
		return err
	}
	if op.W, err = slots("weight", spec.W, op.W, len(c.p.Weights)); err != nil {
		return err
	}
	if op.Out, err = slots("output", spec.Out, op.Out, math.MaxInt32); err != nil {
		return err
	}
	if err := checkAttrs(op, &spec); err != nil {
		return err
	}
	if err := c.inputs(&spec); err != nil {
		return err
	}
	c.opGroup, c.opLayer = append(c.opGroup, -1), append(c.opLayer, -1)
	out, err := c.shape()
	if err != nil {
		return err
	}
	if len(op.Out) == 0 {
		return nil
	}
	if int(op.Out[0]) != len(c.values) {
		return fmt.Errorf("it makes v%d, ids ascend and the next is v%d", op.Out[0], len(c.values))
	}
	if out.Width < 1 || out.Width > MaxWidth {
		return fmt.Errorf("its result has %d entries a row, the limit is %d", out.Width, MaxWidth)
	}
	c.values = append(c.values, out)
	if len(c.experts) < len(c.values) {
		c.experts = append(c.experts, 0)
	}
	return nil
}

// slots pads the ids of one list to the spec's length and checks that the required ones are there, that surplus ones are
// not and that all are below n.
func slots[T ValueID | WeightID](what string, names []string, ids []T, n int) ([]T, error) {
	for k := len(names); k < len(ids); k++ {
		if ids[k] != -1 {
			return nil, fmt.Errorf("%s %d is set, it has %d", what, k, len(names))
		}
	}
	padded := make([]T, len(names))
	for k, name := range names {
		padded[k] = -1
		if k < len(ids) {
			padded[k] = ids[k]
		}
		id := padded[k]
		switch {
		case id == -1 && strings.HasSuffix(name, "?"):
		case id == -1:
			return nil, fmt.Errorf("%s %s is missing", what, name)
		case id < 0 || int64(id) >= int64(n):
			return nil, fmt.Errorf("%s %s is %d, there are %d so far", what, strings.TrimSuffix(name, "?"), id, n)
		}
	}
	return padded, nil
}

// checkAttrs refuses enum values without a name, numbers that are not finite, and slots that the operation does not have.
func checkAttrs(op *Op, spec *Spec) error {
	for k := len(spec.Attr); k < MaxAttrs; k++ {
		if op.Attr[k] != 0 {
			return fmt.Errorf("attribute slot %d is set, it has %d attributes", k, len(spec.Attr))
		}
	}
	for k, a := range spec.Attr {
		switch v := op.Attr[k]; a.Type {
		case "enum":
			if v >= uint32(len(a.Names)) {
				return fmt.Errorf("%s is %d, the values are 0 to %d (%s)", a.Name, v, len(a.Names)-1, strings.Join(a.Names, ", "))
			}
		case "f32":
			if f := float64(math.Float32frombits(v)); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("%s is %g", a.Name, f)
			}
		}
	}
	return nil
}

// inputs checks that routes stand where routes are wanted and that all inputs hold the same rows.
func (c *checker) inputs(spec *Spec) error {
	first := ValueID(-1)
	for k, id := range c.op.In {
		if id < 0 {
			continue
		}
		v, name := c.values[id], strings.TrimSuffix(spec.In[k], "?")
		if wants := name == "routes"; wants != v.Routes {
			if wants {
				return fmt.Errorf("input %s is v%d, which holds no routes", name, id)
			}
			return fmt.Errorf("input %s is v%d, which holds routes", name, id)
		}
		if first < 0 {
			first = id
		}
		if v.Selected != c.values[first].Selected {
			return fmt.Errorf("v%d and v%d do not hold the same rows: only one of them comes after rows or pool", first, id)
		}
	}
	switch c.op.Code {
	case OpRope, OpAttention, OpRows, OpPool:
		if c.values[first].Selected {
			return fmt.Errorf("it works on every row of a step, v%d comes after rows or pool", first)
		}
	}
	return nil
}

// inRange says which attribute is outside lo..hi.
func inRange(name string, v, lo, hi float64) error {
	if v >= lo && v <= hi {
		return nil
	}
	return fmt.Errorf("%s is %s, possible are %s to %s", name, number(v), number(lo), number(hi))
}

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// opName is how messages call an operation: "op 12 (linear, layer 0)".
func opName(i int, op *Op) string {
	if op.Layer >= 0 {
		return fmt.Sprintf("op %d (%s, layer %d)", i, op.Code, op.Layer)
	}
	return fmt.Sprintf("op %d (%s)", i, op.Code)
}

func shapeText(shape []int) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ") }

// printable keeps a guest's text from steering a terminal.
func printable(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
