package simd

import (
	"fmt"
	"math"
	"unsafe"

	"forge/gguf"
	"forge/kernels"
)

// A page of a group holds, for each layer of the segment and each of its heads, the head's keys and then its values in one
// run of bytes. Keys lie transposed, [HeadDimK, PageSize], values as they come, [PageSize, HeadDimV]: what is summed over
// runs down the rows, and lanes of a vector lie along them.
//
// In F16 that is all. In Q8_0, which rounds every 32 entries of a head to signed bytes with a scale in F16, the scales
// stand behind the bytes: [HeadDim / 32, PageSize] of them for both.

// cacheBlock is how many entries share a scale in Q8_0.
const cacheBlock = 32

// columnsOf rounds a head's size up to what the kernels take.
func columnsOf(dv int) int { return (dv + 15) &^ 15 }

// cacheBytes is what the entries of one head take in a page; width is the size of the head, columns that of whole rows.
func cacheBytes(t gguf.Type, width, columns int) int {
	if t == gguf.Q8_0 {
		return kernels.PageSize * (width + 2*width/cacheBlock)
	}
	return kernels.PageSize * 2 * columns
}

// checkCache refuses formats that the kernels do not have, and heads that are no whole blocks of one.
func (r *runner) checkCache() error {
	for _, t := range []*gguf.Type{&r.keyType, &r.valueType} {
		switch *t {
		case 0:
			*t = gguf.F16
		case gguf.F16, gguf.Q8_0:
		default:
			return fmt.Errorf("the simd device keeps keys and values in F16 or Q8_0, not in %s", *t)
		}
	}
	for g := range r.prog.Groups {
		group := &r.prog.Groups[g]
		if r.keyType == gguf.Q8_0 && group.HeadDimK%cacheBlock != 0 || r.valueType == gguf.Q8_0 && group.HeadDimV%cacheBlock != 0 {
			return fmt.Errorf("a cache of Q8_0 cannot hold heads of %d and %d entries: they are no multiples of %d", group.HeadDimK, group.HeadDimV, cacheBlock)
		}
	}
	return nil
}

// layerCache finds the keys and values of one layer in the pages of its group.
type layerCache struct {
	group                *kernels.KVGroup
	index                int // of the group
	at                   int // of the layer in a page, in bytes
	keyType, valueType   gguf.Type
	keyBytes, valueBytes int // of one head
	columns              int // HeadDimV in whole vectors
}

func (r *runner) newLayerCache(group, layer int) *layerCache {
	g := &r.prog.Groups[group]
	c := &layerCache{group: g, index: group, keyType: r.keyType, valueType: r.valueType, columns: columnsOf(g.HeadDimV)}
	c.keyBytes, c.valueBytes = cacheBytes(c.keyType, g.HeadDimK, g.HeadDimK), cacheBytes(c.valueType, g.HeadDimV, c.columns)
	c.at = layer * c.layerBytes()
	return c
}

func (c *layerCache) layerBytes() int { return c.group.HeadsKV * (c.keyBytes + c.valueBytes) }

// headPage is one head's part of a page.
type headPage struct {
	keys, values           tile
	keyScales, valueScales []uint16 // of Q8_0
}

// headAt is where a head's part of a page begins.
func (c *layerCache) headAt(head int) int { return c.at + head*(c.keyBytes+c.valueBytes) }

// head finds a head's part of a page.
func (c *layerCache) head(h *headPage, page []byte, head int) {
	b := page[c.headAt(head):][:c.keyBytes+c.valueBytes]
	h.keys, h.keyScales = part(b[:c.keyBytes], c.keyType, c.group.HeadDimK*kernels.PageSize, kernels.PageSize)
	h.values, h.valueScales = part(b[c.keyBytes:], c.valueType, c.columns*kernels.PageSize, c.columns)
}

// part views n numbers in rows of width, and the scales behind them.
func part(b []byte, t gguf.Type, n, width int) (tile, []uint16) {
	if t == gguf.Q8_0 {
		return tile{int8Tile, b[:n], width}, halvesOf(b[n:])
	}
	return tile{halfTile, b, width}, nil
}

