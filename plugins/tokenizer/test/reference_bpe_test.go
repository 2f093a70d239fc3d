package test

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

const (
	exprGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	exprLlama3 = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exprQwen2  = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// expressions are the published regular expressions of the pre-tokenizers, in the order in which they are applied.
var expressions = map[string][]string{
	"default":   {`[\p{P}\$\+<=>\^~\|]+`, exprGPT2, `\p{N}+`, `[0-9][0-9][0-9]`},
	"gpt-2":     {exprGPT2},
	"smollm":    {`\p{N}`, exprGPT2},
	"starcoder": {`\p{N}`, exprGPT2},
	"falcon":    {"[\\p{P}\\$\\+<=>\\^~\\|`]+", exprGPT2, `[0-9][0-9][0-9]`},
	"deepseek-llm": {`[\r\n]`, `\s?[` + deepseekLetters + `]+`, `\s?[!-/:-@\[-` + "`" + `{-~\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff5e\u2018-\u201f\u3000-\u3002]+`,
		`\s+$`, `[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+`, `\p{N}+`},
	"llama-bpe": {exprLlama3},
	"qwen2":     {exprQwen2},
}

// deepseekSpans are the letters of the second expression, as numbers: some of them change when a text is normalised.
const deepseekSpans = "41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386 388-38A 38C 38E-3A1 " +
	"3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 " +
	"1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE " +
	"1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 " +
	"2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2-2CF3 " +
	"A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A " +
	"10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943 "

var deepseekLetters = func() string {
	var b strings.Builder
	for _, span := range strings.Fields(deepseekSpans) {
		for i, x := range strings.Split(span, "-") {
			n, err := strconv.ParseUint(x, 16, 32)
			if err != nil {
				panic(err)
			}
			b.WriteString([]string{"", "-"}[i] + string(rune(n)))
		}
	}
	return b.String()
}()

type bpeReference struct {
	v       *vocabulary
	ids     map[string]int
	ranks   map[[2]string]int
	mapped  [256]string
	exprs   []*regexp2.Regexp
	byWhole bool
}

func newBPEReference(v *vocabulary) *bpeReference {
	r := &bpeReference{v: v, ids: map[string]int{}, ranks: map[[2]string]int{}}
	for id, s := range v.texts {
		if ty := v.types[id]; ty != 2 && ty != 3 {
			r.ids[s] = id
		}
	}
	for i, s := range v.merges {
		at := strings.Index(s[1:], " ") + 1
		if pair := [2]string{s[:at], s[at+1:]}; r.ranks[pair] == 0 {
			r.ranks[pair] = i + 1
		}
	}
	next := rune(256)
	for c := range r.mapped {
		r.mapped[c] = string(rune(c))
		if c <= ' ' || c >= 0x7F && c <= 0xA0 || c == 0xAD {
			r.mapped[c] = string(next)
			next++
		}
	}
	pre := v.pre
	if pre == "" {
		pre = "default"
	}
	for _, e := range expressions[pre] {
		r.exprs = append(r.exprs, regexp2.MustCompile(e, regexp2.None))
	}
	r.byWhole = pre == "llama-bpe"
	return r
}

// words splits a text. Bytes that are no characters are U+FFFD for the expressions.
func (r *bpeReference) words(text string) []string {
	var starts []int // byte offset of each character
	for i := 0; i < len(text); {
		starts = append(starts, i)
		_, n := utf8.DecodeRuneInString(text[i:])
		i += n
	}
	starts = append(starts, len(text))
	pieces := [][2]int{{0, len(starts) - 1}}
	runes := []rune(text)
	for _, e := range r.exprs {
		var next [][2]int
		for _, p := range pieces {
			at := 0
			m, _ := e.FindRunesMatch(runes[p[0]:p[1]])
			for ; m != nil; m, _ = e.FindNextMatch(m) {
				if m.Index > at {
					next = append(next, [2]int{p[0] + at, p[0] + m.Index})
				}
				at = m.Index + m.Length
				next = append(next, [2]int{p[0] + m.Index, p[0] + at})
			}
			if p[0]+at < p[1] {
				next = append(next, [2]int{p[0] + at, p[1]})
			}
		}
		pieces = next
	}
	var words []string
	for _, p := range pieces {
		words = append(words, text[starts[p[0]]:starts[p[1]]])
	}
	return words
}

func (r *bpeReference) encode(text string, special bool) (ids []uint32) {
	for _, p := range partition(r.v, text, special) {
		if p.id >= 0 {
			ids = append(ids, uint32(p.id))
			continue
		}
		for _, word := range r.words(p.text) {
			var symbols []string
			for _, c := range []byte(word) {
				symbols = append(symbols, r.mapped[c])
			}
			if _, ok := r.ids[strings.Join(symbols, "")]; ok && r.byWhole {
				symbols = []string{strings.Join(symbols, "")}
			}
			for {
				best, at := 0, -1
				for i := 0; i+1 < len(symbols); i++ {
					if rank := r.ranks[[2]string{symbols[i], symbols[i+1]}]; rank > 0 && (at < 0 || rank < best) {
						best, at = rank, i
					}
				}
				if at < 0 {
					break
				}
				symbols[at] += symbols[at+1]
				symbols = slices.Delete(symbols, at+1, at+2)
			}
			for _, s := range symbols {
				if id, ok := r.ids[s]; ok {
					ids = append(ids, uint32(id))
					continue
				}
				for _, c := range s {
					if id, ok := r.ids[string(c)]; ok {
						ids = append(ids, uint32(id))
					}
				}
			}
		}
	}
	return ids
}
