package plugin

import (
	"math"
	"strings"
	"testing"
)

func archInput(mode float64) ArchInput {
	return ArchInput{
		NCtx: 4096,
		Meta: []Meta{{"a.b", 12.0}, {"flag", true}, {"name", "llama"}, {"empty", ""}, {"list", []float64{3, 5, 8}}, {"strings", nil}, {"mode", mode}},
		Tensors: []Tensor{
			{"token_embd.weight", 8, []uint32{7, 5}}, {"output_norm.weight", 0, []uint32{5}}, {"blk.0.exps", 12, []uint32{2, 3, 4, 6}},
		},
	}
}

func TestBuildProgram(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		m := load(t, r, "arch", "arch", nil)
		p, err := m.BuildProgram(ctx, archInput(0))
		if err != nil {
			t.Fatal(err)
		}
		wantW := []WeightRecord{
			{0, "token_embd.weight", 8, 7005, 2001}, {0, "output_norm.weight", 0, 5001, 1001}, {0, "blk.0.exps", 12, 2003, 4006}, {1, "", 0, 1, 2},
		}
		if len(p.Weights) != len(wantW) {
			t.Fatalf("%d weights", len(p.Weights))
		}
		for i, w := range wantW {
			if p.Weights[i] != w {
				t.Errorf("weight %d is %+v, want %+v", i, p.Weights[i], w)
			}
		}
		type op struct {
			code           uint32
			layer, in, out int32
			w              int32
			attr           uint32
		}
		for i, want := range []op{{1, 1, 12, 3, -1, 0}, {2, 1, 1, 4, -1, 0}, {3, 5, 0, 4, 'a', 0}, {3, 0, 0, 5, -1, 0}, {4, 3, 0, 4, -1, 8}, {5, 0, 0, 7, -1, 0}, {1, 1, 0, 4, -1, 0}} {
			o := p.Ops[i]
			if got := (op{o.Code, o.Layer, o.In[0], o.Out[1], o.W[7], o.Attr[15]}); got != want {
				t.Errorf("op %d is %+v, want %+v", i, got, want)
			}
		}
		if last := p.Ops[len(p.Ops)-1]; len(p.Ops) != 8 || last.Code != 18 || last.Attr[0] != 4096 {
			t.Errorf("last op %+v of %d", last, len(p.Ops))
		}
	})
}

func TestHostileArch(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		for mode, want := range map[float64]string{
			1:  "plugin arch: arch_build claims 4294967295 operations, there was room for 32768",
			2:  "plugin arch: arch_build claims 4103 weights, there was room for 4102",
			3:  "plugin arch: arch_build gave weight 0 a name of 32 bytes at 0xfffffff0, outside its arena",
			4:  "plugin arch: arch_build gave weight 0 a name of 17 bytes at 0x0, outside its arena",
			5:  "plugin arch: arch_build gave weight 0 the kind 9, which the ABI does not have",
			6:  "plugin arch: arch_build built a program without operations",
			7:  "plugin arch: arch_build gave weight 0 a name that is not UTF-8",
			8:  "plugin arch: arch_build gave the weights names of more than...",
			9:  "plugin arch: arch_build says: rope type longrope is not known",
			10: "plugin arch: arch_build returned the status skip",
		} {
			m := load(t, r, "arch", "arch", nil)
			_, err := m.BuildProgram(ctx, archInput(mode))
			wantError(t, err, want)
		}
		m := load(t, r, "arch", "arch", nil)
		for _, k := range []struct {
			in   ArchInput
			want string
		}{
			{ArchInput{Meta: []Meta{{"k", 3}}}, "plugin arch: metadata key k has the type int, which the ABI does not pass"},
			{ArchInput{Tensors: []Tensor{{"t", 0, make([]uint32, 5)}}}, "plugin arch: tensor t has 5 dimensions, the ABI passes 4"},
			{ArchInput{Tensors: make([]Tensor, 1<<17+1)}, "plugin arch: the file has 0 metadata keys and 131073 tensors; at most 65536 and 131072 are passed on"},
			{ArchInput{Meta: []Meta{{"k", make([]float64, 5<<20)}}}, "plugin arch: its work needs an arena of 45 MiB, its limit is 512 pages (32 MiB): raise limits.pages"},
			{ArchInput{Meta: []Meta{{"k", strings.Repeat("x", 100)}, {"n", math.NaN()}}}, "no error"},
		} {
			_, err := m.BuildProgram(ctx, k.in)
			wantError(t, err, k.want)
		}
		_, err := load(t, r, "pair", "sampler", nil).BuildProgram(ctx, ArchInput{})
		wantError(t, err, "plugin pair is a sampler and builds no programs")
	})
}
