package plugins_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"forge/abi"
	"forge/host/plugin"
	"forge/plugins/internal/guesttest"
)

// settings of the shipped constraint, in the manifest's order.
type settings struct{ grammar, schema, regex, choice, banned string }

// A constraintVocab is a small vocabulary: the pieces of its tokens, and which of them end a generation. types is nil for
// plain text.
type constraintVocab struct {
	pieces []string
	types  []int32
	eog    []uint32
}

// byteVocab has a token for each of 256 bytes, then the further pieces, then one that ends a generation.
func byteVocab(more ...string) constraintVocab {
	var v constraintVocab
	for b := range 256 {
		v.pieces = append(v.pieces, string([]byte{byte(b)}))
	}
	v.pieces = append(append(v.pieces, more...), "<end>")
	v.eog = []uint32{uint32(len(v.pieces) - 1)}
	return v
}

// find gives the first token with a piece.
func (v *constraintVocab) find(piece string) uint32 {
	i := slices.Index(v.pieces, piece)
	if i < 0 {
		panic("no token " + piece)
	}
	return uint32(i)
}

// constrainer is the shipped constraint with a vocabulary, called export by export.
type constrainer struct {
	*guesttest.Guest
	vocab constraintVocab

	seqAt, masksAt         uint32
	seq, masks             []byte
	row, mask, tokens      uint32
	slots, texts, textRoom uint32
}

const maxTestTokens = 4096

func openConstraint(tb testing.TB, v constraintVocab, textRoom int) *constrainer {
	tb.Helper()
	c := &constrainer{vocab: v, textRoom: uint32(textRoom)}
	size := 0
	for _, p := range v.pieces {
		size += len(p)
	}
	n := len(v.pieces)
	arena := uint32(size + 16*n + 4*maxTestTokens + textRoom + 1<<14)
	c.Guest = guesttest.Open(tb, "constraint/constraint.wasm", (arena+65535)&^65535, func(g *guesttest.Guest, init abi.Init) {
		init.SetOffered(uint64(abi.CapVocab))
		init.SetNVocab(uint32(n))
		init.SetVocab(putVocab(g, v))
	})
	c.seqAt, c.seq = c.Frame(abi.SeqSize)
	c.masksAt, c.masks = c.Frame(abi.MasksSize)
	c.row, c.mask, c.tokens = c.Alloc(abi.MaskRowSize), c.Alloc(uint32(n+31)/32*4), c.Alloc(4*maxTestTokens)
	c.slots, c.texts = c.Alloc(5*8), c.Alloc(uint32(textRoom))
	return c
}

func putVocab(g *guesttest.Guest, v constraintVocab) uint32 {
	n := len(v.pieces)
	offsets, types, eog := make([]byte, 4*(n+1)), make([]byte, 4*n), make([]byte, 4*len(v.eog))
	var texts strings.Builder
	for i, p := range v.pieces {
		binary.LittleEndian.PutUint32(offsets[4*i:], uint32(texts.Len()))
		texts.WriteString(p)
		if v.types != nil {
			binary.LittleEndian.PutUint32(types[4*i:], uint32(v.types[i]))
		} else {
			binary.LittleEndian.PutUint32(types[4*i:], uint32(abi.TokenTypeNormal))
		}
	}
	binary.LittleEndian.PutUint32(offsets[4*n:], uint32(texts.Len()))
	for i, id := range v.eog {
		binary.LittleEndian.PutUint32(eog[4*i:], id)
	}
	at := g.Alloc(abi.VocabSize)
	offsetsAt, _ := g.Put(offsets)
	typesAt, _ := g.Put(types)
	eogAt, _ := g.Put(eog)
	piecesAt, piecesLen := g.Put([]byte(texts.String()))
	r := abi.Vocab(g.Bytes(at, abi.VocabSize))
	r.SetN(uint32(n))
	r.SetTypes(typesAt)
	r.SetPieceOffsets(offsetsAt)
	r.SetPieces(piecesAt, piecesLen)
	r.SetEOG(eogAt, uint32(len(v.eog)))
	return at
}

// call makes a call about a sequence; fill completes its cleared frame.
func (c *constrainer) call(name string, seq uint64, fill func(abi.Seq)) error {
	frame := abi.Seq(c.Bytes(c.seqAt, abi.SeqSize))
	clear(frame[abi.HeadSize:])
	frame.SetSeq(seq)
	if fill != nil {
		fill(frame)
	}
	return c.Call(name, c.seqAt)
}

// put writes the settings into their slots.
func (c *constrainer) put(s settings) (slots, n uint32) {
	at := c.texts
	b := c.Bytes(c.slots, 5*8)
	for i, text := range []string{s.grammar, s.schema, s.regex, s.choice, s.banned} {
		binary.LittleEndian.PutUint32(b[8*i:], at)
		binary.LittleEndian.PutUint32(b[8*i+4:], uint32(len(text)))
		copy(c.Bytes(at, uint32(len(text))), text)
		if at += uint32(len(text)); at > c.texts+c.textRoom {
			panic("the settings' texts are longer than their room")
		}
	}
	return c.slots, 5
}

func (c *constrainer) begin(seq uint64, s settings) error {
	return c.call("forge_begin", seq, func(f abi.Seq) { f.SetParams(c.put(s)) })
}

func (c *constrainer) putTokens(ids []uint32) (at, n uint32) {
	b := c.Bytes(c.tokens, uint32(4*len(ids)))
	for i, id := range ids {
		binary.LittleEndian.PutUint32(b[4*i:], id)
	}
	return c.tokens, uint32(len(ids))
}

