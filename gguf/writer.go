package gguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
)

// Writer collects keys and tensors and writes them as a GGUF file, version 3, little-endian. Its methods report no errors;
// the first one comes from WriteTo, before a byte is written.
//
//	w := gguf.NewWriter()
//	w.Set("general.architecture", "llama")
//	w.Set("llama.block_count", uint32(2))
//	w.AddTensor("output_norm.weight", gguf.F32, []uint64{64}, data)
//	_, err := w.WriteTo(file)
type Writer struct {
	alignment uint64
	keys      []writerKey
	keyAt     map[string]int
	tensors   []writerTensor
	tensorAt  map[string]int
	err       error
}

type writerKey struct {
	name  string
	value []byte // kind and value as in the file
}

type writerTensor struct {
	name string
	typ  Type
	dims []uint64
	size uint64
	open func() (io.Reader, error)
}

// NewWriter returns a Writer without keys and tensors, with the usual alignment of 32.
func NewWriter() *Writer {
	return &Writer{alignment: defaultAlignment, keyAt: map[string]int{}, tensorAt: map[string]int{}}
}

// SetAlignment aligns tensor data to n bytes, a power of two from 8 up, by setting the key general.alignment.
func (w *Writer) SetAlignment(n uint64) { w.Set(alignmentKey, n) }

// Set gives key a value; a key set again keeps its place. The kind in the file follows from the Go type: fixed-size
// numbers, bool and string as they are, int as int64, uint as uint64. Slices become arrays, slices of slices nested arrays;
// a []any may mix Go types of one kind. A [Value] or [Array] of a File is copied as it is.
func (w *Writer) Set(key string, value any) {
	encoded, err := encodeValue(value)
	if err == nil {
		err = checkName(key)
	}
	if err == nil && key == alignmentKey {
		encoded, err = w.align(encoded)
	}
	if err != nil {
		w.fail(fmt.Errorf("key %s: %w", shown(key), err))
		return
	}
	if i, again := w.keyAt[key]; again {
		w.keys[i].value = encoded
		return
	}
	w.keyAt[key] = len(w.keys)
	w.keys = append(w.keys, writerKey{key, encoded})
}

// align takes over an encoded alignment and makes it the uint32 that the specification wants.
func (w *Writer) align(encoded []byte) ([]byte, error) {
	n, ok, err := asUint(ValueType(binary.LittleEndian.Uint32(encoded)), encoded[4:])
	if !ok {
		err = errors.New("an unsigned integer is wanted")
	}
	if err == nil {
		err = checkAlignment(n)
	}
	if err != nil {
		return nil, err
	}
	w.alignment = n
	return encodeValue(uint32(n))
}

// AddTensor adds a tensor; dims are in GGUF's order, row length first. data is kept, not copied, until WriteTo.
func (w *Writer) AddTensor(name string, t Type, dims []uint64, data []byte) {
	if size, err := dataSize(t, dims); err == nil && size != uint64(len(data)) {
		w.fail(fmt.Errorf("tensor %s: %s of shape %d has %d bytes, %d are given", shown(name), t, dims, size, len(data)))
		return
	}
	w.AddTensorFunc(name, t, dims, func() (io.Reader, error) { return bytes.NewReader(data), nil })
}

// AddTensorFunc adds a tensor whose data come from a reader that WriteTo opens when it is the tensor's turn. The reader
// must give exactly the tensor's bytes; if it is an io.Closer, it is closed.
func (w *Writer) AddTensorFunc(name string, t Type, dims []uint64, open func() (io.Reader, error)) {
	size, err := dataSize(t, dims)
	if err == nil {
		err = checkName(name)
	}
	if _, twice := w.tensorAt[name]; err == nil && twice {
		err = errors.New("it is added twice")
	}
	if err != nil {
		w.fail(fmt.Errorf("tensor %s: %w", shown(name), err))
		return
	}
	w.tensorAt[name] = len(w.tensors)
	w.tensors = append(w.tensors, writerTensor{name, t, append([]uint64(nil), dims...), size, open})
}

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("writing GGUF: %w", err)
	}
}

