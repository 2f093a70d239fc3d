package hostile

import (
	"fmt"
	"math"
	"slices"

	"forge/abi"
	w "forge/host/plugin/wasmtest"
)

// Tensor is the one that Programs read: TensorRows rows of TensorWidth numbers.
const (
	Tensor      = "token_embd.weight"
	TensorRows  = 16
	TensorWidth = 8
)

// record is what an architecture guest writes into one place: the word at a field of record i of the frame's array.
type record struct{ array, size, i, field int }

func (r record) set(value int64) []byte { return w.Store32(r.array, r.size*r.i+r.field, value) }

func opField(i int, set func(abi.Op)) record {
	return record{archOps, abi.OpSize, i, at(abi.OpSize, func(b []byte) { set(abi.Op(b)) })}
}

func opCode(i int) record    { return opField(i, func(o abi.Op) { o.SetCode(1) }) }
func opLayer(i int) record   { return opField(i, func(o abi.Op) { o.SetLayer(1) }) }
func opIn(i, k int) record   { return opField(i, func(o abi.Op) { o.SetInput(k, 1) }) }
func opOut(i, k int) record  { return opField(i, func(o abi.Op) { o.SetOutput(k, 1) }) }
func opW(i, k int) record    { return opField(i, func(o abi.Op) { o.SetWeight(k, 1) }) }
func opAttr(i, k int) record { return opField(i, func(o abi.Op) { o.SetAttr(k, 1) }) }

func weightField(i int, set func(abi.Weight)) record {
	return record{archW, abi.WeightSize, i, at(abi.WeightSize, func(b []byte) { set(abi.Weight(b)) })}
}

func weightKindOf(i int) record { return weightField(i, func(x abi.Weight) { x.SetKind(1) }) }
func weightSource(i int) record { return weightField(i, func(x abi.Weight) { x.SetSource(1) }) }
func weightFirst(i int) record  { return weightField(i, func(x abi.Weight) { x.SetFirst(1) }) }
func weightCount(i int) record  { return weightField(i, func(x abi.Weight) { x.SetCount(1) }) }

// Codes of the operations that the programs here are made of.
const (
	opEmbed, opNorm, opLinear, opRope, opAttention     = 1, 2, 3, 4, 5
	opAct, opView, opConcat, opRoute, opExperts, opEnd = 7, 12, 13, 14, 15, 18
)

// unused fills the slots of an operation with -1.
func unused(i int) []byte {
	var b []byte
	for k := range 4 {
		b = append(b, opIn(i, k).set(-1)...)
	}
	for k := range 2 {
		b = append(b, opOut(i, k).set(-1)...)
	}
	for k := range 8 {
		b = append(b, opW(i, k).set(-1)...)
	}
	return b
}

// operation writes one with an input, an output and a weight, -1 for none.
func operation(i int, code, in, out, weight int64) []byte {
	return w.Cat(unused(i), opCode(i).set(code), opIn(i, 0).set(in), opOut(i, 0).set(out), opW(i, 0).set(weight))
}

// tensorAt has weight 0 be the file's tensor, whose name the guest keeps in the window of names.
func tensorAt() []byte {
	b := w.Cat(frame(archNW, 1), w.Store32(archW, weightName+4, int64(len(Tensor))),
		// weights[0].name.ptr = frame.names
		w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archW)), w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archNames)),
		w.Raw(w.OpI32Store, 2), w.U(uint64(weightName)))
	for i := range len(Tensor) {
		b = w.Cat(b, w.Raw(w.OpLocalGet, 0, w.OpI32Load, 2), w.U(uint64(archNames)), w.I32(int64(Tensor[i])), w.Raw(0x3a, 0), w.U(uint64(i))) // i32.store8
	}
	return b
}

// plain is a program that any file with the tensor can run: its rows, one by one, times the tensor.
var plain = w.Cat(tensorAt(), operation(0, opEmbed, -1, 0, 0), operation(1, opLinear, 0, 1, 0), opAttr(1, 0).set(1), operation(2, opEnd, 1, -1, -1), frame(archNOps, 3))

// Program is an architecture guest whose records are well formed as such; what they mean is not.
func program(name, want string, spoil ...[]byte) Module {
	return Module{Name: "program: " + name, Kind: "arch", Wasm: kindOf("arch", plain, w.Cat(spoil...)), Want: want}
}

