package host

import (
	"math/rand/v2"
	"testing"

	"forge/kernels"
)

// countingRunner is a device of pages alone.
type countingRunner struct {
	kernels.Runner
	copied   int
	reserved []int
}

func (r *countingRunner) Reserve(g, n int) error {
	for len(r.reserved) <= g {
		r.reserved = append(r.reserved, 0)
	}
	r.reserved[g] = max(r.reserved[g], n)
	return nil
}

func (r *countingRunner) CopyPage(int, int32, int32) error { r.copied++; return nil }

func testCache(nSeq int) (*kvCache, *countingRunner) {
	r := &countingRunner{}
	groups := []kernels.KVGroup{{Layers: []int{1}}, {Window: 100, Layers: []int{2}}}
	return newKVCache(r, groups, 4096, nSeq, 64), r
}

// Ensure that a fork of 1,000 tokens copies at most one page a group, and only when one of the two writes.
func TestFork_CopiesOnePageAGroup(t *testing.T) {
	c, r := testCache(2)
	a := c.newTables()
	for a.n < 1000 {
		n := min(64, 1000-a.n)
		must(t, c.extend(a, a.n+n))
		c.advance(a, a.n+n)
	}
	b := c.fork(a)
	if r.copied != 0 {
		t.Fatalf("fork copied %d pages", r.copied)
	}
	for _, s := range []*pageTables{a, b} {
		must(t, c.extend(s, 1001))
		c.advance(s, 1001)
	}
	if r.copied != 2 {
		t.Errorf("%d pages copied, 1 a group expected", r.copied)
	}
	c.truncate(a, 0)
	c.truncate(b, 0)
	if n := c.inUse(); n != 0 {
		t.Errorf("%d pages leaked", n)
	}
}

// Ensure that memory follows the tokens in use, not the context size, and a window gives its dead pages back.
func TestCache_GrowsWithUse(t *testing.T) {
	c, r := testCache(1)
	s := c.newTables()
	for s.n < 4000 {
		must(t, c.extend(s, s.n+1))
		c.advance(s, s.n+1)
		if s.n == 100 && (r.reserved[0] != 4 || r.reserved[1] != 4) {
			t.Fatalf("100 tokens reserve %v pages, 4 each expected", r.reserved)
		}
	}
	if r.reserved[1] > 7 {
		t.Errorf("a window of 100 takes %d pages", r.reserved[1])
	}
}

// Ensure that random extending, forking, truncating and ending never shares a page that is written and leaks none.
func TestCache_RandomOperations(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	c, _ := testCache(16)
	var seqs []*pageTables
	for range 5000 {
		switch op := rng.IntN(10); {
		case op < 2 && len(seqs) < 8:
			seqs = append(seqs, c.newTables())
		case len(seqs) == 0:
		case op < 7:
			s := seqs[rng.IntN(len(seqs))]
			if end := s.n + 1 + rng.IntN(64); end <= 4096 {
				must(t, c.extend(s, end))
				for g := range s.pages {
					for p := s.n / kernels.PageSize; p <= (end-1)/kernels.PageSize; p++ {
						if page := s.pages[g][p]; page < 0 || c.pools[g].refs[page] != 1 {
							t.Fatalf("page %d of group %d is written and has %d users", p, g, c.pools[g].refs[page])
						}
					}
				}
				c.advance(s, end)
			}
		case op < 8 && len(seqs) < 8:
			seqs = append(seqs, c.fork(seqs[rng.IntN(len(seqs))]))
		case op < 9:
			s := seqs[rng.IntN(len(seqs))]
			if n := rng.IntN(s.n + 1); c.canTruncate(s, n) {
				c.truncate(s, n)
			}
		default:
			i := rng.IntN(len(seqs))
			c.truncate(seqs[i], 0)
			seqs = append(seqs[:i], seqs[i+1:]...)
		}
	}
	for _, s := range seqs {
		c.truncate(s, 0)
	}
	if n := c.inUse(); n != 0 {
		t.Errorf("%d pages leaked", n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
