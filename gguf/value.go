package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// ValueType is the kind of a metadata value, with the number it has in files.
type ValueType uint32

// The kinds of values.
const (
	KindUint8   ValueType = 0
	KindInt8    ValueType = 1
	KindUint16  ValueType = 2
	KindInt16   ValueType = 3
	KindUint32  ValueType = 4
	KindInt32   ValueType = 5
	KindFloat32 ValueType = 6
	KindBool    ValueType = 7
	KindString  ValueType = 8
	KindArray   ValueType = 9
	KindUint64  ValueType = 10
	KindInt64   ValueType = 11
	KindFloat64 ValueType = 12
)

// kinds is indexed by ValueType. A size of 0 means that it varies.
var kinds = [...]struct {
	name string
	size int
}{
	KindUint8: {"uint8", 1}, KindInt8: {"int8", 1}, KindUint16: {"uint16", 2}, KindInt16: {"int16", 2}, KindUint32: {"uint32", 4},
	KindInt32: {"int32", 4}, KindFloat32: {"float32", 4}, KindBool: {"bool", 1}, KindString: {"string", 0}, KindArray: {"array", 0},
	KindUint64: {"uint64", 8}, KindInt64: {"int64", 8}, KindFloat64: {"float64", 8},
}

// String is the kind's name, such as "uint32".
func (k ValueType) String() string {
	if uint64(k) < uint64(len(kinds)) {
		return kinds[k].name
	}
	return "kind " + strconv.FormatUint(uint64(k), 10)
}

// size is the number of bytes of a value of this kind, 0 for strings, arrays and kinds that do not exist.
func (k ValueType) size() int {
	if uint64(k) < uint64(len(kinds)) {
		return kinds[k].size
	}
	return 0
}

// Value is one metadata value, decoded from the file when asked. An accessor of the wrong type returns an error that names
// the file, the key, what was found and what was wanted. Whole numbers of every width convert if they fit.
type Value struct {
	Kind ValueType

	elem ValueType // of an array
	n    int       // elements of an array
	raw  []byte    // the number, the bytes of the string, or the elements of the array
	file *File
	key  string
}

// Uint is the value of an unsigned or non-negative number of any width.
func (v Value) Uint() (uint64, error) { return scalar(v, "an unsigned integer", asUint) }

// Int is the value of a whole number of any width.
func (v Value) Int() (int64, error) { return scalar(v, "an integer", asInt) }

// Float is the value of a float32 or float64.
func (v Value) Float() (float64, error) { return scalar(v, "a float", asFloat) }

// Bool is the value of a bool.
func (v Value) Bool() (bool, error) { return scalar(v, "a bool", asBool) }

// Str is a copy of the bytes of a string. They need not be UTF-8: a token may be part of a character.
func (v Value) Str() (string, error) {
	if v.Kind != KindString {
		return "", v.mismatch("a string")
	}
	return string(v.raw), nil
}

// Array is the value as an array.
func (v Value) Array() (Array, error) {
	if v.Kind != KindArray {
		return Array{}, v.mismatch("an array")
	}
	return Array{elem: v.elem, n: v.n, raw: v.raw, file: v.file, key: v.key}, nil
}

// String is the value as a person would write it: a number, a quoted string, or the first elements of an array. Long
// strings and arrays are cut.
func (v Value) String() string {
	const most = 200
	switch v.Kind {
	case KindString:
		if len(v.raw) > most {
			return strconv.Quote(string(v.raw[:most])) + "..."
		}
		return strconv.Quote(string(v.raw))
	case KindArray:
		return Array{elem: v.elem, n: v.n, raw: v.raw}.String()
	}
	return scalarString(v.Kind, v.raw)
}

func (v Value) describe() string {
	if v.Kind == KindArray {
		return "array of " + v.elem.String()
	}
	return v.Kind.String()
}

func (v Value) mismatch(want string) error {
	return v.errorf("is of kind %s, %s is wanted", v.describe(), want)
}

func (v Value) errorf(format string, args ...any) error {
	return keyError(v.file, v.key, format, args...)
}

func keyError(f *File, key, format string, args ...any) error {
	name := "(no file)"
	if f != nil {
		name = f.Name
	}
	return fmt.Errorf("%s: key %s "+format, append([]any{name, shown(key)}, args...)...)
}

func scalar[T any](v Value, want string, decode func(ValueType, []byte) (T, bool, error)) (T, error) {
	x, ok, err := decode(v.Kind, v.raw)
	if !ok {
		return x, v.mismatch(want)
	}
	if err != nil {
		return x, v.errorf("%w", err)
	}
	return x, nil
}

// The decoders of numbers: not ok if the kind is another, an error if the value does not fit.

func asUint(k ValueType, b []byte) (uint64, bool, error) {
	u, negative, ok := whole(k, b)
	if negative {
		return 0, ok, fmt.Errorf("is %d, an unsigned integer is wanted", int64(u))
	}
	return u, ok, nil
}

func asInt(k ValueType, b []byte) (int64, bool, error) {
	u, negative, ok := whole(k, b)
	if !negative && u > math.MaxInt64 {
		return 0, ok, fmt.Errorf("is %d, more than a signed integer holds", u)
	}
	return int64(u), ok, nil
}

func asFloat(k ValueType, b []byte) (float64, bool, error) {
	switch k {
	case KindFloat32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), true, nil
	case KindFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), true, nil
	}
	return 0, false, nil
}

func asBool(k ValueType, b []byte) (bool, bool, error) {
	if k != KindBool {
		return false, false, nil
	}
	return b[0] == 1, true, nil
}

// whole decodes an integer of any width; u is its two's complement in 64 bits.
func whole(k ValueType, b []byte) (u uint64, negative, ok bool) {
	var i int64
	switch k {
	case KindUint8:
		return uint64(b[0]), false, true
	case KindUint16:
		return uint64(binary.LittleEndian.Uint16(b)), false, true
	case KindUint32:
		return uint64(binary.LittleEndian.Uint32(b)), false, true
	case KindUint64:
		return binary.LittleEndian.Uint64(b), false, true
	case KindInt8:
		i = int64(int8(b[0]))
	case KindInt16:
		i = int64(int16(binary.LittleEndian.Uint16(b)))
	case KindInt32:
		i = int64(int32(binary.LittleEndian.Uint32(b)))
	case KindInt64:
		i = int64(binary.LittleEndian.Uint64(b))
	default:
		return 0, false, false
	}
	return uint64(i), i < 0, true
}

func scalarString(k ValueType, b []byte) string {
	if u, negative, ok := whole(k, b); ok {
		if negative {
			return strconv.FormatInt(int64(u), 10)
		}
		return strconv.FormatUint(u, 10)
	}
	if x, ok, _ := asFloat(k, b); ok {
		return strconv.FormatFloat(x, 'g', -1, 8*k.size())
	}
	return strconv.FormatBool(k == KindBool && b[0] == 1)
}
