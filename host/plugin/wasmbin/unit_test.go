package wasmbin

import (
	"fmt"
	"sort"
	"testing"
	"time"
)

// operation is a numeric instruction with its operand types and its result, one letter each: i I f F v.
type operation struct {
	name   string
	code   []byte
	in     string
	out    byte
	weight int64
}

// scalarTypes lists the numeric opcodes from opNumericFirst on in runs of one signature.
var scalarTypes = []struct {
	last byte
	in   string
	out  byte
}{
	{0x45, "i", 'i'}, {0x4f, "ii", 'i'}, {0x50, "I", 'i'}, {0x5a, "II", 'i'}, {0x60, "ff", 'i'}, {0x66, "FF", 'i'},
	{0x69, "i", 'i'}, {0x78, "ii", 'i'}, {0x7b, "I", 'I'}, {0x8a, "II", 'I'}, {0x91, "f", 'f'}, {0x98, "ff", 'f'},
	{0x9f, "F", 'F'}, {0xa6, "FF", 'F'}, {0xa7, "I", 'i'}, {0xa9, "f", 'i'}, {0xab, "F", 'i'}, {0xad, "i", 'I'},
	{0xaf, "f", 'I'}, {0xb1, "F", 'I'}, {0xb3, "i", 'f'}, {0xb5, "I", 'f'}, {0xb6, "F", 'f'}, {0xb8, "i", 'F'},
	{0xba, "I", 'F'}, {0xbb, "f", 'F'}, {0xbc, "f", 'i'}, {0xbd, "F", 'I'}, {0xbe, "i", 'f'}, {0xbf, "I", 'F'},
	{0xc1, "i", 'i'}, {0xc4, "I", 'I'},
}

func operations() []operation {
	var m Module
	var list []operation
	add := func(in string, out byte, op byte, sub uint32, code ...byte) {
		name := fmt.Sprintf("%#02x", op)
		if op == opSIMD || op == opBulk {
			name += fmt.Sprintf(" %#02x", sub)
		}
		list = append(list, operation{name, code, in, out, m.weight(&instr{op: op, sub: sub})})
	}
	op := byte(opNumericFirst)
	for _, run := range scalarTypes {
		for ; op <= run.last; op++ {
			add(run.in, run.out, op, 0, op)
		}
	}
	for sub := uint32(0); sub <= bulkTruncLast; sub++ {
		add([]string{"f", "F", "f", "F"}[sub/2], []byte("iiiiIIII")[sub], opBulk, sub, opBulk, byte(sub))
	}
	for sub := uint32(0x0d); sub <= 0xff; sub++ {
		form, _, lanes, ok := simd(sub)
		if !ok || form == simdMem || form == simdMemLane {
			continue
		}
		code := cat(raw(opSIMD), uleb(uint64(sub)))
		in, out := "vv", byte('v')
		switch {
		case sub == 0x0d:
			code = append(code, 5, 31, 2, 8, 20, 1, 1, 9, 17, 0, 30, 12, 4, 4, 4, 4)
		case sub >= 0x0f && sub <= 0x14:
			in = []string{"i", "i", "i", "I", "f", "F"}[sub-0x0f]
		case form == simdLane:
			code = append(code, lanes-1)
			switch sub {
			case 0x15, 0x16, 0x18, 0x19, 0x1b:
				in, out = "v", 'i'
			case 0x17, 0x1a, 0x1c:
				in = "vi"
			case 0x1d:
				in, out = "v", 'I'
			case 0x1e:
				in = "vI"
			case 0x1f:
				in, out = "v", 'f'
			case 0x20:
				in = "vf"
			case 0x21:
				in, out = "v", 'F'
			case 0x22:
				in = "vF"
			}
		case sub == 0x52:
			in = "vvv"
		case sub == 0x53 || sub == 0x63 || sub == 0x64 || sub == 0x83 || sub == 0x84 || sub == 0xa3 || sub == 0xa4 ||
			sub == 0xc3 || sub == 0xc4:
			in, out = "v", 'i'
		case sub >= 0x6b && sub <= 0x6d || sub >= 0x8b && sub <= 0x8d || sub >= 0xab && sub <= 0xad || sub >= 0xcb && sub <= 0xcd:
			in = "vi"
		case sub == 0x4d || sub >= 0x5e && sub <= 0x62 || sub >= 0x67 && sub <= 0x6a || sub == 0x74 || sub == 0x75 ||
			sub == 0x7a || sub >= 0x7c && sub <= 0x81 || sub >= 0x87 && sub <= 0x8a || sub == 0x94 || sub == 0xa0 ||
			sub == 0xa1 || sub >= 0xa7 && sub <= 0xaa || sub == 0xc0 || sub == 0xc1 || sub >= 0xc7 && sub <= 0xca ||
			sub == 0xe0 || sub == 0xe1 || sub == 0xe3 || sub == 0xec || sub == 0xed || sub == 0xef || sub >= 0xf8:
			in = "v"
		}
		add(in, out, opSIMD, sub, code...)
	}
	return list
}

