package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// reader is a cursor over one stretch of the module. The first error sticks: later reads return zero, so that a
// decoder checks once per item instead of once per byte.
type reader struct {
	b    []byte
	pos  int
	base int    // offset of b[0] in the module
	at   string // "the type section", "function 3 "name"": opens every message
	err  error
}

func (r *reader) offset() int { return r.base + r.pos }

func (r *reader) left() int { return len(r.b) - r.pos }

// fail records a refusal at the offset off of the module.
func (r *reader) fail(off int, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s, offset %#x: %s", r.at, off, fmt.Sprintf(format, args...))
	}
}

func (r *reader) byte(what string) byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= len(r.b) {
		r.fail(r.offset(), "%s is cut off: the bytes end here", what)
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) bytes(n uint32, what string) []byte {
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(r.left()) {
		r.fail(r.offset(), "%s needs %d bytes and %d are left", what, n, r.left())
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos]
}

// leb reads a LEB128 number of at most bits bits and refuses padding past its longest form and unused bits that are
// not copies of the sign (or zero).
func (r *reader) leb(bits uint, signed bool, what string) uint64 {
	start := r.offset()
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c := r.byte(what)
		if r.err != nil {
			return 0
		}
		v |= uint64(c&0x7f) << shift
		room := bits - shift
		if room <= 7 { // the last byte that may come
			low := c & 0x7f
			ok := c < 0x80
			if signed {
				top := int8(low<<1) >> 1 // sign-extended 7 bits
				ext := top >> (room - 1)
				ok = ok && (ext == 0 || ext == -1)
			} else {
				ok = ok && low>>room == 0
			}
			if !ok {
				r.fail(start, "%s does not fit %d bits", what, bits)
				return 0
			}
		}
		if c < 0x80 {
			if signed && c&0x40 != 0 && shift+7 < 64 {
				v |= ^uint64(0) << (shift + 7)
			}
			return v
		}
	}
}

func (r *reader) u32(what string) uint32 { return uint32(r.leb(32, false, what)) }

// count reads the length of a vector. Every item takes at least one byte, so a count beyond what is left is refused
// before anything is allocated for it.
func (r *reader) count(limit uint32, what string) int {
	start := r.offset()
	n := r.u32("the number of " + what)
	if r.err == nil && n > limit {
		r.fail(start, "%d %s, the limit is %d", n, what, limit)
	}
	if r.err == nil && uint64(n) > uint64(r.left()) {
		r.fail(start, "%d %s in %d bytes", n, what, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *reader) name(what string) string {
	start := r.offset()
	b := r.bytes(r.u32("the length of "+what), what)
	if r.err == nil && !utf8.Valid(b) {
		r.fail(start, "%s is not UTF-8", what)
	}
	if r.err != nil {
		return ""
	}
	return string(b)
}

// done refuses bytes that follow the last item.
func (r *reader) done() error {
	if r.err == nil && r.left() > 0 {
		r.fail(r.offset(), "%d bytes follow the last item", r.left())
	}
	return r.err
}

func putU(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func putS(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
