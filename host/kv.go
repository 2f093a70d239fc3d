package host

import (
	"fmt"

	"forge/kernels"
)

// pagePool numbers the pages of one attention group and counts who uses them. The memory behind a number is the device's.
type pagePool struct {
	refs []int32 // by page; 0: free
	free []int32
	max  int
}

func (p *pagePool) take() (int32, bool) {
	if n := len(p.free); n > 0 {
		page := p.free[n-1]
		p.free = p.free[:n-1]
		p.refs[page] = 1
		return page, true
	}
	if len(p.refs) >= p.max {
		return -1, false
	}
	p.refs = append(p.refs, 1)
	return int32(len(p.refs) - 1), true
}

func (p *pagePool) release(page int32) {
	if p.refs[page]--; p.refs[page] == 0 {
		p.free = append(p.free, page)
	}
}

// kvCache hands out pages of every group and keeps the device's memory as large as the highest page in use.
type kvCache struct {
	runner kernels.Runner
	groups []kernels.KVGroup
	pools  []pagePool
}

// newKVCache makes room, in numbers only, for nSeq sequences of nCtx positions.
func newKVCache(runner kernels.Runner, groups []kernels.KVGroup, nCtx, nSeq, maxRows int) *kvCache {
	c := &kvCache{runner: runner, groups: groups, pools: make([]pagePool, len(groups))}
	for g := range groups {
		perSeq := (nCtx + kernels.PageSize - 1) / kernels.PageSize
		if w := groups[g].Window; w > 0 {
			// A step's rows need the window before its first row, its own pages, and a page of slack at either end.
			perSeq = min(perSeq, (w+maxRows)/kernels.PageSize+3)
		}
		// One more than all sequences need: copy on write holds a page twice for a moment.
		c.pools[g].max = perSeq*nSeq + 1
	}
	return c
}

// pageTables are one sequence's pages, by group.
type pageTables struct {
	pages [][]int32
	n     int // positions whose keys and values are in the pages
}

func (c *kvCache) newTables() *pageTables {
	return &pageTables{pages: make([][]int32, len(c.groups))}
}

// extend makes the pages of positions t.n to end-1 present and unshared.
func (c *kvCache) extend(t *pageTables, end int) error {
	first, last := t.n/kernels.PageSize, (end-1)/kernels.PageSize
	for g := range c.pools {
		pool := &c.pools[g]
		for len(t.pages[g]) <= last {
			t.pages[g] = append(t.pages[g], -1)
		}
		for p := first; p <= last; p++ {
			old := t.pages[g][p]
			if old >= 0 && pool.refs[old] == 1 {
				continue
			}
			page, ok := pool.take()
			if !ok {
				return fmt.Errorf("the KV cache is full: %d pages of %d positions are in use; raise -c or run fewer sequences at once", pool.max, kernels.PageSize)
			}
			if err := c.runner.Reserve(g, len(pool.refs)); err != nil {
				pool.release(page)
				return fmt.Errorf("no memory for the KV cache: %w", err)
			}
			if old >= 0 {
				if err := c.runner.CopyPage(g, page, old); err != nil {
					pool.release(page)
					return err
				}
				pool.release(old)
			}
			t.pages[g][p] = page
		}
	}
	return nil
}

// advance says that positions up to end-1 are computed, and gives back the pages that no later row can see.
func (c *kvCache) advance(t *pageTables, end int) {
	t.n = end
	for g, group := range c.groups {
		if group.Window == 0 {
			continue
		}
		// A page of slack lets a draft be taken back without computing the window again.
		dead := (end-group.Window+1)/kernels.PageSize - 1
		for p := dead - 1; p >= 0 && p < len(t.pages[g]) && t.pages[g][p] >= 0; p-- {
			c.pools[g].release(t.pages[g][p])
			t.pages[g][p] = -1
		}
	}
}

// canTruncate tells whether the positions before n suffice to go on from n: the window before n is still there.
func (c *kvCache) canTruncate(t *pageTables, n int) bool {
	for g, group := range c.groups {
		if group.Window == 0 || n == 0 {
			continue
		}
		for p := max(0, n-group.Window+1) / kernels.PageSize; p <= (n-1)/kernels.PageSize; p++ {
			if t.pages[g][p] < 0 {
				return false
			}
		}
	}
	return n <= t.n
}

// truncate forgets the positions from n on.
func (c *kvCache) truncate(t *pageTables, n int) {
	keep := (n + kernels.PageSize - 1) / kernels.PageSize
	for g := range t.pages {
		for p := keep; p < len(t.pages[g]); p++ {
			if t.pages[g][p] >= 0 {
				c.pools[g].release(t.pages[g][p])
			}
		}
		t.pages[g] = t.pages[g][:min(keep, len(t.pages[g]))]
	}
	t.n = min(t.n, n)
}

// fork gives a second sequence the same pages; the first to write to a shared page copies it.
func (c *kvCache) fork(t *pageTables) *pageTables {
	f := &pageTables{pages: make([][]int32, len(t.pages)), n: t.n}
	for g := range t.pages {
		f.pages[g] = append([]int32(nil), t.pages[g]...)
		for _, p := range t.pages[g] {
			if p >= 0 {
				c.pools[g].refs[p]++
			}
		}
	}
	return f
}

// inUse counts pages that some sequence holds.
func (c *kvCache) inUse() int {
	n := 0
	for g := range c.pools {
		n += len(c.pools[g].refs) - len(c.pools[g].free)
	}
	return n
}
