package wasmbin

// Where the call depth is counted.
//
// A chain of calls can only be long if it comes round to the same function, so only functions on a cycle of the call
// graph count; the usual guest has none and pays nothing. call_indirect is taken to reach every function of its type
// in any element segment. What stays uncounted is a chain without cycles, as long as the module makes it: if that is
// heavier than a quarter of the allowed depth, every function counts.
//
// Depth is measured in frames of frameSlots: a compiled function may keep one stack slot for each local and each
// intermediate value, so a body of many instructions is worth several ordinary frames.
const frameSlots = 1024

func (d *body) frameWeight() int64 { return 1 + int64(uint64(d.locals)+uint64(len(d.ins)))/frameSlots }

type callGraph struct {
	next    [][]uint32 // by node: functions, then one node per type that call_indirect can name
	weight  []int64    // frames of each function, 0 for imports and types
	counted []bool     // by function
}

func (m *Module) canonicalTypes() []uint32 {
	seen := map[string]uint32{}
	same := make([]uint32, len(m.types))
	for i, t := range m.types {
		key := string(typeBytes(t.Params)) + ">" + string(typeBytes(t.Results))
		if _, ok := seen[key]; !ok {
			seen[key] = uint32(i)
		}
		same[i] = seen[key]
	}
	return same
}

// countedFuncs says which functions count the depth. each calls back with every body in turn.
func (m *Module) countedFuncs(maxDepth int64, each func(func(index uint32, d *body)) error) (*callGraph, error) {
	nf := uint32(len(m.funcs))
	g := &callGraph{
		next:    make([][]uint32, int(nf)+len(m.types)),
		weight:  make([]int64, int(nf)+len(m.types)),
		counted: make([]bool, nf),
	}
	same := m.canonicalTypes()
	for _, f := range m.elemFuncs {
		t := nf + same[m.funcs[f]]
		g.next[t] = append(g.next[t], f)
	}
	err := each(func(index uint32, d *body) {
		g.weight[index] = d.frameWeight()
		for i := range d.ins {
			switch in := &d.ins[i]; in.op {
			case opCall:
				g.next[index] = append(g.next[index], in.sub)
			case opCallIndirect:
				g.next[index] = append(g.next[index], nf+same[in.sub])
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if g.markCycles() > maxDepth/4 {
		for i := len(m.Imports); i < int(nf); i++ {
			g.counted[i] = true
		}
	}
	return g, nil
}

// markCycles sets counted for the functions on a cycle and returns the weight of the heaviest chain of the others. It
// is Tarjan's algorithm (Depth-first search and linear graph algorithms, 1972) with its own stack, because a module may
// call sixteen thousand functions deep.
func (g *callGraph) markCycles() (heaviest int64) {
	n := len(g.next)
	order := make([]int, n) // visit number, 0 before the visit
	low := make([]int, n)
	chain := make([]int64, n)
	onStack := make([]bool, n)
	var stack []int
	type visit struct{ node, edge int }
	var path []visit
	visits := 0
	enter := func(v int) {
		visits++
		order[v], low[v], onStack[v] = visits, visits, true
		stack = append(stack, v)
		path = append(path, visit{node: v})
	}
	for root := range n {
		if order[root] != 0 {
			continue
		}
		enter(root)
		for len(path) > 0 {
			at := &path[len(path)-1]
			v := at.node
			if at.edge < len(g.next[v]) {
				w := int(g.next[v][at.edge])
				at.edge++
				if order[w] == 0 {
					enter(w)
				} else if onStack[w] {
					low[v] = min(low[v], order[w])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				up := path[len(path)-1].node
				low[up] = min(low[up], low[v])
			}
			if low[v] == order[v] {
				size := 0
				for stack[len(stack)-1-size] != v {
					size++
				}
				members := stack[len(stack)-1-size:]
				heaviest = max(heaviest, g.close(members, chain))
				for _, w := range members {
					onStack[w] = false
				}
				stack = stack[:len(stack)-len(members)]
			}
		}
	}
	return heaviest
}

// close finishes one strongly connected component, all of whose successors are finished.
func (g *callGraph) close(members []int, chain []int64) int64 {
	cycle := len(members) > 1
	var below int64
	for _, v := range members {
		for _, w := range g.next[v] {
			cycle = cycle || int(w) == v
			below = max(below, chain[w])
		}
	}
	if !cycle {
		below += g.weight[members[0]]
	}
	for _, v := range members {
		chain[v] = below
		if v < len(g.counted) {
			g.counted[v] = cycle
		}
	}
	return below
}
