//go:build wasip1

// Package forge is for plugins in Go, compiled for wasip1:
//
//	//go:wasmexport forge_sampler_1
//	func marker() {}
//
//	//go:wasmexport forge_init
//	func start(*forge.Init) forge.Status { return forge.Ok }
//
//	//go:wasmexport sampler_mine
//	func mine(frame *forge.Rows) forge.Status {
//		for i := range frame.All() {
//			row := &frame.All()[i]
//			...
//		}
//		return forge.Ok
//	}
//
//	func main() {}
//
// Build it with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w", put its manifest in with forge plugin
// stamp, and grant it wasi: Go's runtime imports ten functions of WASI, which the host answers the same way every time.
//
// abi.go is generated: records with exported fields, and constants. Caveats: a module has 1.8 MB and no SIMD; slices of a
// record alias the arena and hold for the call alone.
package forge

import (
	"structs"
	"unsafe"
)

// Ptr is an address in the guest's memory; 0 means absent.
type Ptr[T any] uint32

// Slice is the n elements that lie there, or nil.
func (p Ptr[T]) Slice(n uint32) []T {
	return unsafe.Slice((*T)(unsafe.Add(nil, uintptr(p))), n)
}

// Span is an address and a number of elements.
type Span[T any] struct {
	_   structs.HostLayout
	Ptr Ptr[T]
	Len uint32
}

// Slice is the elements.
func (s Span[T]) Slice() []T { return s.Ptr.Slice(s.Len) }

var arena []byte

//go:wasmexport forge_arena
func forgeArena(bytes uint32) uint32 {
	arena = make([]byte, uint64(bytes)+ArenaAlign)
	at := uint32(uintptr(unsafe.Pointer(unsafe.SliceData(arena))))
	return (at + ArenaAlign - 1) &^ (ArenaAlign - 1)
}

// Fail writes a sentence for the user into the frame's error slot and gives the status back.
func Fail(head *Head, status Status, sentence string) Status {
	head.ErrorLen = uint32(copy(head.ErrorPtr.Slice(head.ErrorCap), sentence))
	return status
}

// All are the rows.
func (f *Rows) All() []Row { return f.Rows.Slice(f.NRows) }

// All are the rows.
func (f *Masks) All() []MaskRow { return f.Rows.Slice(f.NRows) }

// Whole tells whether the table is the whole row: candidate i is token i, and ids are not there yet.
func (r *Row) Whole() bool { return r.Flags&RowFlagWhole != 0 }

// Keep keeps the candidates that a question answers with true, in their order.
func (r *Row) Keep(question func(id uint32, logit float32) bool) {
	logits, ids, whole := r.Logits.Slice(r.N), r.IDs.Slice(r.N), r.Whole()
	kept := 0
	for i, logit := range logits {
		id := uint32(i)
		if !whole {
			id = ids[i]
		}
		if question(id, logit) {
			ids[kept], logits[kept] = id, logit
			kept++
		}
	}
	r.N = uint32(kept)
	r.Flags &^= RowFlagWhole
}

// Param is setting number slot of the row, in the manifest's order.
func (r *Row) Param(slot int) float64 { return r.Params.Slice()[slot] }

// Next is the next number in [0, 1) of the row's generator.
func (r *Row) Next() float64 {
	r.Draw++
	return Uniform(r.Seed, r.Draw-1)
}

// Allow allows a token. The bits of the mask are the guest's to clear first.
func (r *MaskRow) Allow(id uint32) { r.Mask.Slice(id/32 + 1)[id/32] |= 1 << (id % 32) }

// Token is the scores of a token, and where its experts and their weights go.
func (f *Route) Token(i uint32) (scores []float32, ids []uint32, weights []float32) {
	n, k := f.NExperts, f.TopK
	return f.Scores.Slice(f.NTokens * n)[i*n:][:n], f.IDs.Slice(f.NTokens * k)[i*k:][:k], f.Weights.Slice(f.NTokens * k)[i*k:][:k]
}

// String is a setting that is a string. It aliases the arena.
func String(slots []float64, slot int) string {
	s := (*Span[byte])(unsafe.Pointer(&slots[slot]))
	return unsafe.String(unsafe.SliceData(s.Slice()), int(s.Len))
}

// Piece is the bytes that a token adds to a text.
func (v *Vocab) Piece(id uint32) []byte {
	at := v.PieceOffsets.Slice(v.N + 1)
	return v.Pieces.Slice()[at[id]:at[id+1]]
}
