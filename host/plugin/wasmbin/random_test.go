package wasmbin

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// program writes random valid modules: nested blocks of every type, loops with parameters, branches of every kind, calls
// direct and through the table, several results, bulk memory.
type program struct {
	rng    *rand.Rand
	b      []byte
	labels []string // operand types of a branch to each open label: "", "i" or "iI"
	locals int
	fuse   int // statements left
}

// Types of the random modules; the first three are the functions', the others blocks'.
var (
	programTypes   = [][]byte{ft("i", "i"), ft("ii", "iI"), ft("", ""), ft("i", "i"), ft("ii", ""), ft("", "iI")}
	programKinds   = []byte{0, 1, 2, 0}
	programResults = []string{"i", "iI", "", "i"}
	programParams  = []int{1, 2, 0, 1}
)

func randomModule(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 99))
	var bodies [][]byte
	for f := range programKinds {
		p := &program{rng: rng, locals: programParams[f] + 3, fuse: 30, labels: []string{programResults[f]}}
		p.statements(3)
		p.results(programResults[f], 2)
		bodies = append(bodies, fnLocals(vec(raw(3, 0x7f)), p.b...))
	}
	return module(
		sec(secType, vec(programTypes...)),
		sec(secFunction, putU(nil, uint64(len(programKinds))), programKinds),
		sec(secTable, vec(raw(0x70, 0, 4))),
		sec(secMemory, vec(raw(0, 1))),
		sec(secGlobal, vec(raw(0x7f, 1, opI32Const, 7, opEnd))),
		sec(secExport, vec(cat(str("run"), raw(0, 3)), cat(str("memory"), raw(2, 0)), cat(str("g"), raw(3, 0)))),
		sec(secElement, vec(raw(0, opI32Const, 0, opEnd, 4, 0, 1, 2, 3))),
		sec(secCode, vec(bodies...)),
	)
}

func (p *program) emit(b ...byte)    { p.b = append(p.b, b...) }
func (p *program) n(n int) int       { return p.rng.IntN(n) }
func (p *program) open(label string) { p.labels = append(p.labels, label) }
func (p *program) close()            { p.labels = p.labels[:len(p.labels)-1]; p.emit(opEnd) }
func (p *program) constant(v int64)  { p.b = append(p.b, i32c(v)...) }
func (p *program) address(deep int)  { p.expr(deep); p.constant(0x7fff); p.emit(0x71) }
func (p *program) results(t string, d int) {
	for _, c := range t {
		p.expr(d)
		if c == 'I' {
			p.emit(0xac)
		}
	}
}

func (p *program) statements(deep int) {
	for range 1 + p.n(4) {
		if p.fuse--; p.fuse < 0 {
			return
		}
		p.statement(deep)
	}
}

func (p *program) statement(deep int) {
	kind := p.n(16)
	if deep <= 0 {
		kind %= 6
	}
	switch kind {
	case 0, 1:
		p.expr(2)
		p.emit(opLocalSet, byte(p.n(p.locals)))
	case 2:
		p.address(1)
		p.expr(1)
		p.emit(0x36, 2, 0)
	case 3:
		p.expr(2)
		p.emit(opGlobalSet, 0)
	case 4:
		p.address(1)
		p.address(1)
		p.address(1)
		p.emit([][]byte{{opBulk, 11, 0}, {opBulk, 10, 0, 0}}[p.n(2)]...)
	case 5:
		l := p.n(len(p.labels))
		p.branchTo(l, opBrIf)
	case 6, 7:
		p.emit(opBlock, typeVoid)
		p.open("")
		p.statements(deep - 1)
		p.close()
	case 8, 9:
		p.emit(opLoop, typeVoid)
		p.open("")
		p.statements(deep - 1)
		p.close()
	case 10:
		p.expr(1)
		p.emit(opIf, typeVoid)
		p.open("")
		p.statements(deep - 1)
		if p.n(2) == 0 {
			p.emit(opElse)
			p.statements(deep - 1)
		}
		p.close()
	case 11: // a loop that takes two numbers
		p.expr(1)
		p.expr(1)
		p.emit(opLoop, 4)
		p.emit(opLocalSet, 0)
		p.emit(opDrop)
		p.open("ii")
		p.statements(deep - 1)
		p.close()
	case 12:
		p.branchTo(p.n(len(p.labels)), opBr)
	case 13:
		var same []int
		for l, t := range p.labels {
			if t == "" {
				same = append(same, len(p.labels)-1-l)
			}
		}
		if len(same) == 0 {
			return
		}
		p.expr(1)
		n := p.n(5)
		p.emit(opBrTable, byte(n))
		for range n + 1 {
			p.emit(byte(same[p.n(len(same))]))
		}
	case 14:
		p.results(p.labels[0], 1)
		p.emit(opReturn)
	default:
		p.emit(opCall, 2)
	}
}

// branchTo leaves the label's operands on the stack and branches; a conditional one drops them if it falls through.
func (p *program) branchTo(l int, op byte) {
	types := p.labels[len(p.labels)-1-l]
	p.results(types, 1)
	if op == opBrIf {
		p.expr(1)
	}
	p.emit(op, byte(l))
	if op == opBrIf {
		for range types {
			p.emit(opDrop)
		}
	}
}

