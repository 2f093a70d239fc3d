#include "mask.h"

enum { WORK_SLOTS = 1 << 13 };

// A walk that was made: from where, in which group, and what came of it.
typedef struct {
	uint32_t from;  // the walk from whose exits it went on; 0: the trie's root
	uint32_t group; // set
	uint32_t *mask; // the tokens, or 0
	uint32_t *tokens, n_tokens;
	uint32_t *exits, n_exits;
	bool root_exit; // the group may end before anything is read
	uint32_t epoch; // of the last mask that it went into
} walk;

struct mask_cache {
	VEC(walk) walks; // from 1 on
	uint32_t *slots, n_slots;
	uint32_t bytes;
};

typedef struct {
	uint32_t from, set;
} task;

static struct {
	VEC(uint32_t) tokens; // of the walk that is being made, until they are so many that a mask is smaller
	VEC(uint32_t) mask;
	bool dense;
	VEC(uint32_t) exits;
	uint32_t path[LONGEST_PIECE + 1]; // rows
	VEC(entry) entries, group;
	struct {
		task t;
		uint32_t epoch;
	} seen[WORK_SLOTS];
	uint32_t epoch;
	VEC(task) work;
} s;

static bool fail(void) { return refuse("there is not enough memory for the masks: raise limits.pages"); }

uint32_t mask_bytes(const automaton *a) { return a->masks ? a->masks->bytes : 0; }

void mask_forget(automaton *a) {
	mask_cache *c = a->masks;
	if (!c) return;
	for (uint32_t i = 1; i < c->walks.n; i++) heap_give(c->walks.at[i].mask), heap_give(c->walks.at[i].tokens), heap_give(c->walks.at[i].exits);
	vec_free(&c->walks);
	heap_give(c->slots), heap_give(c);
	a->masks = 0;
}

// ---- one walk --------------------------------------------------------------------------------------------------------

static void set_bits(uint32_t *words, const uint32_t *tokens, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) words[tokens[i] / 32] |= 1u << tokens[i] % 32;
}

static void spill(void) {
	if (!s.dense) __builtin_memset(s.mask.at, 0, s.mask.n * 4);
	s.dense = true;
	set_bits(s.mask.at, s.tokens.at, s.tokens.n);
	s.tokens.n = 0;
}

// take_all takes the tokens between two places of the order.
static void take_all(const trie *t, uint32_t from, uint32_t to) {
	while (from < to) {
		uint32_t n = to - from < s.tokens.cap - s.tokens.n ? to - from : s.tokens.cap - s.tokens.n;
		__builtin_memcpy(s.tokens.at + s.tokens.n, t->order + from, 4 * n);
		s.tokens.n += n, from += n;
		if (s.tokens.n == s.tokens.cap) spill();
	}
}

// ---- characters that lead back -----------------------------------------------------------------------------------------
//
// Inside a JSON text nearly every token may follow, whatever it is made of, and a walk through all of them would find
// that out byte by byte. So a row says of which kinds of characters any leads back to where it stands, or, where
// repetitions are counted, one step on, for a number of steps (ROW_LOOPS, ROW_STEPS); and a node of the trie says which
// characters descend from it. Where these fit, all of its tokens may follow, and no exit on the way could add any. Where
// only the steps are too few, those of its tokens may follow that have no more characters, and the group may end behind
// any character once there were so many as ROW_ENDS says, MANY_CHARS for never.

static uint32_t next_row(const automaton *a, uint32_t at, uint8_t byte) { return a->trans.at[at + a->class_of[byte]]; }

static bool expanded(automaton *a, uint32_t at) { return at != ROW_DEAD && (a->trans.at[at + ROW_FLAGS] || expand(a, at)); }

// range_leads tells whether each byte of a range leads from a row to the same one, and which that is.
static bool range_leads(const automaton *a, uint32_t at, uint32_t lo, uint32_t hi, uint32_t *to) {
	*to = next_row(a, at, (uint8_t)lo);
	for (uint32_t c = a->class_of[lo] + 1u; c <= a->class_of[hi]; c++)
		if (a->trans.at[at + c] != *to) return false;
	return *to != ROW_DEAD;
}

