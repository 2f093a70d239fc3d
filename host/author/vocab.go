package author

import (
	"strconv"

	"forge/host/plugin"
)

// NumberedVocab is a vocabulary for rows without a model: a token's text is its id, and none ends a generation.
func NumberedVocab(n int) *plugin.Vocab {
	texts := func(yield func([]byte) bool) {
		var text []byte
		for id := range n {
			if text = strconv.AppendInt(text[:0], int64(id), 10); !yield(text) {
				return
			}
		}
	}
	return &plugin.Vocab{
		N: n, BOS: -1, EOS: -1, UNK: -1, SEP: -1, PAD: -1, AddSpacePrefix: -1, RemoveExtraWhitespaces: -1, Texts: texts, Pieces: texts,
	}
}
