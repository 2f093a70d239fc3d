package kernels_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/kernelstest"
	"forge/tools/fuzzcount"
)

// small is a program that uses most kinds of slots: v0 embed, v1 norm, v2..v4 linear, v5 rope, v6 attention, v7 linear, v8 add,
// v9 route, v10 experts, v11 rows, v12 linear, output.
func small() *kernels.Program {
	f32 := func(name string, shape ...int) kernels.Weight {
		n := 4
		for _, d := range shape {
			n *= d
		}
		return kernels.Weight{Name: name, Type: gguf.F32, Shape: shape, Data: make([]byte, n)}
	}
	p := &kernels.Program{Name: "small", Weights: []kernels.Weight{
		f32("table", 10, 8), f32("norm", 8), f32("blk.0.attn_q.weight", 16, 8), f32("blk.0.attn_k.weight", 8, 8), f32("o", 8, 16), f32("gate", 4, 6, 8), f32("down", 4, 8, 6),
		f32("router", 4, 8), f32("freqs", 2), f32("sinks", 4),
	}}
	add := func(code kernels.OpCode, layer int, a kernelstest.Attrs, w []kernels.WeightID, in ...kernels.ValueID) {
		op := kernels.Op{Code: code, Layer: layer, In: in, W: w}
		if a != nil {
			a.Set(&op)
		}
		if code != kernels.OpOutput {
			op.Out = []kernels.ValueID{kernels.ValueID(len(p.Ops))}
		}
		p.Ops = append(p.Ops, op)
	}
	w := func(ids ...kernels.WeightID) []kernels.WeightID { return ids }
	one := kernels.LinearAttrs{Heads: 1}
	turn := kernels.RopeAttrs{HeadDim: 4, NRot: 4, Base: 1e4, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
	look := kernels.AttentionAttrs{NHead: 4, NHeadKV: 2, HeadDimK: 4, HeadDimV: 4, Scale: 0.5, Causal: 1, Window: 9}
	add(kernels.OpEmbed, -1, nil, w(0))
	add(kernels.OpNorm, 0, kernels.NormAttrs{Eps: 1e-5}, w(1), 0)
	add(kernels.OpLinear, 0, one, w(2), 1)
	add(kernels.OpLinear, 0, one, w(3), 1)
	add(kernels.OpLinear, 0, one, w(3), 1)
	add(kernels.OpRope, 0, turn, w(8), 2)
	add(kernels.OpAttention, 0, look, w(9), 5, 3, 4)
	add(kernels.OpLinear, 0, one, w(4), 6)
	add(kernels.OpAdd, 0, nil, nil, 0, 7)
	add(kernels.OpLinear, 0, one, w(7), 8)
	add(kernels.OpRoute, 0, kernels.RouteAttrs{TopK: 2, NGroup: 2, NGroupUsed: 1, Factor: 1}, nil, 9)
	add(kernels.OpExperts, 0, kernels.ExpertsAttrs{Alpha: 1}, w(5, 5, 6), 8, 10)
	add(kernels.OpRows, -1, nil, nil, 11)
	add(kernels.OpLinear, -1, one, w(0), 12)
	add(kernels.OpOutput, -1, kernels.OutputAttrs{}, nil, 13)
	return p
}

func TestCheckFills(t *testing.T) {
	p := small()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	if got := p.Values[6]; got != (kernels.Value{Width: 16}) {
		t.Errorf("attention makes %+v", got)
	}
	if got := p.Values[10]; got != (kernels.Value{Width: 2, Routes: true}) {
		t.Errorf("route makes %+v", got)
	}
	if got := p.Values[13]; got != (kernels.Value{Width: 10, Selected: true}) {
		t.Errorf("the last linear makes %+v", got)
	}
	g := p.Groups[0]
	if len(p.Groups) != 1 || g.Window != 9 || g.WidthK != 8 || g.WidthV != 8 || g.HeadsKV != 2 || len(g.Layers) != 1 || g.Layers[0] != 6 {
		t.Errorf("groups %+v", p.Groups)
	}
	if p.OpGroup[6] != 0 || p.OpLayer[6] != 0 || p.OpGroup[5] != -1 || len(p.OpGroup) != len(p.Ops) {
		t.Errorf("OpGroup %v OpLayer %v", p.OpGroup, p.OpLayer)
	}
	if w := p.Ops[7].W; len(w) != 2 || w[1] != -1 {
		t.Errorf("W of op 7 is %v", w)
	}
	if p.WeightBytes() != 4*(10*8+8+16*8+8*8+8*16+4*6*8+4*8*6+4*8+2+4) {
		t.Errorf("weights take %d bytes", p.WeightBytes())
	}
}

func f32(v float64) uint32 { return math.Float32bits(float32(v)) }

func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(p *kernels.Program)
		want   string
	}{
		{func(p *kernels.Program) { p.Ops = nil }, "program has no operations"},
		{func(p *kernels.Program) { p.Ops = make([]kernels.Op, 5000) }, "program has 5000 operations, the limit is 4096"},
		{func(p *kernels.Program) { p.Weights = make([]kernels.Weight, 9000) }, "program has 9000 weights, the limit is 8192"},
		{func(p *kernels.Program) { p.Ops[3].Code = 70 },
			"op 3 (unknown, layer 0): code 70 is no operation of this version's ABI: the architecture plugin wants a newer forge"},
		{func(p *kernels.Program) { p.Ops = p.Ops[:14] }, "op 13 (linear) is the last operation: a program ends with output"},
		{func(p *kernels.Program) { p.Ops[12] = p.Ops[14] }, "op 12 (output): output must be the last operation, 2 follow"},
		{func(p *kernels.Program) { p.Ops[2].In = nil }, "op 2 (linear, layer 0): input x is missing"},
		{func(p *kernels.Program) { p.Ops[2].In = []kernels.ValueID{2} }, "op 2 (linear, layer 0): input x is 2, there are 2 so far"},
		{func(p *kernels.Program) { p.Ops[2].In = []kernels.ValueID{-2} }, "op 2 (linear, layer 0): input x is -2, there are 2 so far"},
		{func(p *kernels.Program) { p.Ops[2].In = []kernels.ValueID{1, 0} }, "op 2 (linear, layer 0): input 1 is set, it has 1"},
		{func(p *kernels.Program) { p.Ops[2].W = []kernels.WeightID{-1} }, "op 2 (linear, layer 0): weight weight is missing"},
		{func(p *kernels.Program) { p.Ops[2].W = []kernels.WeightID{10} }, "op 2 (linear, layer 0): weight weight is 10, there are 10 so far"},
		{func(p *kernels.Program) { p.Ops[2].W = []kernels.WeightID{2, -1, 0} }, "op 2 (linear, layer 0): weight 2 is set, it has 2"},
		{func(p *kernels.Program) { p.Ops[2].Out = []kernels.ValueID{3} }, "op 2 (linear, layer 0): it makes v3, ids ascend and the next is v2"},
		{func(p *kernels.Program) { p.Ops[2].Out = nil }, "op 2 (linear, layer 0): output y is missing"},
		{func(p *kernels.Program) { p.Ops[2].Layer = 1 << 20 }, "op 2 (linear, layer 1048576): layer 1048576 is out of range"},
		{func(p *kernels.Program) { p.Ops[7].W[0] = 2 }, "op 7 (linear, layer 0): weight blk.0.attn_q.weight is [16, 8], the input has 16 entries"},
		{func(p *kernels.Program) { p.Ops[2].Attr[0] = 2 }, "op 2 (linear, layer 0): weight blk.0.attn_q.weight is [16, 8], heads is 2"},
		{func(p *kernels.Program) { p.Ops[2].Attr[0] = 0xffffffff }, "op 2 (linear, layer 0): heads is -1, possible are 1 to 4194304"},
		{func(p *kernels.Program) { p.Ops[2].Attr[5] = 1 }, "op 2 (linear, layer 0): attribute slot 5 is set, it has 1 attributes"},
		{func(p *kernels.Program) { p.Ops[1].Attr[0] = 2 }, "op 1 (norm, layer 0): kind is 2, the values are 0 to 1 (rms, layer)"},
		{func(p *kernels.Program) { p.Ops[1].Attr[1] = f32(math.NaN()) }, "op 1 (norm, layer 0): eps is NaN"},
		{func(p *kernels.Program) { p.Ops[1].Attr[1] = f32(-0.5) }, "op 1 (norm, layer 0): eps is -0.5, possible are 0 to 1"},
		{func(p *kernels.Program) { p.Ops[1].Attr[2] = 3 }, "op 1 (norm, layer 0): group is 3, the input has 8 entries"},
		{func(p *kernels.Program) { p.Ops[1].Attr[2] = 4 }, "op 1 (norm, layer 0): weight norm is [8], the norm's group: 4 entries"},
		{func(p *kernels.Program) { p.Ops[5].Attr[1] = 3 }, "op 5 (rope, layer 0): head_dim is 3, the input has 16 entries"},
		{func(p *kernels.Program) { p.Ops[5].Attr[3] = 1 }, "op 5 (rope, layer 0): entries 1 to 4 of a head of 4 cannot be rotated in pairs"},
		{func(p *kernels.Program) { p.Ops[5].Attr[2] = 0x7fffffff }, "op 5 (rope, layer 0): entries 0 to 2147483646 of a head of 4 cannot be rotated in pairs"},
		{func(p *kernels.Program) { p.Ops[5].Attr[4] = f32(0) }, "op 5 (rope, layer 0): base is 0, possible are 0.001 to 1e+15"},
		{func(p *kernels.Program) { p.Ops[5].Attr[6] = f32(1) }, "op 5 (rope, layer 0): n_ctx_orig is 0, possible are 1 to 1073741824"},
		{func(p *kernels.Program) { p.Ops[6].Attr[1] = 3 }, "op 6 (attention, layer 0): n_head 4 is no multiple of n_head_kv 3"},
		{func(p *kernels.Program) { p.Ops[6].Attr[1] = 0 }, "op 6 (attention, layer 0): n_head_kv is 0, possible are 1 to 4194304"},
		{func(p *kernels.Program) { p.Ops[6].Attr[1] = 1 }, "op 6 (attention, layer 0): k has 8 entries, 1 heads of 4 are 4"},
		{func(p *kernels.Program) { p.Ops[6].Attr[5] = 0 }, "op 6 (attention, layer 0): a window is defined for causal attention only"},
		{func(p *kernels.Program) { p.Ops[6].In[2] = 10 }, "op 6 (attention, layer 0): input v is 10, there are 6 so far"},
		{func(p *kernels.Program) { p.Ops[11].In[1] = 9 }, "op 11 (experts, layer 0): input routes is v9, which holds no routes"},
		{func(p *kernels.Program) { p.Ops[12].In[0] = 10 }, "op 12 (rows): input x is v10, which holds routes"},
		{func(p *kernels.Program) { p.Ops[10].Attr[1] = 5 }, "op 10 (route, layer 0): top_k is 5, possible are 1 to 4"},
		{func(p *kernels.Program) { p.Ops[10].Attr[1] = 3 }, "op 10 (route, layer 0): top_k is 3, the groups used have 2 experts"},
		{func(p *kernels.Program) { p.Ops[10].Attr[2] = 3 }, "op 10 (route, layer 0): 4 experts do not part into 3 groups"},
		{func(p *kernels.Program) { p.Ops[11].W[0] = 6 }, "op 11 (experts, layer 0): weight down is [4, 8, 6], the input has 8 entries and the routes choose from 4 experts"},
		{func(p *kernels.Program) { p.Ops[9].W[0] = 0 }, "op 11 (experts, layer 0): weight gate is [4, 6, 8], the input has 8 entries and the routes choose from 10 experts"},
		{func(p *kernels.Program) { p.Ops[11].W[2] = 5 }, "op 11 (experts, layer 0): weight gate is [4, 6, 8], it must be [4, 8, 6]"},
		{func(p *kernels.Program) { p.Ops[11].Attr[2] = 0 }, "op 11 (experts, layer 0): alpha is 0, it divides"},
		{func(p *kernels.Program) {
			p.Ops[13] = kernels.Op{Code: kernels.OpAdd, Layer: -1, In: []kernels.ValueID{11, 12}, Out: []kernels.ValueID{13}}
		}, "op 13 (add): v11 and v12 do not hold the same rows: only one of them comes after rows or pool"},
		{func(p *kernels.Program) {
			p.Ops[13] = kernels.Op{Code: kernels.OpRows, Layer: -1, In: []kernels.ValueID{12}, Out: []kernels.ValueID{13}}
		}, "op 13 (rows): it works on every row of a step, v12 comes after rows or pool"},
		{func(p *kernels.Program) {
			p.Ops[13] = kernels.Op{Code: kernels.OpPool, Layer: -1, In: []kernels.ValueID{11}, Out: []kernels.ValueID{13}}
		}, "op 13 (pool): a program has rows or pool, not both"},
		{func(p *kernels.Program) {
			p.Ops[8] = kernels.Op{Code: kernels.OpConcat, In: []kernels.ValueID{0, 0}, Out: []kernels.ValueID{8}}
			kernels.ConcatAttrs{Heads: 1 << 21, Shared: 3}.Set(&p.Ops[8])
		}, "op 8 (concat, layer 0): its result has 33554432 entries a row, the limit is 4194304"},
		{func(p *kernels.Program) {
			p.Ops[8] = kernels.Op{Code: kernels.OpView, In: []kernels.ValueID{0}, Out: []kernels.ValueID{8}}
			kernels.ViewAttrs{Offset: 0x7fffffff, Width: 0x7fffffff}.Set(&p.Ops[8])
		}, "op 8 (view, layer 0): offset 2147483647 and width 2147483647 do not lie in a group of 8 entries"},
		{func(p *kernels.Program) { p.Weights[2].Type = gguf.IQ1_S },
			"weight 2 (blk.0.attn_q.weight): its type IQ1_S cannot be read by this version of forge"},
		{func(p *kernels.Program) { p.Weights[2].Type = 1 << 31 },
			"weight 2 (blk.0.attn_q.weight): its type type 2147483648 cannot be read by this version of forge"},
		{func(p *kernels.Program) { p.Weights[2].Type = gguf.Q4_0 },
			"weight 2 (blk.0.attn_q.weight): its rows of 8 entries are not whole blocks of Q4_0, which have 32"},
		{func(p *kernels.Program) { p.Weights[2].Data = p.Weights[2].Data[:100] },
			"weight 2 (blk.0.attn_q.weight): [16, 8] of F32 needs more than its 100 bytes"},
		{func(p *kernels.Program) { p.Weights[2].Data = make([]byte, 513) },
			"weight 2 (blk.0.attn_q.weight): [16, 8] of F32 is 512 bytes, it has 513"},
		{func(p *kernels.Program) { p.Weights[2].Shape = []int{1 << 31, 1 << 31, 1 << 31, 8} },
			"weight 2 (blk.0.attn_q.weight): its shape is [2147483648, 2147483648, 2147483648, 8]"},
		{func(p *kernels.Program) { p.Weights[2].Shape = []int{1<<31 - 1, 1<<31 - 1, 1<<31 - 1, 8} },
			"weight 2 (blk.0.attn_q.weight): [2147483647, 2147483647, 2147483647, 8] of F32 needs more than its 512 bytes"},
		{func(p *kernels.Program) { p.Weights[2].Shape = []int{0, 8} }, "weight 2 (blk.0.attn_q.weight): its shape is [0, 8]"},
		{func(p *kernels.Program) { p.Weights[2].Shape = nil }, "weight 2 (blk.0.attn_q.weight): it has 0 dimensions, 1 to 4 are possible"},
		{func(p *kernels.Program) { p.Weights[2].Name, p.Weights[2].Shape = "a\x1b[31m", nil }, `weight 2 ("a\x1b[31m"): it has 0 dimensions, 1 to 4 are possible`},
		{func(p *kernels.Program) { p.Weights[2].Name = strings.Repeat("x", 300) }, "weight 2 (" + strings.Repeat("x", 256) + "): a name of 300 bytes, the limit is 256"},
	} {
		p := small()
		c.change(p)
		if err := p.Check(); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		if p.Values != nil {
			t.Errorf("a program that was refused has values: %s", c.want)
		}
	}
}