// high_leads tells whether every character outside ASCII leads from one row to another.
static bool high_leads(automaton *a, uint32_t from, uint32_t target) {
	static const uint8_t forms[][5] = {
		// lead bytes, bounds of the second one, bytes
		{0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
		{0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
	};
	for (uint32_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		uint32_t at;
		if (!range_leads(a, from, forms[f][0], forms[f][1], &at)) return false;
		for (uint32_t i = 1; i < forms[f][4]; i++) {
			if (!expanded(a, at)) return false;
			if (!range_leads(a, at, i == 1 ? forms[f][2] : 0x80, i == 1 ? forms[f][3] : 0xBF, &at)) return false;
		}
		if (at != target) return false;
	}
	return true;
}

// leads gives the kinds of characters of which every one leads from one row to another.
static uint32_t leads(automaton *a, uint32_t from, uint32_t target) {
	uint32_t other = 0, some = 0;
	for (uint32_t c = 0; c < 128; c++) {
		if (next_row(a, from, (uint8_t)c) == target) some |= 1u << kind_of[c];
		else other |= 1u << kind_of[c];
	}
	some &= ~other;
	return some && high_leads(a, from, target) ? some | KIND_HIGH : some;
}

// reads_none tells whether no character of these kinds can be read at a row.
static bool reads_none(const automaton *a, uint32_t at, uint32_t kinds) {
	for (uint32_t c = 0; c < 256; c++)
		if (kinds & (c < 128 ? 1u << kind_of[c] : KIND_HIGH) && next_row(a, at, (uint8_t)c) != ROW_DEAD) return false;
	return true;
}

// look_at finds out about the counted repetition of single characters that a node is. A failure leaves nothing known.
static void look_at(automaton *a, uint32_t node) {
	automaton_node n = a->nodes.at[node];
	edge e = a->edges.at[n.first];
	repeat *r = &a->repeats.at[e.arg];
	entry body = {a->rules.at[r->rule].start, 0, SET_BOTTOM}, behind = {e.to, 0, SET_BOTTOM};
	uint32_t from = row(a, intern(a, &body, 1)), target = row(a, SET_BOTTOM), to = row(a, intern(a, &behind, 1));
	if (r->looked || !expanded(a, from) || !expanded(a, to) || target == ROW_DEAD) return;
	r->looked = true;
	r->loops = leads(a, from, target);
	r->alone = !(n.flags & NODE_FINAL) && a->nodes.at[node + 1].first == n.first + 1 && reads_none(a, to, r->loops);
	r->ends = a->trans.at[to + ROW_FLAGS] & ROW_EXIT;
}

enum { ENDS_UNKNOWN = MANY_CHARS + 1 };

// look fills in what is known of a row's characters.
static void look(automaton *a, uint32_t at) {
	a->trans.at[at + ROW_FLAGS] |= ROW_LOOKED;
	uint32_t set = a->trans.at[at + ROW_SET], loops = 0, steps = MANY_CHARS, ends = ENDS_UNKNOWN;
	entry e = set_entries(a, set)[0];
	bool one = set_size(a, set) == 1 && e.parent == SET_BOTTOM && a->nodes.at[e.node].flags & NODE_REPEAT;
	repeat *r = one ? &a->repeats.at[a->edges.at[a->nodes.at[e.node].first].arg] : 0;
	bool counts = r && (r->most != UNBOUNDED || e.count < r->least); // then no step leads back
	if (!counts) loops = leads(a, at, at);
	if (!loops && r) {
		if (!r->looked) look_at(a, e.node);
		loops = r->loops;
		steps = r->most != UNBOUNDED && r->most - e.count < MANY_CHARS ? r->most - e.count : MANY_CHARS - 1;
		if (r->alone) ends = !r->ends ? MANY_CHARS : e.count >= r->least ? 0 : r->least - e.count < MANY_CHARS ? r->least - e.count : MANY_CHARS;
	}
	a->trans.at[at + ROW_LOOPS] = loops, a->trans.at[at + ROW_STEPS] = steps, a->trans.at[at + ROW_ENDS] = ends;
}

// take_counted takes the tokens below a node of at most so many characters, and notes the exits behind at least so many.
static bool take_counted(const trie *t, uint32_t node, uint32_t least, uint32_t most) {
	const trie_node *nodes = t->nodes;
	uint32_t end = nodes[node].after, n = s.tokens.n;
	for (uint32_t k = nodes[node + 1].token, to = nodes[end].token; k < to; k++) {
		s.tokens.at[n] = t->order[k];
		n += t->chars[k] <= most;
		if (n == s.tokens.cap) {
			s.tokens.n = n;
			spill();
			n = 0;
		}
	}
	s.tokens.n = n;
	for (uint32_t i = node; least <= most && i < end;) {
		bool far = t->begun[i] > most, leaf = nodes[i].after == i + 1;
		// A character is whole where what follows begins another.
		if (!far && !leaf && t->begun[i] >= least && (nodes[i + 1].byte & 0xC0) != 0x80 && !vec_add(&s.exits, i)) return fail();
		i = far ? nodes[i].after : i + 1;
	}
	return true;
}

// descend walks the tokens below a node of the trie, where the group stands at a row that is expanded.
static bool descend(automaton *a, const trie *t, uint32_t top, uint32_t start) {
	const trie_node *nodes = t->nodes;
	const uint32_t *trans = a->trans.at;
	uint32_t end = nodes[top].after;
	s.path[nodes[top].depth] = start;
	for (uint32_t i = top + 1; i < end;) {
		const trie_node *n = &nodes[i];
		uint32_t to = trans[s.path[n->depth - 1] + a->class_of[n->byte]];
		if (to == ROW_DEAD) {
			i = n->after;
			continue;
		}
		for (uint32_t k = n->token; k < n[1].token; k++) {
			s.tokens.at[s.tokens.n++] = t->order[k];
			if (s.tokens.n == s.tokens.cap) spill();
		}
		if (n->after != ++i) { // it has children
			if (!(trans[to + ROW_FLAGS] & ROW_LOOKED)) {
				if (!expanded(a, to)) return false;
				look(a, to);
				trans = a->trans.at;
			}
			if ((n->below & ~trans[to + ROW_LOOPS]) == 0) {
				uint32_t steps = trans[to + ROW_STEPS], ends = trans[to + ROW_ENDS], begun = t->begun[i - 1];
				if (n->chars <= steps) {
					i = n->after;
					take_all(t, n[1].token, nodes[i].token);
					continue;
				}
				if (begun + steps < MANY_CHARS && ends != ENDS_UNKNOWN) {
					if (!take_counted(t, i - 1, begun + ends, begun + steps)) return false;
					i = n->after;
					continue;
				}
			}
			if (trans[to + ROW_FLAGS] & ROW_EXIT && !vec_add(&s.exits, i - 1)) return fail();
			s.path[n->depth] = to;
		}
	}
	return true;
}

static uint32_t *copy(const uint32_t *p, uint32_t n) {
	uint32_t *q = n ? heap_take(4 * n) : 0;
	if (q) __builtin_memcpy(q, p, 4 * n);
	return q;
}

// keep makes the walk's result from the scratch.
static bool keep(mask_cache *c, walk *w) {
	if (s.dense) {
		spill();
		w->mask = copy(s.mask.at, s.mask.n);
	}
	w->tokens = copy(s.tokens.at, w->n_tokens = s.tokens.n);
	w->exits = copy(s.exits.at, w->n_exits = s.exits.n);
	if ((s.dense && !w->mask) || (w->n_tokens && !w->tokens) || (w->n_exits && !w->exits)) {
		heap_give(w->mask), heap_give(w->tokens), heap_give(w->exits);
		return fail();
	}
	c->bytes += 4 * ((s.dense ? s.mask.n : 0) + w->n_tokens + w->n_exits) + sizeof *w;
	return true;
}

static bool make(automaton *a, const trie *t, walk *w, uint32_t n_words) {
	s.dense = false;
	s.tokens.n = s.exits.n = 0;
	if (!vec_room(&s.tokens, n_words) || !vec_room(&s.mask, n_words)) return fail();
	s.mask.n = n_words;
	uint32_t start = row(a, w->group);
	if (!expanded(a, start)) return false;
	bool ends = a->trans.at[start + ROW_FLAGS] & ROW_EXIT;
	if (w->from == 0) {
		w->root_exit = ends;
		if (!descend(a, t, 0, start)) return false;
	}
	for (uint32_t i = 0; w->from && i < a->masks->walks.at[w->from].n_exits; i++) {
		uint32_t node = a->masks->walks.at[w->from].exits[i];
		if (ends && !vec_add(&s.exits, node)) return fail();
		if (!descend(a, t, node, start)) return false;
	}
	return keep(a->masks, w);
}

static uint32_t *slot(const mask_cache *c, uint32_t from, uint32_t group) {
	for (uint32_t i = (from * 0x9E3779B9u ^ group) * 0x85EBCA6Bu >> 7;; i++) {
		uint32_t *at = &c->slots[i & (c->n_slots - 1)];
		if (!*at || (c->walks.at[*at].from == from && c->walks.at[*at].group == group)) return at;
	}
}

// find gives the walk from the exits of another in a group, made if it is not there; 0 is a failure.
static uint32_t find(automaton *a, const trie *t, uint32_t from, uint32_t group, uint32_t n_words) {
	if (!a->masks) {
		if (!(a->masks = heap_take(sizeof *a->masks)) || !vec_add(&a->masks->walks, (walk){0})) return fail();
	}
	mask_cache *c = a->masks;
	if (2 * (c->walks.n + 1) > c->n_slots) {
		uint32_t n = c->n_slots ? 2 * c->n_slots : 64, *slots = heap_take(4 * n);
		if (!slots) return fail();
		heap_give(c->slots);
		c->slots = slots, c->n_slots = n;
		for (uint32_t i = 1; i < c->walks.n; i++) *slot(c, c->walks.at[i].from, c->walks.at[i].group) = i;
	}
	uint32_t *at = slot(c, from, group);
	if (*at) return *at;
	walk w = {.from = from, .group = group};
	if (!vec_room(&c->walks, 1)) return fail();
	if (!make(a, t, &w, n_words)) return 0;
	c->walks.at[c->walks.n] = w;
	return *at = c->walks.n++;
}

// ---- a mask ------------------------------------------------------------------------------------------------------------

static void unite(uint32_t *words, const uint32_t *more, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) words[i] |= more[i];
}

// add_work notes that the exits of a walk go on in a set, once for each mask.
static bool add_work(uint32_t from, uint32_t set) {
	for (uint32_t i = (from * 0x9E3779B9u ^ set) * 0x85EBCA6Bu >> 7;; i++) {
		uint32_t at = i % WORK_SLOTS;
		if (s.seen[at].epoch == s.epoch) {
			if (s.seen[at].t.from == from && s.seen[at].t.set == set) return true;
			continue;
		}
		if (s.work.n >= WORK_SLOTS / 2) return refuse("the grammar is too ambiguous: tokens can be read in more than ", decimal(WORK_SLOTS / 2), " ways");
		s.seen[at].epoch = s.epoch, s.seen[at].t = (task){from, set};
		return vec_add(&s.work, (task){from, set}) || fail();
	}
}

// settled gives the count that stands for all those that no token can tell from this one: a token repeats a rule at
// most as often as it has bytes.
static uint32_t settled(const automaton *a, const trie *t, entry e) {
	if (!(a->nodes.at[e.node].flags & NODE_REPEAT)) return e.count;
	repeat r = a->repeats.at[a->edges.at[a->nodes.at[e.node].first].arg];
	uint32_t far = t->depth + 1;
	if ((uint64_t)e.count + far < r.least) return 0;
	if (e.count >= r.least && (r.most == UNBOUNDED || r.most - e.count > far)) return r.least;
	return e.count;
}

// by_parent sorts a copy of a set's entries.
static bool by_parent(const automaton *a, uint32_t set) {
	uint32_t n = set_size(a, set);
	s.entries.n = 0;
	if (!vec_room(&s.entries, n)) return fail();
	for (uint32_t i = 0; i < n; i++) {
		entry e = set_entries(a, set)[i];
		if (e.node == NODE_BOTTOM) continue;
		uint32_t j = s.entries.n++;
		for (; j && s.entries.at[j - 1].parent > e.parent; j--) s.entries.at[j] = s.entries.at[j - 1];
		s.entries.at[j] = e;
	}
	return true;
}

bool mask_fill(automaton *a, const trie *t, uint32_t set, uint32_t *words, uint32_t n_words) {
	__builtin_memset(words, 0, 4 * n_words);
	if (++s.epoch == 0) {
		__builtin_memset(s.seen, 0, sizeof s.seen);
		s.epoch = 1;
	}
	s.work.n = 0;
	if (!add_work(0, set)) return false;
	for (uint32_t at = 0; at < s.work.n; at++) {
		uint32_t from = s.work.at[at].from;
		if (!by_parent(a, s.work.at[at].set)) return false;
		for (uint32_t i = 0, j; i < s.entries.n; i = j) {
			uint32_t parent = s.entries.at[i].parent;
			s.group.n = 0;
			for (j = i; j < s.entries.n && s.entries.at[j].parent == parent; j++) {
				entry e = s.entries.at[j];
				if (!vec_add(&s.group, (entry){e.node, settled(a, t, e), SET_BOTTOM})) return fail();
			}
			uint32_t group = intern(a, s.group.at, s.group.n), found = group == SET_FAILED ? 0 : find(a, t, from, group, n_words);
			if (!found) return false;
			walk *w = &a->masks->walks.at[found];
			if (w->epoch != s.epoch) {
				w->epoch = s.epoch;
				if (w->mask) unite(words, w->mask, n_words);
				set_bits(words, w->tokens, w->n_tokens);
			}
			if ((w->root_exit && !add_work(0, parent)) || (w->n_exits && !add_work(found, parent))) return false;
		}
	}
	return true;
}
