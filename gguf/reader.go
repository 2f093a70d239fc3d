package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
)

const (
	magic            = "GGUF"
	alignmentKey     = "general.alignment"
	defaultAlignment = 32

	// Limits that no real file comes near, so that a forged count cannot make us work for hours.
	maxAlignment = 1 << 24
	maxEntries   = 1 << 20 // keys, and tensors
	maxName      = 65535   // bytes of a key (the specification's limit) or tensor name
	maxNesting   = 8       // arrays within arrays
	maxDims      = 4

	minKeyBytes    = 8 + 1 + 4 + 1           // name length, one letter, kind, a byte of value
	minTensorBytes = 8 + 1 + 4 + 1*8 + 4 + 8 // name length, one letter, n_dims, one dimension, type, offset
)

// File is an open GGUF file.
type File struct {
	Name      string    // for messages: the path, or what Parse was told
	Version   uint32    // 2 or 3
	Alignment uint64    // of tensor data, a power of two
	Keys      []string  // in file order
	Tensors   []*Tensor // in file order

	values  map[string]Value
	tensors map[string]*Tensor
	data    []byte       // the whole file
	start   uint64       // of tensor data
	unmap   func() error // nil: data came to Parse, or the file is closed
}

// Open maps the file at path and checks its structure. Tensors of a format that is known but not supported are no error
// here; see [Tensor.CheckSupported].
func Open(path string) (*File, error) { return openWith(mapFile, path) }

// openWith checks the structure of the bytes that read gives for path.
func openWith(read func(path string) (data []byte, unmap func() error, err error), path string) (*File, error) {
	data, unmap, err := read(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, data)
	if err != nil {
		_ = unmap() // the reason to refuse the file is the one to tell
		return nil, err
	}
	f.unmap = unmap
	return f, nil
}

// Parse reads a GGUF file from memory. data is kept, not copied; name is what messages call it.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name, Alignment: defaultAlignment, data: data}
	c := cursor{data: data}
	nTensors, nKeys, err := f.readHeader(&c)
	if err != nil {
		return nil, err
	}
	if err := f.readKeys(&c, nKeys); err != nil {
		return nil, err
	}
	if err := f.checkSplit(); err != nil {
		return nil, err
	}
	if err := f.readTensors(&c, nTensors); err != nil {
		return nil, err
	}
	if err := f.placeTensors(uint64(c.pos)); err != nil {
		return nil, err
	}
	return f, nil
}

// Close gives the mapping or the copy back. Every Value and slice of the file's bytes is invalid from then on; a closed file has
// no keys and its tensors no data.
func (f *File) Close() error {
	unmap := f.unmap
	f.data, f.unmap, f.values = nil, nil, nil
	if unmap == nil {
		return nil
	}
	if err := unmap(); err != nil {
		return f.errorf("closing: %w", err)
	}
	return nil
}

func (f *File) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{f.Name}, args...)...)
}

func (f *File) readHeader(c *cursor) (nTensors, nKeys uint64, err error) {
	if len(c.data) < 4 || string(c.data[:4]) != magic {
		return 0, 0, f.errorf("%s", notGGUF(c.data))
	}
	c.pos = 4
	version, ok := c.u32()
	nTensors, ok1 := c.u64()
	nKeys, ok2 := c.u64()
	switch {
	case ok && version != 0 && bits.ReverseBytes32(version) <= 0xff:
		return 0, 0, f.errorf("%s", bigEndian)
	case ok && version == 1:
		return 0, 0, f.errorf("GGUF version 1 is not supported (2 and 3 are): convert the model again with a current converter")
	case ok && version != 2 && version != 3:
		return 0, 0, f.errorf("GGUF version %d is unknown (2 and 3 are supported)", version)
	case !ok || !ok1 || !ok2:
		return 0, 0, f.errorf("the header takes 24 bytes, the file has %d: %s", len(c.data), truncated)
	}
	f.Version = version
	left := uint64(c.left())
	if err := f.checkCount("keys", nKeys, left/minKeyBytes, left); err != nil {
		return 0, 0, err
	}
	if err := f.checkCount("tensors", nTensors, left/minTensorBytes, left); err != nil {
		return 0, 0, err
	}
	return nTensors, nKeys, nil
}