// TestCheckLive refuses a program of small weights whose values would still fill the memory.
func TestCheckLive(t *testing.T) {
	p := small()
	p.Ops = p.Ops[:1]
	for i := range 6 {
		op := kernels.Op{Code: kernels.OpConcat, In: []kernels.ValueID{0, 0}, Out: []kernels.ValueID{kernels.ValueID(1 + i)}}
		kernels.ConcatAttrs{Heads: 1 << 18, Shared: 3}.Set(&op)
		p.Ops = append(p.Ops, op)
	}
	for i := range 5 {
		p.Ops = append(p.Ops, kernels.Op{Code: kernels.OpAdd, In: []kernels.ValueID{kernels.ValueID(1 + i), 6}, Out: []kernels.ValueID{kernels.ValueID(7 + i)}})
	}
	p.Ops = append(p.Ops, kernels.Op{Code: kernels.OpOutput, In: []kernels.ValueID{11}})
	const want = "program keeps 29360128 entries a row alive at one time, the limit is 16777216"
	if err := p.Check(); err == nil || err.Error() != want {
		t.Error(err)
	}
}

// checkedProgram changes records of a good program and tells whether Check lets it pass; what passes must compile and run on
// the scalar device.
func checkedProgram(t *testing.T, edits []byte) bool {
	p := small()
	for ; len(edits) >= 8; edits = edits[8:] {
		editProgram(p, edits)
	}
	if p.Check() != nil {
		return false
	}
	if p.Live() > 1<<20 {
		return true
	}
	r, err := kernels.Scalar{}.Compile(kernels.Whole(p), kernels.Options{MaxRows: 3, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tables := make([][]int32, len(p.Groups))
	for g := range tables {
		if r.PageBytes(g) > 1<<24 {
			return true
		}
		if err := r.Reserve(g, 1); err != nil {
			t.Fatal(err)
		}
		tables[g] = []int32{0}
	}
	b := kernels.Batch{Seqs: []kernels.Seq{{Pages: tables}}, Rows: []kernels.Row{{Token: 1}, {Token: 2, Pos: 1, Want: true}, {Token: 9, Pos: 2, Want: true}}}
	if _, err := r.Step(&b); err != nil && !strings.Contains(err.Error(), "vocabulary") {
		t.Fatal(err)
	}
	return true
}

// editProgram changes one field: eight bytes say which operation, which field, to what, and whether that is any number or a
// small one.
func editProgram(p *kernels.Program, edit []byte) {
	op, v := &p.Ops[int(edit[0])%len(p.Ops)], binary.LittleEndian.Uint32(edit[2:])
	if edit[7]%4 != 3 {
		v %= 32
	}
	switch k := int(edit[1]) % 26; {
	case k < 2:
		op.Code = kernels.OpCode(v % 20)
	case k < 4:
		op.In = append([]kernels.ValueID{}, op.In...)
		for len(op.In) <= k-2 {
			op.In = append(op.In, -1)
		}
		op.In[k-2] = kernels.ValueID(int32(v%16) - 1)
	case k < 6:
		op.W = append([]kernels.WeightID{}, op.W...)
		for len(op.W) <= k-4 {
			op.W = append(op.W, -1)
		}
		op.W[k-4] = kernels.WeightID(int32(v%12) - 1)
	case k == 6, k >= 24:
		op.Layer = int(int32(v))
	case k == 7:
		w := &p.Weights[v%uint32(len(p.Weights))]
		w.Shape = append([]int{int(edit[6])}, w.Shape...)
	default:
		editAttr(op, k-8, v, edit[7])
	}
}

// editAttr changes an attribute: in most cases one that the operation has, and to a value of its type.
func editAttr(op *kernels.Op, slot int, v uint32, how byte) {
	if attrs := kernels.Specs[op.Code].Attr; len(attrs) > 0 && how < 0xf0 {
		slot %= len(attrs)
		switch a := attrs[slot]; {
		case how%4 == 3: // anything
		case a.Type == "f32":
			v = math.Float32bits(float32(v) / 4)
		case a.Type == "enum":
			v %= uint32(len(a.Names))
		}
	}
	op.Attr[slot] = v
}

// FuzzCheck does so on the fuzzer's inputs.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2, 0, 3, 0, 0, 0, 0, 0})
	f.Add([]byte{6 + 15*15, 17, 1, 0, 0, 0, 0, 0, 10, 16, 3, 0, 0, 0, 0, 0})
	count := fuzzcount.New(f, "programs are accepted", 30)
	f.Fuzz(func(t *testing.T, edits []byte) {
		n := 8
		if len(edits) > n && edits[0] >= 0xe0 {
			n *= 2 // more edits spoil most programs
		}
		count.Add(checkedProgram(t, edits[:min(len(edits), n)]))
	})
}
