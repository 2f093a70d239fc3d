package kernels

import (
	"fmt"
	"time"

	"forge/gguf"
)

// PageSize is the number of positions in one page of the KV cache.
const PageSize = 32

// Device turns programs into runners. It knows nothing of sequences, plugins or files.
type Device interface {
	// Name is what users type after --device.
	Name() string
	// Compile binds a checked segment to the device. The weights' bytes are kept, not copied, and must outlive the runner.
	Compile(seg *Segment, opt Options) (Runner, error)
}

// Options of a compilation.
type Options struct {
	MaxRows       int       // the most rows of one Step
	Threads       int       // worker count; 0 lets the device choose from what the process may use
	KeyType       gguf.Type // of the cached keys; 0 (F32) lets the device choose its own default
	ValueType     gguf.Type // of the cached values, likewise
	Deterministic bool      // forbid every kernel whose result for a row depends on the other rows of the step
	// Routers are asked in place of the attributes and the bias of the OpRoute operations with these indices: each once a
	// step in which the operation has rows, from the goroutine that called Step.
	Routers map[int]Router
}

// CheckRouters says whether each router belongs to an OpRoute of the program.
func (o *Options) CheckRouters(p *Program) error {
	for i, router := range o.Routers {
		if i < 0 || i >= len(p.Ops) || p.Ops[i].Code != OpRoute || router == nil {
			return fmt.Errorf("there is a router for operation %d, which does not route", i)
		}
	}
	return nil
}

// Segment is a run of a program's operations that one device executes: from token ids (In < 0) or from hidden rows
// (In is the value they are stored to) to what its last operation yields.
type Segment struct {
	Program *Program
	First   int     // index of the first operation
	Last    int     // one past the last
	In      ValueID // -1: the rows' tokens
	Out     ValueID // the value that Step returns
}

// Row is one position of one sequence in a step.
type Row struct {
	Seq   int32 // index into Batch.Seqs
	Pos   int32
	Token int32
	Want  bool // the caller wants this row's output
}

// Seq gives the pages of one sequence: Pages[g][p] is the page in group g which holds positions p*PageSize and on,
// -1 where a sliding window has left it behind. Pages of the rows being computed must be there and not shared.
type Seq struct {
	Pages [][]int32
}

// Batch is the input of one step. The rows of one sequence stand together in ascending positions without a gap; rows of
// many sequences mix freely: prefill is many rows of one, decode one row of each, speculation several rows of one.
type Batch struct {
	Rows []Row
	Seqs []Seq
	// Hidden is [len(Rows), width of Segment.In] for segments that do not start from tokens. Where Segment.In holds only
	// selected rows it has those alone.
	Hidden []float32
}

// Runner executes a segment. It is for one caller at a time.
type Runner interface {
	// Step computes the batch and returns the rows of Segment.Out, [n, width]: one for each row that wants it where the
	// program has passed OpRows, one for each sequence that has rows, in their order, where it has passed OpPool, else
	// one for each row of the batch. The slice belongs to the runner and holds until the next Step. Keys and values of
	// the rows are in their pages afterwards. A batch that breaks the rules of BatchCheck is an error and changes nothing.
	Step(b *Batch) ([]float32, error)
	// Reserve makes pages 0 to n-1 of a group usable, keeping what they hold.
	Reserve(group, n int) error
	// CopyPage copies one page of a group, all layers.
	CopyPage(group int, dst, src int32) error
	// PageBytes is what one page of a group takes; 0 if the segment has none of the group's layers.
	PageBytes(group int) int
	Close() error
}

// Profiler is a Runner that can tell where the time of its steps goes.
type Profiler interface {
	// Profile opens a new account, or with false closes it: keeping one costs some time itself.
	Profile(on bool)
	// Account is the time of the steps since then by kind of work, the longest first.
	Account() []WorkTime
}

// WorkTime is the time that one kind of work took. Matrices tells that it is the products with weight matrices.
type WorkTime struct {
	Work     string
	Matrices bool
	Time     time.Duration
}
