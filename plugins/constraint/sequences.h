// sequences.h: what is known of each sequence: its settings, made into automata, and where these stood after every token
// that was accepted, so that tokens can be taken back.
#ifndef CONSTRAINT_SEQUENCES_H
#define CONSTRAINT_SEQUENCES_H

#include "automaton.h"
#include "banned.h"
#include "trie.h"

enum { SET_ENDED = 0xFFFFFFFE }; // an end-of-generation token was accepted

// The vocabulary.
typedef struct {
	uint32_t n, n_words;
	const uint8_t *pieces;
	const uint32_t *offsets;
	const uint32_t *eog;
	uint32_t n_eog;
	uint32_t *ends;  // bits of the end-of-generation tokens
	uint32_t *texts; // bits of the tokens that are text
	trie trie;
} vocabulary;
extern vocabulary vocab;

// A place is what was after a token.
typedef struct {
	uint32_t token;
	uint32_t set;   // of the grammar
	uint32_t node;  // of the banned texts
	uint32_t bytes; // of text so far
	uint32_t match; // 1 + where in the text the first banned text begins that ended in this token; 0: none
} place;

enum { PLACE_PROMPT = 0x80000000u }; // a bit of token: it is prompt

typedef struct {
	uint64_t id;
	automaton *grammar; // 0: none
	banned *banned;     // 0: none
	VEC(place) places; // prompt tokens before all others have none: nothing depends on them
} sequence;

// A setting's text.
typedef struct {
	const uint8_t *text;
	uint32_t n;
} setting;

enum { N_GRAMMARS = 4, SETTING_BANNED = N_GRAMMARS, N_SETTINGS };

sequence *sequence_find(uint64_t id);
// sequence_begin makes a sequence, or gives 0 with a reason. One of that id that is there already is forgotten.
sequence *sequence_begin(uint64_t id, const setting settings[N_SETTINGS]);
sequence *sequence_fork(uint64_t id, const sequence *parent);
void sequence_end(uint64_t id);

// sequence_last is the place before the next token.
place sequence_last(const sequence *q);
// advance gives the place after one more token: false with a reason if something failed, and *fits tells whether the
// token may follow.
bool advance(const sequence *q, place *p, uint32_t token, bool *fits);
// sequence_accept takes tokens, all or none. A reason tells a failure from tokens that do not fit.
bool sequence_accept(sequence *q, const uint32_t *tokens, uint32_t n, bool prompt);
void sequence_rollback(sequence *q, uint32_t n);

#endif
