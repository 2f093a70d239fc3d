package kernels_test

import (
	"bytes"
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/kernelstest"
	"forge/tools/fuzzcount"
)

// oneLayer is a checked program with one attention of the given window, and its runner on dev with 4 pages.
func oneLayer(t *testing.T, dev kernels.Device, window int, opt kernels.Options) (kernels.Runner, *kernels.Program) {
	t.Helper()
	b := kernelstest.NewBuilder("one layer")
	x := b.Embed(32, 1)
	a := kernels.AttentionAttrs{NHead: 1, NHeadKV: 1, HeadDimK: 32, HeadDimV: 32, Scale: 0.2, Causal: 1, Window: window}
	c := b.Case(b.Op(kernels.OpRows, nil, nil, b.Op(kernels.OpAttention, a, nil, x, x, x)), nil)
	opt.MaxRows = 40
	r, err := dev.Compile(kernels.Whole(c.Program), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Reserve(0, 4); err != nil {
		t.Fatal(err)
	}
	return r, c.Program
}

func seqs(tables ...[]int32) []kernels.Seq {
	var all []kernels.Seq
	for _, table := range tables {
		all = append(all, kernels.Seq{Pages: [][]int32{table}})
	}
	return all
}

// rowsOf are n rows of one sequence from pos on, with tokens that grow by one from the position plus first.
func rowsOf(seq, pos, n, first int) []kernels.Row {
	var rows []kernels.Row
	for i := range n {
		rows = append(rows, kernels.Row{Seq: int32(seq), Pos: int32(pos + i), Token: int32(first + pos + i), Want: true})
	}
	return rows
}

func join(parts ...[]kernels.Row) []kernels.Row {
	var all []kernels.Row
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestBatchRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		b    kernels.Batch
		want string
	}{
		{"empty", kernels.Batch{}, "batch of 0 rows, 1 to 40 are possible"},
		{"too many rows", kernels.Batch{Rows: rowsOf(0, 0, 41, 0), Seqs: seqs([]int32{0, 1})}, "batch of 41 rows, 1 to 40 are possible"},
		{"no sequence", kernels.Batch{Rows: rowsOf(1, 0, 1, 0), Seqs: seqs([]int32{0})}, "row 0 is of sequence 1, the batch has 1"},
		{"negative sequence", kernels.Batch{Rows: rowsOf(-1, 0, 1, 0), Seqs: seqs([]int32{0})}, "row 0 is of sequence -1, the batch has 1"},
		{"negative position", kernels.Batch{Rows: rowsOf(0, -1, 1, 1), Seqs: seqs([]int32{0})}, "row 0 has position -1"},
		{"token", kernels.Batch{Rows: rowsOf(0, 0, 1, 96), Seqs: seqs([]int32{0})}, "row 0 has token 96, the vocabulary has 96"},
		{"gap", kernels.Batch{Rows: join(rowsOf(0, 0, 2, 0), rowsOf(0, 3, 1, 0)), Seqs: seqs([]int32{0})}, "row 2 has position 3 after 1 of the same sequence"},
		{"apart", kernels.Batch{Rows: join(rowsOf(0, 0, 1, 0), rowsOf(1, 0, 1, 0), rowsOf(0, 1, 1, 0)), Seqs: seqs([]int32{0}, []int32{1})},
			"row 2: the rows of sequence 0 do not stand together"},
		{"no table", kernels.Batch{Rows: rowsOf(0, 0, 1, 0), Seqs: make([]kernels.Seq, 1)}, "sequence 0 has page tables of 0 groups, the program has 1"},
		{"short table", kernels.Batch{Rows: rowsOf(0, 30, 4, 0), Seqs: seqs([]int32{0})}, "sequence 0 has no page 1 in group 0, positions 30 to 33 need it"},
		{"page left behind", kernels.Batch{Rows: rowsOf(0, 32, 1, 0), Seqs: seqs([]int32{-1, 0})}, "sequence 0 has no page 0 in group 0, positions 32 to 32 need it"},
		{"page beyond", kernels.Batch{Rows: rowsOf(0, 0, 1, 0), Seqs: seqs([]int32{4})}, "sequence 0 has no page 0 in group 0, positions 0 to 0 need it"},
		{"written twice", kernels.Batch{Rows: join(rowsOf(0, 0, 1, 0), rowsOf(1, 0, 1, 0)), Seqs: seqs([]int32{2}, []int32{2})},
			"page 2 of group 0 is written by sequence 0 and used by sequence 1"},
		{"written and read", kernels.Batch{Rows: join(rowsOf(0, 32, 1, 0), rowsOf(1, 0, 1, 0)), Seqs: seqs([]int32{2, 1}, []int32{2})},
			"page 2 of group 0 is written by sequence 1 and used by sequence 0"},
		{"one page in two places", kernels.Batch{Rows: rowsOf(0, 30, 4, 0), Seqs: seqs([]int32{2, 2})}, "page 2 of group 0 is written by sequence 0 and used by sequence 0"},
	} {
		for _, dev := range []kernels.Device{kernels.Null{}, kernels.Scalar{}} {
			r, _ := oneLayer(t, dev, 0, kernels.Options{})
			if _, err := r.Step(&c.b); err == nil || err.Error() != c.want {
				t.Errorf("%s on %s: got %v, want %s", c.name, dev.Name(), err, c.want)
			}
		}
	}
}