// chunk is how many bytes WriteTo hands on at a time, and at multiples of which: Linux keeps a file that is written so in
// large pages, and who maps it later finds it in them. See [File.LargePages].
const chunk = 4 << 20

// WriteTo writes the file and returns the number of bytes written. It may be called again. It gathers what it writes, so
// that out need not.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	head, size := w.head()
	to := &counter{out: out}
	b := bufio.NewWriterSize(to, int(min(chunk, uint64(len(head))+size)))
	err := w.writeTo(b, head)
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return to.n, fmt.Errorf("writing GGUF: %w", err)
	}
	return to.n, nil
}

// head is everything before the tensor data, and how many bytes these take.
func (w *Writer) head() (head []byte, size uint64) {
	head = append([]byte(magic), 3, 0, 0, 0)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(w.tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(w.keys)))
	for _, k := range w.keys {
		head = appendString(head, k.name)
		head = append(head, k.value...)
	}
	for _, t := range w.tensors {
		head = appendString(head, t.name)
		head = binary.LittleEndian.AppendUint32(head, uint32(len(t.dims)))
		for _, d := range t.dims {
			head = binary.LittleEndian.AppendUint64(head, d)
		}
		head = binary.LittleEndian.AppendUint32(head, uint32(t.typ))
		head = binary.LittleEndian.AppendUint64(head, size)
		size += t.size + w.padding(t.size)
	}
	return append(head, make([]byte, w.padding(uint64(len(head))))...), size
}

func (w *Writer) writeTo(out *bufio.Writer, head []byte) error {
	// ReadFrom fills the buffer to the end, where Write would hand on a long head as it is and shift all chunks after it.
	if _, err := out.ReadFrom(bytes.NewReader(head)); err != nil {
		return err
	}
	zeros := make([]byte, w.alignment)
	for _, t := range w.tensors {
		err := t.writeTo(out)
		if err == nil {
			_, err = out.Write(zeros[:w.padding(t.size)])
		}
		if err != nil {
			return fmt.Errorf("tensor %s: %w", shown(t.name), err)
		}
	}
	return nil
}

// counter counts what out has taken. It also hides what else out can do: given a file, bufio would have it read the tensors by
// itself, which os.File does in pieces of 32 KiB.
type counter struct {
	out io.Writer
	n   int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.n += int64(n)
	return n, err
}

// padding is the number of bytes from n to the next multiple of the alignment.
func (w *Writer) padding(n uint64) uint64 { return -n & (w.alignment - 1) }

