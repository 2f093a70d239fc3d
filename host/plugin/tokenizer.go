package plugin

import (
	"context"
	"fmt"
	"iter"
	"math"
	"runtime"
	"sync"

	"forge/abi"
)

// Vocab is a vocabulary as the model file has it. Its sequences are read again when an instance is made anew, so what
// they yield must stay.
type Vocab struct {
	N                      int
	Texts                  iter.Seq[[]byte] // N texts as stored in the file
	Scores, Types          []byte           // raw f32[N] and i32[N], little-endian, or nil
	NMerges                int
	Merges                 iter.Seq[[]byte] // "left right"; nil if there are none
	Model, Pre             string
	BOS, EOS, UNK          int32 // -1: none
	SEP, PAD               int32
	AddSpacePrefix         int32 // 0, 1, or -1 where the file does not say
	RemoveExtraWhitespaces int32
	Charsmap               []byte

	// For samplers, processors and constraints that were granted vocab; not for tokenizers.
	Pieces iter.Seq[[]byte] // N times the bytes that a token adds to a text; constraints want them
	EOG    []uint32         // the tokens that end a generation, the one that ends a turn first
}

const maxVocab = 1 << 24 // tokens, and merges

// vocabLayout is where a vocabulary lies in an arena.
type vocabLayout struct {
	record, offsets, texts, scores, types uint32
	mergeOffsets, merges                  uint32
	model, pre, charsmap                  uint32
	pieceOffsets, pieces, eog             uint32
	textBytes, mergeBytes, pieceBytes     uint64
	longest                               int // bytes of the longest text
}

// layOutVocab makes room for a vocabulary; decoded says that the pieces go along.
func layOutVocab(l *layout, v *Vocab, decoded bool) (*vocabLayout, error) {
	switch {
	case decoded && len(v.EOG) > v.N:
		return nil, fmt.Errorf("the vocabulary has %d tokens and %d that end a generation", v.N, len(v.EOG))
	case v.N < 1 || v.N > maxVocab || v.NMerges < 0 || v.NMerges > maxVocab:
		return nil, fmt.Errorf("a vocabulary of %d tokens and %d merges is out of range: 1 to %d", v.N, v.NMerges, maxVocab)
	case v.Texts == nil || v.NMerges > 0 && v.Merges == nil:
		return nil, fmt.Errorf("the vocabulary has no texts")
	case v.Scores != nil && len(v.Scores) != 4*v.N:
		return nil, fmt.Errorf("the vocabulary has %d tokens and %d bytes of scores, not %d", v.N, len(v.Scores), 4*v.N)
	case v.Types != nil && len(v.Types) != 4*v.N:
		return nil, fmt.Errorf("the vocabulary has %d tokens and %d bytes of types, not %d", v.N, len(v.Types), 4*v.N)
	}
	p := new(vocabLayout)
	count := func(seq iter.Seq[[]byte], want int, what string) (sum uint64, longest int, err error) {
		n := 0
		for t := range seq {
			if n++; n > want {
				break
			}
			sum += uint64(len(t))
			longest = max(longest, len(t))
		}
		if n != want {
			return 0, 0, fmt.Errorf("the vocabulary says %d %s and has another number of them", want, what)
		}
		return sum, longest, nil
	}
	var err error
	if p.textBytes, p.longest, err = count(v.Texts, v.N, "tokens"); err != nil {
		return nil, err
	}
	if v.NMerges > 0 {
		if p.mergeBytes, _, err = count(v.Merges, v.NMerges, "merges"); err != nil {
			return nil, err
		}
	}
	if decoded && v.Pieces != nil {
		if p.pieceBytes, _, err = count(v.Pieces, v.N, "pieces"); err != nil {
			return nil, err
		}
	}
	if p.textBytes > math.MaxUint32 || p.mergeBytes > math.MaxUint32 || p.pieceBytes > math.MaxUint32 {
		return nil, fmt.Errorf("the vocabulary's texts have %d bytes, more than a guest can address",
			p.textBytes+p.mergeBytes+p.pieceBytes)
	}
	p.record = l.take(abi.VocabSize, 64)
	p.offsets = l.take(4*uint64(v.N+1), 64)
	p.scores = l.take(uint64(len(v.Scores)), 64)
	p.types = l.take(uint64(len(v.Types)), 64)
	if v.NMerges > 0 {
		p.mergeOffsets = l.take(4*uint64(v.NMerges+1), 64)
	}
	if decoded {
		p.eog = l.take(4*uint64(len(v.EOG)), 64)
	}
	if decoded && v.Pieces != nil {
		p.pieceOffsets = l.take(4*uint64(v.N+1), 64)
		p.pieces = l.take(p.pieceBytes, 64)
	}
	p.texts = l.take(p.textBytes, 64)
	p.merges = l.take(p.mergeBytes, 64)
	p.charsmap = l.take(uint64(len(v.Charsmap)), 64)
	p.model = l.take(uint64(len(v.Model)), 1)
	p.pre = l.take(uint64(len(v.Pre)), 1)
	return p, nil
}

