package gguf

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Tensor describes one tensor of a file; its data stay in the file until they are read.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []uint64 // GGUF's order: Dims[0] is the row length, so a weight [n_out, n_in] has Dims {n_in, n_out}
	Offset uint64   // from the start of the tensor data

	file *File
	size uint64 // in bytes
}

// Tensor finds a tensor by name; nil if the file has none.
func (f *File) Tensor(name string) *Tensor { return f.tensors[name] }

// Elems is the number of elements.
func (t *Tensor) Elems() uint64 {
	n := uint64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Size is the number of bytes of the data.
func (t *Tensor) Size() uint64 { return t.size }

// Data is the tensor's bytes in the file, row after row; nil once the file is closed. They must not be written to.
func (t *Tensor) Data() []byte {
	if t.file.data == nil {
		return nil
	}
	start := t.file.start + t.Offset
	return t.file.data[start : start+t.size : start+t.size]
}

// CheckSupported returns an error naming the file, the tensor and the format if Dequantize does not read it.
func (t *Tensor) CheckSupported() error {
	if t.Type.Supported() {
		return nil
	}
	return t.file.errorf("tensor %s is %s (%d): not supported yet", shown(t.Name), t.Type, uint32(t.Type))
}

func (f *File) readTensors(c *cursor, n uint64) error {
	f.tensors = map[string]*Tensor{}
	for i := range n {
		at := c.pos
		raw, err := c.name()
		if err != nil {
			return f.errorf("tensor %d of %d, at offset %d: its name: %w", i+1, n, at, err)
		}
		t := &Tensor{Name: string(raw), file: f}
		if f.tensors[t.Name] != nil {
			return f.errorf("tensor %s is given twice, the second time at offset %d", shown(t.Name), at)
		}
		if err := c.tensor(t); err != nil {
			return f.errorf("tensor %s, at offset %d: %w", shown(t.Name), at, err)
		}
		f.Tensors = append(f.Tensors, t)
		f.tensors[t.Name] = t
	}
	return nil
}

// tensor reads what follows the name of a tensor and checks shape and type.
func (c *cursor) tensor(t *Tensor) error {
	nDims, ok := c.u32()
	if !ok {
		return c.need(4, "the number of dimensions")
	}
	if nDims < 1 || nDims > maxDims {
		return fmt.Errorf("it has %d dimensions, not 1 to %d", nDims, maxDims)
	}
	if err := c.need(8*uint64(nDims)+4+8, "shape, type and offset"); err != nil {
		return err
	}
	t.Dims = make([]uint64, nDims)
	for i := range t.Dims {
		t.Dims[i], _ = c.u64()
	}
	typ, _ := c.u32()
	t.Type = Type(typ)
	t.Offset, _ = c.u64()
	size, err := dataSize(t.Type, t.Dims)
	t.size = size
	return err
}

// dataSize is the number of bytes of a tensor of this type and shape, or an error if there is no such tensor.
func dataSize(t Type, dims []uint64) (uint64, error) {
	if !t.Known() {
		return 0, unknownType(t)
	}
	if len(dims) < 1 || len(dims) > maxDims {
		return 0, fmt.Errorf("it has %d dimensions, not 1 to %d", len(dims), maxDims)
	}
	elems := uint64(1)
	for _, d := range dims {
		if d == 0 {
			return 0, fmt.Errorf("its shape %d has a zero", dims)
		}
		over, n := bits.Mul64(elems, d)
		if over != 0 || n > math.MaxInt64/8 { // 8 bytes is the largest element, so sizes in bytes fit too
			return 0, fmt.Errorf("its shape %d has more elements than a file can hold", dims)
		}
		elems = n
	}
	block, bytes := uint64(t.BlockElems()), uint64(t.BlockBytes())
	if dims[0]%block != 0 {
		return 0, fmt.Errorf("its rows of %d elements are not whole blocks of %s, which have %d", dims[0], t, block)
	}
	return elems / block * bytes, nil
}

func unknownType(t Type) error {
	if name := removed[t]; name != "" {
		return fmt.Errorf("its type %d (%s) was removed from the format: quantise the model again with current software", uint32(t), name)
	}
	if t >= foreignFirst && t <= foreignLast {
		name := foreign[t]
		if name == "" {
			name = "a repacked format"
		}
		return fmt.Errorf("its type %d (%s) exists only in ik_llama.cpp: use a file in a format of llama.cpp", uint32(t), name)
	}
	return fmt.Errorf("its type %d is unknown: the file is damaged or newer than this program", uint32(t))
}

// placeTensors checks where the data of each tensor lie, given where the tensor list ends.
func (f *File) placeTensors(end uint64) error {
	if len(f.Tensors) == 0 {
		return nil
	}
	f.start = (end + f.Alignment - 1) &^ (f.Alignment - 1)
	size := uint64(len(f.data))
	if f.start > size {
		return f.errorf("tensor data begin at offset %d, the file has %d bytes: %s", f.start, size, truncated)
	}
	room := size - f.start
	for _, t := range f.Tensors {
		if t.Offset%f.Alignment != 0 {
			return f.errorf("tensor %s: its offset %d is not a multiple of the alignment %d", shown(t.Name), t.Offset, f.Alignment)
		}
		if t.Offset > room || t.size > room-t.Offset {
			return f.errorf("tensor %s: its data (%d bytes at offset %d of the tensor data) end past the file, which has %d there: %s",
				shown(t.Name), t.size, t.Offset, room, truncated)
		}
	}
	byOffset := f.Tensors
	compare := func(a, b *Tensor) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(byOffset, compare) {
		byOffset = slices.Clone(byOffset)
		slices.SortStableFunc(byOffset, compare)
	}
	for i, t := range byOffset[1:] {
		if before := byOffset[i]; before.Offset+before.size > t.Offset {
			return f.errorf("tensors %s (%d bytes at offset %d) and %s (at offset %d) overlap",
				shown(before.Name), before.size, before.Offset, shown(t.Name), t.Offset)
		}
	}
	return nil
}