func float(v float32) int64 { return int64(int32(math.Float32bits(v))) }

// Programs are architecture guests that answer in time and in form, and build what no device must run. A file that has
// Tensor and no more is to be refused with them, by what binds and checks a program. The first is good, to compare.
func Programs() []Module {
	middle := func(code, weight int64, attrs ...int64) []byte { // operation 1 is of this code
		b := operation(1, code, 0, 1, weight)
		b = append(b, opAttr(1, 0).set(0)...)
		for k, v := range attrs {
			b = append(b, opAttr(1, k).set(v)...)
		}
		return b
	}
	three := func(code int64, attrs ...int64) []byte { // and reads value 0 three times
		return w.Cat(middle(code, -1, attrs...), opIn(1, 1).set(0), opIn(1, 2).set(0))
	}
	kinds := func(kind, source, first, count int64) []byte { // weight 1 is made from another
		return w.Cat(frame(archNW, 2), weightKindOf(1).set(kind), weightSource(1).set(source), weightFirst(1).set(first), weightCount(1).set(count), opW(1, 0).set(1))
	}
	many := func(n int, kind int64) []byte { // weights 1 .. n are each made from the one before
		b := frame(archNW, int64(n+1))
		for i := range n {
			b = w.Cat(b, weightKindOf(i+1).set(kind), weightSource(i+1).set(int64(i)), weightFirst(i+1).set(0), weightCount(i+1).set(1))
		}
		return b
	}
	wide := func(n int) []byte { // concat of a value with itself, n times
		var b []byte
		for i := range n {
			b = w.Cat(b, operation(i+1, opConcat, int64(i), int64(i+1), -1), opIn(i+1, 1).set(int64(i)), opAttr(i+1, 0).set(1), opAttr(i+1, 1).set(0))
		}
		return w.Cat(b, operation(n+1, opEnd, int64(n), -1, -1), frame(archNOps, int64(n+2)))
	}
	list := []Module{
		program("good", ""),
		program("an operation of nobody", "code 63 is no operation", opCode(1).set(63)),
		program("an operation of a later minor", "code 64 is no operation", opCode(1).set(64), opAttr(1, 15).set(1<<30)),
		program("an operation -1", "code 4294967295 is no operation", opCode(1).set(-1)),
		program("reads a value that is not made", "input x is 7, there are 1 so far", opIn(1, 0).set(7)),
		program("reads itself", "input x is 1, there are 1 so far", opIn(1, 0).set(1)),
		program("reads value -2 billion", "input x is -2147483648, there are 1 so far", opIn(1, 0).set(math.MinInt32)),
		program("makes the value 2 billion", "output y is 2147483647", opOut(1, 0).set(math.MaxInt32)),
		program("makes a value twice", "it makes v0, ids ascend and the next is v1", opOut(1, 0).set(0)),
		program("makes two values where one is", "output 1 is set, it has 1", opOut(1, 1).set(2)),
		program("a weight that is not there", "weight weight is 1, there are 1 so far", opW(1, 0).set(1)),
		program("weight -9", "weight weight is -9, there are 1 so far", opW(1, 0).set(-9)),
		program("a weight in a slot too many", "weight 7 is set, it has 2", opW(1, 7).set(0)),
		program("no weight", "weight weight is missing", opW(1, 0).set(-1)),
		program("layer 2 billion", "layer 2147483647 is out of range", opLayer(1).set(math.MaxInt32)),
		program("layer -2 billion", "layer -2147483648 is out of range", opLayer(1).set(math.MinInt32)),
		program("an attribute too many", "attribute slot 15 is set, it has 1 attributes", opAttr(1, 15).set(1)),
		program("does not end", "a program ends with output", frame(archNOps, 2)),
		program("ends twice", "output must be the last operation", operation(1, opEnd, 0, -1, -1), operation(2, opEnd, 0, -1, -1)),
		program("begins without a token", "input x is missing", operation(0, opAct, -1, 0, -1)),
		program("heads -1", "heads is -1, possible are 1 to", opAttr(1, 0).set(-1)),
		program("heads 0", "heads is 0, possible are 1 to", opAttr(1, 0).set(0)),
		program("heads 2^31-1", "heads is 2147483647, possible are 1 to", opAttr(1, 0).set(math.MaxInt32)),
		program("a weight of another shape", "is [8, 16], the input has 8 entries", kinds(2, 0, 0, 0)),
		program("a slice beyond its source", "is outside its 16 rows", kinds(1, 0, 10, 10)),
		program("a slice of 4 billion rows", "is outside its 16 rows", kinds(1, 0, 0, -1)),
		program("a slice from -1", "is outside its 16 rows", kinds(1, 0, -1, 1)),
		program("a slice of nothing", "is outside its 16 rows", kinds(1, 0, 16, 0)),
		program("a slice of itself", "source 1 of a derived weight is not an earlier weight", kinds(1, 1, 0, 1)),
		program("a slice of weight -1", "source -1 of a derived weight is not an earlier weight", kinds(1, -1, 0, 1)),
		program("300 transposes of each other", "all transposed weights together would take more than", many(300, 2)),
		program("a tensor of another file", "is not in the file", w.Store32(archNames, 0, 0x7a7a7a7a)),
		program("a norm in groups of 3", "group is 3, the input has 8 entries", middle(opNorm, -1, 0, float(1e-5), 3)),
		program("a norm in groups of -8", "group is -8, the input has 8 entries", middle(opNorm, -1, 0, float(1e-5), -8)),
		program("a norm of an unknown kind", "kind is 77, the values are 0 to 1", middle(opNorm, -1, 77, float(1e-5), 0)),
		program("an epsilon that is no number", "eps is NaN", middle(opNorm, -1, 0, 0x7fc00000, 0)),
		program("a rope over more than a head", "entries 0 to 1048575 of a head of 8 cannot be rotated in pairs", middle(opRope, -1, 0, 8, 1<<20, 0, float(1e4), float(1))),
		program("a rope of odd size", "entries 0 to 6 of a head of 8 cannot be rotated in pairs", middle(opRope, -1, 0, 8, 7, 0, float(1e4), float(1))),
		program("a rope of heads of 0", "head_dim is 0, the input has 8 entries", middle(opRope, -1, 0, 0, 2, 0, float(1e4), float(1))),
		program("a rope that begins at -4", "entries -4 to -1 of a head of 8 cannot be rotated in pairs", middle(opRope, -1, 0, 8, 4, -4, float(1e4), float(1))),
		program("a rope with an infinite base", "base is +Inf", middle(opRope, -1, 0, 8, 8, 0, 0x7f800000, float(1))),
		program("heads that kv heads do not divide", "n_head 8 is no multiple of n_head_kv 3", three(opAttention, 8, 3, 1, 1, float(1), 1, 0, 0)),
		program("no heads", "n_head is 0, possible are", three(opAttention, 0, 0, 8, 8, float(1), 1, 0, 0)),
		program("heads whose product overflows", "n_head is 1073741824, possible are", three(opAttention, 1<<30, 1<<30, 8, 8, float(1), 1, 0, 0)),
		program("heads of size -8", "head_dim_k is -8, possible are", three(opAttention, 1, 1, -8, 8, float(1), 1, 0, 0)),
		program("a window of -1", "window is -1, possible are", three(opAttention, 1, 1, 8, 8, float(1), 1, -1, 0)),
		program("causal 2", "causal is 2, possible are 0 to 1", three(opAttention, 1, 1, 8, 8, float(1), 2, 0, 0)),
		program("a scale that is no number", "scale is NaN", three(opAttention, 1, 1, 8, 8, 0x7fc00000, 1, 0, 0)),
		program("a view beyond its group", "offset 4 and width 8 do not lie in a group of 8", middle(opView, -1, 0, 4, 8)),
		program("a view from -1", "offset -1 and width 2 do not lie", middle(opView, -1, 0, -1, 2)),
		program("a view whose end overflows", "offset 2147483647 and width 2147483647 do not lie", middle(opView, -1, 0, math.MaxInt32, math.MaxInt32)),
		program("a view of width 0", "offset 0 and width 0 do not lie", middle(opView, -1, 0, 0, 0)),
		program("a view in groups of 2^31-1", "group is 2147483647, the input has 8", middle(opView, -1, math.MaxInt32, 0, 1)),
		program("a concat that doubles 40 times", "its result has 8388608 entries a row, the limit is 4194304", wide(40)),
		program("an activation of nobody", "act is 99, the values are 0 to 5", middle(opAct, -1, 99)),
		program("more experts than there are", "top_k is 9, possible are 1 to 8", middle(opRoute, -1, 0, 9, 1, 1, 0, float(1))),
		program("no experts", "top_k is 0, possible are 1 to 8", middle(opRoute, -1, 0, 0, 1, 1, 0, float(1))),
		program("groups that do not divide", "8 experts do not part into 3 groups", middle(opRoute, -1, 0, 1, 3, 1, 0, float(1))),
		program("0 groups", "n_group is 0, possible are", middle(opRoute, -1, 0, 1, 0, 0, 0, float(1))),
		program("ends with routes", "input x is v1, which holds routes", middle(opRoute, -1, 0, 1, 1, 1, 0, float(1)), operation(2, opEnd, 1, -1, -1)),
		program("experts without routes", "input routes is v0, which holds no routes", middle(opExperts, 0, 0, 0, float(1), 0), opIn(1, 1).set(0), opW(1, 1).set(0), opW(1, 2).set(0)),
		program("an output of an unknown kind", "kind is 9, the values are 0 to 1", opAttr(2, 0).set(9)),
	}
	return slices.Clip(list)
}

