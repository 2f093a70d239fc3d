// Tests of the shipped guests. They lie here since go build takes no folder with C files beside Go ones.
package plugins_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"forge/abi"
	"forge/kernels"
	"forge/plugins/internal/guesttest"
)

var update = flag.Bool("update", false, "rewrite the programs under plugins/testdata/arch")

// A file is what an arch guest is given of a GGUF file; dims are [n_out, n_in].
type file struct {
	meta    map[string]any
	tensors map[string][]int
}

// llama is a model of 2 layers with the sizes of SmolLM2-135M; the names and shapes are those of its file.
func llama() file {
	f := file{meta: map[string]any{
		"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 8192, "llama.embedding_length": 576,
		"llama.feed_forward_length": 1536, "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3,
		"llama.rope.freq_base": 100000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.dimension_count": 64,
	}, tensors: map[string][]int{"token_embd.weight": {49152, 576}, "output_norm.weight": {576}}}
	for l := range 2 {
		for name, dims := range map[string][]int{
			"attn_norm": {576}, "attn_q": {576, 576}, "attn_k": {192, 576}, "attn_v": {192, 576}, "attn_output": {576, 576},
			"ffn_norm": {576}, "ffn_gate": {1536, 576}, "ffn_up": {1536, 576}, "ffn_down": {576, 1536},
		} {
			f.tensors[fmt.Sprintf("blk.%d.%s.weight", l, name)] = dims
		}
	}
	return f
}

// gemma3 is a model of 7 layers, one pattern and one layer, with the sizes of Gemma 3 270M.
func gemma3() file {
	f := file{meta: map[string]any{
		"general.architecture": "gemma3", "gemma3.block_count": 7, "gemma3.context_length": 32768, "gemma3.embedding_length": 640,
		"gemma3.feed_forward_length": 2048, "gemma3.attention.head_count": 4, "gemma3.attention.head_count_kv": 1,
		"gemma3.attention.key_length": 256, "gemma3.attention.value_length": 256, "gemma3.rope.freq_base": 1000000.0,
		"gemma3.attention.sliding_window": 512, "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
	}, tensors: map[string][]int{"token_embd.weight": {262144, 640}, "output_norm.weight": {640}}}
	for l := range 7 {
		for name, dims := range map[string][]int{
			"attn_norm": {640}, "attn_q": {1024, 640}, "attn_k": {256, 640}, "attn_v": {256, 640}, "attn_output": {640, 1024},
			"attn_q_norm": {256}, "attn_k_norm": {256}, "post_attention_norm": {640},
			"ffn_norm": {640}, "ffn_gate": {2048, 640}, "ffn_up": {2048, 640}, "ffn_down": {640, 2048}, "post_ffw_norm": {640},
		} {
			f.tensors[fmt.Sprintf("blk.%d.%s.weight", l, name)] = dims
		}
	}
	return f
}