// write puts the vocabulary into the arena and gives its record's address. A sequence that yields more than it did when
// it was counted is cut off; one that yields less leaves empty texts.
func (p *vocabLayout) write(in *instance, v *Vocab) uint32 {
	r := abi.Vocab(in.at(p.record, abi.VocabSize))
	clear(r)
	list := func(seq iter.Seq[[]byte], n int, offsets, texts uint32, size uint64) {
		at, dst := in.at(offsets, uint32(4*(n+1))), in.at(texts, uint32(size))
		i, pos := 0, 0
		for t := range seq {
			if i == n {
				break
			}
			putU32(at[4*i:], uint32(pos))
			pos += copy(dst[pos:], t)
			i++
		}
		for ; i <= n; i++ {
			putU32(at[4*i:], uint32(pos))
		}
	}
	raw := func(at uint32, b []byte) uint32 {
		if b == nil {
			return 0
		}
		copy(in.at(at, uint32(len(b))), b)
		return in.base + at
	}
	r.SetN(uint32(v.N))
	r.SetOffsets(in.base + p.offsets)
	r.SetTexts(in.base+p.texts, uint32(p.textBytes))
	list(v.Texts, v.N, p.offsets, p.texts, p.textBytes)
	r.SetScores(raw(p.scores, v.Scores))
	r.SetTypes(raw(p.types, v.Types))
	if v.NMerges > 0 {
		r.SetNMerges(uint32(v.NMerges))
		r.SetMergeOffsets(in.base + p.mergeOffsets)
		r.SetMerges(in.base+p.merges, uint32(p.mergeBytes))
		list(v.Merges, v.NMerges, p.mergeOffsets, p.merges, p.mergeBytes)
	}
	if p.eog != 0 {
		r.SetEOG(raw(p.eog, bytesOf(v.EOG)), uint32(len(v.EOG)))
	}
	if p.pieceOffsets != 0 {
		r.SetPieceOffsets(in.base + p.pieceOffsets)
		r.SetPieces(in.base+p.pieces, uint32(p.pieceBytes))
		list(v.Pieces, v.N, p.pieceOffsets, p.pieces, p.pieceBytes)
	}
	r.SetModel(raw(p.model, []byte(v.Model)), uint32(len(v.Model)))
	r.SetPre(raw(p.pre, []byte(v.Pre)), uint32(len(v.Pre)))
	r.SetCharsmap(raw(p.charsmap, v.Charsmap), uint32(len(v.Charsmap)))
	r.SetBOS(v.BOS)
	r.SetEOS(v.EOS)
	r.SetUnk(v.UNK)
	r.SetSep(v.SEP)
	r.SetPad(v.PAD)
	r.SetAddSpacePrefix(v.AddSpacePrefix)
	r.SetRemoveExtraWhitespaces(v.RemoveExtraWhitespaces)
	return in.base + p.record
}

// Tokenizer turns text into ids and back. It is safe for concurrent use; calls take turns.
type Tokenizer struct {
	m     *Module
	vocab *Vocab

	mu sync.Mutex
	in *instance
	textWindows
	longest int
	encode  export
	decode  export
}

// DecodeState carries an unfinished character, and what the guest keeps, between the pieces of one streamed text. The
// zero value begins a text.
type DecodeState struct {
	begun                  bool
	carryLen, carry, state uint32
}

// MidText is the state in the middle of a text: nothing is taken off what comes next.
func MidText() DecodeState { return DecodeState{begun: true, state: 1} }

// DecodeFlags of Tokenizer.Decode.
type DecodeFlags uint32

const (
	// SkipSpecial leaves control tokens out.
	SkipSpecial = DecodeFlags(abi.TextFlagSkipSpecial)
	// Raw gives the ids' bytes as in the middle of a text, whole characters or not.
	Raw = DecodeFlags(abi.TextFlagRaw)
	// Last says that the ids end the text: an unfinished character comes out as it is.
	Last = DecodeFlags(abi.TextFlagLast)
)

