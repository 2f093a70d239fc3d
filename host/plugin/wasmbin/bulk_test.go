package wasmbin

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Ensure that memory.fill and memory.copy in pieces do what the instructions do, whichever way the ranges overlap, trap
// where those trap, and cost by their length alone.
func TestBulkPieces(t *testing.T) {
	const pages = 20
	void := ft("iii", "")
	operands := raw(opLocalGet, 0, opLocalGet, 1, opLocalGet, 2)
	wasm := module(
		sec(secType, vec(void)), sec(secFunction, vec(raw(0), raw(0))), sec(secMemory, vec(raw(0, pages))),
		sec(secExport, vec(cat(str("fill"), raw(0, 0)), cat(str("copy"), raw(0, 1)), cat(str("memory"), raw(2, 0)))),
		sec(secCode, vec(fn(cat(operands, raw(opBulk, bulkMemoryFill, 0))...), fn(cat(operands, raw(opBulk, bulkMemoryCopy, 0, 0))...))))
	r := engine(t, "compiler")
	refills := &refiller{tank: 1000, left: 1 << 30}
	refills.install(t, r)
	mod := anonymous(t, r, metered(t, wasm, MeterOptions{Refill: true}))
	mem, _ := mod.Memory().Read(0, pages*65536)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range mem {
		mem[i] = byte(rng.Uint32())
	}
	want := bytes.Clone(mem)
	call := func(name string, to, from, n int) error {
		_, err := mod.ExportedFunction(name).Call(ctx, uint64(to), uint64(from), uint64(n))
		return err
	}
	lengths := []int{0, 1, 7, bulkPiece - 1, bulkPiece, bulkPiece + 1, 3*bulkPiece + 5, 2 * bulkPiece}
	for _, n := range lengths {
		for range 12 {
			to, from := rng.IntN(len(mem)-n+1), rng.IntN(len(mem)-n+1)
			if rng.IntN(2) == 0 { // so close that pieces overlap
				from = min(max(0, to+rng.IntN(200)-100), len(mem)-n)
			}
			copy(want[to:to+n], want[from:from+n])
			if err := call("copy", to, from, n); err != nil || !bytes.Equal(mem, want) {
				t.Fatalf("copy(%d, %d, %d): %v, equal %v", to, from, n, err, bytes.Equal(mem, want))
			}
		}
		to := rng.IntN(len(mem) - n + 1)
		for i := range n {
			want[to+i] = byte(n)
		}
		fuelOf(mod).Set(1 << 40)
		if err := call("fill", to, n, n); err != nil || !bytes.Equal(mem, want) {
			t.Fatalf("fill(%d, %d): %v", to, n, err)
		}
		pieces := max(1, (n+bulkPiece-1)/bulkPiece)
		if used, most := 1<<40-int64(fuelOf(mod).Get()), int64(n>>bytesShift+100*pieces); used < int64(n>>bytesShift) || used > most {
			t.Errorf("fill of %d bytes cost %d units, at most %d", n, used, most)
		}
	}
	for _, k := range [][3]int{
		{len(mem) + 1, 0, 0}, {len(mem), 0, 1}, {0, 0, len(mem) + 1}, {1, 0, len(mem)}, {0, 1, len(mem)},
		{1<<32 - 1, 0, 0}, {1<<32 - 1, 0, 2 * bulkPiece}, {5, 1<<32 - 1, 2 * bulkPiece}, {16, 8, 1<<32 - 1}, {8, 16, 1<<32 - 1},
	} {
		for _, name := range []string{"fill", "copy"} {
			if name == "fill" && k[0]+k[2] <= len(mem) {
				continue
			}
			if err := call(name, k[0], k[1], k[2]); err == nil {
				t.Errorf("%s%v did not trap", name, k)
			}
		}
	}
}

// Ensure that code without a loop gets few looks, however dear its instructions are: each costs the compiler a join of all
// locals.
func TestLooksAreFew(t *testing.T) {
	for name, one := range map[string][]byte{
		"loads":       raw(opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0),
		"grow":        raw(opLocalGet, 0, opMemoryGrow, 0, opLocalSet, 0),
		"fill":        cat(i32c(0), i32c(0), i32c(5), raw(opBulk, bulkMemoryFill, 0)),
		"calls":       raw(opCall, 1),
		"table.copy":  cat(i32c(0), i32c(0), i32c(1), raw(opBulk, bulkTableCopy, 0, 0)),
		"divisions":   raw(opLocalGet, 0, opI32Const, 3, 0x6e, opLocalSet, 0),
		"other sides": cat(raw(opLocalGet, 0, opIf, typeVoid), repeat(500, raw(opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0)), raw(opEnd)),
	} {
		code := repeat(250_000/len(one), one)
		wasm := module(
			sec(secType, vec(ft("", ""))), sec(secFunction, vec(raw(0), raw(0))), sec(secTable, vec(raw(0x70, 0, 1))), sec(secMemory, vec(raw(0, 1))),
			sec(secCode, vec(fnLocals(vec(raw(1, 0x7f)), code...), fn())))
		m := checked(t, wasm, Limits{})
		w := &rewriter{m: m}
		var pay charges
		looks, sides, units := 0, 0, int64(0)
		err := w.eachBody(func(index uint32, d *body) {
			pay.place(m, d)
			for i := range d.ins {
				looks += b2i(pay.look[i])
				units += pay.fuel[i]
				switch d.ins[i].op {
				case opCall:
					units += leafDebt / 4
				case opIf: // where one side looks the other still owes, so that the next look comes soon
					sides++
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if most := int(units/(maxDebt/4))*2 + sides + 3; looks > most {
			t.Errorf("%s: %d looks for %d units, at most %d", name, looks, units, most)
		}
	}
}