// program is what came back, with weights by name.
type program struct {
	weights []string
	ops     []kernels.Op
	text    string
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// build runs arch_build with room for the given numbers of weights and ops.
func build(t *testing.T, guest string, f file, weightsCap, opsCap uint32) (program, error) {
	t.Helper()
	g, at := layArch(t, guest, f, weightsCap, opsCap)
	if err := g.Call("arch_build", at); err != nil {
		return program{}, err
	}
	return read(t, g, abi.Arch(g.Bytes(at, abi.ArchSize))), nil
}

// layArch fills the frame of arch_build.
func layArch(t testing.TB, guest string, f file, weightsCap, opsCap uint32) (*guesttest.Guest, uint32) {
	t.Helper()
	g := guesttest.Open(t, "arch/"+guest+".wasm", 1<<20, nil)
	at, frame := g.Frame(abi.ArchSize)
	a := abi.Arch(frame)
	a.SetNCtx(4096)

	meta := g.Alloc(uint32(len(f.meta)) * abi.MetaSize)
	for i, key := range sortedKeys(f.meta) {
		m := abi.Meta(g.Bytes(meta+uint32(i)*abi.MetaSize, abi.MetaSize))
		m.SetKey(g.Put([]byte(key)))
		m.SetN(1)
		switch v := f.meta[key].(type) {
		case int:
			m.SetType(uint32(abi.MetaTypeNumber))
			m.SetValue(float64(v))
		case float64:
			m.SetType(uint32(abi.MetaTypeNumber))
			m.SetValue(v)
		case string:
			m.SetType(uint32(abi.MetaTypeString))
			p, n := g.Put([]byte(v))
			m.SetData(p)
			m.SetN(n)
		case []float64:
			m.SetType(uint32(abi.MetaTypeNumbers))
			var b []byte
			for _, x := range v {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
			}
			p, _ := g.Put(b)
			m.SetData(p)
			m.SetN(uint32(len(v)))
		default:
			t.Fatalf("%s: %T", key, v)
		}
	}
	a.SetMeta(meta)
	a.SetNMeta(uint32(len(f.meta)))
	tensors := g.Alloc(uint32(len(f.tensors)) * abi.TensorSize)
	for i, name := range sortedKeys(f.tensors) {
		r := abi.Tensor(g.Bytes(tensors+uint32(i)*abi.TensorSize, abi.TensorSize))
		r.SetName(g.Put([]byte(name)))
		r.SetNDims(uint32(len(f.tensors[name])))
		for d := range 4 {
			r.SetDims(d, 1)
		}
		for d, n := range f.tensors[name] {
			r.SetDims(d, uint32(n))
		}
	}
	a.SetTensors(tensors)
	a.SetNTensors(uint32(len(f.tensors)))
	a.SetWeights(g.Alloc(weightsCap * abi.WeightSize))
	a.SetWeightsCap(weightsCap)
	a.SetOps(g.Alloc(opsCap * abi.OpSize))
	a.SetOpsCap(opsCap)
	a.SetNames(g.Alloc(65536))
	a.SetNamesCap(65536)
	return g, at
}

func read(t *testing.T, g *guesttest.Guest, a abi.Arch) program {
	t.Helper()
	var p program
	var text strings.Builder
	for i := range a.NWeights() {
		w := abi.Weight(g.Bytes(a.Weights()+i*abi.WeightSize, abi.WeightSize))
		ptr, n := w.Name()
		if ptr < a.Names() || ptr+n > a.Names()+a.NamesLen() {
			t.Fatalf("weight %d: its name lies outside names", i)
		}
		p.weights = append(p.weights, string(g.Bytes(ptr, n)))
	}
	made := int32(0)
	for i := range a.NOps() {
		r := abi.Op(g.Bytes(a.Ops()+i*abi.OpSize, abi.OpSize))
		op := kernels.Op{Code: kernels.OpCode(r.Code()), Layer: int(r.Layer())}
		spec := kernels.Specs[op.Code]
		if spec.Name == "" {
			t.Fatalf("op %d: unknown code %d", i, op.Code)
		}
		if v := r.Output(0); v >= 0 {
			if v != made {
				t.Fatalf("op %d makes value %d, expected %d", i, v, made)
			}
			made++
			fmt.Fprintf(&text, "v%d = ", v)
		}
		fmt.Fprintf(&text, "%s layer %d", spec.Name, op.Layer)
		for s := range 4 {
			if v := r.Input(s); v >= 0 {
				if v >= made {
					t.Fatalf("op %d reads value %d before it is made", i, v)
				}
				if s >= len(spec.In) {
					t.Fatalf("op %d (%s) has an input %d", i, spec.Name, s)
				}
				op.In = append(op.In, kernels.ValueID(v))
				fmt.Fprintf(&text, " v%d", v)
			}
		}
		for s := range 8 {
			if w := r.Weight(s); w >= 0 {
				if s >= len(spec.W) {
					t.Fatalf("op %d (%s) has a weight %d", i, spec.Name, s)
				}
				fmt.Fprintf(&text, " %s=%s", strings.TrimSuffix(spec.W[s], "?"), p.weights[w])
			}
		}
		for s := range 16 {
			if op.Attr[min(s, len(op.Attr)-1)] = r.Attr(s); s >= len(spec.Attr) {
				if r.Attr(s) != 0 {
					t.Fatalf("op %d (%s) has an attribute %d", i, spec.Name, s)
				}
				continue
			}
			switch spec.Attr[s].Type {
			case "f32":
				fmt.Fprintf(&text, " %s=%v", spec.Attr[s].Name, math.Float32frombits(r.Attr(s)))
			case "i32":
				fmt.Fprintf(&text, " %s=%d", spec.Attr[s].Name, int32(r.Attr(s)))
			default:
				fmt.Fprintf(&text, " %s=%s", spec.Attr[s].Name, spec.Attr[s].Names[r.Attr(s)])
			}
		}
		text.WriteByte('\n')
		p.ops = append(p.ops, op)
	}
	p.text = text.String()
	return p
}

// Ensure that each guest gives the program that was reviewed by hand; -update rewrites it.
func TestProgram(t *testing.T) {
	moe := llama()
	moe.meta["llama.expert_count"], moe.meta["llama.expert_used_count"] = 8, 2
	for l := range 2 {
		for name, dims := range map[string][]int{"gate_inp": {8, 576}, "gate_exps": {8, 1536, 576}, "up_exps": {8, 1536, 576}, "down_exps": {8, 576, 1536}} {
			moe.tensors[fmt.Sprintf("blk.%d.ffn_%s.weight", l, name)] = dims
		}
	}
	for _, c := range []struct {
		name, guest string
		file        file
	}{
		{"llama", "llama", llama()}, {"mixtral", "llama", moe}, {"gemma3", "gemma3", gemma3()},
		{"qwen3moe", "qwen3moe", qwen("qwen3moe")}, {"qwen3", "qwen3moe", qwen("qwen3")},
		{"qwen2moe", "qwen2moe", qwen("qwen2moe")}, {"qwen2", "qwen2moe", qwen("qwen2")},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := build(t, c.guest, c.file, 256, 256)
			if err != nil {
				t.Fatal(err)
			}
			golden := "testdata/arch/" + c.name + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(p.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if p.text != string(want) {
				t.Errorf("the program is not that of %s:\n%s", golden, p.text)
			}
		})
	}
}