// TestNullHistory follows what the pages hold: forks share pages, a copied page can be written, strangers' pages are found.
func TestNullHistory(t *testing.T) {
	r, _ := oneLayer(t, kernels.Null{}, 0, kernels.Options{})
	step := func(rows []kernels.Row, tables ...[]int32) error {
		out, err := r.Step(&kernels.Batch{Rows: rows, Seqs: seqs(tables...)})
		if err == nil && len(out) != 32*len(rows) {
			t.Errorf("%d entries for %d rows", len(out), len(rows))
		}
		return err
	}
	expect := func(err error, want string) {
		t.Helper()
		if got := ""; err != nil {
			if got = err.Error(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		} else if want != "" {
			t.Errorf("no error, want %q", want)
		}
	}
	expect(step(rowsOf(0, 1, 1, 0), []int32{0}), "sequence 0 position 1 sees position 0 in page 0 of group 0, which was never written")
	expect(step(rowsOf(0, 0, 35, 0), []int32{0, 1}), "")
	// A fork shares page 0, has its own copy of page 1 and goes on there; the first sequence goes on beside it.
	expect(r.CopyPage(0, 2, 1), "")
	expect(step(join(rowsOf(0, 35, 2, 0), rowsOf(1, 35, 1, 40)), []int32{0, 1}, []int32{0, 2}), "")
	// Taking back rows and writing others over them is fine.
	expect(step(rowsOf(0, 36, 1, 9), []int32{0, 1}), "")
	// Page 3 gets another history: it cannot stand before page 1.
	expect(step(rowsOf(0, 0, 32, 1), []int32{3}), "")
	expect(step(rowsOf(0, 37, 1, 0), []int32{3, 1}), "sequence 0 position 37 sees position 32 in page 1 of group 0, which holds position 32 of another history")
	expect(step(rowsOf(0, 32, 1, 0), []int32{1, 3}), "sequence 0 position 32 sees position 0 in page 1 of group 0, which holds position 32 of another history")
	expect(r.CopyPage(0, 4, 0), "page 4 of group 0, it has 4 reserved")
	expect(r.CopyPage(1, 0, 0), "group 1, the program has 1")
	expect(r.Reserve(0, 5), "")
	expect(r.CopyPage(0, 4, 0), "")
	expect(step(rowsOf(0, 35, 1, 9), []int32{4, 1}), "")
}

func TestNullWindow(t *testing.T) {
	r, _ := oneLayer(t, kernels.Null{}, 8, kernels.Options{})
	for _, s := range []struct {
		pos, n int
		table  []int32
	}{{0, 32, []int32{0}}, {32, 8, []int32{0, 1}}, {40, 1, []int32{-1, 1}}} {
		if _, err := r.Step(&kernels.Batch{Rows: rowsOf(0, s.pos, s.n, 0), Seqs: seqs(s.table)}); err != nil {
			t.Error(err)
		}
	}
}

// TestNullRunsAll runs every case of the table without arithmetic: the shapes of results are the scalar device's.
func TestNullRunsAll(t *testing.T) {
	for _, c := range kernelstest.Cases() {
		opt := kernels.Options{MaxRows: c.MaxRows}
		zeros, err := kernels.Outputs(kernels.Null{}, kernels.Whole(c.Program), opt, c.Batches)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		real, err := kernels.Outputs(kernels.Scalar{}, kernels.Whole(c.Program), opt, c.Batches)
		if err != nil || len(zeros) != len(real) {
			t.Errorf("%s: %d entries, the scalar device has %d, %v", c.Name, len(zeros), len(real), err)
		}
		squares := 0.0
		for i, v := range real {
			if squares += float64(v) * float64(v); v != v {
				t.Fatalf("%s: entry %d is NaN: the case tests nothing", c.Name, i)
			}
		}
		if squares == 0 {
			t.Errorf("%s: all results are zero: the case tests nothing", c.Name)
		}
	}
}

// TestCacheTypes: a cache in a narrower format changes results by its rounding and no more, and not at all where the
// format holds the numbers.
func TestCacheTypes(t *testing.T) {
	batch := kernels.Batch{Rows: rowsOf(0, 0, 40, 0), Seqs: seqs([]int32{1, 3})}
	out := map[gguf.Type][]float32{}
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.Q8_0} {
		r, _ := oneLayer(t, kernels.Scalar{}, 0, kernels.Options{KeyType: kind, ValueType: kind})
		got, err := r.Step(&batch)
		if err != nil {
			t.Fatal(err)
		}
		out[kind] = append([]float32{}, got...)
	}
	for kind, limit := range map[gguf.Type]float64{gguf.F16: 2e-3, gguf.Q8_0: 3e-2} {
		most := 0.0
		for i, v := range out[kind] {
			most = max(most, float64(v-out[gguf.F32][i]), float64(out[gguf.F32][i]-v))
		}
		if most == 0 || most > limit {
			t.Errorf("a cache of %s moves results by %g", kind, most)
		}
	}
	b := kernelstest.NewBuilder("odd heads")
	x := b.Embed(33, 1)
	c := b.Case(b.Op(kernels.OpAttention, kernels.AttentionAttrs{NHead: 1, NHeadKV: 1, HeadDimK: 33, HeadDimV: 33, Causal: 1}, nil, x, x, x), nil)
	_, err := kernels.Scalar{}.Compile(kernels.Whole(c.Program), kernels.Options{MaxRows: 1, KeyType: gguf.Q8_0, ValueType: gguf.Q8_0})
	if want := "op 1 (attention): a cache of Q8_0 and Q8_0 cannot hold keys of 33 and values of 33 entries"; err == nil || err.Error() != want {
		t.Error(err)
	}
}

