package main

import "fmt"

// format says how weights lie in a row; package simd's dot_unpack.go has the same in plain Go. A group is 8 blocks of 32: one
// block of the format, or 8.
type format struct {
	name  string
	elems int // of the format's block: 32 or 256
	bytes int
	// shift: a dot kernel leaves 1<<shift in the values, which it takes from their sum; 0 is none.
	shift int
	full  bool // values have 8 bits: two of their products fit 16 bits, not four
	// What a block of 32 has beside a scale and its sum.
	minimums int  // for how many parts of it
	halves   bool // an integer scale for each 16

	// constants fills registers that values and scales read.
	constants func(a *asm, k *constants)
	// values makes block b of the group at p signed bytes: 16 of them in low, 16 in high. plain leaves the offset in.
	values func(a *asm, k *constants, p R, b int, low, high V, plain bool)
	// gather reads what a block at p has of scales, gathered makes scales and minimums of that of 4 blocks, side by side in
	// parts of parts bits. For formats of one block.
	gather   func(a *asm, p R, offset int, to V)
	parts    int
	gathered func(a *asm, k *constants, from V, s *scales)
	// scales makes those of a group, halfScales those of 4 blocks of one. For formats of 8 blocks, one or the other.
	scales     func(a *asm, k *constants, p R, s *groupScales)
	halfScales func(a *asm, k *constants, p R, half int, s *scales)
}

// constants are vectors that a function keeps. An offset of 0 is none: V0 is the first that a function takes, for nibble.
type constants struct {
	nibble, offset, table V
	spread                [2]V // which byte has the fifth bit of a value
	bits, sixteen         V    // which bit of it, and what that is worth
	shifts, high, mask    V    // of bits that stand elsewhere
	one, smallest         V    // of powers of two
}

// scales of 4 blocks: floats, and of halves the integers as they come, two for each block and two blocks in a vector.
type scales struct {
	d    V
	m    [2]V
	ints [2]V
}

// groupScales are those of blocks 0 to 3 and of 4 to 7.
type groupScales [2]scales

// newScales takes registers for what the format has.
func (f *format) newScales(a *asm) scales {
	s := scales{d: a.vec()}
	for i := range f.minimums {
		s.m[i] = a.vec()
	}
	if f.halves {
		s.ints = [2]V{a.vec(), a.vec()}
	}
	return s
}

func (f *format) freeScales(a *asm, s scales) {
	a.free(s.d)
	for i := range f.minimums {
		a.free(s.m[i])
	}
	if f.halves {
		a.free(s.ints[:]...)
	}
}

// gatherFour makes the scales of the blocks at 4 places.
func (f *format) gatherFour(a *asm, k *constants, p [4]R, offset [4]int) scales {
	v := a.vecs(4)
	for i := range v {
		f.gather(a, p[i], offset[i], v[i])
	}
	narrow, wide := "H8", "S4"
	if f.parts == 32 {
		narrow, wide = "S4", "D2"
	}
	a.zip(narrow, v[0], v[1], v[0])
	a.zip(narrow, v[2], v[3], v[2])
	a.zip(wide, v[0], v[2], v[0])
	a.free(v[1:]...)
	s := f.newScales(a)
	f.gathered(a, k, v[0], &s)
	a.free(v[0])
	return s
}

func (f *format) blocks() int { return f.elems / 32 }

// groupBytes is the size of 8 blocks.
func (f *format) groupBytes() int { return f.bytes * groupBlocks / f.blocks() }

// panelBytes is the size of a block of a panel of 16 rows: the values, and vectors of numbers about them.
func (f *format) panelBytes() int { return panelValues + 64*f.panelVectors() }

func (f *format) panelVectors() int {
	n := 1 + f.minimums
	if f.halves {
		n += 2
	}
	return n
}

// Where those vectors stand: scales, minimums, integers.
func (f *format) minimumAt(i int) int { return panelValues + 64*(1+i) }
func (f *format) integerAt(i int) int { return panelValues + 64*(1+f.minimums+i) }

const panelValues = 512

func nibbleConstants(a *asm, k *constants) {
	k.nibble = a.vec()
	a.bytes(k.nibble, 15)
}

// nibbles splits 16 bytes of high.
func (a *asm) nibbles(k *constants, low, high V) {
	a.and(high, k.nibble, low)
	a.ins("VUSHR", 4, high.at("B16"), high.at("B16"))
}

// lift takes the offset from values.
func (a *asm) lift(k *constants, vs ...V) {
	for _, v := range vs {
		a.ins("VSUB", k.offset.at("B16"), v.at("B16"), v.at("B16"))
	}
}

func (a *asm) lookup(table V, vs ...V) {
	for _, v := range vs {
		a.ins("VTBL", v.at("B16"), list("B16", table), v.at("B16"))
	}
}

// bytes16 fills a vector from 16 bytes.
func (a *asm) bytes16(v V, b [16]byte) {
	r := a.gp()
	for half := range 2 {
		var x uint64
		for i := range 8 {
			x |= uint64(b[8*half+i]) << (8 * i)
		}
		a.ins("MOVD", fmt.Sprintf("$0x%016x", x), r)
		a.ins("VMOV", r, v.lane("D", half))
	}
	a.freeGP(r)
}
