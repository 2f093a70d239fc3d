#include "sequences.h"

#include "grammars.h"
#include "mask.h"

enum { SWEEP_SETS = 1 << 16, SET_BYTES = 64 };

vocabulary vocab;

// A table of the sequences by id: places follow each other where ids collide.
static sequence **table;
static uint32_t n_slots, n_sequences;

static uint32_t home(uint64_t id) { return (uint32_t)((id * 0x9E3779B97F4A7C15ull) >> 32) & (n_slots - 1); }

static sequence **slot(uint64_t id) {
	uint32_t i = home(id);
	while (table[i] && table[i]->id != id) i = (i + 1) & (n_slots - 1);
	return &table[i];
}

sequence *sequence_find(uint64_t id) { return n_slots ? *slot(id) : 0; }

static bool room(void) {
	if (2 * (n_sequences + 1) <= n_slots) return true;
	uint32_t n = n_slots ? 2 * n_slots : 16, old_n = n_slots;
	sequence **old = table, **made = heap_take(n * sizeof *made);
	if (!made) return false;
	table = made, n_slots = n;
	for (uint32_t i = 0; i < old_n; i++)
		if (old[i]) *slot(old[i]->id) = old[i];
	heap_give(old);
	return true;
}

static void drop(sequence *q) {
	if (q->grammar) grammar_close(q->grammar);
	if (q->banned) banned_free(q->banned), heap_give(q->banned);
	vec_free(&q->places);
	heap_give(q);
}

void sequence_end(uint64_t id) {
	if (!n_slots || !*slot(id)) return;
	uint32_t hole = (uint32_t)(slot(id) - table);
	drop(table[hole]);
	n_sequences--;
	// What was placed behind the hole because of it moves up.
	for (uint32_t i = (hole + 1) & (n_slots - 1); table[i]; i = (i + 1) & (n_slots - 1)) {
		uint32_t want = home(table[i]->id);
		if (((i - want) & (n_slots - 1)) < ((i - hole) & (n_slots - 1))) continue;
		table[hole] = table[i];
		hole = i;
	}
	table[hole] = 0;
}

static sequence *no_memory(sequence *q) {
	refuse("there is not enough memory for another sequence: raise limits.pages");
	if (q) drop(q);
	return 0;
}

static sequence *add(uint64_t id, sequence *q) {
	sequence_end(id);
	q->id = id;
	*slot(id) = q;
	n_sequences++;
	return q;
}

sequence *sequence_begin(uint64_t id, const setting settings[N_SETTINGS]) {
	static const char *const names[N_GRAMMARS] = {"grammar", "json_schema", "regex", "choice"};
	sequence *q = heap_take(sizeof *q);
	if (!q || !room()) return no_memory(q);
	uint32_t chosen = N_GRAMMARS;
	for (uint32_t i = 0; i < N_GRAMMARS; i++) {
		if (!settings[i].n) continue;
		if (chosen < N_GRAMMARS) {
			refuse(names[chosen], " and ", names[i], " are both set: give one");
			drop(q);
			return 0;
		}
		chosen = i;
	}
	if (chosen < N_GRAMMARS && !(q->grammar = grammar_open((language)chosen, settings[chosen].text, settings[chosen].n))) {
		drop(q);
		return 0;
	}
	if (settings[SETTING_BANNED].n) {
		if (!(q->banned = heap_take(sizeof *q->banned))) return no_memory(q);
		if (!banned_read(q->banned, settings[SETTING_BANNED].text, settings[SETTING_BANNED].n)) {
			drop(q);
			return 0;
		}
	}
	return add(id, q);
}

sequence *sequence_fork(uint64_t id, const sequence *parent) {
	sequence *q = heap_take(sizeof *q);
	if (!q || !room()) return no_memory(q);
	if ((q->grammar = parent->grammar)) grammar_use(q->grammar);
	if (parent->banned) {
		if (!(q->banned = heap_take(sizeof *q->banned)) || !vec_room(&q->banned->nodes, parent->banned->nodes.n)) return no_memory(q);
		q->banned->nodes.n = parent->banned->nodes.n;
		__builtin_memcpy(q->banned->nodes.at, parent->banned->nodes.at, q->banned->nodes.n * sizeof *q->banned->nodes.at);
	}
	uint32_t n = parent->places.n;
	if (n && !vec_room(&q->places, n)) return no_memory(q);
	if (n) __builtin_memcpy(q->places.at, parent->places.at, n * sizeof *q->places.at);
	q->places.n = n;
	return add(id, q);
}

