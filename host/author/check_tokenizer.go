package author

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"forge/host/model"
	"forge/host/plugin"
)

// tokenizerBattery is what tokenizers are put through: texts, with vocabularies made here or a model's.
func tokenizerBattery() *battery {
	return &battery{
		shapes: "texts: empty, single bytes, invalid UTF-8, all 256 bytes, special tokens, long ones",
		trials: tokenizerTrials,
		checks: []check{
			{"pieces", tokenizerPieces}, {"round trip", tokenizerRoundTrip}, {"decoding", tokenizerDecoding},
			{"leak", tokenizerLeak}, {"hostile host", tokenizerHostile}, {"vocabularies", tokenizerVocabs}, {"fuzz", tokenizerFuzz},
		},
	}
}

// namedText is an input, with whether the texts of special tokens count as these.
type namedText struct {
	name    string
	text    string
	special bool
}

// shapedTexts are texts of every shape.
func shapedTexts() []namedText {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	mixed := "Hello world, the 123 ab(c)! é ü 日本語 🙂\tand\n\nso on. "
	long := strings.Repeat(mixed, 1+16<<10/len(mixed))
	return []namedText{
		{"empty", "", false}, {"one letter", "h", false}, {"one space", " ", false}, {"NUL", "\x00", false}, {"one byte above ASCII", "\xff", false},
		{"half a character", "a\xe2\x82", false}, {"bytes of no character", "\x80ab\xc0\xaf\xf5\xed\xa0\x80z", false}, {"all 256 bytes", string(all[:]), false},
		{"words", "hello the world", false}, {"spaces", "  a  b\t\tc   ", false}, {"lines", "\n\nab\r\n c\n", false}, {"digits", "1234567890 12 3", false},
		{"scripts", "é ü 日本語 🙂👨‍👩‍👧 ا मि", false}, {"mixed", mixed, false}, {"specials as text", "<s>he<|endoftext|></s>", false},
		{"specials", "<s>he<|endoftext|></s>", true}, {"one word of 5,000 letters", strings.Repeat("abhello", 5000/7), false}, {"16 KiB", long, false},
	}
}

// tokenizerVocab lists the vocabularies that a tokenizer is tried with: those of the models that it provides, and a given model's.
func (s *session) tokenizerVocab() ([]namedVocab, error) {
	var models, pres []string
	for _, p := range s.mod.Manifest().Provides {
		if pre, ok := strings.CutPrefix(p, "pre:"); ok {
			pres = append(pres, pre)
		} else {
			models = append(models, p)
		}
	}
	if len(models) == 0 {
		models = []string{s.mod.Name()}
	}
	var list []namedVocab
	for _, m := range models {
		bpe := []namedVocab{bpeVocab(m, "")}
		for _, pre := range pres {
			bpe = append(bpe, bpeVocab(m, pre))
		}
		switch m {
		case "llama":
			spaces := bytesVocab(m) // its marks of spaces are bytes, and come back as these
			spaces.exact = false
			list = append(list, spmVocab(m), spaces)
		case "gpt2":
			list = append(list, bpe...)
		default:
			list = append(list, spmVocab(m), bytesVocab(m), plainVocab(m))
			list = append(list, bpe...)
		}
	}
	if f := s.opt.Model; f != nil {
		v, err := model.ReadVocab(f)
		if err != nil {
			return nil, err
		}
		list = append(list, namedVocab{&v.Vocab, "of the model", v.Charsmap == nil && v.RemoveExtraWhitespaces == 0})
	}
	return list, nil
}

func (s *session) tokenizer(v namedVocab) (*plugin.Tokenizer, error) {
	return open(s, "tokenizer "+v.name, func() (*plugin.Tokenizer, error) { return s.mod.NewTokenizer(s.ctx, v.Vocab) })
}

