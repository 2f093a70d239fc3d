package author

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"forge/abi"
	"forge/gguf"
	"forge/host/model"
	"forge/host/plugin"
	"forge/kernels"
)

// archBattery is what architectures are put through: tiny models made here, or one that is given. Nothing can leak: a program is
// built once, in an instance of its own.
func archBattery() *battery {
	return &battery{
		shapes: "tiny models: the program, bound and checked",
		trials: archTrials,
		checks: []check{
			{"runs", archRuns}, {"missing", archMissing}, {"absurd", archAbsurd}, {"hostile host", archHostile}, {"fuzz", archFuzz},
		},
	}
}

// namedModel is a file with what an architecture is told of it.
type namedModel struct {
	name  string
	arch  string
	file  *gguf.File
	input plugin.ArchInput
}

const archCtx = 64 // positions asked for

func (s *session) models() ([]namedModel, error) {
	provides := s.mod.Manifest().Provides
	if len(provides) == 0 {
		return nil, &Fault{"the manifest", "it provides no architecture", "the values of general.architecture that it serves, in provides"}
	}
	var list []namedModel
	add := func(arch, name string, f *gguf.File) error {
		in, err := model.Input(f, archCtx, nil)
		list = append(list, namedModel{arch + ", " + name, arch, f, in})
		return err
	}
	for _, arch := range provides {
		files, err := standinModels(arch)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := add(arch, f.Name, f); err != nil {
				return nil, err
			}
		}
	}
	if f := s.opt.Model; f != nil {
		arch, err := model.Architecture(f)
		if err != nil {
			return nil, err
		}
		if slices.Contains(provides, arch) {
			if err := add(arch, "of the model", f); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// program builds a file's program and binds it.
func (s *session) program(f *gguf.File, in plugin.ArchInput) (*plugin.Program, *kernels.Program, error) {
	records, err := s.mod.BuildProgram(s.ctx, in)
	if err != nil {
		return nil, nil, err
	}
	p, err := model.Bind(f, records)
	return records, p, err
}

// archTrials build each model; of every architecture that is provided one must be taken.
func archTrials(s *session) ([]trial, error) {
	list, err := s.models()
	if err != nil {
		return nil, err
	}
	var out []trial
	why := map[string][]string{}
	taken := map[string]bool{}
	for _, m := range list {
		out = append(out, trial{m.name, func(s *session) (string, error) { return s.archTrial(&m) }})
		outcome, err := s.settled(s.archTrial(&m))
		if err != nil {
			return nil, at(m.name, err)
		}
		if strings.HasPrefix(outcome, "refused: ") {
			why[m.arch] = append(why[m.arch], m.name+" is "+outcome)
		} else {
			taken[m.arch] = true
		}
	}
	for _, arch := range s.mod.Manifest().Provides {
		if !taken[arch] {
			return nil, &Fault{"architecture " + arch, strings.Join(why[arch], "; "), "a program for one of these, or give a model of it with -m FILE.gguf"}
		}
	}
	return out, nil
}

func (s *session) archTrial(m *namedModel) (string, error) {
	records, p, err := s.program(m.file, m.input)
	if err != nil {
		if records != nil {
			return "", &Fault{"", "its program is refused: " + err.Error(), "a program that fits the file"}
		}
		return "", err
	}
	return digest(records.Weights, records.Ops, p.Live()), nil
}

// eachModel runs f with the models that are taken.
func (s *session) eachModel(f func(m *namedModel) error) error {
	list, err := s.models()
	if err != nil {
		return err
	}
	for _, m := range list {
		if _, err := s.archTrial(&m); s.refusal(err) != nil {
			continue
		}
		if err := f(&m); err != nil {
			return at(m.name, err)
		}
	}
	return nil
}

// tooLarge is how many bytes of tensors a model may have whose program is run here.
const tooLarge = 64 << 20

func archRuns(s *session) (string, error) {
	n := 0
	err := s.eachModel(func(m *namedModel) error {
		_, p, err := s.program(m.file, m.input)
		if err != nil {
			return err
		}
		size := 0
		for i := range m.file.Tensors {
			size += len(m.file.Tensors[i].Data())
		}
		if size > tooLarge {
			return nil
		}
		n++
		return runProgram(p)
	})
	return fmt.Sprintf("%d programs run on the scalar device, five rows in one step as one by one; their results are finite", n), err
}

// runProgram computes a few tokens at once and one by one.
func runProgram(p *kernels.Program) error {
	tokens := []int32{3, 1, 4, 1, 5}
	whole, err := stepTokens(p, tokens, len(tokens))
	if err != nil {
		return err
	}
	for i, x := range whole {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return &Fault{"the tokens 3 1 4 1 5", fmt.Sprintf("number %d of the result is %v", i, x), "finite numbers"}
		}
	}
	single, err := stepTokens(p, tokens, 1)
	if err != nil {
		return err
	}
	if !slices.Equal(whole, single) {
		return &Fault{"the tokens 3 1 4 1 5 one by one", "other results", "that of all in one step"}
	}
	return nil
}

// stepTokens gives the results of tokens, computed in steps of so many rows. Programs that pool have one for a step, and
// are computed in one.
func stepTokens(p *kernels.Program, tokens []int32, rows int) ([]float32, error) {
	if slices.ContainsFunc(p.Ops, func(o kernels.Op) bool { return o.Code == kernels.OpPool }) {
		rows = len(tokens)
	}
	var batches []kernels.Batch
	pages := make([][]int32, len(p.Groups))
	for g := range pages {
		pages[g] = []int32{0}
	}
	for from := 0; from < len(tokens); from += rows {
		b := kernels.Batch{Seqs: []kernels.Seq{{Pages: pages}}}
		for i := from; i < min(from+rows, len(tokens)); i++ {
			b.Rows = append(b.Rows, kernels.Row{Pos: int32(i), Token: tokens[i], Want: true})
		}
		batches = append(batches, b)
	}
	out, err := kernels.Outputs(kernels.Scalar{}, kernels.Whole(p), kernels.Options{MaxRows: rows, Threads: 1}, batches)
	if err != nil {
		return nil, &Fault{"the scalar device", err.Error(), "a program that it runs"}
	}
	return out, nil
}

// withMeta gives a key of an input another value.
func withMeta(in plugin.ArchInput, i int, v any) plugin.ArchInput {
	in.Meta = slices.Clone(in.Meta)
	in.Meta[i].Value = v
	return in
}

// refuses wants of an input that is not as it should be a sentence, from the guest or from the check of its program, or a
// program that is sound all the same.
func (s *session) refuses(m *namedModel, in plugin.ArchInput, what string) error {
	records, p, err := s.program(m.file, in)
	if records == nil { // the guest says so itself
		_, err := s.settled("", err)
		return at(what, err)
	}
	if err != nil {
		return nil // the check of the program says why it does not fit the file
	}
	if err := runProgram(p); err != nil {
		var f *Fault
		if errors.As(err, &f) {
			f.Want = "a refusal by a sentence, or a program whose result is finite"
		}
		return at(what, err)
	}
	return nil
}

// archMissing leaves out each key and each tensor.
func archMissing(s *session) (string, error) {
	n := 0
	err := s.eachSmall(func(m *namedModel) error {
		for i, k := range m.input.Meta {
			in := m.input
			in.Meta = slices.Delete(slices.Clone(in.Meta), i, i+1)
			if err := s.refuses(m, in, "without the key "+k.Key); err != nil {
				return err
			}
			n++
		}
		for i, t := range m.input.Tensors {
			in := m.input
			in.Tensors = slices.Delete(slices.Clone(in.Tensors), i, i+1)
			if err := s.refuses(m, in, "without the tensor "+t.Name); err != nil {
				return err
			}
			n++
		}
		for what, in := range map[string]plugin.ArchInput{
			"without any key": {NCtx: archCtx, Tensors: m.input.Tensors}, "without any tensor": {NCtx: archCtx, Meta: m.input.Meta}, "of nothing": {NCtx: archCtx},
		} {
			if records, _, err := s.program(m.file, in); err == nil {
				return &Fault{"a file " + what, fmt.Sprintf("gives a program of %d operations", len(records.Ops)), "a refusal by a sentence"}
			}
			if err := s.refuses(m, in, "a file "+what); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return fmt.Sprintf("%d files that lack something are refused by a sentence, or do not need it", n), err
}

// eachSmall runs f with the tiny models made here that are taken.
func (s *session) eachSmall(f func(m *namedModel) error) error {
	return s.eachModel(func(m *namedModel) error {
		if m.file == s.opt.Model {
			return nil
		}
		return f(m)
	})
}

// absurdValues are what a key should not have.
var absurdValues = []any{
	0.0, -1.0, 0.5, 1.0, 3.0, 7.0, 1e9, 2147483647.0, 2147483648.0, -2147483648.0, 4294967296.0, 1e300, math.NaN(), math.Inf(1), math.Inf(-1),
	true, "", "words", []float64{}, []float64{1, 2, 3}, []float64{math.NaN(), -1, 1e300}, nil,
}

// archAbsurd gives each key values that it should not have.
func archAbsurd(s *session) (string, error) {
	n := 0
	err := s.eachSmall(func(m *namedModel) error {
		for i, k := range m.input.Meta {
			for _, v := range absurdValues {
				if err := s.refuses(m, withMeta(m.input, i, v), fmt.Sprintf("%s = %#v", k.Key, v)); err != nil {
					return err
				}
				n++
			}
		}
		return nil
	})
	return fmt.Sprintf("%d absurd values are refused by a sentence, or make no difference that harms", n), err
}

// archDesk lays a call down: caps are the room for weights, operations and bytes of names.
func (d *desk) archFrame(in *plugin.ArchInput, size uint32, caps [3]uint32) (abi.Arch, [3]output) {
	d.wipe()
	text := func(s string) (uint32, uint32) { return d.put([]byte(s)), uint32(len(s)) }
	var meta, tensors []byte
	for _, k := range in.Meta {
		r := abi.Meta(make([]byte, abi.MetaSize))
		r.SetKey(text(k.Key))
		r.SetN(1)
		switch v := k.Value.(type) {
		case float64:
			r.SetType(uint32(abi.MetaTypeNumber))
			r.SetValue(v)
		case string:
			r.SetType(uint32(abi.MetaTypeString))
			ptr, n := text(v)
			r.SetData(ptr)
			r.SetN(n)
		default:
			r.SetType(uint32(abi.MetaTypeOther))
			r.SetN(0)
		}
		meta = append(meta, r...)
	}
	for _, t := range in.Tensors {
		r := abi.Tensor(make([]byte, abi.TensorSize))
		r.SetName(text(t.Name))
		r.SetType(t.Type)
		r.SetNDims(uint32(len(t.Dims)))
		for i := range 4 {
			r.SetDims(i, 1)
			if i < len(t.Dims) {
				r.SetDims(i, t.Dims[i])
			}
		}
		tensors = append(tensors, r...)
	}
	raw := d.Frame(max(size, abi.ArchSize))
	abi.Head(raw).SetSize(size)
	f := abi.Arch(raw)
	f.SetNCtx(in.NCtx)
	f.SetNMeta(uint32(len(in.Meta)))
	f.SetMeta(d.put(meta))
	f.SetNTensors(uint32(len(in.Tensors)))
	f.SetTensors(d.put(tensors))
	outs := [3]output{d.out("weights", abi.WeightSize*caps[0]), d.out("operations", abi.OpSize*caps[1]), d.out("names", caps[2])}
	f.SetWeights(d.addr(outs[0]))
	f.SetWeightsCap(caps[0])
	f.SetOps(d.addr(outs[1]))
	f.SetOpsCap(caps[1])
	f.SetNames(d.addr(outs[2]))
	f.SetNamesCap(caps[2])
	return f, outs
}

var archRoom = [3]uint32{256, 512, 16 << 10}

// archCall builds in an instance of its own, as a host does.
func (s *session) archCall(in *plugin.ArchInput, size uint32, caps [3]uint32, input string, spoil func(f abi.Arch)) error {
	d, err := s.desk(plugin.ProbeOptions{})
	if err != nil {
		return err
	}
	defer d.Close()
	f, _ := d.archFrame(in, size, caps)
	if spoil != nil {
		spoil(f)
	}
	if err := d.borne(input, "arch_build", len(in.Meta)+len(in.Tensors)); err != nil {
		return err
	}
	f = abi.Arch(d.Seen(abi.ArchSize))
	if f.NWeights() > caps[0] || f.NOps() > caps[1] || f.NamesLen() > caps[2] {
		return &Fault{input, fmt.Sprintf("says that it wrote %d weights, %d operations and %d bytes of names where there is room for %d", f.NWeights(), f.NOps(), f.NamesLen(), caps), "no more than there is room for"}
	}
	return nil
}

// archHostile sends frames and records that no host sends.
func archHostile(s *session) (string, error) {
	return "little room, cut and longer frames, records that cannot be are borne", s.eachSmall(func(m *namedModel) error {
		for _, caps := range [][3]uint32{{0, 0, 0}, {1, 512, 16384}, {256, 1, 16384}, {256, 512, 1}, {256, 512, 40}, {7, 9, 100}, {256, 0, 16384}} {
			if err := s.archCall(&m.input, abi.ArchSize, caps, fmt.Sprintf("room for %d weights, %d operations and %d bytes of names", caps[0], caps[1], caps[2]), nil); err != nil {
				return err
			}
		}
		for _, way := range frameWays {
			if err := s.archCall(&m.input, way.size(abi.ArchSize), archRoom, way.name, nil); err != nil {
				return err
			}
		}
		for _, way := range []struct {
			name  string
			spoil func(f abi.Arch)
		}{
			{"no keys, and no address of them", func(f abi.Arch) { f.SetNMeta(0); f.SetMeta(0) }},
			{"no tensors, and no address of them", func(f abi.Arch) { f.SetNTensors(0); f.SetTensors(0) }},
			{"no room, and no address of it", func(f abi.Arch) {
				f.SetWeights(0)
				f.SetWeightsCap(0)
				f.SetOps(0)
				f.SetOpsCap(0)
				f.SetNames(0)
				f.SetNamesCap(0)
			}},
			{"a context of 2^32-1", func(f abi.Arch) { f.SetNCtx(1<<32 - 1) }},
			{"no context", func(f abi.Arch) { f.SetNCtx(0) }},
		} {
			if err := s.archCall(&m.input, abi.ArchSize, archRoom, way.name, way.spoil); err != nil {
				return err
			}
		}
		return s.archRecords(m)
	})
}

// archRecords spoils the list of tensors and of keys.
func (s *session) archRecords(m *namedModel) error {
	ways := []struct {
		name  string
		spoil func(in *plugin.ArchInput)
	}{
		{"tensors without dimensions", func(in *plugin.ArchInput) { eachTensor(in, func(t *plugin.Tensor) { t.Dims = nil }) }},
		{"tensors of 4 dimensions", func(in *plugin.ArchInput) { eachTensor(in, func(t *plugin.Tensor) { t.Dims = []uint32{2, 2, 2, 2} }) }},
		{"tensors of dimensions 0", func(in *plugin.ArchInput) { eachTensor(in, func(t *plugin.Tensor) { t.Dims = []uint32{0, 0} }) }},
		{"tensors of dimensions 2^32-1", func(in *plugin.ArchInput) {
			eachTensor(in, func(t *plugin.Tensor) { t.Dims = []uint32{1<<32 - 1, 1<<32 - 1} })
		}},
		{"tensors of an unknown type", func(in *plugin.ArchInput) { eachTensor(in, func(t *plugin.Tensor) { t.Type = 1 << 30 }) }},
		{"tensors without names", func(in *plugin.ArchInput) { eachTensor(in, func(t *plugin.Tensor) { t.Name = "" }) }},
		{"all tensors twice", func(in *plugin.ArchInput) { in.Tensors = append(in.Tensors, in.Tensors...) }},
		{"all keys twice", func(in *plugin.ArchInput) { in.Meta = append(in.Meta, in.Meta...) }},
		{"an empty key", func(in *plugin.ArchInput) { in.Meta = append([]plugin.Meta{{Key: "", Value: 1.0}}, in.Meta...) }},
		{"unknown keys", func(in *plugin.ArchInput) {
			in.Meta = append(in.Meta, plugin.Meta{Key: "nobody.knows.this", Value: "x"}, plugin.Meta{Key: m.arch + ".", Value: 1.0}, plugin.Meta{Key: strings.Repeat("k", 5000), Value: 1.0})
		}},
		{"another architecture", func(in *plugin.ArchInput) {
			for i := range in.Meta {
				if in.Meta[i].Key == "general.architecture" {
					in.Meta[i].Value = strings.Repeat("x", 3000)
				}
			}
		}},
	}
	for _, w := range ways {
		in := m.input
		in.Meta, in.Tensors = slices.Clone(in.Meta), slices.Clone(in.Tensors)
		w.spoil(&in)
		if err := s.refuses(m, in, w.name); err != nil {
			return err
		}
		if err := s.archCall(&in, abi.ArchSize, archRoom, w.name, nil); err != nil {
			return err
		}
	}
	return nil
}

func eachTensor(in *plugin.ArchInput, f func(t *plugin.Tensor)) {
	for i := range in.Tensors {
		f(&in.Tensors[i])
	}
}

// archFuzz spoils a few things of a model at once.
func archFuzz(s *session) (tried string, err error) {
	err = s.eachSmall(func(m *namedModel) error {
		tried, err = s.fuzz(func(rng *rand.Rand) error {
			in := m.input
			in.Meta, in.Tensors = slices.Clone(in.Meta), slices.Clone(in.Tensors)
			var what []string
			for range 1 + rng.IntN(4) {
				what = append(what, spoilModel(rng, &in))
			}
			return s.refuses(m, in, strings.Join(what, ", "))
		})
		return err
	})
	return tried, err
}

// spoilModel changes one thing and says which.
func spoilModel(rng *rand.Rand, in *plugin.ArchInput) string {
	if len(in.Meta) == 0 || len(in.Tensors) == 0 {
		return "nothing"
	}
	k, t := &in.Meta[rng.IntN(len(in.Meta))], &in.Tensors[rng.IntN(len(in.Tensors))]
	switch rng.IntN(6) {
	case 0:
		k.Value = absurdValues[rng.IntN(len(absurdValues))]
		return fmt.Sprintf("%s = %#v", k.Key, k.Value)
	case 1:
		k.Value = math.Floor(rng.NormFloat64() * 40)
		return fmt.Sprintf("%s = %v", k.Key, k.Value)
	case 2:
		t.Dims = slices.Clone(t.Dims)
		i := rng.IntN(len(t.Dims))
		t.Dims[i] = []uint32{0, 1, 5, 1 << 31, rng.Uint32()}[rng.IntN(5)]
		return fmt.Sprintf("%s is %d", t.Name, t.Dims)
	case 3:
		t.Type = rng.Uint32N(50)
		return fmt.Sprintf("%s has the type %d", t.Name, t.Type)
	case 4:
		name := t.Name
		in.Tensors = slices.DeleteFunc(in.Tensors, func(t plugin.Tensor) bool { return t.Name == name })
		return "without " + name
	}
	key := k.Key
	in.Meta = slices.DeleteFunc(in.Meta, func(k plugin.Meta) bool { return k.Key == key })
	return "without " + key
}