func (c *constrainer) accept(seq uint64, ids ...uint32) error {
	return c.call("forge_accept", seq, func(f abi.Seq) {
		f.SetTokens(c.putTokens(ids))
		f.SetCount(uint32(len(ids)))
	})
}

func (c *constrainer) acceptPrompt(seq uint64, ids ...uint32) error {
	return c.call("forge_accept", seq, func(f abi.Seq) {
		f.SetTokens(c.putTokens(ids))
		f.SetCount(uint32(len(ids)))
		f.SetFlags(uint32(abi.SeqFlagPrompt))
	})
}

func (c *constrainer) rollback(seq uint64, n int) error {
	return c.call("forge_rollback", seq, func(f abi.Seq) { f.SetCount(uint32(n)) })
}

func (c *constrainer) fork(seq, parent uint64) error {
	return c.call("forge_fork", seq, func(f abi.Seq) { f.SetParent(parent) })
}

func (c *constrainer) end(seq uint64) error { return c.call("forge_end", seq, nil) }

func (c *constrainer) save(seq uint64) ([]byte, error) {
	var saved []byte
	err := c.call("forge_save", seq, func(f abi.Seq) { f.SetBuffer(c.tokens, 4*maxTestTokens) })
	if err == nil {
		saved = slices.Clone(c.Bytes(c.tokens, abi.Seq(c.Bytes(c.seqAt, abi.SeqSize)).Used()))
	}
	return saved, err
}

func (c *constrainer) load(seq uint64, s settings, saved []byte) error {
	copy(c.Bytes(c.tokens, uint32(len(saved))), saved)
	return c.call("forge_load", seq, func(f abi.Seq) {
		f.SetParams(c.put(s))
		f.SetBuffer(c.tokens, uint32(len(saved)))
	})
}

// An answer is what constraint_mask says about a row.
type answer struct {
	result       abi.MaskResult
	mask         []uint32 // words
	rewind, hold uint32
}

func (a answer) allows(id uint32) bool { return a.mask[id/32]>>(id%32)&1 != 0 }

// allowed lists the pieces of the tokens that may follow, in quotation marks.
func (c *constrainer) allowed(a answer) []string {
	var out []string
	for id := range uint32(len(c.vocab.pieces)) {
		if a.allows(id) {
			out = append(out, fmt.Sprintf("%q", c.vocab.pieces[id]))
		}
	}
	return out
}

func (c *constrainer) rowOf(seq uint64, drafts []uint32) abi.Masks {
	frame := abi.Masks(c.Bytes(c.masksAt, abi.MasksSize))
	clear(frame[abi.HeadSize:])
	frame.SetNRows(1)
	frame.SetRows(c.row)
	frame.SetNVocab(uint32(len(c.vocab.pieces)))
	row := abi.MaskRow(c.Bytes(c.row, abi.MaskRowSize))
	clear(row)
	row.SetSeq(seq)
	row.SetDrafts(c.putTokens(drafts))
	row.SetMask(c.mask)
	return frame
}

func (c *constrainer) ask(seq uint64, drafts ...uint32) (answer, error) {
	c.rowOf(seq, drafts)
	if err := c.Call("constraint_mask", c.masksAt); err != nil {
		return answer{}, err
	}
	row := abi.MaskRow(c.Bytes(c.row, abi.MaskRowSize))
	a := answer{result: abi.MaskResult(row.Result()), rewind: row.Rewind(), hold: row.Hold()}
	words := c.Bytes(c.mask, uint32(len(c.vocab.pieces)+31)/32*4)
	for i := 0; i < len(words); i += 4 {
		a.mask = append(a.mask, binary.LittleEndian.Uint32(words[i:]))
	}
	return a, nil
}

func (c *constrainer) validate(seq uint64, drafts ...uint32) (int, error) {
	c.rowOf(seq, drafts)
	err := c.Call("constraint_validate", c.masksAt)
	return int(abi.MaskRow(c.Bytes(c.row, abi.MaskRowSize)).Fits()), err
}

// matches tells whether a text, fed byte by byte to a sequence of these settings, fits and may end there. The vocabulary
// has to begin with the 256 bytes.
func (c *constrainer) matches(tb testing.TB, s settings, text string) bool {
	tb.Helper()
	if err := c.begin(1, s); err != nil {
		tb.Fatal(err)
	}
	drafts := make([]uint32, 0, len(text)+1)
	for i := range len(text) {
		drafts = append(drafts, uint32(text[i]))
	}
	fits, err := c.validate(1, append(drafts, c.vocab.eog[0])...)
	if err != nil {
		tb.Fatal(err)
	}
	return fits == len(text)+1
}

// hostConstraint is the default set's constraint with a vocabulary, through the host's door; change may alter its limits.
func hostConstraint(tb testing.TB, v constraintVocab, change func(*plugin.Spec)) (*plugin.Module, *plugin.Constraint) {
	tb.Helper()
	ctx := context.Background()
	config, rt := hostSet(tb)
	i := slices.IndexFunc(config.Plugins, func(s plugin.Spec) bool { return s.Kind == abi.KindConstraint })
	if change != nil {
		change(&config.Plugins[i])
	}
	m, err := rt.Load(ctx, config.Plugins[i])
	if err != nil {
		tb.Fatal(err)
	}
	types := make([]byte, 4*len(v.types))
	for i, t := range v.types {
		types[4*i] = byte(t)
	}
	texts := func(yield func([]byte) bool) {
		for _, p := range v.pieces {
			if !yield([]byte(p)) {
				return
			}
		}
	}
	c, err := m.NewConstraint(ctx, &plugin.Vocab{N: len(v.pieces), Texts: texts, Pieces: texts, Types: types, EOG: v.eog, BOS: -1, EOS: -1, UNK: -1, SEP: -1, PAD: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return m, c
}