// taken are the vocabularies that a tokenizer does not refuse: there must be one.
func (s *session) taken() ([]namedVocab, error) {
	list, err := s.tokenizerVocab()
	if err != nil {
		return nil, err
	}
	var out []namedVocab
	var refused error
	for _, v := range list {
		_, err := s.tokenizer(v)
		if s.refusal(err) != nil {
			if _, err = s.settled("", err); err != nil {
				return nil, at("vocabulary "+v.name, err)
			}
			refused = errors.Join(refused, fmt.Errorf("vocabulary %s: %s", v.name, err))
			continue
		}
		if err != nil {
			return nil, at("vocabulary "+v.name, s.fault(err))
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, &Fault{"", "it takes none of the vocabularies that are made here", "give it a model's with -m FILE.gguf"}
	}
	return out, nil
}

// distinct are the vocabularies that differ in more than how text is split before merging.
func distinct(list []namedVocab) []namedVocab {
	var out []namedVocab
	seen := map[string]bool{}
	for _, v := range list {
		kind, _, _ := strings.Cut(v.name, " ")
		if v.name == "of the model" || !seen[kind] {
			out = append(out, v)
		}
		seen[kind] = true
	}
	return out
}

func tokenizerTrials(s *session) ([]trial, error) {
	vocabs, err := s.taken()
	if err != nil {
		return nil, err
	}
	whole := distinct(vocabs)
	var out []trial
	for _, v := range vocabs {
		all := slices.ContainsFunc(whole, func(w namedVocab) bool { return w.name == v.name })
		for _, text := range shapedTexts() {
			if all || text.name == "mixed" {
				out = append(out, trial{v.name + "/" + text.name, func(s *session) (string, error) { return s.tokenizerTrial(v, text) }})
			}
		}
	}
	return out, nil
}

// tokenizerTrial encodes a text and decodes what came of it.
func (s *session) tokenizerTrial(v namedVocab, text namedText) (string, error) {
	t, err := s.tokenizer(v)
	if err != nil {
		return "", err
	}
	ids, err := t.Encode(s.ctx, nil, []byte(text.text), text.special)
	if err != nil {
		return "", err
	}
	back, err := t.Decode(s.ctx, nil, ids, nil, plugin.Last)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(back) {
		return "", &Fault{"", "its ids decode to " + quote(back), "UTF-8: what is no character becomes U+FFFD"}
	}
	raw, err := t.Decode(s.ctx, nil, ids, nil, plugin.Raw)
	return digest(ids, back, raw), err
}

// eachTaken runs f with every vocabulary that counts.
func (s *session) eachTaken(f func(v namedVocab) error) error {
	list, err := s.taken()
	if err != nil {
		return err
	}
	for _, v := range distinct(list) {
		if err := f(v); err != nil {
			return at("vocabulary "+v.name, err)
		}
	}
	return nil
}

func (s *session) vocabDesk(v namedVocab, f func(d *desk) error) error {
	return s.textDesk(plugin.ProbeOptions{Vocab: v.Vocab}, "", f)
}

func flagged(c textCall, text namedText) textCall {
	if text.special {
		c.flags |= 4
	}
	return c
}

func tokenizerPieces(s *session) (string, error) {
	return "texts in pieces of 1 to 64 bytes, and with little room for ids, give the ids of the whole", s.eachTaken(func(v namedVocab) error {
		return s.vocabDesk(v, func(d *desk) error {
			for _, text := range shapedTexts() {
				d.input = "text " + quote(text.text)
				if err := d.inPieces(flagged(encoding, text), []byte(text.text), showIDs); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// tokenizerRoundTrip wants back what went in, where the vocabulary has a token for all of it.
func tokenizerRoundTrip(s *session) (string, error) {
	n := 0
	err := s.eachTaken(func(v namedVocab) error {
		for _, text := range shapedTexts() {
			ok, err := s.roundTrip(v, text)
			if err != nil {
				return err
			}
			if ok {
				n++
			}
		}
		return nil
	})
	return fmt.Sprintf("%d texts come back from their ids as they were", n), err
}

// roundTrip tells whether a text is one that must come back, and did.
func (s *session) roundTrip(v namedVocab, text namedText) (bool, error) {
	// Special tokens may take spaces along, and the mark of a space comes back as one.
	if !v.exact || text.special || !utf8.ValidString(text.text) || strings.Contains(text.text, "\u2581") {
		return false, nil
	}
	t, err := s.tokenizer(v)
	if err != nil {
		return false, err
	}
	ids, err := t.Encode(s.ctx, nil, []byte(text.text), text.special)
	if s.refusal(err) != nil || v.UNK >= 0 && slices.Contains(ids, uint32(v.UNK)) {
		return false, nil
	}
	if err != nil {
		return false, s.fault(err)
	}
	back, err := t.Decode(s.ctx, nil, ids, nil, plugin.Last)
	if err != nil {
		return false, s.fault(err)
	}
	if string(back) != text.text {
		return false, &Fault{"text " + quote(text.text), "its ids " + showIDs(bytesOfIDs(ids)) + " decode to " + quote(back), "the text itself"}
	}
	return true, nil
}

// tokenizerDecoding holds ids that come in pieces to the same ids whole, and pieces to whole characters.
func tokenizerDecoding(s *session) (string, error) {
	return "ids in pieces of 1 to 7 give the text of the whole, never half a character", s.eachTaken(func(v namedVocab) error {
		t, err := s.tokenizer(v)
		if err != nil {
			return err
		}
		for _, text := range shapedTexts() {
			ids, err := t.Encode(s.ctx, nil, []byte(text.text), text.special)
			if s.refusal(err) != nil {
				continue
			}
			if err != nil {
				return at("text "+quote(text.text), s.fault(err))
			}
			if err := s.streamed(t, ids); err != nil {
				return err
			}
		}
		return s.vocabDesk(v, func(d *desk) error {
			d.input = "all tokens of the vocabulary"
			return d.inPieces(decoding, bytesOfIDs(everyID(v.N)), showText)
		})
	})
}

func everyID(n int) []uint32 {
	ids := make([]uint32, min(n, 4096))
	for i := range ids {
		ids[i] = uint32(i)
	}
	return ids
}

// streamed decodes ids in pieces, as they come from a model.
func (s *session) streamed(t *plugin.Tokenizer, ids []uint32) error {
	want, err := t.Decode(s.ctx, nil, ids, nil, plugin.Last)
	if err != nil {
		return at("ids "+showIDs(bytesOfIDs(ids)), s.fault(err))
	}
	for size := 1; size <= 7; size += 2 {
		var st plugin.DecodeState
		var got []byte
		input := fmt.Sprintf("ids %s in pieces of %d", showIDs(bytesOfIDs(ids)), size)
		for i := 0; ; i += size {
			flags, end := plugin.DecodeFlags(0), min(i+size, len(ids))
			if end == len(ids) {
				flags = plugin.Last
			}
			from := len(got)
			if got, err = t.Decode(s.ctx, got, ids[i:end], &st, flags); err != nil {
				return at(input, s.fault(err))
			}
			if piece := got[from:]; !utf8.Valid(piece) {
				return &Fault{input, fmt.Sprintf("ids %v give %q", ids[i:end], piece), "whole characters: the bytes of one that is not complete stay in carry"}
			}
			if end == len(ids) {
				break
			}
		}
		if !bytes.Equal(got, want) {
			return &Fault{input, "give " + quote(got), "as whole, " + quote(want)}
		}
	}
	return nil
}

func tokenizerLeak(s *session) (tried string, err error) {
	err = s.eachTaken(func(v namedVocab) error {
		return s.vocabDesk(v, func(d *desk) error {
			text := []byte(shapedTexts()[13].text)
			tried, err = d.steady(func(int) error {
				ids, err := d.runText(encoding, text, wholeOffer)
				if d.s.refusal(err) != nil {
					return nil
				}
				if err == nil {
					_, err = d.runText(decoding, ids, wholeOffer)
				}
				return err
			})
			return err
		})
	})
	return tried, err
}

func tokenizerHostile(s *session) (string, error) {
	return "short buffers, cut and longer frames, unknown flags, ids that are none are borne", s.eachTaken(func(v namedVocab) error {
		return s.vocabDesk(v, func(d *desk) error {
			if err := d.hostileText(encoding, []byte("hello \xff world")); err != nil {
				return at("encode", err)
			}
			for _, ids := range [][]uint32{{0, 1}, {uint32(v.N)}, {1<<32 - 1, 1 << 31}} {
				if err := d.hostileText(decoding, bytesOfIDs(ids)); err != nil {
					return at(fmt.Sprintf("decode %d", ids), err)
				}
			}
			d.input = "an id beyond the vocabulary"
			if out, err := d.runText(decoding, bytesOfIDs([]uint32{uint32(v.N) + 7}), wholeOffer); err == nil {
				return &Fault{d.input, "decodes to " + quote(out), "a negative status"}
			} else if s.refusal(err) == nil {
				return err
			}
			return nil
		})
	})
}

// tokenizerVocabs starts a guest with vocabularies that no file should have.
func tokenizerVocabs(s *session) (string, error) {
	base, err := s.taken()
	if err != nil {
		return "", err
	}
	empty := func(n int) iter.Seq[[]byte] { return texts(n, func(int) string { return "" }) }
	ways := []struct {
		name  string
		spoil func(v *plugin.Vocab)
	}{
		{"without scores and types", func(v *plugin.Vocab) { v.Scores, v.Types = nil, nil }},
		{"without merges", func(v *plugin.Vocab) { v.NMerges, v.Merges = 0, nil }},
		{"of empty texts", func(v *plugin.Vocab) { v.Texts = empty(v.N) }},
		{"of one token", func(v *plugin.Vocab) {
			v.N, v.Texts, v.Scores, v.Types = 1, texts(1, func(int) string { return "a" }), nil, nil
		}},
		{"of equal tokens", func(v *plugin.Vocab) { v.Texts = texts(v.N, func(int) string { return "ab" }) }},
		{"of tokens that are no UTF-8", func(v *plugin.Vocab) {
			v.Texts = texts(v.N, func(i int) string { return string([]byte{0xff, byte(i), 0xe2}) })
		}},
		{"whose special tokens do not exist", func(v *plugin.Vocab) { v.BOS, v.EOS, v.UNK = 1<<30, 1<<30, 1<<30 }},
		{"of an unknown pre-tokenizer", func(v *plugin.Vocab) { v.Pre = "nobody-knows-this" }},
		{"of an unknown model", func(v *plugin.Vocab) { v.Model = "" }},
		{"with merges that are none", func(v *plugin.Vocab) {
			odd := []string{"", " ", "a", "a b c", "zz yy", "\xff \xfe", "a  b"}
			v.NMerges, v.Merges = len(odd), texts(len(odd), func(i int) string { return odd[i] })
		}},
		{"with a table of characters that is none", func(v *plugin.Vocab) { v.Charsmap = []byte("\xff\xff\xff\x7fnot a table") }},
		{"of unknown types", func(v *plugin.Vocab) { v.Types = bytes.Repeat([]byte{0xff}, 4*v.N) }},
	}
	for _, b := range distinct(base) {
		for _, w := range ways {
			v := *b.Vocab
			w.spoil(&v)
			input := "vocabulary " + b.name + " " + w.name
			err := s.textDesk(plugin.ProbeOptions{Vocab: &v}, input, func(d *desk) error {
				ids, err := d.runText(encoding, []byte("hello the ab \xffworld"), wholeOffer)
				if err == nil {
					_, err = d.runText(decoding, ids, wholeOffer)
				}
				_, err = s.settled("", err)
				return at(input, err)
			})
			if err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d vocabularies that no file should have are refused or borne", len(ways)*len(distinct(base))), nil
}

// randomText is bytes, characters and words.
func randomText(rng *rand.Rand, most int) string {
	var b strings.Builder
	for n := rng.IntN(most); b.Len() < n; {
		switch rng.IntN(6) {
		case 0:
			b.WriteByte(byte(rng.IntN(256)))
		case 1:
			b.WriteRune(rune(rng.IntN(0x3000)))
		case 2:
			b.WriteString([]string{" ", "  ", "\n", "\t", "<s>", "</s>", "<|endoftext|>", "\u2581", "🙂"}[rng.IntN(9)])
		default:
			b.WriteString(standinWords[rng.IntN(len(standinWords))])
		}
	}
	return b.String()
}

func tokenizerFuzz(s *session) (tried string, err error) {
	err = s.eachTaken(func(v namedVocab) error {
		t, err := s.tokenizer(v)
		if err != nil {
			return err
		}
		return s.vocabDesk(v, func(d *desk) error {
			tried, err = s.fuzz(func(rng *rand.Rand) error {
				text := namedText{"random", randomText(rng, 300), rng.IntN(2) == 0}
				d.input = "text " + quote(text.text)
				want, err := d.runText(flagged(encoding, text), []byte(text.text), wholeOffer)
				if s.refusal(err) != nil {
					_, err = s.settled("", err)
					return at(d.input, err)
				}
				if err != nil {
					return err
				}
				o := offer{1 + rng.IntN(40), 2048}
				got, err := d.runText(flagged(encoding, text), []byte(text.text), o)
				if err == nil && !bytes.Equal(got, want) {
					err = &Fault{fmt.Sprintf("%s in %s", d.input, o), "gives " + showIDs(got), "as whole, " + showIDs(want)}
				}
				if err != nil {
					return err
				}
				if _, err := s.roundTrip(v, text); err != nil {
					return err
				}
				ids := make([]uint32, rng.IntN(40))
				for i := range ids {
					ids[i] = uint32(rng.IntN(v.N))
				}
				return s.streamed(t, ids)
			})
			return err
		})
	})
	return tried, err
}