place sequence_last(const sequence *q) {
	if (q->places.n) return q->places.at[q->places.n - 1];
	return (place){.set = q->grammar ? automaton_start(q->grammar) : SET_DEAD};
}

static bool has_bit(const uint32_t *words, uint32_t i) { return words[i / 32] >> i % 32 & 1; }

bool advance(const sequence *q, place *p, uint32_t token, bool *fits) {
	*fits = false;
	if (token >= vocab.n || p->set == SET_ENDED) return true;
	p->token = token, p->match = 0;
	const uint8_t *piece = vocab.pieces + vocab.offsets[token];
	uint32_t n = vocab.offsets[token + 1] - vocab.offsets[token];
	if (has_bit(vocab.ends, token)) {
		int ends = q->grammar ? automaton_ends(q->grammar, p->set) : 1;
		*fits = ends == 1;
		p->set = SET_ENDED, p->node = 0;
		return ends >= 0;
	}
	if (q->grammar) {
		if (!has_bit(vocab.texts, token)) return true; // a control token, or one without a text
		for (uint32_t i = 0; i < n && p->set != SET_DEAD; i++) {
			p->set = automaton_step(q->grammar, p->set, piece[i]);
			if (p->set == SET_FAILED) return false;
		}
		if (p->set == SET_DEAD) return true;
	}
	for (uint32_t i = 0; q->banned && i < n; i++) {
		p->node = banned_step(q->banned, p->node, piece[i]);
		uint32_t match = q->banned->nodes.n ? q->banned->nodes.at[p->node].match : 0;
		if (match && !p->match) p->match = 1 + (p->bytes + i + 1 - match);
	}
	p->bytes += n;
	*fits = true;
	return true;
}

// sweep forgets where no sequence of a grammar stands, once that has become much.
static void sweep(automaton *a) {
	uint32_t limit = a->sweep > SWEEP_SETS ? a->sweep : SWEEP_SETS;
	if (a->sets.n < limit && a->entries.n < 4 * limit) return;
	VEC(uint32_t *) keep = {0};
	bool ok = true;
	for (uint32_t i = 0; i < n_slots; i++) {
		sequence *q = table[i];
		if (!q || q->grammar != a) continue;
		for (uint32_t k = 0; ok && k < q->places.n; k++)
			if (q->places.at[k].set != SET_ENDED) ok = vec_add(&keep, &q->places.at[k].set);
	}
	if (ok && automaton_sweep(a, keep.at, keep.n)) mask_forget(a);
	reason[0] = 0; // without the memory to sweep it goes on as it is
	uint32_t left = a->entries.n / 4 > a->sets.n ? a->entries.n / 4 : a->sets.n;
	a->sweep = 2 * left;
	vec_free(&keep);
}

bool sequence_accept(sequence *q, const uint32_t *tokens, uint32_t n, bool prompt) {
	if (prompt && !q->places.n) return true;
	if (q->grammar) sweep(q->grammar);
	uint32_t before = q->places.n;
	for (uint32_t i = 0; i < n; i++) {
		place p = sequence_last(q);
		bool fits = true, ok = true;
		if (prompt) p.token = tokens[i] | PLACE_PROMPT, p.match = 0;
		else ok = advance(q, &p, tokens[i], &fits);
		if (ok && fits && !vec_add(&q->places, p)) ok = refuse("there is not enough memory for the sequence's tokens: raise limits.pages");
		if (ok && fits) continue;
		q->places.n = before;
		return false;
	}
	return true;
}

void sequence_rollback(sequence *q, uint32_t n) {
	q->places.n = q->places.n > n ? q->places.n - n : 0;
}
