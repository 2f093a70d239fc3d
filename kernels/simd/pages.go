package simd

// pageMemory holds the pages of one group. Pages are made some at a time, so that a page can be found without moving those
// that are there, and so that the system can back them with large pages where it has those: a step reads a small part of
// every page, each part in other memory, and would look up an address for every few thousand bytes otherwise.
type pageMemory struct {
	pageBytes int
	perSlab   int
	slabs     [][]byte
	n         int
}

// slabBytes is how much is taken from the system at once: two large pages of most systems. Memory that nobody has written
// to costs nothing.
const slabBytes = 4 << 20

func newPageMemory(pageBytes int) *pageMemory {
	return &pageMemory{pageBytes: pageBytes, perSlab: max(1, slabBytes/max(pageBytes, 1))}
}

// reserve makes pages 0 to n-1 usable.
func (m *pageMemory) reserve(n int) error {
	for m.pageBytes > 0 && len(m.slabs)*m.perSlab < n {
		slab, err := newSlab(m.perSlab * m.pageBytes)
		if err != nil {
			return err
		}
		m.slabs = append(m.slabs, slab)
	}
	m.n = max(m.n, n)
	return nil
}

// at is one page.
func (m *pageMemory) at(page int32) []byte {
	i := int(page)
	return m.slabs[i/m.perSlab][i%m.perSlab*m.pageBytes:][:m.pageBytes]
}

// free gives all memory back.
func (m *pageMemory) free() {
	for _, slab := range m.slabs {
		freeSlab(slab)
	}
	m.slabs, m.n = nil, 0
}
