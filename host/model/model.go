// Package model turns a file's metadata and an architecture guest's records into a checked program whose weights point
// into the mapped file.
//
// Nouns: the input is what a guest is told of a file; records are what it answers; the program is those records with
// every index, shape and type checked and every weight bound.
//
//	prog, err := model.Bind(file, records)
//
// Caveats: a program's weights alias the mapped file, so the file must stay open as long as the program is used.
// Nothing here knows the name of an architecture or how a kernel works.
package model

import (
	"fmt"
	"math"
	"strings"

	"forge/abi"
	"forge/gguf"
	"forge/host/plugin"
	"forge/kernels"
)

// Architecture gives general.architecture of a file.
func Architecture(f *gguf.File) (string, error) {
	name, found, err := f.Str("general.architecture")
	if err != nil {
		return "", err
	}
	if !found || name == "" {
		return "", fmt.Errorf("%s: metadata key general.architecture is missing: this is not a model file (an adapter or a bare vocabulary?)", f.Name)
	}
	return name, nil
}

// Input gathers what an architecture guest is told: the file's metadata without the tokenizer's, overridden where
// overrides has the key, and its tensors.
func Input(f *gguf.File, nCtx int, overrides map[string]any) (plugin.ArchInput, error) {
	in := plugin.ArchInput{NCtx: uint32(nCtx)}
	seen := map[string]bool{}
	for _, key := range f.Keys {
		if strings.HasPrefix(key, "tokenizer.") {
			continue
		}
		seen[key] = true
		if v, ok := overrides[key]; ok {
			in.Meta = append(in.Meta, plugin.Meta{Key: key, Value: v})
			continue
		}
		in.Meta = append(in.Meta, plugin.Meta{Key: key, Value: metaValue(f, key)})
	}
	for key, v := range overrides {
		if !seen[key] {
			in.Meta = append(in.Meta, plugin.Meta{Key: key, Value: v})
		}
	}
	for _, t := range f.Tensors {
		dims := make([]uint32, len(t.Dims))
		for i, d := range t.Dims {
			if d > math.MaxUint32 {
				return in, fmt.Errorf("%s: tensor %s: a dimension of %d is more than any model has", f.Name, t.Name, d)
			}
			dims[len(dims)-1-i] = uint32(d)
		}
		in.Tensors = append(in.Tensors, plugin.Tensor{Name: t.Name, Type: uint32(t.Type), Dims: dims})
	}
	return in, nil
}

// metaValue gives a number as float64, a bool, a string, an array of numbers or bools as []float64, else nil: the guest
// then learns that the key is there, not what it holds.
func metaValue(f *gguf.File, key string) any {
	v, _ := f.Get(key)
	switch v.Kind {
	case gguf.KindBool:
		b, _ := v.Bool()
		return b
	case gguf.KindString:
		s, _ := v.Str()
		return s
	case gguf.KindFloat32, gguf.KindFloat64:
		x, _ := v.Float()
		return x
	case gguf.KindUint64:
		u, _ := v.Uint()
		return float64(u)
	case gguf.KindArray:
		a, _ := v.Array()
		return numbers(a)
	}
	i, _ := v.Int()
	return float64(i)
}

func numbers(a gguf.Array) any {
	switch a.Elem() {
	case gguf.KindString, gguf.KindArray:
		return nil
	case gguf.KindFloat32, gguf.KindFloat64:
		x, _ := a.Floats()
		return x
	case gguf.KindBool:
		bools, _ := a.Bools()
		x := make([]float64, len(bools))
		for i, b := range bools {
			if b {
				x[i] = 1
			}
		}
		return x
	case gguf.KindUint64:
		u, _ := a.Uints()
		x := make([]float64, len(u))
		for i, v := range u {
			x[i] = float64(v)
		}
		return x
	}
	n, _ := a.Ints()
	x := make([]float64, len(n))
	for i, v := range n {
		x[i] = float64(v)
	}
	return x
}

// Bind makes the program: every index and count in the records is checked, tensors are found in the file, derived
// weights made, and the whole held to the op vocabulary by Program.Check. It names the file in every error.
func Bind(f *gguf.File, rec *plugin.Program) (*kernels.Program, error) {
	name, err := Architecture(f)
	if err != nil {
		return nil, err
	}
	p := &kernels.Program{Name: name}
	room := 0
	for i := range f.Tensors {
		room += transposedTimes * len(f.Tensors[i].Data())
	}
	room = min(room, maxTransposed)
	for i, r := range rec.Weights {
		w, err := bindWeight(f, p.Weights, r, &room)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (weight %d of the program that the architecture %s asks for)", f.Name, err, i, name)
		}
		p.Weights = append(p.Weights, w)
	}
	for _, r := range rec.Ops {
		p.Ops = append(p.Ops, op(r))
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: the program for architecture %s does not fit the file: %w", f.Name, name, err)
	}
	return p, nil
}

