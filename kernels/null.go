package kernels

import "fmt"

// Null is the device without arithmetic: it checks batches, keeps pages and returns rows of zeros. It is for testing what
// drives devices. Beyond BatchCheck it knows what every place of every page holds: a row whose visible positions were never
// written, or belong to another history of tokens, is an error.
type Null struct{}

// Name is "null".
func (Null) Name() string { return "null" }

// Compile never touches the weights' bytes.
func (Null) Compile(seg *Segment, opt Options) (Runner, error) {
	if err := checkOptions(seg, opt); err != nil {
		return nil, err
	}
	p := seg.Program
	return &null{seg: seg, check: NewBatchCheck(seg, opt), pages: make([][][PageSize]place, len(p.Groups)), pooled: p.pooled()}, nil
}

type null struct {
	seg    *Segment
	check  *BatchCheck
	pages  [][][PageSize]place
	pooled bool
	result []float32
}

// place is what one position of a page holds: a row's position (from 1, so that 0 is empty), a digest of the tokens up to
// it, and the digest of the place before it.
type place struct {
	pos          int32
	digest, past uint64
}

// Step notes the rows in their pages and checks what they see.
func (r *null) Step(b *Batch) ([]float32, error) {
	if err := r.check.Check(b); err != nil {
		return nil, err
	}
	seqs, want := 0, 0
	for i := 0; i < len(b.Rows); {
		n := runOf(b.Rows, i)
		for g := range r.pages {
			if r.seg.Layers(g) == 0 {
				continue
			}
			if err := r.see(b, g, b.Rows[i:i+n]); err != nil {
				return nil, err
			}
		}
		for _, row := range b.Rows[i : i+n] {
			if row.Want {
				want++
			}
		}
		i, seqs = i+n, seqs+1
	}
	v, n := r.seg.Program.Values[r.seg.Out], len(b.Rows)
	if v.Selected && r.pooled {
		n = seqs
	} else if v.Selected {
		n = want
	}
	r.result = grow(r.result, n*v.Width)
	clear(r.result)
	return r.result, nil
}

// see writes the places of one sequence's rows, after it has read those before them.
func (r *null) see(b *Batch, g int, rows []Row) error {
	table, window := b.Seqs[rows[0].Seq].Pages[g], r.seg.Program.Groups[g].Window
	at := func(pos int32) *place { return &r.pages[g][table[pos/PageSize]][pos%PageSize] }
	from, past := int32(firstVisible(int(rows[0].Pos), window)), uint64(0)
	for pos := from; pos < rows[0].Pos; pos++ {
		p := at(pos)
		switch {
		case p.pos == 0:
			return fmt.Errorf("sequence %d position %d sees position %d in page %d of group %d, which was never written",
				rows[0].Seq, rows[0].Pos, pos, table[pos/PageSize], g)
		case p.pos != pos+1 || (pos > from && p.past != past):
			return fmt.Errorf("sequence %d position %d sees position %d in page %d of group %d, which holds position %d of another history",
				rows[0].Seq, rows[0].Pos, pos, table[pos/PageSize], g, p.pos-1)
		}
		past = p.digest
	}
	for _, row := range rows {
		// One round of a multiplicative hash (constants of splitmix64); strangers do not choose the tokens to collide.
		digest := (past ^ uint64(row.Token) + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
		digest ^= digest >> 29
		*at(row.Pos) = place{row.Pos + 1, digest, past}
		past = digest
	}
	return nil
}

func (r *null) Reserve(group, n int) error {
	if err := r.check.Reserve(group, n); err != nil {
		return err
	}
	if more := n - len(r.pages[group]); more > 0 {
		r.pages[group] = append(r.pages[group], make([][PageSize]place, more)...)
	}
	return nil
}

func (r *null) CopyPage(group int, dst, src int32) error {
	if err := r.check.CheckPages(group, dst, src); err != nil {
		return err
	}
	r.pages[group][dst] = r.pages[group][src]
	return nil
}

// PageBytes is what the scalar device would take.
func (r *null) PageBytes(group int) int { return pageBytes(r.seg, group) }

func (r *null) Close() error { return nil }