// plans are samplers whose plan_harm answers what no plan is.
func plans() []Module {
	const ask = "plan_harm"
	step := func(field int, v int64) []byte { return w.Store32(planSteps, field, v) }
	plan := func(name, want string, code ...[]byte) Module {
		return Module{Name: "plan: " + name, Want: ask + " " + want, Wasm: samplerOf(func(g *w.Guest) {
			g.Funcs = append(g.Funcs, w.Func{Name: ask, Code: w.OK(code...)})
		})}
	}
	one := func(op int64) []byte { return w.Cat(frame(planN, 1), step(stepOp, op)) }
	return []Module{
		plan("4 billion steps", "planned 4294967295 steps with 0 ids", frame(planN, -1)),
		plan("4 billion ids", "planned 1 steps with 4294967295 ids", one(2), frame(planIDs, -1)),
		plan("a step of nobody", "planned a step 0 that has the operation 99", one(99)),
		plan("keeps 0", "planned a step 0 that keeps none", one(1)),
		plan("a mask beyond its ids", "planned a step 0 that masks the ids from 4294967295 to", one(2), step(stepFirst, -1), step(stepCount, -1)),
		plan("a temperature of 0", "planned a step 0 that has the temperature 0", one(3)),
		plan("a temperature that is no number", "planned a step 0 that has the temperature NaN", one(3), step(stepValue+4, 0x7ff80000)),
		plan("picks and goes on", "planned a step 1 that picks, and goes on", frame(planN, 2), step(stepOp, 4), step(abi.PlanStepSize+stepOp, 4)),
		plan("steps moved", "planned a step 0 that has the operation 0", frame(planSteps, -64), frame(planN, 1)),
		plan("does another thing than the entry", "", one(1), step(stepN, 1)),
		plan("loops", "ran out of fuel", w.Loop()),
		plan("traps", "gave up", w.Raw(w.OpUnreachable)),
	}
}

// growths take all the memory that their kind may have, for each kind.
func growths() []Module {
	var list []Module
	for _, k := range abi.Kinds {
		if k.Name == abi.KindSampler || k.Name == abi.KindProcessor {
			continue // among the endless ones, and a processor is a sampler here
		}
		grow := w.Cat(w.I32(1), w.Raw(w.OpMemoryGrow, 0, w.OpDrop))
		g := w.Guest{Kind: k.Name, Funcs: []w.Func{{Name: "forge_init", Code: w.OK(w.Repeat(int(k.MaxPages)+10, grow))}}}
		for _, e := range abi.Exports {
			if e.Required && slices.Contains(e.Kinds, k.Name) {
				g.Funcs = append(g.Funcs, w.Func{Name: e.Name, Code: w.Raw(w.OpUnreachable)})
			}
		}
		want := "gave up"
		if k.Name == abi.KindArch {
			want = "forge_init ran out of fuel" // of which it has little
		}
		list = append(list, Module{Name: fmt.Sprintf("%s: takes all of its memory", k.Name), Kind: k.Name, Wasm: g.Build(), Want: want})
	}
	return list
}
