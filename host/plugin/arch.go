package plugin

import (
	"context"
	"fmt"
	"math"
	"unicode/utf8"

	"forge/abi"
)

// Caps of what an architecture guest is given and may give.
const (
	maxMeta        = 1 << 16
	maxTensors     = 1 << 17
	maxOps         = 1 << 15
	spareWeights   = 1 << 12 // beside two for each tensor
	spareNameBytes = 1 << 16
)

// ArchInput is what a program is built from.
type ArchInput struct {
	NCtx    uint32
	Meta    []Meta
	Tensors []Tensor
}

// Meta is one metadata key. Value is a float64, bool, string, []float64, or nil for what is not passed.
type Meta struct {
	Key   string
	Value any
}

// Tensor is one tensor of the file; Dims are row-major: [n_out, n_in].
type Tensor struct {
	Name string
	Type uint32
	Dims []uint32
}

// Program is what a guest built, as it wrote it: ids, shapes and attributes are for the host to check.
type Program struct {
	Weights []WeightRecord
	Ops     []OpRecord
}

// WeightRecord is a weight record of abi/v1.toml; Kind is a known abi.WeightKind.
type WeightRecord struct {
	Kind         uint32
	Name         string
	Source       int32
	First, Count uint32
}

// OpRecord is an op record of abi/v1.toml.
type OpRecord struct {
	Code  uint32
	Layer int32
	In    [4]int32
	Out   [2]int32
	W     [8]int32
	Attr  [16]uint32
}

// archLayout is where the parts of one arch_build lie.
type archLayout struct {
	layout
	meta, tensors, data  uint32 // data: keys, names, strings; arrays stand before it
	arrays               uint32
	weights, ops, names  uint32
	nWeights, nNameBytes uint32
}

func layOutArch(in *ArchInput) (*archLayout, error) {
	if len(in.Meta) > maxMeta || len(in.Tensors) > maxTensors {
		return nil, fmt.Errorf("the file has %d metadata keys and %d tensors; at most %d and %d are passed on", len(in.Meta), len(in.Tensors), maxMeta, maxTensors)
	}
	var text, numbers, names uint64
	for _, k := range in.Meta {
		text += uint64(len(k.Key))
		switch v := k.Value.(type) {
		case nil, float64, bool:
		case string:
			text += uint64(len(v))
		case []float64:
			numbers += uint64(len(v))
		default:
			return nil, fmt.Errorf("metadata key %s has the type %T, which the ABI does not pass", k.Key, v)
		}
	}
	for _, t := range in.Tensors {
		if len(t.Dims) > 4 {
			return nil, fmt.Errorf("tensor %s has %d dimensions, the ABI passes 4", t.Name, len(t.Dims))
		}
		names += uint64(len(t.Name))
	}
	l := &archLayout{layout: *newLayout()}
	l.nWeights = uint32(2*len(in.Tensors) + spareWeights)
	l.nNameBytes = uint32(min(names+spareNameBytes, math.MaxUint32))
	l.meta = l.take(abi.MetaSize*uint64(len(in.Meta)), 64)
	l.tensors = l.take(abi.TensorSize*uint64(len(in.Tensors)), 64)
	l.arrays = l.take(8*numbers, 64)
	l.data = l.take(text+names, 64)
	l.weights = l.take(abi.WeightSize*uint64(l.nWeights), 64)
	l.ops = l.take(abi.OpSize*maxOps, 64)
	l.names = l.take(uint64(l.nNameBytes), 64)
	return l, nil
}

// BuildProgram calls an architecture guest in an instance of its own. Counts and texts are checked; what the records
// mean is not.
func (m *Module) BuildProgram(ctx context.Context, input ArchInput) (*Program, error) {
	if m.kind.Name != abi.KindArch {
		return nil, fmt.Errorf("plugin %s is a %s and builds no programs", m.spec.Name, m.kind.Name)
	}
	l, err := layOutArch(&input)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", m.spec.Name, err)
	}
	in, err := m.start(ctx, &l.layout, nil)
	if err != nil {
		return nil, err
	}
	defer in.discard()
	l.write(in, &input)
	f := abi.Arch(in.frame(abi.ArchSize))
	f.SetNCtx(input.NCtx)
	f.SetNMeta(uint32(len(input.Meta)))
	f.SetMeta(in.base + l.meta)
	f.SetNTensors(uint32(len(input.Tensors)))
	f.SetTensors(in.base + l.tensors)
	f.SetWeights(in.base + l.weights)
	f.SetWeightsCap(l.nWeights)
	f.SetOps(in.base + l.ops)
	f.SetOpsCap(maxOps)
	f.SetNames(in.base + l.names)
	f.SetNamesCap(l.nNameBytes)
	status, err := in.call(ctx, in.export("arch_build"), m.budget(len(input.Meta)+len(input.Tensors)))
	if err != nil {
		return nil, err
	}
	if status != abi.StatusOk {
		return nil, in.fault("arch_build", status, "returned the status %s", status)
	}
	return l.read(in)
}

