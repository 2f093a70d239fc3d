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
			if (trans[to + ROW_FLAGS] == 0) {
				if (!expand(a, to)) return false;
				trans = a->trans.at;
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
	if (start == ROW_DEAD || (a->trans.at[start + ROW_FLAGS] == 0 && !expand(a, start))) return false;
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