func (t *writerTensor) writeTo(out io.Writer) (err error) {
	in, err := t.open()
	if err != nil {
		return err
	}
	if c, ok := in.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	n, err := io.CopyN(out, in, int64(t.size))
	if err == io.EOF {
		return fmt.Errorf("its data end after %d bytes, %d are needed", n, t.size)
	}
	if err != nil {
		return err
	}
	var more [1]byte
	if _, err := io.ReadFull(in, more[:]); err == nil {
		return fmt.Errorf("its data go on after the %d bytes of its shape", t.size)
	} else if err != io.EOF {
		return err
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name must not be empty")
	case len(name) > maxName:
		return fmt.Errorf("its name has %d bytes, %d are accepted at most", len(name), maxName)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// encodeValue makes the kind and the value as they are in the file.
func encodeValue(value any) ([]byte, error) {
	kind, b, err := appendValue(binary.LittleEndian.AppendUint32(nil, 0), value, 0)
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(b, uint32(kind))
	return b, nil
}

// appendValue appends a value without its kind, which it returns. depth counts the arrays around it.
func appendValue(b []byte, value any, depth int) (ValueType, []byte, error) {
	switch v := value.(type) {
	case string:
		return KindString, appendString(b, v), nil
	case Value:
		switch v.Kind {
		case KindString:
			return v.Kind, append(binary.LittleEndian.AppendUint64(b, uint64(len(v.raw))), v.raw...), nil
		case KindArray:
			return appendValue(b, Array{elem: v.elem, n: v.n, raw: v.raw}, depth)
		}
		if len(v.raw) != v.Kind.size() || len(v.raw) == 0 {
			return 0, nil, errors.New("the Value is not from a file")
		}
		return v.Kind, append(b, v.raw...), nil
	case Array:
		head := len(b)
		b = appendArrayHead(b, v.elem, v.n, v.raw)
		if v.elem != KindArray {
			return KindArray, b, nil
		}
		c := cursor{data: b, pos: head}
		_, err := c.array(depth + 1) // with the arrays around it, it may be too deep
		return KindArray, b, err
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Uint8:
		return KindUint8, append(b, byte(v.Uint())), nil
	case reflect.Int8:
		return KindInt8, append(b, byte(v.Int())), nil
	case reflect.Uint16:
		return KindUint16, binary.LittleEndian.AppendUint16(b, uint16(v.Uint())), nil
	case reflect.Int16:
		return KindInt16, binary.LittleEndian.AppendUint16(b, uint16(v.Int())), nil
	case reflect.Uint32:
		return KindUint32, binary.LittleEndian.AppendUint32(b, uint32(v.Uint())), nil
	case reflect.Int32:
		return KindInt32, binary.LittleEndian.AppendUint32(b, uint32(v.Int())), nil
	case reflect.Uint64, reflect.Uint:
		return KindUint64, binary.LittleEndian.AppendUint64(b, v.Uint()), nil
	case reflect.Int64, reflect.Int:
		return KindInt64, binary.LittleEndian.AppendUint64(b, uint64(v.Int())), nil
	case reflect.Float32:
		return KindFloat32, binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v.Float()))), nil
	case reflect.Float64:
		return KindFloat64, binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Float())), nil
	case reflect.Bool:
		if v.Bool() {
			return KindBool, append(b, 1), nil
		}
		return KindBool, append(b, 0), nil
	case reflect.String:
		return KindString, appendString(b, v.String()), nil
	case reflect.Slice, reflect.Array:
		return appendArray(b, v, depth+1)
	}
	return 0, nil, fmt.Errorf("a value of Go type %T has no kind in GGUF", value)
}

func appendArrayHead(b []byte, elem ValueType, n int, raw []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(elem))
	b = binary.LittleEndian.AppendUint64(b, uint64(n))
	return append(b, raw...)
}

func appendArray(b []byte, v reflect.Value, depth int) (ValueType, []byte, error) {
	if depth > maxNesting {
		return 0, nil, errTooDeep
	}
	head := len(b)
	elem, err := elemKind(v.Type().Elem())
	if err != nil {
		return 0, nil, err
	}
	b = appendArrayHead(b, elem, v.Len(), nil)
	for i := range v.Len() {
		kind, grown, err := appendValue(b, v.Index(i).Interface(), depth)
		if err == errTooDeep {
			return 0, nil, err
		}
		if err != nil {
			return 0, nil, fmt.Errorf("element %d: %w", i, err)
		}
		if i == 0 {
			elem = kind
		} else if kind != elem {
			return 0, nil, fmt.Errorf("element %d is of kind %s, those before it %s", i, kind, elem)
		}
		b = grown
	}
	binary.LittleEndian.PutUint32(b[head:], uint32(elem))
	return KindArray, b, nil
}

// elemKind is the kind that an empty array of this Go type has. An empty []any says nothing of its elements; int32 is then
// as good as any.
func elemKind(t reflect.Type) (ValueType, error) {
	switch {
	case t.Kind() == reflect.Interface, t == reflect.TypeFor[Value]():
		return KindInt32, nil
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array, t == reflect.TypeFor[Array]():
		return KindArray, nil
	}
	kind, _, err := appendValue(nil, reflect.Zero(t).Interface(), 0)
	return kind, err
}