// expr leaves an i32.
func (p *program) expr(deep int) {
	kind := p.n(13)
	if deep <= 0 {
		kind %= 3
	}
	switch kind {
	case 0:
		p.constant(int64(p.rng.Int32()))
	case 1, 2:
		p.emit(opLocalGet, byte(p.n(max(p.locals, 1))))
	case 3, 4:
		p.expr(deep - 1)
		p.expr(deep - 1)
		p.emit([]byte{0x6a, 0x6b, 0x6c, 0x71, 0x73, 0x74, 0x48, 0x6e}[p.n(8)])
	case 5:
		p.address(deep - 1)
		p.emit(0x28, 2, 0)
	case 6:
		p.expr(deep - 1)
		p.emit(opIf, 0x7f)
		p.open("i")
		p.expr(deep - 1)
		p.emit(opElse)
		p.statements(1)
		p.expr(deep - 1)
		p.close()
	case 7:
		p.emit(opBlock, 0x7f)
		p.open("i")
		p.statements(1)
		p.expr(deep - 1)
		p.close()
	case 8:
		p.expr(deep - 1)
		p.emit(opLoop, 3)
		p.open("i")
		p.emit(opLocalSet, 0)
		p.statements(1)
		p.expr(deep - 1)
		p.close()
	case 9:
		p.expr(deep - 1)
		p.emit(opCall, byte([]int{0, 3}[p.n(2)]))
	case 10:
		p.expr(deep - 1)
		p.expr(deep - 1)
		p.emit(opCall, 1, 0xa7, 0x6a)
	case 11:
		p.expr(deep - 1)
		p.constant(int64([]int{0, 3, 3, 2}[p.n(4)]))
		p.emit(opCallIndirect, 0, 0)
	default:
		p.emit(opBlock, 5)
		p.open("iI")
		p.statements(1)
		p.results("iI", deep-1)
		p.close()
		p.emit(0xa7, 0x73)
	}
}

// outcome is what can be seen of a run from outside.
type outcome struct {
	result string
	global uint64
	memory []byte
	used   int64
}

func (o outcome) same(p outcome) bool {
	return o.result == p.result && o.global == p.global && bytes.Equal(o.memory, p.memory)
}

// Ensure on random programs that metering changes nothing but the count: results, traps, memory and global are those of
// the original, on both engines, in one tank or many, and the count itself is the same everywhere.
func TestMeterKeepsRandomPrograms(t *testing.T) {
	n := 400
	if testing.Short() {
		n = 100
	}
	if v, err := strconv.Atoi(os.Getenv("FORGE_PROGRAMS")); err == nil { // for a long run by hand
		n = v
	}
	finished, trapped := 0, 0
	for seed := range n {
		wasm := randomModule(uint64(seed))
		m, err := Check(wasm, Limits{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		plain, err := Meter(wasm, m, MeterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		refilled, err := Meter(wasm, m, MeterOptions{Refill: true})
		if err != nil {
			t.Fatal(err)
		}
		const limit = 300_000
		var first *outcome
		for _, e := range engines {
			one, stop := observe(t, e, plain, limit, 0)
			if stop != StopGuest {
				break // endless, or too deep: nothing to compare with
			}
			original, _ := observe(t, e, wasm, 0, 0)
			small, _ := observe(t, e, refilled, limit, 997)
			if first == nil {
				first = &one
				if one.result == "trap" {
					trapped++
				} else {
					finished++
				}
			}
			if !one.same(original) || !small.same(original) || !one.same(*first) || one.used != first.used || small.used != one.used {
				t.Fatalf("seed %d on the %s: %v of %d units, in small tanks %v of %d, original %v, first %v of %d", seed, e,
					one.result, one.used, small.result, small.used, original.result, first.result, first.used)
			}
		}
	}
	t.Logf("%d programs finished, %d trapped, %d did not end", finished, trapped, n-finished-trapped)
	if finished < n/10 {
		t.Error("too few programs finish to prove anything")
	}
}

// observe runs a module in a fresh instance: with one tank of fuel if small is 0, else with tanks of that size.
func observe(t *testing.T, engineName string, wasm []byte, fuel, small int64) (outcome, Stop) {
	t.Helper()
	r := engine(t, engineName)
	defer r.Close(ctx)
	refills := &refiller{tank: small, left: 1 << 30}
	if fuel > 0 {
		refills.install(t, r)
	}
	mod := anonymous(t, r, wasm)
	if fuel > 0 {
		fuelOf(mod).Set(uint64(fuel))
		if small > 0 {
			fuelOf(mod).Set(uint64(small))
			fuel = small
		}
	}
	var o outcome
	res, err := mod.ExportedFunction("run").Call(ctx, 3)
	if err != nil {
		o.result = "trap"
	} else {
		o.result = fmt.Sprint(res)
	}
	o.global = mod.ExportedGlobal("g").Get()
	o.memory, _ = mod.Memory().Read(0, 65536)
	o.memory = bytes.Clone(o.memory)
	stop := StopGuest
	if fuel > 0 {
		left := int64(fuelOf(mod).Get())
		o.used = fuel + int64(refills.tanks)*small - left
		if err != nil {
			stop = StopOf(left, depthOf(mod))
		}
	}
	return o, stop
}
