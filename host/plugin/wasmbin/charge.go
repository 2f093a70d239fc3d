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

// Where a body looks whether any fuel is left. Between two looks a guest runs into debt, and what it does there cannot be
// interrupted. Loop headers and functions that call others look; besides, a path looks before it comes to maxDebt, and one
// to the end of a function that calls others before it comes to exitDebt: coming back through nested calls each frame adds
// that much, with the thousand frames of DefaultMaxDepth half a million units at worst. A function that may return without
// a look costs at most leafDebt, which its callers reckon with. Looks are few because each costs the compiler time.
const (
	maxDebt  = 4 * 16384
	exitDebt = 4 * 512
	leafDebt = 4 * 64
)

// charges holds, for each instruction of a body and for its end, what happens just before it: the fuel paid, and
// whether the guest looks at what is left.
type charges struct {
	fuel  []int64
	look  []bool
	path  []int64 // weight of the dearest path from here to the next charge points; 0 at one
	debt  []int64 // weight of the dearest path from here to the next looks; 0 at one
	exit  []int64 // weight of the dearest path from here to the end without a look; noExit if there is none
	want  []byte
	calls bool // some other function of the guest
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
	c.debt = resize(c.debt, n+1)
	c.exit = resize(c.exit, n+1)
	c.look = resize(c.look, n+1)
	c.want = resize(c.want, n+1)
	c.want[0] = wantPoint
	c.calls = false
	for i := range d.ins {
		switch in := &d.ins[i]; {
		case in.op == opCallIndirect || in.op == opCall && in.sub >= uint32(len(m.Imports)):
			c.calls = true
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
		c.owe(m, d, i)
	}
	// At its entry a function looks if it calls others, or else every call in a row of them would go unseen.
	c.look[0] = c.calls || c.look[0] || c.debt[0] > leafDebt
}

// noExit stays below zero whatever is added to it.
const noExit = -1 << 60

// owe reckons the debt at an instruction whose followers are done.
func (c *charges) owe(m *Module, d *body, i int) {
	in := &d.ins[i]
	weight := m.weight(in)
	debt, exit := c.ahead(d, i, c.debt, 0, 0), c.ahead(d, i, c.exit, noExit, 0)
	if in.op == opCallIndirect || in.op == opCall && in.sub >= uint32(len(m.Imports)) {
		weight += leafDebt
	}
	c.debt[i], c.exit[i] = debt+weight, exit+weight
	limit := int64(maxDebt)
	if c.calls {
		limit = exitDebt
	}
	header := i > 0 && d.ins[i-1].op == opLoop // it has just looked
	if (c.debt[i] > maxDebt || c.exit[i] > limit) && !header {
		c.look[i] = true
		c.debt[i], c.exit[i] = 0, noExit
	}
}

// ahead is the dearest of the ways on from an instruction, by what is known of each place; looks is what a loop's header
// counts, end the function's end.
func (c *charges) ahead(d *body, i int, at []int64, looks, end int64) int64 {
	switch in := &d.ins[i]; in.op {
	case opElse:
		return at[in.a+1]
	case opIf:
		no := in.a
		if in.b != 0 {
			no = in.b
		}
		return max(at[i+1], at[no+1])
	case opBr, opBrTable, opBrIf, opReturn:
		far := int64(noExit)
		for _, t := range d.targets[in.b : in.b+in.n] {
			switch {
			case t.opener == toFunction:
				far = max(far, end)
			case d.ins[t.opener].op == opLoop:
				far = max(far, looks)
			default:
				far = max(far, at[d.ins[t.opener].a+1])
			}
		}
		if in.op == opBrIf {
			far = max(far, at[i+1])
		}
		return far
	case opUnreachable, opLoop:
		return looks
	}
	return at[i+1]
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
