// Command floatmodel writes a model with all its matrices de-quantised to F32, so that what an engine computes from blocks
// can be held against what it computes from the very same numbers:
//
//	go run ./tools/floatmodel MODEL.gguf FILE.gguf
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"forge/gguf"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: floatmodel MODEL.gguf FILE.gguf")
		os.Exit(2)
	}
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "floatmodel:", err)
		os.Exit(1)
	}
}

func convert(from, to string) error {
	f, err := gguf.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	w := gguf.NewWriter()
	for _, key := range f.Keys {
		v, _ := f.Get(key)
		w.Set(key, v)
	}
	for _, t := range f.Tensors {
		if err := t.CheckSupported(); err != nil {
			return err
		}
		w.AddTensorFunc(t.Name, gguf.F32, t.Dims, func() (io.Reader, error) { return newRows(t), nil })
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = w.WriteTo(out)
	return errors.Join(err, out.Close())
}

// rows reads a tensor as F32, a row at a time.
type rows struct {
	typ        gguf.Type
	data, rest []byte
	x          []float32
	row        []byte
}

func newRows(t *gguf.Tensor) *rows {
	n := int(t.Dims[0])
	return &rows{typ: t.Type, data: t.Data(), x: make([]float32, n), row: make([]byte, 4*n)}
}

func (r *rows) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if len(r.data) == 0 {
			return 0, io.EOF
		}
		size := r.typ.RowBytes(len(r.x))
		if err := gguf.Dequantize(r.typ, r.x, r.data[:size]); err != nil {
			return 0, err
		}
		r.data, r.rest = r.data[size:], r.row
		for i, v := range r.x {
			binary.LittleEndian.PutUint32(r.row[4*i:], math.Float32bits(v))
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
