package model

import (
	"fmt"
	"slices"

	"forge/gguf"
	"forge/host/plugin"
)

// Vocab is a file's vocabulary as its tokenizer guest gets it, with what the host itself must know of it.
type Vocab struct {
	plugin.Vocab
	AddBOS, AddEOS bool
	tokens         gguf.Array
}

// eogTexts are the texts of control tokens that end a turn though a file's keys may not say so.
var eogTexts = map[string]bool{
	"<|im_end|>": true, "<|endoftext|>": true, "<|eot_id|>": true, "<|eom_id|>": true, "<end_of_turn>": true, "<|end|>": true,
	"<|return|>": true, "<|call|>": true, "<|end_of_text|>": true, "<EOT>": true, "<|END_OF_TURN_TOKEN|>": true, "<｜end▁of▁sentence｜>": true,
}

const (
	typeControl = 3
)

// ReadVocab reads the tokenizer.* keys. Texts stay in the file.
func ReadVocab(f *gguf.File) (*Vocab, error) {
	v := new(Vocab)
	var err error
	var found bool
	if v.Model, found, err = f.Str("tokenizer.ggml.model"); err != nil {
		return nil, err
	} else if !found {
		return nil, fmt.Errorf("%s: metadata key tokenizer.ggml.model is missing: the file has no tokenizer, so it cannot read text (convert the model again with its tokenizer)", f.Name)
	}
	if v.tokens, found, err = f.Array("tokenizer.ggml.tokens"); err != nil {
		return nil, err
	} else if !found || v.tokens.Len() == 0 {
		return nil, fmt.Errorf("%s: metadata key tokenizer.ggml.tokens is missing or empty: the file has no vocabulary (convert the model again with its tokenizer)", f.Name)
	}
	if v.tokens.Elem() != gguf.KindString {
		return nil, fmt.Errorf("%s: metadata key tokenizer.ggml.tokens is an array of %s, not of strings", f.Name, v.tokens.Elem())
	}
	v.N = v.tokens.Len()
	v.Texts = texts(v.tokens)
	if v.Scores, err = perToken(f, "tokenizer.ggml.scores", v.N, gguf.KindFloat32); err != nil {
		return nil, err
	}
	if v.Types, err = perToken(f, "tokenizer.ggml.token_type", v.N, gguf.KindInt32); err != nil {
		return nil, err
	}
	merges, found, err := f.Array("tokenizer.ggml.merges")
	if err != nil {
		return nil, err
	}
	if found {
		if merges.Elem() != gguf.KindString {
			return nil, fmt.Errorf("%s: metadata key tokenizer.ggml.merges is an array of %s, not of strings", f.Name, merges.Elem())
		}
		v.NMerges, v.Merges = merges.Len(), texts(merges)
	}
	if v.Pre, _, err = f.Str("tokenizer.ggml.pre"); err != nil {
		return nil, err
	}
	for key, p := range map[string]*int32{"bos": &v.BOS, "eos": &v.EOS, "unknown": &v.UNK, "seperator": &v.SEP, "padding": &v.PAD} {
		*p = -1
		id, found, err := f.Uint("tokenizer.ggml." + key + "_token_id")
		if err != nil {
			return nil, err
		}
		if found {
			if id >= uint64(v.N) {
				return nil, fmt.Errorf("%s: metadata key tokenizer.ggml.%s_token_id is %d, the vocabulary has %d tokens", f.Name, key, id, v.N)
			}
			*p = int32(id)
		}
	}
	if v.AddSpacePrefix, err = triState(f, "tokenizer.ggml.add_space_prefix"); err != nil {
		return nil, err
	}
	if v.RemoveExtraWhitespaces, err = triState(f, "tokenizer.ggml.remove_extra_whitespaces"); err != nil {
		return nil, err
	}
	if a, found, err := f.Array("tokenizer.ggml.precompiled_charsmap"); err == nil && found {
		v.Charsmap = a.Bytes()
	}
	return v, v.ends(f)
}

// ends finds out which tokens begin and end texts.
func (v *Vocab) ends(f *gguf.File) error {
	// A file that does not say: SPM vocabularies were made with BOS in front, the others without.
	v.AddBOS = v.Model == "llama"
	if b, found, err := f.Bool("tokenizer.ggml.add_bos_token"); err != nil {
		return err
	} else if found {
		v.AddBOS = b
	}
	v.AddBOS = v.AddBOS && v.BOS >= 0
	b, _, err := f.Bool("tokenizer.ggml.add_eos_token")
	if err != nil {
		return err
	}
	v.AddEOS = b && v.EOS >= 0
	for _, key := range []string{"eot", "eos", "eom"} {
		id, found, err := f.Uint("tokenizer.ggml." + key + "_token_id")
		if err != nil {
			return err
		}
		if found && id < uint64(v.N) && !v.Ends(uint32(id)) {
			v.EOG = append(v.EOG, uint32(id))
		}
	}
	i := -1
	for s := range v.Texts {
		i++
		if len(s) > 4 && len(s) < 40 && s[0] == '<' && eogTexts[string(s)] && (v.Types == nil || v.Types[4*i] == typeControl) && !v.Ends(uint32(i)) {
			v.EOG = append(v.EOG, uint32(i))
		}
	}
	return nil
}

// Ends tells whether a token ends a generation.
func (v *Vocab) Ends(token uint32) bool { return slices.Contains(v.EOG, token) }

// Text gives a token's text as the file has it. It walks the vocabulary: for messages, not for loops.
func (v *Vocab) Text(id int32) string {
	out, i := "", int32(-1)
	for s := range v.Texts {
		if i++; i == id {
			out = string(s)
			break
		}
	}
	return out
}

func texts(a gguf.Array) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		a.Each(func(_ int, s []byte) bool { return yield(s) })
	}
}

func perToken(f *gguf.File, key string, n int, elem gguf.ValueType) ([]byte, error) {
	a, found, err := f.Array(key)
	if err != nil || !found {
		return nil, err
	}
	if a.Len() != n {
		return nil, fmt.Errorf("%s: metadata key %s has %d entries for %d tokens", f.Name, key, a.Len(), n)
	}
	if a.Elem() != elem {
		return nil, fmt.Errorf("%s: metadata key %s is an array of %s, not of %s", f.Name, key, a.Elem(), elem)
	}
	return a.Bytes(), nil
}

func triState(f *gguf.File, key string) (int32, error) {
	b, found, err := f.Bool(key)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return -1, nil
	case b:
		return 1, nil
	}
	return 0, nil
}