func (f *File) checkCount(what string, n, fit, left uint64) error {
	if n > fit {
		return f.errorf("the header counts %d %s, the %d bytes after it hold %d at most", n, what, left, fit)
	}
	if n > maxEntries {
		return f.errorf("the header counts %d %s, %d are accepted at most", n, what, maxEntries)
	}
	return nil
}

// notGGUF says what a file without the magic seems to be.
func notGGUF(data []byte) string {
	is := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	switch {
	case len(data) == 0:
		return "the file is empty"
	case is("FUGG"):
		return bigEndian
	case is("version https://git-lfs"):
		return "this is a git LFS pointer, not the model: fetch the model with git lfs pull"
	case is("lmgg"), is("fmgg"), is("tjgg"), is("algg"):
		return "this is a GGML file from before GGUF: convert the model again with a current converter"
	case is("PK\x03\x04"):
		return "this is a zip archive, perhaps a PyTorch checkpoint: convert it to GGUF first"
	case len(data) > 8 && data[8] == '{':
		return "this seems to be a safetensors file: convert it to GGUF first"
	}
	return fmt.Sprintf("not a GGUF file: it begins with %q, not with %q", data[:min(4, len(data))], magic)
}

var errTooDeep = fmt.Errorf("arrays are nested more than %d deep", maxNesting)

const truncated = "the file is truncated or damaged"

const bigEndian = "big-endian GGUF is not supported: convert the model again for little-endian machines"

func (f *File) readKeys(c *cursor, n uint64) error {
	f.values = map[string]Value{} // grown as keys are found: n may be forged
	for i := range n {
		at := c.pos
		raw, err := c.name()
		if err != nil {
			return f.errorf("key %d of %d, at offset %d: its name: %w", i+1, n, at, err)
		}
		key := string(raw)
		if _, twice := f.values[key]; twice {
			return f.errorf("key %s is given twice, the second time at offset %d", shown(key), at)
		}
		v := Value{file: f, key: key}
		if err := c.value(&v); err != nil {
			return f.errorf("key %s, at offset %d: %w", shown(key), at, err)
		}
		f.Keys = append(f.Keys, key)
		f.values[key] = v
	}
	alignment, found, err := f.Uint(alignmentKey)
	if err != nil {
		return err
	}
	if found {
		if err := checkAlignment(alignment); err != nil {
			return f.errorf("key %s %w", alignmentKey, err)
		}
		f.Alignment = alignment
	}
	return nil
}

func checkAlignment(n uint64) error {
	if n < 8 || n > maxAlignment || n&(n-1) != 0 {
		return fmt.Errorf("is %d, not a power of two from 8 to %d", n, maxAlignment)
	}
	return nil
}

// checkSplit refuses one part of a model that was cut into several files.
func (f *File) checkSplit() error {
	count, _, err := f.Uint("split.count")
	if err != nil {
		return err
	}
	if count <= 1 {
		return nil
	}
	no, _, err := f.Uint("split.no")
	if err != nil {
		return err
	}
	return f.errorf("split files are not supported yet: this is part %d of %d; join them with llama-gguf-split --merge", no+1, count)
}

// cursor walks the file. Its errors name the offset and what was there; callers add the file and the key or tensor.
type cursor struct {
	data []byte
	pos  int
}

func (c *cursor) left() int { return len(c.data) - c.pos }

// need fails if fewer than n bytes are left for what.
func (c *cursor) need(n uint64, what string) error {
	if n > uint64(c.left()) {
		return fmt.Errorf("at offset %d %s takes %d bytes, %d are left: %s", c.pos, what, n, c.left(), truncated)
	}
	return nil
}

func (c *cursor) u32() (uint32, bool) {
	if c.left() < 4 {
		return 0, false
	}
	c.pos += 4
	return binary.LittleEndian.Uint32(c.data[c.pos-4:]), true
}

func (c *cursor) u64() (uint64, bool) {
	if c.left() < 8 {
		return 0, false
	}
	c.pos += 8
	return binary.LittleEndian.Uint64(c.data[c.pos-8:]), true
}

// str reads a string; the bytes are the file's.
func (c *cursor) str() ([]byte, error) {
	n, ok := c.u64()
	if !ok {
		return nil, c.need(8, "the length of a string")
	}
	if err := c.need(n, "a string"); err != nil {
		return nil, err
	}
	return c.take(n), nil
}

