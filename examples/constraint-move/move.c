// move answers with a move from a list: moves that are legal in a game, say, as the program around the model knows them.
//
// It keeps no state. The answer so far is the text of the tokens behind the prompt, which each row shows; a token may
// follow if that text and the token's begin a move, and the end may where the text is one.
#include "guest.h"

FORGE_MANIFEST("name = \"move\"\nversion = \"1.0\"\nkind = \"constraint\"\nabi = \"1.0\"\ngrants = [\"vocab\", \"history\"]\n"
               "[[config]]\nname = \"moves\"\ntype = \"string\"\ndefault = \"rock paper scissors\"\ndoc = \"the moves, with blanks between\"\n")
FORGE_MARKER(constraint)

enum { LONGEST = 256 }; // bytes of a move

static const forge_vocab *vocab;

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	vocab = f->vocab;
	f->accepted = f->offered;
	if (!vocab || !(f->offered & FORGE_CAP_HISTORY)) return FORGE_FAIL(f, FORGE_ERR_CONFIG, "move needs the texts of tokens and the history: grant it vocab and history");
	return FORGE_OK;
}

// A text is what stands between two places.
typedef struct {
	const uint8_t *at;
	uint32_t n;
} text;

// moves_of reads the one slot that there is, a string: its address and its length.
static text moves_of(const forge_mask_row *row) {
	uint32_t slot[2];
	__builtin_memcpy(slot, row->params, sizeof slot);
	return (text){(const uint8_t *)slot[0], slot[1]};
}

// next takes the first move off a list; an empty one ends it.
static text next(text *list) {
	while (list->n && list->at[0] == ' ') list->at++, list->n--;
	text move = {list->at, 0};
	while (move.n < list->n && move.at[move.n] != ' ') move.n++;
	list->at += move.n, list->n -= move.n;
	return move;
}

static text piece_of(uint32_t token) {
	const uint32_t *at = vocab->piece_offsets + token;
	return (text){vocab->pieces + at[0], at[1] - at[0]};
}

static bool begins(text move, text a, text b) {
	return a.n + b.n <= move.n && memcmp(move.at, a.at, a.n) == 0 && memcmp(move.at + a.n, b.at, b.n) == 0;
}

static bool is_text(uint32_t token) {
	int32_t type = vocab->types ? vocab->types[token] : FORGE_TOKEN_TYPE_NORMAL;
	return type == FORGE_TOKEN_TYPE_NORMAL || type == FORGE_TOKEN_TYPE_USER_DEFINED || type == FORGE_TOKEN_TYPE_BYTE;
}

// add puts tokens behind the answer; false if it becomes longer than any move, or has a token that is no text.
static bool add(uint8_t *answer, uint32_t *n, const uint32_t *tokens, uint32_t count) {
	for (uint32_t i = 0; i < count; i++) {
		text piece = piece_of(tokens[i]);
		if (!is_text(tokens[i]) || *n + piece.n > LONGEST) return false;
		memcpy(answer + *n, piece.at, piece.n);
		*n += piece.n;
	}
	return true;
}

static void allow(forge_mask_row *row, uint32_t token) { row->mask[token / 32] |= 1u << token % 32; }

static void answer_row(const forge_masks *f, forge_mask_row *row) {
	uint8_t bytes[LONGEST];
	text answer = {bytes, 0}, list = moves_of(row), move;
	uint32_t picked = row->n_history - row->n_prompt;
	for (uint32_t w = 0; w < (f->n_vocab + 31) / 32; w++) row->mask[w] = 0;
	if (picked > row->history_len || !add(bytes, &answer.n, row->history + row->history_len - picked, picked)) return;
	if (!add(bytes, &answer.n, row->drafts, row->drafts_len)) return;
	bool whole = false, more = false;
	while ((move = next(&list)).n) {
		if (!begins(move, answer, (text){0})) continue;
		if (move.n == answer.n) {
			for (uint32_t i = 0; i < vocab->eog_len; i++) allow(row, vocab->eog[i]);
			whole = true;
			continue;
		}
		more = true;
		for (uint32_t token = 0; token < f->n_vocab; token++) {
			text piece = piece_of(token);
			if (piece.n && is_text(token) && begins(move, answer, piece)) allow(row, token);
		}
	}
	if (whole && !more) row->result = FORGE_MASK_RESULT_STOP; // it is a move, and begins no longer one
}

FORGE_EXPORT(constraint_mask) int32_t mask(forge_masks *f) {
	for (uint32_t i = 0; i < f->n_rows; i++) answer_row(f, &f->rows[i]);
	return FORGE_OK;
}