// NewTokenizer starts a tokenizer guest with a vocabulary.
func (m *Module) NewTokenizer(ctx context.Context, v *Vocab) (*Tokenizer, error) {
	if m.kind.Name != abi.KindTokenizer {
		return nil, fmt.Errorf("plugin %s is a %s and not a tokenizer", m.spec.Name, m.kind.Name)
	}
	t := &Tokenizer{m: m, vocab: v}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// ready makes an instance if there is none that can be used.
func (t *Tokenizer) ready(ctx context.Context) error {
	if t.in != nil && !t.in.dead {
		return t.m.quarantined()
	}
	l := newLayout()
	t.textWindows = layOutText(l)
	p, err := layOutVocab(l, t.vocab, false)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", t.m.spec.Name, err)
	}
	t.longest = p.longest
	t.in, err = t.m.start(ctx, l, func(in *instance, init abi.Init) {
		init.SetNVocab(uint32(t.vocab.N))
		init.SetVocab(p.write(in, t.vocab))
	})
	if err != nil {
		return err
	}
	t.encode, t.decode = t.in.export("tokenizer_encode"), t.in.export("tokenizer_decode")
	return nil
}

// Encode appends the ids of a text to dst. Nothing is added at its ends. With parseSpecial the texts of control tokens
// become those tokens.
func (t *Tokenizer) Encode(ctx context.Context, dst []uint32, text []byte, parseSpecial bool) ([]uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return dst, err
	}
	c := textCall{
		export: t.encode, input: text, inWidth: 1, outWidth: 4, last: true, ids: idList{first: dst},
		maxOut: 4 * (64 + 64*uint64(len(text))), // a character's compatibility form has at most 18 characters
	}
	if parseSpecial {
		c.flags = uint32(abi.TextFlagParseSpecial)
	}
	if err := t.run(ctx, t.in, &c); err != nil {
		return dst, err
	}
	if c.ids.most >= uint32(t.vocab.N) {
		return dst, t.in.fault(t.encode.name, 0, "gave the id %d, the vocabulary has %d", c.ids.most, t.vocab.N)
	}
	return c.ids.join(), nil
}

// idList collects ids: the first as append does, and once they are many in pieces, which are copied once, at the end, while
// others have their turns. The ids of a long text are megabytes, and Go does not interrupt a copy.
type idList struct {
	first []uint32
	rest  [][]uint32
	most  uint32 // of those that were added
}

func (l *idList) add(b []byte) {
	to := &l.first
	if n := len(b) / 4; len(l.rest) > 0 || len(l.first)+n > max(cap(l.first), textOut/4) {
		l.rest = append(l.rest, make([]uint32, 0, n))
		to = &l.rest[len(l.rest)-1]
	}
	for ; len(b) > 0; b = b[4:] {
		id := getU32(b)
		l.most = max(l.most, id)
		*to = append(*to, id)
	}
}

func (l *idList) join() []uint32 {
	if len(l.rest) == 0 {
		return l.first
	}
	n := len(l.first)
	for _, ids := range l.rest {
		n += len(ids)
	}
	all := append(make([]uint32, 0, n), l.first...)
	for _, ids := range l.rest {
		all = append(all, ids...)
		runtime.Gosched()
	}
	return all
}

// Decode appends the text of ids to dst. st carries what is between two calls for one text, and may be nil for a text
// in one call. It never gives half a character unless the flags say that the text ends.
func (t *Tokenizer) Decode(ctx context.Context, dst []byte, ids []uint32, st *DecodeState, flags DecodeFlags) ([]byte, error) {
	for _, id := range ids {
		if id >= uint32(t.vocab.N) {
			return dst, fmt.Errorf("token %d does not exist, the vocabulary has %d", id, t.vocab.N)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return dst, err
	}
	c := textCall{
		export: t.decode, flags: uint32(flags &^ Last), last: flags&Last != 0,
		input: bytesOf(ids), inWidth: 4, outWidth: 1, bytes: dst,
		maxOut: 64 + uint64(len(ids))*uint64(3*t.longest+64), // a byte that is no UTF-8 may become the three of U+FFFD
	}
	if st != nil {
		c.state = *st
	}
	if err := t.run(ctx, t.in, &c); err != nil {
		return dst, err
	}
	if st != nil {
		*st = c.state
	}
	return c.bytes, nil
}

// Pieces gives for each token the bytes that it adds to a text: piece i is text[offsets[i]:offsets[i+1]].
func (t *Tokenizer) Pieces(ctx context.Context) (text []byte, offsets []uint32, err error) {
	offsets = make([]uint32, 1, t.vocab.N+1)
	for id := range uint32(t.vocab.N) {
		st := MidText()
		if text, err = t.Decode(ctx, text, []uint32{id}, &st, Raw); err != nil {
			return nil, nil, err
		}
		if len(text) > math.MaxUint32 {
			return nil, nil, fmt.Errorf("plugin %s: the pieces of the vocabulary have more than 4 GiB", t.m.spec.Name)
		}
		offsets = append(offsets, uint32(len(text)))
	}
	return text, offsets, nil
}

// NVocab is the number of tokens.
func (t *Tokenizer) NVocab() int { return t.vocab.N }

// Close frees the instance.
func (t *Tokenizer) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in != nil {
		t.in.discard()
	}
}
