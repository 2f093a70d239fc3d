package author

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"forge/abi"
	"forge/gguf"
	"forge/gguf/randmodel"
	"forge/host/plugin"
)

// namedVocab is a vocabulary for trials. unk is a token that stands for what the others cannot say; exact tells that texts
// come back as they went in where it was not needed.
type namedVocab struct {
	*plugin.Vocab
	name  string
	exact bool
}

// token is one of a vocabulary that is made here.
type token struct {
	text, piece string
	typ         abi.TokenType
}

func texts(n int, text func(i int) string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range n {
			if !yield([]byte(text(i))) {
				return
			}
		}
	}
}

// vocabOf makes a vocabulary whose scores rank longer tokens first and, among them, earlier ones.
func vocabOf(model string, list []token) *plugin.Vocab {
	v := NumberedVocab(len(list))
	v.Model = model
	v.Texts = texts(len(list), func(i int) string { return list[i].text })
	v.Pieces = texts(len(list), func(i int) string { return list[i].piece })
	for i, t := range list {
		v.Scores = binary.LittleEndian.AppendUint32(v.Scores, math.Float32bits(float32(8*len(t.piece))-float32(i)/1024))
		v.Types = binary.LittleEndian.AppendUint32(v.Types, uint32(t.typ))
	}
	return v
}

var (
	standinSpecials = []token{{"<unk>", "<unk>", abi.TokenTypeUnknown}, {"<s>", "<s>", abi.TokenTypeControl}, {"</s>", "</s>", abi.TokenTypeControl}}
	standinWords    = strings.Fields("th he in er an re on at the and ing her hello Hello wor ld world 12 123 ab abc ()")
)

func normal(text string) token { return token{text, text, abi.TokenTypeNormal} }

func byteTokens() (list []token) {
	for b := range 256 {
		list = append(list, token{fmt.Sprintf("<0x%02X>", b), string([]byte{byte(b)}), abi.TokenTypeByte})
	}
	return list
}

// spmVocab is a vocabulary as SentencePiece has them: specials, bytes, characters and words, some with the mark of a space.
func spmVocab(model string) namedVocab {
	list := append(slices.Clone(standinSpecials), byteTokens()...)
	add := func(text string) {
		list = append(list, token{text, strings.ReplaceAll(text, "\u2581", " "), abi.TokenTypeNormal})
	}
	add("\u2581")
	for c := byte('!'); c <= '~'; c++ {
		add(string(c))
	}
	for _, c := range "éü日本語🙂" {
		add(string(c))
	}
	for _, w := range standinWords {
		add(w)
		add("\u2581" + w)
	}
	v := vocabOf(model, list)
	v.UNK, v.BOS, v.EOS = 0, 1, 2
	return namedVocab{v, "spm", true}
}

// byteChars are the characters that stand for bytes in GPT-2's vocabularies: printable ones for themselves, the others from
// U+0100 on.
func byteChars() (chars [256]rune) {
	next := rune(256)
	for b := range 256 {
		if r := rune(b); r > ' ' && r <= '~' || r >= 0xA1 && r != 0xAD {
			chars[b] = r
		} else {
			chars[b], next = next, next+1
		}
	}
	return chars
}

// bpeVocab is a vocabulary as GPT-2 has it: bytes as characters, the merges that make its words, a special token.
func bpeVocab(model, pre string) namedVocab {
	chars := byteChars()
	var list []token
	for b := range 256 {
		list = append(list, token{string(chars[b]), string([]byte{byte(b)}), abi.TokenTypeNormal})
	}
	var merges []string
	have := map[string]bool{}
	for _, w := range standinWords {
		for _, lead := range []string{"", string(chars[' '])} {
			left := ""
			for _, c := range lead + w { // left to right, so that each word is made of the one before it
				if next := left + string(c); left != "" && !have[next] {
					have[next] = true
					merges = append(merges, left+" "+string(c))
					list = append(list, token{next, strings.ReplaceAll(next, string(chars[' ']), " "), abi.TokenTypeNormal})
				}
				left += string(c)
			}
		}
	}
	list = append(list, token{"<|endoftext|>", "<|endoftext|>", abi.TokenTypeControl})
	v := vocabOf(model, list)
	v.Scores, v.Pre = nil, pre
	v.NMerges, v.Merges = len(merges), texts(len(merges), func(i int) string { return merges[i] })
	v.BOS, v.EOS = int32(len(list)-1), int32(len(list)-1)
	return namedVocab{v, "bpe " + pre, true}
}

// bytesVocab has the 256 bytes and nothing else.
func bytesVocab(model string) namedVocab {
	return namedVocab{vocabOf(model, byteTokens()), "bytes", true}
}

// plainVocab has specials, characters and words, each as it is written.
func plainVocab(model string) namedVocab {
	list := slices.Clone(standinSpecials)
	for c := byte(' '); c <= '~'; c++ {
		list = append(list, normal(string(c)))
	}
	for _, w := range append(strings.Split("\n é ü 日 本 語 🙂", " "), standinWords...) {
		list = append(list, normal(w))
	}
	v := vocabOf(model, list)
	v.UNK, v.BOS, v.EOS = 0, 1, 2
	return namedVocab{v, "characters", true}
}

// constraintVocabs are small vocabularies whose last token ends a generation: sizes around a mask's words, and one with all
// bytes.
func constraintVocabs() []namedVocab {
	sized := func(name string, list []token) namedVocab {
		v := vocabOf("constraint", append(list, token{"</s>", "</s>", abi.TokenTypeControl}))
		v.EOG, v.EOS = []uint32{uint32(v.N - 1)}, int32(v.N-1)
		return namedVocab{v, name, true}
	}
	letters := func(n int) (list []token) {
		for i := range n {
			list = append(list, normal(string(rune('a'+i%26))+strings.Repeat("a", i/26)))
		}
		return list
	}
	all := append(byteTokens(), normal(""), token{"<|user|>", "<|user|>", abi.TokenTypeControl})
	for _, w := range append(slices.Clone(standinWords), " the", " and", "true", "false", "\": ", "{\"", "é", "日本", "rock", "paper") {
		all = append(all, normal(w))
	}
	return []namedVocab{sized("of 1 token", nil), sized("of 2 tokens", letters(1)), sized("of 32 tokens", letters(31)), sized("of 33 tokens", letters(32)), sized("of all bytes and words", all)}
}

// standinModels are tiny models for an architecture: one has every tensor that dense ones are known to have, the other those
// of experts. Who builds an architecture takes what it knows of them.
func standinModels(arch string) ([]*gguf.File, error) {
	dense := randmodel.Shape{
		Arch: arch, NVocab: 264, NCtx: 64, NEmbd: 24, NLayer: 2, NHead: 4, NHeadKV: 2, HeadDim: 6, NFF: 32,
		HeadNorm: true, Bias: true, PostNorm: true, NormBias: true, Eps: 1e-5, RopeBase: 1e4, Type: gguf.F32, Spread: 1, Seed: 5,
	}
	experts := dense
	experts.NFF, experts.NExpert, experts.NExpertUsed, experts.NFFExp, experts.NFFShared = 0, 4, 2, 16, 16
	var files []*gguf.File
	for name, shape := range map[string]randmodel.Shape{"dense": dense, "experts": experts} {
		var b bytes.Buffer
		if _, err := shape.WriteTo(&b); err != nil {
			return nil, err
		}
		f, err := gguf.Parse(name, b.Bytes())
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *gguf.File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}