// write puts metadata and tensors into the arena.
func (l *archLayout) write(in *instance, input *ArchInput) {
	arrays, data := l.arrays, l.data
	put := func(s string) (uint32, uint32) {
		ptr := in.base + data
		data += uint32(copy(in.at(data, uint32(len(s))), s))
		return ptr, uint32(len(s))
	}
	for i, k := range input.Meta {
		r := abi.Meta(in.at(l.meta+uint32(i)*abi.MetaSize, abi.MetaSize))
		r.SetKey(put(k.Key))
		r.SetN(1)
		switch v := k.Value.(type) {
		case float64:
			r.SetType(uint32(abi.MetaTypeNumber))
			r.SetValue(v)
		case bool:
			r.SetType(uint32(abi.MetaTypeBool))
			if v {
				r.SetValue(1)
			}
		case string:
			r.SetType(uint32(abi.MetaTypeString))
			ptr, n := put(v)
			r.SetData(ptr)
			r.SetN(n)
		case []float64:
			r.SetType(uint32(abi.MetaTypeNumbers))
			r.SetN(uint32(len(v)))
			r.SetData(in.base + arrays)
			arrays += uint32(copy(in.at(arrays, uint32(8*len(v))), bytesOf(v)))
		default:
			r.SetType(uint32(abi.MetaTypeOther))
			r.SetN(0)
		}
	}
	for i, t := range input.Tensors {
		r := abi.Tensor(in.at(l.tensors+uint32(i)*abi.TensorSize, abi.TensorSize))
		r.SetName(put(t.Name))
		r.SetType(t.Type)
		r.SetNDims(uint32(len(t.Dims)))
		for d := range 4 {
			n := uint32(1)
			if d < len(t.Dims) {
				n = t.Dims[d]
			}
			r.SetDims(d, n)
		}
	}
}

// read takes the guest's records out of the arena.
func (l *archLayout) read(in *instance) (*Program, error) {
	f := abi.Arch(in.at(0, abi.ArchSize))
	bad := func(format string, args ...any) error { return in.fault("arch_build", 0, format, args...) }
	nw, no := f.NWeights(), f.NOps()
	switch {
	case nw > l.nWeights:
		return nil, bad("claims %d weights, there was room for %d", nw, l.nWeights)
	case no > maxOps:
		return nil, bad("claims %d operations, there was room for %d", no, maxOps)
	case no == 0:
		return nil, bad("built a program without operations")
	}
	p := &Program{Weights: make([]WeightRecord, nw), Ops: make([]OpRecord, no)}
	room := uint64(l.size) // that all names together may fill: they are copies of the arena's bytes
	for i := range p.Weights {
		r := abi.Weight(in.at(l.weights+uint32(i)*abi.WeightSize, abi.WeightSize))
		w := &p.Weights[i]
		w.Kind, w.Source, w.First, w.Count = r.Kind(), r.Source(), r.First(), r.Count()
		if w.Kind > uint32(abi.WeightKindTranspose) {
			return nil, bad("gave weight %d the kind %d, which the ABI does not have", i, w.Kind)
		}
		ptr, n := r.Name()
		if n == 0 {
			continue
		}
		if uint64(ptr) < uint64(in.base) || uint64(ptr)+uint64(n) > uint64(in.base)+uint64(in.size) {
			return nil, bad("gave weight %d a name of %d bytes at %#x, outside its arena", i, n, ptr)
		}
		if room < uint64(n) {
			return nil, bad("gave the weights names of more than %d bytes together", l.size)
		}
		room -= uint64(n)
		name := in.at(ptr-in.base, n)
		if !utf8.Valid(name) {
			return nil, bad("gave weight %d a name that is not UTF-8", i)
		}
		w.Name = string(name)
	}
	for i := range p.Ops {
		r := abi.Op(in.at(l.ops+uint32(i)*abi.OpSize, abi.OpSize))
		o := &p.Ops[i]
		o.Code, o.Layer = r.Code(), r.Layer()
		for k := range o.In {
			o.In[k] = r.Input(k)
		}
		for k := range o.Out {
			o.Out[k] = r.Output(k)
		}
		for k := range o.W {
			o.W[k] = r.Weight(k)
		}
		for k := range o.Attr {
			o.Attr[k] = r.Attr(k)
		}
	}
	return p, nil
}
