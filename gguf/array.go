package gguf

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// Array is a metadata array: elements of one kind, read from the file when asked.
type Array struct {
	elem ValueType
	n    int
	raw  []byte
	file *File
	key  string
}

// Elem is the kind of the elements.
func (a Array) Elem() ValueType { return a.elem }

// Len is the number of elements.
func (a Array) Len() int { return a.n }

// Bytes is the elements as they are in the file, little-endian; of use where they have one size. It must not be written to.
func (a Array) Bytes() []byte { return a.raw }

// Each calls f with every string of an array of strings, in order, until f returns false. The bytes are the file's: s must
// not be written to or kept beyond the file. An array of another kind has no strings, and f is not called.
func (a Array) Each(f func(i int, s []byte) bool) {
	if a.elem != KindString {
		return
	}
	rest := a.raw
	for i := range a.n {
		size := binary.LittleEndian.Uint64(rest)
		s := rest[8 : 8+size : 8+size]
		rest = rest[8+size:]
		if !f(i, s) {
			return
		}
	}
}

// EachArray calls f with every array of an array of arrays, in order, until f returns false; f is not called if the
// elements are of another kind.
func (a Array) EachArray(f func(i int, inner Array) bool) {
	if a.elem != KindArray {
		return
	}
	c := cursor{data: a.raw}
	for i := range a.n {
		inner, err := c.array(1)
		if err != nil {
			return // cannot be: the structure was checked when the file was opened
		}
		inner.file, inner.key = a.file, a.key
		if !f(i, inner) {
			return
		}
	}
}

// Uints copies an array of integers of any width; a negative element is an error.
func (a Array) Uints() ([]uint64, error) { return elements(a, "unsigned integers", asUint) }

// Ints copies an array of integers of any width; an element beyond int64 is an error.
func (a Array) Ints() ([]int64, error) { return elements(a, "integers", asInt) }

// Floats copies an array of float32 or float64.
func (a Array) Floats() ([]float64, error) { return elements(a, "floats", asFloat) }

// Bools copies an array of bools.
func (a Array) Bools() ([]bool, error) { return elements(a, "bools", asBool) }

// Strings copies an array of strings. All share one allocation, so keeping one keeps all.
func (a Array) Strings() ([]string, error) {
	if a.elem != KindString {
		return nil, a.mismatch("strings")
	}
	all := string(a.raw)
	out := make([]string, a.n)
	at := 0
	a.Each(func(i int, s []byte) bool {
		out[i] = all[at+8 : at+8+len(s)]
		at += 8 + len(s)
		return true
	})
	return out, nil
}

func (a Array) mismatch(want string) error {
	return keyError(a.file, a.key, "is of kind array of %s, an array of %s is wanted", a.elem, want)
}

// elements decodes an array of numbers or bools.
func elements[T any](a Array, want string, decode func(ValueType, []byte) (T, bool, error)) ([]T, error) {
	size := a.elem.size()
	zero := [8]byte{} // what an element of 0 would be, to try the kind even if there is no element
	if _, ok, _ := decode(a.elem, zero[:]); !ok {
		return nil, a.mismatch(want)
	}
	out := make([]T, a.n)
	for i := range out {
		x, _, err := decode(a.elem, a.raw[i*size:(i+1)*size])
		if err != nil {
			return nil, keyError(a.file, a.key, "element %d %w", i, err)
		}
		out[i] = x
	}
	return out, nil
}

// String is the first elements, and the number of all if there are more.
func (a Array) String() string { return a.text(2) }

// text shows arrays within arrays to the given depth, so that nesting does not multiply.
func (a Array) text(depth int) string {
	const most = 8
	var parts []string
	add := func(s string) bool {
		parts = append(parts, s)
		return len(parts) < most
	}
	switch {
	case a.n == 0:
	case depth == 0:
		return "[" + strconv.Itoa(a.n) + " of " + a.elem.String() + "]"
	case a.elem == KindString:
		a.Each(func(_ int, s []byte) bool { return add(Value{Kind: KindString, raw: s}.String()) })
	case a.elem == KindArray:
		a.EachArray(func(_ int, inner Array) bool { return add(inner.text(depth - 1)) })
	default:
		size := a.elem.size()
		for i := 0; i < a.n && add(scalarString(a.elem, a.raw[i*size:])); i++ {
		}
	}
	text := "[" + strings.Join(parts, ", ")
	if a.n > len(parts) {
		text += ", ... " + strconv.Itoa(a.n) + " in all"
	}
	return text + "]"
}
