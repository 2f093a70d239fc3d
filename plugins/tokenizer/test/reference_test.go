package test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// The reference tokenizers: whole text, plain strings, one candidate after the other. They share nothing with the guests.

// reference gives what a text should become.
type reference interface {
	encode(text string, special bool) []uint32
}

// fragment is plain text, or a special token if id >= 0.
type fragment struct {
	text string
	id   int
}

// partition splits special tokens out of a text: one token after the other, longest first, through all that is still text.
func partition(v *vocabulary, text string, parse bool) []fragment {
	var order []int
	phi3 := slices.Contains(v.texts, "<|placeholder1|>") && v.model == "llama"
	for id := range v.texts {
		if ty := v.types[id]; len(v.texts[id]) > 0 && (ty == 4 || parse && (ty == 2 || ty == 3)) && strings.Contains(text, v.texts[id]) {
			order = append(order, id)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(v.texts[b]), len(v.texts[a])) })
	parts := []fragment{{text, -1}}
	if text == "" {
		return nil
	}
	for _, id := range order {
		var next []fragment
		for _, p := range parts {
			if p.id >= 0 {
				next = append(next, p)
				continue
			}
			for i, s := range strings.Split(p.text, v.texts[id]) {
				if i > 0 {
					next = append(next, fragment{id: id})
					if phi3 && !slices.Contains([]string{"<unk>", "<s>", "<|endoftext|>"}, v.texts[id]) {
						s = strings.TrimLeft(s, " \t\n\v\f\r")
					}
				}
				if s != "" {
					next = append(next, fragment{s, -1})
				}
			}
		}
		parts = next
	}
	return parts
}

type spmReference struct {
	v      *vocabulary
	pieces map[string]int
	bytes  [256]int
}

func newSPMReference(v *vocabulary) *spmReference {
	r := &spmReference{v: v, pieces: map[string]int{}}
	for id, s := range v.texts {
		switch v.types[id] {
		case 6:
			var c int
			fmt.Sscanf(s, "<0x%02X>", &c)
			r.bytes[c] = id
		case 2, 3:
		default:
			r.pieces[s] = id
		}
	}
	return r
}

func (r *spmReference) encode(text string, special bool) (ids []uint32) {
	afterSpecial := true
	for _, p := range partition(r.v, text, special) {
		if p.id >= 0 {
			ids = append(ids, uint32(p.id))
			afterSpecial = true
			continue
		}
		s := p.text
		if afterSpecial && r.v.addSpace != 0 {
			s = " " + s
		}
		afterSpecial = false
		symbols := characters(strings.ReplaceAll(s, " ", "\u2581"))
		for {
			best, at := math.Inf(-1), -1
			for i := 0; i+1 < len(symbols); i++ {
				if id, ok := r.pieces[symbols[i]+symbols[i+1]]; ok && float64(r.v.scores[id]) > best {
					best, at = float64(r.v.scores[id]), i
				}
			}
			if at < 0 {
				break
			}
			symbols[at] += symbols[at+1]
			symbols = slices.Delete(symbols, at+1, at+2)
		}
		for _, s := range symbols {
			if id, ok := r.pieces[s]; ok {
				ids = append(ids, uint32(id))
				continue
			}
			for _, c := range []byte(s) {
				ids = append(ids, uint32(r.bytes[c]))
			}
		}
	}
	return ids
}

// characters splits a string; a byte that is no part of a character is one of its own.
func characters(s string) (all []string) {
	for len(s) > 0 {
		_, n := utf8.DecodeRuneInString(s)
		all = append(all, s[:n])
		s = s[n:]
	}
	return all
}