// op copies a record; trailing absent slots fall away.
func op(r plugin.OpRecord) kernels.Op {
	o := kernels.Op{Code: kernels.OpCode(r.Code), Layer: int(r.Layer), Attr: r.Attr}
	for _, v := range trim(r.In[:]) {
		o.In = append(o.In, kernels.ValueID(v))
	}
	for _, v := range trim(r.Out[:]) {
		o.Out = append(o.Out, kernels.ValueID(v))
	}
	for _, v := range trim(r.W[:]) {
		o.W = append(o.W, kernels.WeightID(v))
	}
	return o
}

func trim(ids []int32) []int32 {
	for len(ids) > 0 && ids[len(ids)-1] == -1 {
		ids = ids[:len(ids)-1]
	}
	return ids
}

// The bytes of all transposed weights of a program, which the host makes beside the file: at most so many times the file's
// tensors, and never more than the other number.
const (
	transposedTimes = 8
	maxTransposed   = 4 << 30
)

func bindWeight(f *gguf.File, earlier []kernels.Weight, r plugin.WeightRecord, room *int) (kernels.Weight, error) {
	var w kernels.Weight
	kind := abi.WeightKind(r.Kind)
	if kind == abi.WeightKindTensor {
		t := f.Tensor(r.Name)
		if t == nil {
			return w, fmt.Errorf("tensor %q is not in the file", r.Name)
		}
		if err := t.CheckSupported(); err != nil {
			return w, err
		}
		w = kernels.Weight{Name: t.Name, Type: t.Type, Data: t.Data()}
		for i := len(t.Dims) - 1; i >= 0; i-- {
			w.Shape = append(w.Shape, int(t.Dims[i]))
		}
		return w, nil
	}
	if r.Source < 0 || int(r.Source) >= len(earlier) {
		return w, fmt.Errorf("source %d of a derived weight is not an earlier weight", r.Source)
	}
	src := earlier[r.Source]
	switch kind {
	case abi.WeightKindSlice:
		return slice(src, int(r.First), int(r.Count))
	case abi.WeightKindTranspose:
		return transpose(src, room)
	}
	return w, fmt.Errorf("weight kind %d is unknown: a newer ABI minor may have it", r.Kind)
}

// slice takes count entries of the outermost dimension; it shares the source's bytes.
func slice(src kernels.Weight, first, count int) (kernels.Weight, error) {
	if count < 1 || first < 0 || first > src.Shape[0]-count {
		return src, fmt.Errorf("slice %d+%d of %s is outside its %d rows", first, count, src.Name, src.Shape[0])
	}
	entry := len(src.Data) / src.Shape[0]
	if len(src.Shape) == 1 && src.Type.BlockElems() != 1 {
		return src, fmt.Errorf("slice of %s: a vector of type %s cannot be cut", src.Name, src.Type)
	}
	w := src
	w.Name = fmt.Sprintf("%s[%d:%d]", src.Name, first, first+count)
	w.Shape = append([]int{count}, src.Shape[1:]...)
	w.Data = src.Data[first*entry : (first+count)*entry : (first+count)*entry]
	return w, nil
}

// transpose swaps the two innermost dimensions, in F32: the blocks of a quantised row cannot be cut across.
func transpose(src kernels.Weight, room *int) (kernels.Weight, error) {
	n := len(src.Shape)
	if n < 2 {
		return src, fmt.Errorf("transpose of %s: it has one dimension", src.Name)
	}
	rows, cols := src.Shape[n-2], src.Shape[n-1]
	outer := 1
	for _, d := range src.Shape[:n-2] {
		outer *= d
	}
	size := 4 * outer * rows * cols // a file's tensor has fewer than 2^60 entries
	if *room -= size; *room < 0 {
		return src, fmt.Errorf("transpose of %s: all transposed weights together would take more than %d times the file, or %d GiB", src.Name, transposedTimes, maxTransposed>>30)
	}
	w := kernels.Weight{Name: src.Name + "^T", Type: gguf.F32, Data: make([]byte, size)}
	w.Shape = append(append(w.Shape, src.Shape[:n-2]...), cols, rows)
	row := make([]float32, cols)
	rowBytes := src.Type.RowBytes(cols)
	for m := range outer {
		for i := range rows {
			at := (m*rows + i) * rowBytes
			if err := gguf.Dequantize(src.Type, row, src.Data[at:at+rowBytes]); err != nil {
				return src, fmt.Errorf("%s: %w", src.Name, err)
			}
			for j, v := range row {
				putF32(w.Data[4*((m*cols+j)*rows+i):], v)
			}
		}
	}
	return w, nil
}

func putF32(b []byte, v float32) {
	u := math.Float32bits(v)
	b[0], b[1], b[2], b[3] = byte(u), byte(u>>8), byte(u>>16), byte(u>>24)
}