func has(t *testing.T, p program, line string) {
	t.Helper()
	if !strings.Contains(p.text, line) {
		t.Errorf("no %q in\n%s", line, p.text)
	}
}

// Ensure that optional keys and tensors reach the operations that they are for.
func TestOptional(t *testing.T) {
	t.Run("llama", func(t *testing.T) {
		f := llama()
		f.tensors["rope_freqs.weight"] = []int{32}
		f.tensors["output.weight"] = []int{49152, 576}
		f.tensors["blk.1.attn_q.bias"] = []int{576}
		f.meta["llama.attention.head_count_kv"] = []float64{3, 9}
		f.meta["llama.rope.scaling.type"], f.meta["llama.rope.scaling.factor"] = "yarn", 4.0
		f.meta["llama.rope.scaling.original_context_length"] = 2048
		p, err := build(t, "llama", f, 256, 256)
		if err != nil {
			t.Fatal(err)
		}
		has(t, p, "weight=blk.1.attn_q.weight bias=blk.1.attn_q.bias heads=1")
		has(t, p, "weight=output.weight heads=1")
		has(t, p, "layer 0 v2 factors=rope_freqs.weight mode=pairs head_dim=64 n_rot=64 first=0 base=100000 freq_scale=0.25 ext_factor=1 "+
			"attn_factor="+fmt.Sprint(float32(1+0.1*math.Log(4)))+" beta_fast=32 beta_slow=1 n_ctx_orig=2048")
		has(t, p, "n_head=9 n_head_kv=9 head_dim_k=64")
		has(t, p, "n_head=9 n_head_kv=3 head_dim_k=64")
	})
	t.Run("llama linear", func(t *testing.T) {
		f := llama()
		delete(f.meta, "llama.rope.freq_base")
		delete(f.meta, "llama.rope.dimension_count")
		delete(f.meta, "llama.attention.head_count_kv")
		f.meta["llama.attention.key_length"], f.meta["llama.attention.value_length"] = 32, 16
		f.meta["llama.rope.scaling.type"], f.meta["llama.rope.scaling.factor"] = "linear", 2.0
		p, err := build(t, "llama", f, 256, 256)
		if err != nil {
			t.Fatal(err)
		}
		has(t, p, "mode=pairs head_dim=32 n_rot=32 first=0 base=10000 freq_scale=0.5 ext_factor=0 attn_factor=1 ")
		has(t, p, "n_head=9 n_head_kv=9 head_dim_k=32 head_dim_v=16 scale="+fmt.Sprint(float32(1/math.Sqrt(32))))
	})
	t.Run("gemma3", func(t *testing.T) {
		f := gemma3()
		f.meta["gemma3.rope.scaling.type"], f.meta["gemma3.rope.scaling.factor"] = "linear", 8.0
		f.meta["gemma3.rope.freq_base_swa"] = 20000.0
		f.meta["gemma3.attention.sliding_window_pattern"] = []float64{0, 1, 1, 1, 1, 1, 1}
		f.meta["gemma3.final_logit_softcapping"] = 30.0
		p, err := build(t, "gemma3", f, 256, 256)
		if err != nil {
			t.Fatal(err)
		}
		has(t, p, "rope layer 0 v6 mode=halves head_dim=256 n_rot=256 first=0 base=1e+06 freq_scale=0.125 ext_factor=0")
		has(t, p, "base=20000 freq_scale=1 ext_factor=0")
		if n := strings.Count(p.text, "window=512"); n != 6 {
			t.Errorf("%d windowed layers, expected 6", n)
		}
		has(t, p, "cap=30\n")
	})
	t.Run("gemma3 of 62 layers", func(t *testing.T) {
		f := gemma3()
		f.meta["gemma3.block_count"] = 62
		for l := 7; l < 62; l++ {
			for name, dims := range gemma3().tensors {
				if rest, ok := strings.CutPrefix(name, "blk.0."); ok {
					f.tensors[fmt.Sprintf("blk.%d.%s", l, rest)] = dims
				}
			}
		}
		p, err := build(t, "gemma3", f, 1024, 2048)
		if err != nil {
			t.Fatal(err)
		}
		has(t, p, "scale="+fmt.Sprint(float32(1/math.Sqrt(640/4))))
	})
}

