// The shipped constraint: grammars (GBNF), JSON schemas, regular expressions, lists of choices, banned texts. This file
// holds the manifest and what the host calls; grammars.h and automaton.h say how the work is done.
#include "../sdk/c/guest.h"
#include "grammars.h"
#include "mask.h"
#include "sequences.h"

FORGE_MANIFEST("name = \"constraint\"\n"
               "version = \"1.0\"\n"
               "kind = \"constraint\"\n"
               "abi = \"1.0\"\n"
               "state = \"explicit\"\n"
               "grants = [\"vocab\"]\n"
               "\n"
               "[[config]]\n"
               "name = \"grammar\"\n"
               "type = \"string\"\n"
               "default = \"\"\n"
               "doc = \"GBNF grammar whose rule root the answer follows\"\n"
               "[[config]]\n"
               "name = \"json_schema\"\n"
               "type = \"string\"\n"
               "default = \"\"\n"
               "doc = \"JSON schema of the answer\"\n"
               "[[config]]\n"
               "name = \"regex\"\n"
               "type = \"string\"\n"
               "default = \"\"\n"
               "doc = \"regular expression that the whole answer matches\"\n"
               "[[config]]\n"
               "name = \"choice\"\n"
               "type = \"string\"\n"
               "default = \"\"\n"
               "doc = \"JSON array of the texts that the answer is one of\"\n"
               "[[config]]\n"
               "name = \"banned_strings\"\n"
               "type = \"string\"\n"
               "default = \"\"\n"
               "doc = \"JSON array of texts that do not occur in the answer, whether in capital or small letters\"\n")
FORGE_MARKER(constraint)

enum { WORKING_MEMORY = 8 << 20 };

static setting defaults[N_SETTINGS];

// settings_of reads string slots, which are ptr and len each.
static void settings_of(const double *slots, uint32_t n, setting out[N_SETTINGS]) {
	for (uint32_t i = 0; i < N_SETTINGS; i++) {
		out[i] = defaults[i];
		if (i >= n) continue;
		uint32_t slot[2];
		__builtin_memcpy(slot, slots + i, sizeof slot);
		out[i] = (setting){(const uint8_t *)(uintptr_t)slot[0], slot[1]};
	}
}

// fail gives the status of a reason.
static int32_t fail(forge_head *head, int32_t status) {
	if (heap_short) status = FORGE_ERR_NOMEM;
	return forge_fail(head, status, (const char *const[]){reason, 0});
}

static void begin_call(void) {
	heap_short = false;
	reason[0] = 0;
}

// load_vocabulary sorts out which tokens are text and which end a generation.
static bool load_vocabulary(const forge_vocab *v) {
	vocab = (vocabulary){.n = v->n, .n_words = (v->n + 31) / 32, .pieces = v->pieces, .offsets = v->piece_offsets, .eog = v->eog, .n_eog = v->eog_len};
	uint32_t *ids = heap_keep(4 * (v->n ? v->n : 1)), n = 0;
	vocab.ends = heap_take(4 * vocab.n_words);
	vocab.texts = heap_take(4 * vocab.n_words);
	if (!ids || !vocab.ends || !vocab.texts) return false;
	for (uint32_t i = 0; i < v->eog_len; i++)
		if (v->eog[i] < v->n) vocab.ends[v->eog[i] / 32] |= 1u << v->eog[i] % 32;
	for (uint32_t i = 0; i < v->n; i++) {
		int32_t type = v->types ? v->types[i] : FORGE_TOKEN_TYPE_NORMAL;
		uint32_t size = vocab.offsets[i + 1] - vocab.offsets[i];
		bool text = type != FORGE_TOKEN_TYPE_CONTROL && type != FORGE_TOKEN_TYPE_UNKNOWN && type != FORGE_TOKEN_TYPE_UNUSED;
		if (!text || vocab.ends[i / 32] >> i % 32 & 1 || size == 0 || size > LONGEST_PIECE) continue;
		vocab.texts[i / 32] |= 1u << i % 32;
		ids[n++] = i;
	}
	return trie_build(&vocab.trie, vocab.pieces, vocab.offsets, ids, n);
}

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	begin_call();
	if (frame->head.size < offsetof(forge_init, vocab) + sizeof frame->vocab) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the frame of forge_init is too short");
	if (!(frame->offered & FORGE_CAP_VOCAB) || !frame->vocab || !frame->vocab->piece_offsets)
		return FORGE_FAIL(frame, FORGE_ERR_CONFIG, "it needs the texts of tokens: grant it vocab");
	frame->accepted = FORGE_CAP_VOCAB;
	settings_of(frame->config, frame->config_len, defaults);
	if (!load_vocabulary(frame->vocab)) return refuse("there is not enough memory for the vocabulary: raise limits.pages"), fail(&frame->head, FORGE_ERR_NOMEM);
	grammars_base();
	heap_reserve(WORKING_MEMORY);
	return FORGE_OK;
}

