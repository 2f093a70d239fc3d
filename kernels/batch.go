package kernels

import "fmt"

// maxPosition bounds positions so that page numbers and byte sizes stay small numbers.
const maxPosition = 1 << 28

// BatchCheck holds the batches of one runner against the contract of Batch, with memory that is reused from step to step.
type BatchCheck struct {
	seg     *Segment
	maxRows int
	vocab   int
	visible []visibility
	pages   [][]pageOwner // for each group, one for each reserved page
	seqs    []int         // the step in which a sequence had its last row
	step    int
}

// visibility is how far back the rows of a group read; layers is 0 if the segment has none of the group's operations.
type visibility struct{ window, layers int }

// pageOwner says who writes a page in a step.
type pageOwner struct {
	step       int
	seq, index int32
}

// NewBatchCheck prepares the checks of a segment that has passed Check.
func NewBatchCheck(seg *Segment, opt Options) *BatchCheck {
	c := &BatchCheck{seg: seg, maxRows: opt.MaxRows, vocab: 1 << 30, pages: make([][]pageOwner, len(seg.Program.Groups))}
	for i := seg.First; i < seg.Last; i++ {
		if op := &seg.Program.Ops[i]; op.Code == OpEmbed {
			c.vocab = min(c.vocab, seg.Program.Weights[op.W[0]].Shape[0])
		}
	}
	for g := range seg.Program.Groups {
		c.visible = append(c.visible, visibility{window: seg.Program.Groups[g].Window, layers: seg.Layers(g)})
	}
	return c
}

// Reserve notes that a group has pages 0 to n-1.
func (c *BatchCheck) Reserve(group, n int) error {
	if group < 0 || group >= len(c.pages) {
		return fmt.Errorf("group %d, the program has %d", group, len(c.pages))
	}
	if n < 0 || n > maxPosition/PageSize {
		return fmt.Errorf("group %d: %d pages, the limit is %d", group, n, maxPosition/PageSize)
	}
	if n > len(c.pages[group]) {
		c.pages[group] = append(c.pages[group], make([]pageOwner, n-len(c.pages[group]))...)
	}
	return nil
}

// CheckPages refuses page numbers that are not reserved.
func (c *BatchCheck) CheckPages(group int, pages ...int32) error {
	if group < 0 || group >= len(c.pages) {
		return fmt.Errorf("group %d, the program has %d", group, len(c.pages))
	}
	for _, page := range pages {
		if page < 0 || int(page) >= len(c.pages[group]) {
			return fmt.Errorf("page %d of group %d, it has %d reserved", page, group, len(c.pages[group]))
		}
	}
	return nil
}

// Check is nil if the rows, tokens, positions and page tables of the batch can be used: the rows of a sequence stand
// together in ascending positions without a gap, every page that a row reads or writes is reserved, and a page that is
// written belongs to one place of one sequence.
func (c *BatchCheck) Check(b *Batch) error {
	c.step++
	if len(b.Rows) == 0 || len(b.Rows) > c.maxRows {
		return fmt.Errorf("batch of %d rows, 1 to %d are possible", len(b.Rows), c.maxRows)
	}
	for len(c.seqs) < len(b.Seqs) {
		c.seqs = append(c.seqs, 0)
	}
	want := 0
	for i, r := range b.Rows {
		if r.Seq < 0 || int(r.Seq) >= len(b.Seqs) {
			return fmt.Errorf("row %d is of sequence %d, the batch has %d", i, r.Seq, len(b.Seqs))
		}
		if r.Pos < 0 || r.Pos >= maxPosition {
			return fmt.Errorf("row %d has position %d", i, r.Pos)
		}
		if c.seg.In < 0 && (r.Token < 0 || int(r.Token) >= c.vocab) {
			return fmt.Errorf("row %d has token %d, the vocabulary has %d", i, r.Token, c.vocab)
		}
		if r.Want {
			want++
		}
		if i > 0 && b.Rows[i-1].Seq == r.Seq {
			if r.Pos != b.Rows[i-1].Pos+1 {
				return fmt.Errorf("row %d has position %d after %d of the same sequence", i, r.Pos, b.Rows[i-1].Pos)
			}
			continue
		}
		if c.seqs[r.Seq] == c.step {
			return fmt.Errorf("row %d: the rows of sequence %d do not stand together", i, r.Seq)
		}
		c.seqs[r.Seq] = c.step
	}
	if err := c.hidden(b, want); err != nil {
		return err
	}
	for g := range c.visible {
		if c.visible[g].layers == 0 {
			continue
		}
		// First note who writes which page, then hold all that is read against that.
		for _, write := range []bool{true, false} {
			for i := 0; i < len(b.Rows); {
				n := runOf(b.Rows, i)
				if err := c.run(b, g, b.Rows[i], b.Rows[i+n-1], write); err != nil {
					return err
				}
				i += n
			}
		}
	}
	return nil
}

func (c *BatchCheck) hidden(b *Batch, want int) error {
	if c.seg.In < 0 {
		return nil
	}
	v, n := c.seg.Program.Values[c.seg.In], len(b.Rows)
	if v.Selected {
		n = want
		if c.pooled() {
			n = 0
			for i := 0; i < len(b.Rows); i += runOf(b.Rows, i) {
				n++
			}
		}
	}
	if len(b.Hidden) != n*v.Width {
		return fmt.Errorf("batch has %d hidden numbers, %d rows of v%d are %d", len(b.Hidden), n, c.seg.In, n*v.Width)
	}
	return nil
}

// pooled tells whether the program's selected values have one row a sequence.
func (c *BatchCheck) pooled() bool { return c.seg.Program.pooled() }

// Pooled tells whether selected values have one row a sequence.
func (c *BatchCheck) Pooled() bool { return c.pooled() }

func (p *Program) pooled() bool {
	for i := range p.Ops {
		if p.Ops[i].Code == OpPool {
			return true
		}
	}
	return false
}

// run checks the pages of one group for the rows first to last of one sequence.
func (c *BatchCheck) run(b *Batch, g int, first, last Row, write bool) error {
	if len(b.Seqs[first.Seq].Pages) != len(c.pages) {
		return fmt.Errorf("sequence %d has page tables of %d groups, the program has %d", first.Seq, len(b.Seqs[first.Seq].Pages), len(c.pages))
	}
	table, from := b.Seqs[first.Seq].Pages[g], first.Pos
	if !write {
		from = int32(firstVisible(int(first.Pos), c.visible[g].window))
	}
	for index := from / PageSize; index <= last.Pos/PageSize; index++ {
		if int(index) >= len(table) || table[index] < 0 || int(table[index]) >= len(c.pages[g]) {
			return fmt.Errorf("sequence %d has no page %d in group %d, positions %d to %d need it", first.Seq, index, g, first.Pos, last.Pos)
		}
		o := &c.pages[g][table[index]]
		mine := o.step == c.step && o.seq == first.Seq && o.index == index
		switch {
		case o.step == c.step && !mine:
			return fmt.Errorf("page %d of group %d is written by sequence %d and used by sequence %d", table[index], g, o.seq, first.Seq)
		case write:
			*o = pageOwner{step: c.step, seq: first.Seq, index: index}
		}
	}
	return nil
}

// firstVisible is the first position that a causal row at pos sees.
func firstVisible(pos, window int) int {
	if window == 0 {
		return 0
	}
	return max(0, pos-window+1)
}

// runOf counts the rows from i on that belong to one sequence.
func runOf(rows []Row, i int) int {
	n := 1
	for i+n < len(rows) && rows[i+n].Seq == rows[i].Seq {
		n++
	}
	return n
}