// TestSegments cuts every whole model of the table in two at each value that alone crosses a border: the second half, fed
// with what the first returns, must give the same bits.
func TestSegments(t *testing.T) {
	cuts := 0
	for _, c := range kernelstest.Cases() {
		if len(c.Program.Ops) < 20 {
			continue
		}
		opt := kernels.Options{MaxRows: c.MaxRows}
		want, err := kernels.Outputs(kernels.Scalar{}, kernels.Whole(c.Program), opt, c.Batches)
		if err != nil {
			t.Fatal(err)
		}
		n := len(c.Program.Ops)
		for i := 1; i < n-1; i++ {
			v := c.Program.Ops[i].Out[0]
			first := &kernels.Segment{Program: c.Program, First: 0, Last: i + 1, In: -1, Out: v}
			second := &kernels.Segment{Program: c.Program, First: i + 1, Last: n, In: v, Out: c.Program.Ops[n-1].In[0]}
			if first.Check() != nil || second.Check() != nil {
				continue
			}
			cuts++
			if i%3 != 0 { // a third of the cuts is enough
				continue
			}
			hidden, err := steps(c, first, opt, c.Batches)
			if err != nil {
				t.Fatal(err)
			}
			batches := append([]kernels.Batch{}, c.Batches...)
			for k := range batches {
				batches[k].Hidden = hidden[k]
			}
			got, err := kernels.Outputs(kernels.Scalar{}, second, opt, batches)
			if err != nil {
				t.Fatalf("%s cut after op %d: %v", c.Name, i, err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s cut after op %d: %d entries, not %d", c.Name, i, len(got), len(want))
			}
			for k := range got {
				if got[k] != want[k] {
					t.Fatalf("%s cut after op %d: entry %d is %g, not %g", c.Name, i, k, got[k], want[k])
				}
			}
		}
	}
	if cuts < 30 {
		t.Errorf("only %d cuts", cuts)
	}
}

// steps runs a segment and keeps the result of each step.
func steps(c *kernelstest.Case, seg *kernels.Segment, opt kernels.Options, batches []kernels.Batch) ([][]float32, error) {
	r, err := kernels.Scalar{}.Compile(seg, opt)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for g := range c.Program.Groups {
		if err := r.Reserve(g, 64); err != nil {
			return nil, err
		}
	}
	var all [][]float32
	for i := range batches {
		out, err := r.Step(&batches[i])
		if err != nil {
			return nil, err
		}
		all = append(all, append([]float32{}, out...))
	}
	return all, nil
}

// fuzzedBatch makes a batch of two sequences, most of whose numbers fit: page, sequence, position and token are what is
// expected unless their byte says otherwise.
func fuzzedBatch(pages, rows []byte) kernels.Batch {
	odd := func(b byte) bool { return b >= 0xf0 }
	b := kernels.Batch{Seqs: make([]kernels.Seq, 2)}
	for i := range b.Seqs {
		b.Seqs[i].Pages = [][]int32{{int32(i)}}
	}
	for k, page := range pages[:min(len(pages), 6)] {
		number := int32(page % 4)
		if odd(page) {
			number = int32(int8(page))
		}
		table := &b.Seqs[k%2].Pages[0]
		*table = append(*table, number)
	}
	next := make([]int32, len(b.Seqs))
	for ; len(rows) >= 3 && len(b.Rows) < 50; rows = rows[3:] {
		r := kernels.Row{Seq: int32(rows[0] % 2), Token: int32(rows[2] % 32), Want: rows[2]%2 == 0}
		r.Pos = next[r.Seq]
		next[r.Seq]++
		switch {
		case odd(rows[0]):
			r.Seq = int32(int8(rows[0]))
		case odd(rows[1]):
			r.Pos = int32(int8(rows[1] << 2))
		case odd(rows[2]):
			r.Token = int32(int8(rows[2]))
		}
		b.Rows = append(b.Rows, r)
	}
	return b
}

// FuzzBatch makes any rows and page tables: a step is an error or a result, and what the scalar device refuses the null
// device refuses too.
func FuzzBatch(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, []byte{0, 0, 1, 0, 1, 2})
	f.Add([]byte{255, 1}, []byte{0, 33, 7})
	f.Add([]byte{2, 3}, bytes.Repeat([]byte{0, 0, 5}, 40))
	f.Add([]byte{}, []byte{1, 0, 1, 0, 0xf4, 2})
	count := fuzzcount.New(f, "batches are accepted", 30)
	f.Fuzz(func(t *testing.T, pages, rows []byte) {
		b := fuzzedBatch(pages, rows)
		real, _ := oneLayer(t, kernels.Scalar{}, 0, kernels.Options{Threads: 1})
		null, _ := oneLayer(t, kernels.Null{}, 0, kernels.Options{})
		out, err := real.Step(&b)
		count.Add(err == nil)
		zeros, nullErr := null.Step(&b)
		if err != nil && nullErr == nil || nullErr == nil && len(out) != len(zeros) {
			t.Errorf("scalar: %d entries, %v; null: %d entries, %v", len(out), err, len(zeros), nullErr)
		}
	})
}
