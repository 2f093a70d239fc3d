package kernels

import (
	"fmt"

	"forge/gguf"
)

// ValueID names a value of a program, WeightID a weight; -1 is none.
type (
	ValueID  int32
	WeightID int32
)

// Weight is a tensor of the file, or a part of one, as it is stored. Shape is row-major: [n], [n_out, n_in] or
// [n_expert, n_out, n_in].
type Weight struct {
	Name  string
	Type  gguf.Type
	Shape []int
	Data  []byte
}

// Value is what one operation makes and others read: for each row Width floats, or, for Routes, Width chosen experts
// with their weights.
type Value struct {
	Width    int
	Routes   bool
	Selected bool // holds only the rows that want output, or one row a sequence after OpPool
}

// Op is one operation. Which inputs, weights and attributes it has stands in Specs[Code]; attributes are read through
// the generated accessors (op.Norm().Eps).
type Op struct {
	Code  OpCode
	Layer int // -1 outside the layers; for messages and placement only
	In    []ValueID
	Out   []ValueID
	W     []WeightID
	Attr  [MaxAttrs]uint32
}

// KVGroup is a set of attention operations whose caches have the same geometry and window and so share page tables.
type KVGroup struct {
	Window   int // 0: all positions
	WidthK   int // floats of one position: heads * head size
	WidthV   int
	Layers   []int // indices into Program.Ops
	HeadsKV  int
	HeadDimK int
	HeadDimV int
}

// Program is a model as a list of operations over named weights. Check fills Values, Groups, OpGroup and OpLayer.
type Program struct {
	Name    string // the architecture's name, for messages
	Weights []Weight
	Ops     []Op
	Values  []Value
	Groups  []KVGroup
	// OpGroup[i] and OpLayer[i] say, for an attention operation i, its group and its index in the group's Layers; -1 for
	// the others.
	OpGroup, OpLayer []int
}

// Whole is the segment of all operations: from token ids to what the output operation reads. p has passed Check.
func Whole(p *Program) *Segment {
	n := len(p.Ops)
	return &Segment{Program: p, First: 0, Last: n, In: -1, Out: p.Ops[n-1].In[0]}
}

// Check holds a segment of a checked program against itself: every value its operations read is made in it or is In.
func (s *Segment) Check() error {
	p := s.Program
	if p == nil || len(p.Values) == 0 || len(p.OpGroup) != len(p.Ops) {
		return fmt.Errorf("segment: the program has not passed Check")
	}
	if s.First < 0 || s.Last > len(p.Ops) || s.First >= s.Last {
		return fmt.Errorf("segment: operations %d to %d of %d", s.First, s.Last, len(p.Ops))
	}
	if int(s.In) < -1 || int(s.In) >= len(p.Values) || s.Out < 0 || int(s.Out) >= len(p.Values) {
		return fmt.Errorf("segment: from v%d to v%d, the program has %d values", s.In, s.Out, len(p.Values))
	}
	if (s.In >= 0 && p.Values[s.In].Routes) || p.Values[s.Out].Routes {
		return fmt.Errorf("segment: from v%d to v%d, routes cannot leave a segment", s.In, s.Out)
	}
	made := make([]bool, len(p.Values))
	if s.In >= 0 {
		made[s.In] = true
	}
	for i := s.First; i < s.Last; i++ {
		op := &p.Ops[i]
		for _, id := range op.In {
			if id >= 0 && !made[id] {
				return fmt.Errorf("segment: %s reads v%d, which is made outside it", opName(i, op), id)
			}
		}
		for _, id := range op.Out {
			made[id] = true
		}
	}
	if !made[s.Out] {
		return fmt.Errorf("segment: its result v%d is made outside it", s.Out)
	}
	return nil
}

// Layers is how many of a group's attention operations the segment holds.
func (s *Segment) Layers(group int) int {
	n := 0
	for _, i := range s.Program.Groups[group].Layers {
		if i >= s.First && i < s.Last {
			n++
		}
	}
	return n
}

// LastUse gives for each value the index of the last operation that reads it, or of the one that makes it if none does.
func (p *Program) LastUse() []int { return lastUses(p.Ops, len(p.Values)) }

func lastUses(ops []Op, n int) []int {
	last := make([]int, n)
	for i := range ops {
		for _, id := range ops[i].Out {
			last[id] = i
		}
		for _, id := range ops[i].In {
			if id >= 0 {
				last[id] = i
			}
		}
	}
	return last
}

// Live is the largest number of entries of one row that are alive at one time: a device which reuses buffers as soon as
// their value is dead needs four bytes for each and each row of a step. A chosen expert counts as two.
func (p *Program) Live() int { return liveEntries(p.Ops, p.Values) }

func liveEntries(ops []Op, values []Value) int {
	last := lastUses(ops, len(values))
	dies := make([]int, len(ops)) // entries that die after an operation
	for id, i := range last {
		dies[i] += values[id].entries()
	}
	live, most := 0, 0
	for i := range ops {
		for _, id := range ops[i].Out {
			live += values[id].entries()
		}
		most = max(most, live)
		live -= dies[i]
	}
	return most
}

func (v Value) entries() int {
	if v.Routes {
		return 2 * v.Width
	}
	return v.Width
}

// WeightBytes is what the program's operations read of the weights, each tensor counted once.
func (p *Program) WeightBytes() int64 {
	seen := map[*byte]int{}
	for i := range p.Ops {
		for _, id := range p.Ops[i].W {
			if id >= 0 {
				data := p.Weights[id].Data
				seen[&data[0]] = max(seen[&data[0]], len(data))
			}
		}
	}
	total := int64(0)
	for _, n := range seen {
		total += int64(n)
	}
	return total
}

// KVFloats is how many floats one position takes in the caches of a group, all its layers.
func (g *KVGroup) KVFloats() int { return len(g.Layers) * (g.WidthK + g.WidthV) }
