package wasmbin

// Where a body pays, and how much.
//
// Every charge point prepays the dearest path from it to the next charge points, so whatever path is taken has been
// paid for before it runs, and all paths from a point are charged alike. Points are
//
//   - the function's entry and every loop header: no path can then run for long without meeting one;
//   - where a loop is left: a tight loop would otherwise pay, each time around, for the code behind it;
//   - the dearer side of a lopsided branch, so that the common short way does not pay for the rare long one;
//   - anywhere once the dearest path grows beyond maxPath. This is what keeps Go guests cheap: Go compiles each function
//     to one loop around a br_table, which jumps to the block where execution goes on. Prepaying the sum of the body at
//     the header, or even its longest path (every block falls through to the next), charges some hundred times what
//     runs; a point per basic block doubles the time of such a guest. With points some maxPath apart the header pays for
//     the dearest way to the first one.
//
// The charge points are thus a trade between work spent on counting and counting too much. TestMeterAgainstPaths holds
// the soundness: no path costs more than what its points charge.
const (
	maxPath   = 4 * 256
	maxUneven = 4 * 24
	minExit   = 4 * 8 // leaving a loop for less than this is paid by the loop
	loopUnits = 4     // of each time around: the counting itself, most of an empty loop in the interpreter
)

// charges holds, for each instruction of a body and for its end, the fuel paid just before it.
type charges struct {
	fuel []int64
	path []int64 // weight of the dearest path from here to the next charge points; 0 at one
	want []byte
}

const (
	wantNone byte = iota
	wantExit
	wantPoint
)

func (c *charges) place(m *Module, d *body) {
	n := len(d.ins)
	c.fuel = resize(c.fuel, n+1)
	c.path = resize(c.path, n+1)
	c.want = resize(c.want, n+1)
	c.want[0] = wantPoint
	for i := range d.ins {
		switch in := &d.ins[i]; {
		case in.op == opLoop:
			c.want[i+1] = wantPoint
			c.wish(int(in.a) + 1)
		case in.leaves:
			c.wish(int(in.a) + 1)
		}
	}
	for i := n - 1; i >= 0; i-- {
		in := &d.ins[i]
		path := m.weight(in)
		switch in.op {
		case opElse:
			path += c.path[in.a+1]
		case opIf:
			no := int(in.a) + 1
			if in.b != 0 {
				no = int(in.b) + 1
			}
			then, other := c.path[i+1], c.path[no]
			c.even(i+1, other)
			if in.b != 0 {
				c.even(no, then)
			}
			path += max(c.path[i+1], c.path[no])
		case opBr, opBrTable, opBrIf:
			var to int64
			for _, t := range d.targets[in.b : in.b+in.n] {
				to = max(to, c.after(d, t))
			}
			if in.op == opBrIf {
				c.even(i+1, to)
				to = max(to, c.path[i+1])
			}
			path += to
		case opReturn, opUnreachable:
		default:
			path += c.path[i+1]
		}
		if c.want[i] == wantPoint || c.want[i] == wantExit && path > minExit || path > maxPath {
			c.fuel[i] = (path + 3) / 4
			if i > 0 && d.ins[i-1].op == opLoop {
				c.fuel[i] += loopUnits
			}
			path = 0
		}
		c.path[i] = path
	}
}

func (c *charges) wish(i int) {
	if c.want[i] == wantNone {
		c.want[i] = wantExit
	}
}

// even makes i a charge point if the path from it is much dearer than the other way, which costs other.
func (c *charges) even(i int, other int64) {
	if c.path[i] > other+maxUneven {
		c.fuel[i] = (c.path[i] + 3) / 4
		c.path[i] = 0
	}
}

// after is the path behind a branch: none to a loop, whose header pays, nor out of the function.
func (c *charges) after(d *body, t target) int64 {
	if t.opener == toFunction || d.ins[t.opener].op == opLoop {
		return 0
	}
	return c.path[d.ins[t.opener].a+1]
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	s = s[:n]
	clear(s)
	return s
}