// take steps over n bytes that are known to be there.
func (c *cursor) take(n uint64) []byte {
	start := c.pos
	c.pos += int(n)
	return c.data[start:c.pos:c.pos]
}

func (c *cursor) name() ([]byte, error) {
	raw, err := c.str()
	switch {
	case err != nil:
		return nil, err
	case len(raw) == 0:
		return nil, fmt.Errorf("it is empty")
	case len(raw) > maxName:
		return nil, fmt.Errorf("it has %d bytes, %d are accepted at most", len(raw), maxName)
	}
	return raw, nil
}

// value reads the kind and the value of a key, and checks every byte of its structure.
func (c *cursor) value(v *Value) error {
	kind, ok := c.u32()
	if !ok {
		return c.need(4, "the kind of the value")
	}
	v.Kind = ValueType(kind)
	switch {
	case v.Kind == KindString:
		raw, err := c.str()
		v.raw = raw
		return err
	case v.Kind == KindArray:
		a, err := c.array(1)
		v.elem, v.n, v.raw = a.elem, a.n, a.raw
		return err
	case v.Kind.size() == 0:
		return fmt.Errorf("the value has kind %d, which does not exist", kind)
	}
	size := uint64(v.Kind.size())
	if err := c.need(size, "the value"); err != nil {
		return err
	}
	v.raw = c.take(size)
	if v.Kind == KindBool && v.raw[0] > 1 {
		return fmt.Errorf("the bool is %d, not 0 or 1", v.raw[0])
	}
	return nil
}

// array reads the head and steps over the elements of an array, depth levels deep.
func (c *cursor) array(depth int) (Array, error) {
	var a Array
	if depth > maxNesting {
		return a, errTooDeep
	}
	elem, ok := c.u32()
	n, ok2 := c.u64()
	if !ok || !ok2 {
		return a, c.need(12, "the head of an array")
	}
	a.elem = ValueType(elem)
	least := uint64(a.elem.size())
	switch a.elem {
	case KindString:
		least = 8
	case KindArray:
		least = 12
	}
	if least == 0 {
		return a, fmt.Errorf("the array has elements of kind %d, which does not exist", elem)
	}
	if n > uint64(c.left())/least {
		return a, fmt.Errorf("at offset %d an array of %d elements of kind %s takes at least %d bytes each, %d are left: %s",
			c.pos, n, a.elem, least, c.left(), truncated)
	}
	start := c.pos
	switch a.elem {
	case KindString:
		if err := c.strings(n); err != nil {
			return a, err
		}
	case KindArray:
		for i := range n {
			if _, err := c.array(depth + 1); err == errTooDeep {
				return a, err // the path to it would be as long as it is deep
			} else if err != nil {
				return a, fmt.Errorf("element %d: %w", i, err)
			}
		}
	default:
		c.pos += int(n * least)
	}
	a.n, a.raw = int(n), c.data[start:c.pos:c.pos]
	if a.elem == KindBool {
		for i, b := range a.raw {
			if b > 1 {
				return a, fmt.Errorf("element %d: the bool is %d, not 0 or 1", i, b)
			}
		}
	}
	return a, nil
}

// strings steps over n strings. A vocabulary has hundreds of thousands, so this is the loop that opening waits for.
func (c *cursor) strings(n uint64) error {
	rest := c.data[c.pos:]
	for i := range n {
		if len(rest) < 8 {
			c.pos = len(c.data) - len(rest)
			return fmt.Errorf("element %d: %w", i, c.need(8, "the length of a string"))
		}
		size := binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
		if size > uint64(len(rest)) {
			c.pos = len(c.data) - len(rest)
			return fmt.Errorf("element %d: %w", i, c.need(size, "a string"))
		}
		rest = rest[size:]
	}
	c.pos = len(c.data) - len(rest)
	return nil
}

// shown is a name for a message: as it is if plain, else quoted, and not longer than a line.
func shown(name string) string {
	const most = 80
	quoted := strconv.Quote(name[:min(len(name), most)])
	switch {
	case len(name) > most:
		return quoted + "..."
	case name == "" || len(quoted) != len(name)+2 || bytes.ContainsRune([]byte(name), ' '):
		return quoted
	}
	return name
}