// chainOf is a loop of the operation, each waiting for the one before where its result fits its operand. The operands
// start as numbers that no operation traps on.
func chainOf(o operation) []byte {
	local := func(c byte) byte { return map[byte]byte{'i': 0, 'I': 1, 'f': 2, 'F': 3, 'v': 4}[c] }
	set := func(base byte) []byte {
		return cat(i32c(7), raw(opLocalSet, base), i64c(7), raw(opLocalSet, base+1),
			raw(opF32Const, 0, 0, 0xe0, 0x40, opLocalSet, base+2), raw(opF64Const, 0, 0, 0, 0, 0, 0, 0x1c, 0x40, opLocalSet, base+3),
			raw(opSIMD, 0x0c, 0, 0, 0xe0, 0x40, 0, 0, 0xe0, 0x40, 0, 0, 0xe0, 0x40, 0, 0, 0xe0, 0x40, opLocalSet, base+4))
	}
	var one []byte
	for i := range o.in {
		base := byte(0)
		if i > 0 {
			base = 5
		}
		one = append(one, opLocalGet, base+local(o.in[i]))
	}
	one = append(one, o.code...)
	one = append(one, opLocalSet, local(o.out))
	return cat(set(0), set(5), loopOf(repeat(64, one)))
}

// Ensure that no numeric instruction is priced far below its time. What a unit takes is printed; the bound is loose,
// because the machine is shared, and only catches a price that was forgotten.
func TestTimePerUnit(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	for _, engineName := range engines {
		budget, bound := int64(300_000), 40.0
		if engineName == "interpreter" {
			budget, bound = 20_000, 400.0
		}
		r := engine(t, engineName)
		type timed struct {
			name   string
			ns     float64
			weight int64
		}
		var list []timed
		for _, o := range operations() {
			mod := anonymous(t, r, metered(t, guestWith(1, chainOf(o)), MeterOptions{}))
			best := time.Duration(1 << 62)
			for range 3 {
				fuelOf(mod).Set(uint64(budget))
				start := time.Now()
				if _, err := mod.ExportedFunction("run").Call(ctx); err == nil || int64(fuelOf(mod).Get()) >= 0 {
					t.Fatalf("%s ended with %v", o.name, err)
				}
				best = min(best, time.Since(start))
			}
			list = append(list, timed{o.name, float64(best.Nanoseconds()) / float64(budget), o.weight})
			mod.Close(ctx)
		}
		sort.Slice(list, func(a, b int) bool { return list[a].ns > list[b].ns })
		t.Logf("%s: %d operations, the median unit %.2f ns", engineName, len(list), list[len(list)/2].ns)
		for _, o := range list[:24] {
			t.Logf("%s: opcode %-10s %6.2f ns a unit, weight %d", engineName, o.name, o.ns, o.weight)
		}
		if list[0].ns > bound {
			t.Errorf("%s: opcode %s takes %.1f ns a unit, more than %.0f", engineName, list[0].name, list[0].ns, bound)
		}
	}
}