// ---- the life of sequences -----------------------------------------------------------------------------------------------

static sequence *known(uint64_t id) {
	begin_call();
	sequence *q = sequence_find(id);
	if (!q) refuse("the sequence was not begun");
	return q;
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *frame) {
	begin_call();
	setting settings[N_SETTINGS];
	settings_of(frame->params, frame->params_len, settings);
	return sequence_begin(frame->seq, settings) ? FORGE_OK : fail(&frame->head, FORGE_ERR_CONFIG);
}

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *frame) {
	sequence *q = known(frame->seq);
	if (q && sequence_accept(q, frame->tokens, frame->tokens_len, frame->flags & FORGE_SEQ_FLAG_PROMPT)) return FORGE_OK;
	refuse("a token that was accepted is none that may follow");
	return fail(&frame->head, FORGE_ERR_STATE);
}

FORGE_EXPORT(forge_rollback) int32_t rollback(forge_seq *frame) {
	sequence *q = known(frame->seq);
	if (!q) return fail(&frame->head, FORGE_ERR_STATE);
	sequence_rollback(q, frame->count);
	return FORGE_OK;
}

FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *frame) {
	sequence *q = known(frame->parent);
	return q && sequence_fork(frame->seq, q) ? FORGE_OK : fail(&frame->head, FORGE_ERR_STATE);
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *frame) {
	begin_call();
	sequence_end(frame->seq);
	return FORGE_OK;
}

// A saved sequence is a number that names the form, the number of tokens, and these: where the automata stood follows
// from that.
enum { SAVED_FORM = 0x31736366, SAVED_HEAD = 8 }; // "fcs1"

FORGE_EXPORT(forge_save) int32_t save(forge_seq *frame) {
	sequence *q = known(frame->seq);
	if (!q) return fail(&frame->head, FORGE_ERR_STATE);
	frame->used = SAVED_HEAD + 4 * q->places.n;
	if (frame->used > frame->buffer_len) return FORGE_OK;
	uint32_t head[2] = {SAVED_FORM, q->places.n};
	__builtin_memcpy(frame->buffer, head, sizeof head);
	for (uint32_t i = 0; i < q->places.n; i++) __builtin_memcpy(frame->buffer + SAVED_HEAD + 4 * i, &q->places.at[i].token, 4);
	return FORGE_OK;
}

FORGE_EXPORT(forge_load) int32_t load(forge_seq *frame) {
	uint32_t head[2] = {0};
	begin_call();
	if (frame->buffer_len >= SAVED_HEAD) __builtin_memcpy(head, frame->buffer, sizeof head);
	if (head[0] != SAVED_FORM || head[1] != (frame->buffer_len - SAVED_HEAD) / 4 || frame->buffer_len % 4)
		return FORGE_FAIL(frame, FORGE_ERR_ARG, "what is to be loaded was not saved by this version");
	setting settings[N_SETTINGS];
	settings_of(frame->params, frame->params_len, settings);
	sequence *q = sequence_begin(frame->seq, settings);
	if (!q) return fail(&frame->head, FORGE_ERR_CONFIG);
	for (uint32_t i = 0; i < head[1]; i++) {
		uint32_t token;
		__builtin_memcpy(&token, frame->buffer + SAVED_HEAD + 4 * i, 4);
		bool prompt = token & PLACE_PROMPT;
		token &= ~PLACE_PROMPT;
		// Prompt tokens have a place only behind others.
		if ((prompt && i == 0) || !sequence_accept(q, &token, 1, prompt)) {
			refuse("what is to be loaded does not fit its settings");
			sequence_end(frame->seq);
			return fail(&frame->head, FORGE_ERR_ARG);
		}
	}
	return FORGE_OK;
}