// Ensure that what a file lacks, or has wrong, is named.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		guest string
		spoil func(f file)
		want  string
	}{
		{"llama", func(f file) { delete(f.meta, "general.architecture") }, "err_arg: missing metadata general.architecture"},
		{"llama", func(f file) { delete(f.meta, "llama.block_count") }, "err_arg: missing metadata llama.block_count"},
		{"llama", func(f file) { f.meta["llama.block_count"] = 0 }, "err_arg: metadata llama.block_count is 0, expected at least 1"},
		{"llama", func(f file) { f.meta["llama.block_count"] = 1.5 }, "err_arg: metadata llama.block_count is not a whole number from 0 to 2147483647"},
		{"llama", func(f file) { f.meta["llama.block_count"] = math.NaN() }, "err_arg: metadata llama.block_count is not a whole number from 0 to 2147483647"},
		{"llama", func(f file) { f.meta["llama.block_count"] = 2147483647 }, "err_arg: missing tensor blk.2.attn_norm.weight"},
		{"llama", func(f file) { f.meta["llama.block_count"] = "two" }, "err_arg: metadata llama.block_count is not a number"},
		{"llama", func(f file) { f.meta["llama.attention.head_count"] = []float64{9} }, "err_arg: metadata llama.attention.head_count is an array with fewer elements than there are layers"},
		{"llama", func(f file) { f.meta["llama.attention.head_count_kv"] = 2 }, "err_arg: metadata llama.attention.head_count_kv does not divide llama.attention.head_count"},
		{"llama", func(f file) { f.meta["llama.attention.head_count_kv"] = 0 }, "err_arg: metadata llama.attention.head_count_kv does not divide llama.attention.head_count"},
		{"llama", func(f file) { f.meta["llama.rope.dimension_count"] = 65 }, "err_arg: metadata llama.rope.dimension_count is odd or larger than a head"},
		{"llama", func(f file) { f.meta["llama.rope.scaling.type"] = "longrope" }, "err_unsupported: metadata llama.rope.scaling.type names a scaling that this plugin does not know; it knows none, linear and yarn"},
		{"llama", func(f file) { f.meta["llama.rope.scaling.factor"] = -1.0 }, "err_arg: metadata llama.rope.scaling.factor is not a positive number"},
		{"llama", func(f file) { f.meta["llama.expert_count"] = 4 }, "err_arg: missing metadata llama.expert_used_count"},
		{"llama", func(f file) { delete(f.tensors, "token_embd.weight") }, "err_arg: missing tensor token_embd.weight"},
		{"llama", func(f file) { delete(f.tensors, "blk.1.ffn_up.weight") }, "err_arg: missing tensor blk.1.ffn_up.weight"},
		{"gemma3", func(f file) { delete(f.tensors, "blk.6.post_ffw_norm.weight") }, "err_arg: missing tensor blk.6.post_ffw_norm.weight"},
		{"gemma3", func(f file) { delete(f.meta, "gemma3.attention.layer_norm_rms_epsilon") }, "err_arg: missing metadata gemma3.attention.layer_norm_rms_epsilon"},
	} {
		t.Run(c.want, func(t *testing.T) {
			f := llama()
			if c.guest == "gemma3" {
				f = gemma3()
			}
			c.spoil(f)
			if _, err := build(t, c.guest, f, 256, 256); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	for caps, want := range map[[2]uint32]string{
		{19, 256}: "err_arg: the program needs more weights than the host allows",
		{256, 20}: "err_arg: the program needs more operations than the host allows",
	} {
		if _, err := build(t, "llama", llama(), caps[0], caps[1]); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