func halvesOf(b []byte) []uint16 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

func floatBytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// store writes a row's keys and values to its page.
func (r *runner) store(c *layerCache, row int, k, v []float32, s *attention) {
	g, at := c.group, &r.batch.Rows[row]
	page := r.pages[c.index].at(r.batch.Seqs[at.Seq].Pages[c.index][at.Pos/kernels.PageSize])
	slot := int(at.Pos) % kernels.PageSize
	k, v = k[row*g.WidthK:], v[row*g.WidthV:]
	h := &s.stored
	for head := range g.HeadsKV {
		c.head(h, page, head)
		h.storeKey(slot, k[head*g.HeadDimK:][:g.HeadDimK], s)
		h.storeValue(slot, v[head*g.HeadDimV:][:g.HeadDimV], s)
	}
}

// storeKey writes a column.
func (h *headPage) storeKey(slot int, x []float32, s *attention) {
	if h.keys.kind == halfTile {
		key, to := s.half[:len(x)], halvesOf(h.keys.data)
		floatToHalf(key, x)
		for d, v := range key {
			to[d*kernels.PageSize+slot] = v
		}
		return
	}
	for b := 0; b < len(x)/cacheBlock; b++ {
		scale, block := roundBlock(&s.block, x[b*cacheBlock:])
		h.keyScales[b*kernels.PageSize+slot] = scale
		to := h.keys.data[b*cacheBlock*kernels.PageSize+slot:]
		for d, v := range block {
			to[d*kernels.PageSize] = v
		}
	}
}

// storeValue writes a row.
func (h *headPage) storeValue(slot int, x []float32, s *attention) {
	if h.values.kind == halfTile {
		floatToHalf(halvesOf(h.values.data)[slot*h.values.width:][:len(x)], x)
		return
	}
	for b := 0; b < len(x)/cacheBlock; b++ {
		scale, block := roundBlock(&s.block, x[b*cacheBlock:])
		h.valueScales[b*kernels.PageSize+slot] = scale
		copy(h.values.data[slot*h.values.width+b*cacheBlock:], block)
	}
}

// roundBuffer is memory for an activation block.
type roundBuffer struct{ block [actBlock]byte }

// roundBlock rounds 32 floats to bytes and a scale in F16, as an activation block is rounded; buffer has the block.
func roundBlock(buffer *roundBuffer, x []float32) (scale uint16, block []byte) {
	quantize(level, buffer.block[:], nil, x[:cacheBlock], 0)
	d := *(*float32)(unsafe.Pointer(&buffer.block[actScale]))
	return gguf.F32ToF16(d), buffer.block[:cacheBlock]
}

// tileKind is how a tile's numbers are stored.
type tileKind int

const (
	halfTile tileKind = iota // float16
	floatTile
	int8Tile
	tileKinds
)

// tile is a matrix whose rows have width numbers.
type tile struct {
	kind  tileKind
	data  []byte
	width int
}

// numberBytes is the size of a number by kind.
var numberBytes = [tileKinds]int{2, 4, 1}

// from cuts off the first rows and columns.
func (t *tile) from(row, column int) tile {
	return tile{t.kind, t.data[(row*t.width+column)*numberBytes[t.kind]:], t.width}
}

func (t *tile) rowBytes() int { return t.width * numberBytes[t.kind] }

// number gives the i-th as a float.
func (t *tile) number(i int) float32 {
	b := t.data[i*numberBytes[t.kind]:]
	switch t.kind {
	case halfTile:
		return gguf.F16ToF32(uint16(b[0]) | uint16(b[1])<<8)
	case int8Tile:
		return float32(int8(b[0]))
	}
	return math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

// floats gives the tile in float32; x is the memory for it.
func (t *tile) floats(x []float32) tile {
	n := len(t.data) / numberBytes[t.kind]
	x = x[:n]
	if t.kind == halfTile {
		halfToFloat(x, halvesOf(t.data))
	} else {
		for i := int8Groups(level, x, t.data); i < n; i++ {
			x[i] = float32(int8(t.data[i]))
		}
	}
	return tile{floatTile, floatBytes(x), t.width}
}