// ---- masks -----------------------------------------------------------------------------------------------------------------

// after_drafts gives the place after a row's drafts: false with a reason for a failure, and *fit counts those that fit.
static bool after_drafts(const sequence *q, const forge_mask_row *row, place *p, uint32_t *fit) {
	*p = sequence_last(q);
	for (*fit = 0; *fit < row->drafts_len; ++*fit) {
		bool fits;
		place next = *p;
		if (!advance(q, &next, row->drafts[*fit], &fits)) return false;
		if (!fits || next.match) return true; // a banned text is not to be taken back from drafts: it ends them
		*p = next;
	}
	return true;
}

// rewind_of is how many tokens have to go so that the banned text that the last one ended goes.
static uint32_t rewind_of(const sequence *q) {
	uint32_t n = q->places.n, begin = q->places.at[n - 1].match - 1, i = n - 1;
	while (i && q->places.at[i - 1].bytes > begin) i--;
	return n - i;
}

static bool is_empty(const uint32_t *words, uint32_t n) {
	for (uint32_t i = 0; i < n; i++)
		if (words[i]) return false;
	return true;
}

// mask_of fills the mask of a place.
static bool mask_of(const sequence *q, forge_mask_row *row, place p) {
	automaton *a = q->grammar;
	if (p.set == SET_FAILED) return false;
	if (p.set == SET_ENDED) {
		row->result = FORGE_MASK_RESULT_STOP;
		return true;
	}
	if (!a) {
		row->result = FORGE_MASK_RESULT_ALL;
		return true;
	}
	grammars_relieve(a, false);
	if (!mask_fill(a, &vocab.trie, p.set, row->mask, vocab.n_words)) {
		if (!heap_short) return false;
		begin_call(); // once more with all the memory that there is
		grammars_relieve(a, true);
		if (!mask_fill(a, &vocab.trie, p.set, row->mask, vocab.n_words)) return false;
	}
	int ends = automaton_ends(a, p.set);
	if (ends < 0) return false;
	if (ends && is_empty(row->mask, vocab.n_words)) row->result = FORGE_MASK_RESULT_STOP;
	for (uint32_t i = 0; ends && i < vocab.n_words; i++) row->mask[i] |= vocab.ends[i];
	return true;
}

static bool mask_row(forge_mask_row *row) {
	sequence *q = sequence_find(row->seq);
	if (!q) return refuse("the sequence was not begun");
	row->result = FORGE_MASK_RESULT_MASK;
	row->n_forced = row->rewind = row->hold = 0;
	place p = sequence_last(q);
	if (q->places.n && p.match && !row->drafts_len) {
		row->result = FORGE_MASK_RESULT_REWIND;
		row->rewind = rewind_of(q);
		return true;
	}
	uint32_t fit;
	if (!after_drafts(q, row, &p, &fit)) return false;
	if (q->banned && q->banned->nodes.n) row->hold = q->banned->nodes.at[p.node].depth;
	if (fit == row->drafts_len) return mask_of(q, row, p);
	__builtin_memset(row->mask, 0, 4 * vocab.n_words); // nothing follows what cannot be
	return true;
}

FORGE_EXPORT(constraint_mask) int32_t constraint_mask(forge_masks *frame) {
	begin_call();
	for (uint32_t i = 0; i < frame->n_rows; i++)
		if (!mask_row(&frame->rows[i])) return fail(&frame->head, FORGE_ERR_STATE);
	return FORGE_OK;
}

FORGE_EXPORT(constraint_validate) int32_t constraint_validate(forge_masks *frame) {
	begin_call();
	for (uint32_t i = 0; i < frame->n_rows; i++) {
		forge_mask_row *row = &frame->rows[i];
		sequence *q = sequence_find(row->seq);
		place p;
		if (!q) refuse("the sequence was not begun");
		if (!q || !after_drafts(q, row, &p, &row->fits)) return fail(&frame->head, FORGE_ERR_STATE);
	}
	return FORGE_OK;
}
