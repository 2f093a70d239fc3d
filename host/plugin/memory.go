package plugin

import "github.com/tetratelabs/wazero/experimental"

// memory is the linear memory of one instance. It grows to its own limit and no further, where wazero knows only one
// limit for a whole runtime, and it lets the host see the bytes without asking for a view at every call: buf is what the
// guest has now. A slice of buf holds only until the guest grows or its instance is discarded.
//
// Where the system can, all that the guest may ever have is set aside as addresses, and pages come when they are touched:
// then growth copies nothing. Go's own memory would be copied at each growth, and what was left behind kept until a
// collection: 1.2 GiB and 140 ms of standstill for a guest that takes its 256 MiB page by page.
type memory struct {
	buf   []byte
	room  []byte // set aside; buf is its beginning
	limit uint64 // bytes
}

// Allocate implements experimental.MemoryAllocator. The module's minimum was held against the limit at load.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory; nil makes memory.grow answer -1.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if m.room == nil {
		m.room = reserve(m.limit)
	}
	switch {
	case size <= uint64(len(m.room)):
		m.buf = m.room[:size]
	case size <= uint64(cap(m.buf)):
		m.buf = m.buf[:size]
	default:
		// A quarter of room keeps a guest that grows page by page from copying its memory each time.
		grown := make([]byte, size, min(m.limit, size+size/4))
		copyPieces(grown, m.buf)
		m.buf = grown
	}
	return m.buf
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {
	release(m.room)
	m.buf, m.room = nil, nil
}

// layout gives out parts of an arena before it exists: offsets from its beginning, which is aligned to a page or more.
type layout struct{ size uint64 }

// take reserves n bytes. Beyond 4 GiB the offset is meaningless; size tells, and start refuses it.
func (l *layout) take(n, align uint64) uint32 {
	at := (l.size + align - 1) / align * align
	l.size = at + n
	return uint32(at)
}

// copyPieces copies piece by piece: Go cannot interrupt a copy, and a memory of 256 MiB takes a tenth of a second.
func copyPieces(to, from []byte) {
	const piece = 1 << 20
	for i := 0; i < len(from); i += piece {
		copy(to[i:], from[i:min(i+piece, len(from))])
	}
}
