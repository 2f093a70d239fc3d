#include "automaton.h"

enum { MOST_PLACES = 1 << 15, SEEN_SLOTS = 1 << 16, MOST_ENTRIES = 1 << 24 };

typedef struct {
	entry e;
	uint32_t next; // 1 + index in returns
} after;

// Scratch of the functions below. Only one of them works at a time.
static struct {
	struct {
		entry e;
		uint32_t epoch;
	} seen[SEEN_SLOTS];
	uint32_t epoch;
	VEC(entry) places; // reached without reading: a queue that is kept
	struct {
		uint8_t lo, hi;
		uint32_t to, parent;
	} *reads; // edges that read a byte, from any place reached
	uint32_t n_reads, reads_cap;
	VEC(uint32_t) called;   // rules, each once
	VEC(uint32_t) calls_of; // for each rule: 1 + its last record in returns, of this epoch
	VEC(after) returns;
	VEC(entry) list;
	VEC(entry) next; // the entries of a set in the making
	bool ends;
	bool failed;
} s;

static bool fail_memory(void) {
	s.failed = true;
	return refuse("there is not enough memory for where the grammar stands: raise limits.pages");
}

static bool fail_places(void) {
	s.failed = true;
	return refuse("the grammar is too ambiguous: it can stand in more than ", decimal(MOST_PLACES), " places at once");
}

static uint32_t hash_words(const uint32_t *p, uint32_t n) {
	uint64_t h = 0x9E3779B97F4A7C15ull;
	for (uint32_t i = 0; i < n; i++) h = (h ^ p[i]) * 0xBF58476D1CE4E5B9ull, h ^= h >> 29;
	return (uint32_t)(h >> 16);
}

static bool before(const entry *a, const entry *b) {
	if (a->node != b->node) return a->node < b->node;
	if (a->count != b->count) return a->count < b->count;
	return a->parent < b->parent;
}

static bool same(const entry *a, const entry *b) { return a->node == b->node && a->count == b->count && a->parent == b->parent; }

// sort_entries sorts by Shell's method; sets are short.
static void sort_entries(entry *p, uint32_t n) {
	uint32_t gap = 1;
	while (gap < n / 3) gap = 3 * gap + 1;
	for (; gap; gap /= 3) {
		for (uint32_t i = gap; i < n; i++) {
			entry e = p[i];
			uint32_t j = i;
			for (; j >= gap && before(&e, &p[j - gap]); j -= gap) p[j] = p[j - gap];
			p[j] = e;
		}
	}
}

// ---- sets ------------------------------------------------------------------------------------------------------------

static uint32_t *set_slot(const automaton *a, const entry *p, uint32_t n) {
	for (uint32_t i = hash_words((const uint32_t *)p, 3 * n);; i++) {
		uint32_t *slot = &a->slots[i & (a->n_slots - 1)];
		if (!*slot) return slot;
		if (set_size(a, *slot) == n && __builtin_memcmp(set_entries(a, *slot), p, n * sizeof *p) == 0) return slot;
	}
}

static bool slots_room(automaton *a) {
	if (2 * (a->sets.n + 1) <= a->n_slots) return true;
	uint32_t n = a->n_slots ? 2 * a->n_slots : 256, *slots = heap_take(4 * n);
	if (!slots) return false;
	heap_give(a->slots);
	a->slots = slots, a->n_slots = n;
	for (uint32_t set = 1; set < a->sets.n; set++) *set_slot(a, set_entries(a, set), set_size(a, set)) = set;
	return true;
}

uint32_t intern(automaton *a, entry *p, uint32_t n) {
	if (n == 0) return SET_DEAD;
	sort_entries(p, n);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < n; i++)
		if (!same(&p[i], &p[kept - 1])) p[kept++] = p[i];
	if (!slots_room(a)) return fail_memory(), SET_FAILED;
	uint32_t *slot = set_slot(a, p, kept);
	if (*slot) return *slot;
	if (a->entries.n + kept > MOST_ENTRIES || !vec_room(&a->entries, kept) || !vec_room(&a->sets, 1) || !vec_room(&a->rows_of, 1))
		return fail_memory(), SET_FAILED;
	__builtin_memcpy(a->entries.at + a->entries.n, p, kept * sizeof *p);
	a->entries.n += kept;
	a->sets.at[a->sets.n++] = a->entries.n;
	a->rows_of.at[a->rows_of.n++] = 0;
	return *slot = a->sets.n - 1;
}

// open_sets makes the sets that are always there.
static bool open_sets(automaton *a) {
	entry bottom = {NODE_BOTTOM, 0, SET_DEAD};
	bool ok = vec_add(&a->sets, 0) && vec_add(&a->rows_of, 0) && intern(a, &bottom, 1) == SET_BOTTOM;
	for (uint32_t i = 0; ok && i < a->n_classes + ROW_CLASSES; i++) ok = vec_add(&a->trans, 0); // the dead row
	return ok;
}

// ---- what is reached without reading --------------------------------------------------------------------------------------

// put adds an entry to a list in its plainest form: a repeat that is through is the place behind it, and a place from
// which its rule can only end is what its parent holds. Parents' entries are plain already.
#define put(a, e, add)                                                                                              \
	do {                                                                                                            \
		entry put_e = plain((a), (e));                                                                              \
		if (!((a)->nodes.at[put_e.node].flags & NODE_ONLY_FINAL)) {                                                 \
			add(put_e);                                                                                             \
		} else {                                                                                                    \
			for (uint32_t put_i = 0; put_i < set_size((a), put_e.parent); put_i++) add(set_entries((a), put_e.parent)[put_i]); \
		}                                                                                                           \
	} while (0)

static entry plain(const automaton *a, entry e) {
	while (e.count && a->nodes.at[e.node].flags & NODE_REPEAT) {
		edge r = a->edges.at[a->nodes.at[e.node].first];
		if (e.count < a->repeats.at[r.arg].most) break;
		e = (entry){r.to, 0, e.parent};
	}
	return e;
}

// visit adds a place to the queue, once.
static void visit(entry e) {
	for (uint32_t i = hash_words((const uint32_t *)&e, 3);; i++) {
		uint32_t at = i % SEEN_SLOTS;
		if (s.seen[at].epoch == s.epoch) {
			if (same(&s.seen[at].e, &e)) return;
			continue;
		}
		if (s.places.n >= MOST_PLACES) {
			fail_places();
			return;
		}
		s.seen[at].epoch = s.epoch, s.seen[at].e = e;
		if (!vec_add(&s.places, e)) fail_memory();
		return;
	}
}

static void add_return(entry e, uint32_t rule) {
	uint32_t *of = &s.calls_of.at[rule];
	if (s.returns.n >= 16 * MOST_PLACES) {
		fail_places();
		return;
	}
	if (vec_add(&s.returns, (after){e, *of})) *of = s.returns.n;
	else fail_memory();
}

// call notes that a rule begins here, and where it goes on afterwards.
static void call(automaton *a, uint32_t rule, entry then) {
	if (!s.calls_of.at[rule] && !vec_add(&s.called, rule)) {
		fail_memory();
		return;
	}
#define RETURN(e) add_return(e, rule)
	put(a, then, RETURN);
#undef RETURN
}

static void read_edge(edge e, uint32_t parent) {
	if (s.n_reads >= 64 * MOST_PLACES) {
		fail_places();
		return;
	}
	if (s.n_reads == s.reads_cap && !heap_grow((void **)&s.reads, &s.reads_cap, s.n_reads, s.n_reads + 1, sizeof *s.reads)) {
		fail_memory();
		return;
	}
	s.reads[s.n_reads].lo = e.lo, s.reads[s.n_reads].hi = e.hi;
	s.reads[s.n_reads].to = e.to, s.reads[s.n_reads++].parent = parent;
}

// follow goes along the edges of the places in the queue from one on. ending: a place that ends its rule goes on in its
// parent, which is right for places that have read something in their rule; one that has not needs no such step, because
// a call of a rule that may be empty has an edge that skips it.
static void follow(automaton *a, uint32_t from, bool ending) {
	for (uint32_t at = from; at < s.places.n && !s.failed; at++) {
		entry p = s.places.at[at];
		if (p.node == NODE_BOTTOM) {
			s.ends = true;
			continue;
		}
		const automaton_node *n = &a->nodes.at[p.node];
		for (uint32_t i = n->first; i < n[1].first; i++) {
			edge e = a->edges.at[i];
			switch (e.kind) {
			case EDGE_SKIP: visit((entry){e.to, 0, p.parent}); break;
			case EDGE_BYTE: read_edge(e, p.parent); break;
			case EDGE_CALL: call(a, e.arg, (entry){e.to, 0, p.parent}); break;
			case EDGE_REPEAT: {
				repeat r = a->repeats.at[e.arg];
				uint32_t more = p.count + 1;
				if (r.most == UNBOUNDED && more > r.least) more = r.least; // further ones make no difference
				if (p.count < r.most) call(a, r.rule, (entry){p.node, more, p.parent});
				if (p.count >= r.least) visit((entry){e.to, 0, p.parent});
			}
			}
		}
		if (ending && n->flags & NODE_FINAL)
			for (uint32_t i = 0; i < set_size(a, p.parent); i++) visit(set_entries(a, p.parent)[i]);
	}
}

// reach finds every edge that reads a byte from a set, and whether the set may end. byte, if not negative, is the only
// one that counts.
static bool reach(automaton *a, uint32_t set, int byte) {
	if (++s.epoch == 0) {
		__builtin_memset(s.seen, 0, sizeof s.seen);
		s.epoch = 1;
	}
	s.failed = s.ends = false;
	s.places.n = s.n_reads = s.called.n = s.returns.n = 0;
	uint32_t rules = a->rules.n;
	if (!vec_room(&s.calls_of, rules)) return fail_memory();
	for (uint32_t i = 0; i < set_size(a, set); i++) visit(set_entries(a, set)[i]);
	follow(a, 0, true);
	// Rules in order, so that all that call a rule have done so when it begins.
	while (s.called.n && !s.failed) {
		uint32_t first = 0;
		for (uint32_t i = 1; i < s.called.n; i++)
			if (a->rules.at[s.called.at[i]].order < a->rules.at[s.called.at[first]].order) first = i;
		uint32_t rule = s.called.at[first];
		s.called.at[first] = s.called.at[--s.called.n];
		uint32_t of = s.calls_of.at[rule];
		s.calls_of.at[rule] = 0;
		if (byte >= 0 && !(a->rules.at[rule].first[byte / 32] >> byte % 32 & 1)) continue;
		s.list.n = 0;
		for (; of; of = s.returns.at[of - 1].next)
			if (!vec_add(&s.list, s.returns.at[of - 1].e)) fail_memory();
		uint32_t parent = s.failed ? SET_FAILED : intern(a, s.list.at, s.list.n);
		if (parent == SET_FAILED) break;
		uint32_t from = s.places.n;
		visit((entry){a->rules.at[rule].start, 0, parent});
		follow(a, from, false);
	}
	for (uint32_t i = 0; i < s.called.n; i++) s.calls_of.at[s.called.at[i]] = 0; // after a failure
	return !s.failed;
}

#define NEXT(e)                             \
	do {                                    \
		if (!vec_add(&s.next, e)) fail_memory(); \
	} while (0)

uint32_t automaton_start(automaton *a) {
	if (a->sets.n == 0 && !open_sets(a)) return SET_FAILED;
	s.failed = false;
	s.next.n = 0;
	put(a, ((entry){a->rules.at[a->root].start, 0, SET_BOTTOM}), NEXT);
	return s.failed ? SET_FAILED : intern(a, s.next.at, s.next.n);
}

uint32_t automaton_step(automaton *a, uint32_t set, uint8_t byte) {
	if (set == SET_DEAD || !reach(a, set, byte)) return set == SET_DEAD ? SET_DEAD : SET_FAILED;
	s.next.n = 0;
	for (uint32_t i = 0; i < s.n_reads && !s.failed; i++)
		if (s.reads[i].lo <= byte && byte <= s.reads[i].hi) put(a, ((entry){s.reads[i].to, 0, s.reads[i].parent}), NEXT);
	return s.failed ? SET_FAILED : intern(a, s.next.at, s.next.n);
}

int automaton_ends(automaton *a, uint32_t set) {
	if (!reach(a, set, 0xFF)) return -1; // that no text has: no rule need be entered
	return s.ends;
}

// ---- rows --------------------------------------------------------------------------------------------------------------

uint32_t row(automaton *a, uint32_t set) {
	if (set == SET_DEAD || set == SET_FAILED) return ROW_DEAD;
	uint32_t at = a->rows_of.at[set];
	if (at) return at;
	uint32_t size = a->n_classes + ROW_CLASSES;
	if (!vec_room(&a->trans, size)) return fail_memory(), ROW_DEAD;
	at = a->trans.n;
	a->trans.n += size;
	__builtin_memset(a->trans.at + at, 0, size * 4);
	a->trans.at[at + ROW_SET] = set;
	return a->rows_of.at[set] = at;
}

bool expand(automaton *a, uint32_t at) {
	if (!reach(a, a->trans.at[at + ROW_SET], -1)) return false;
	a->trans.at[at + ROW_FLAGS] = ROW_EXPANDED | (s.ends ? ROW_EXIT : 0);
	uint32_t n = a->n_classes;
	// The edges of each class, as a list: heads[class], next[edge and class].
	static uint32_t ends[257 + ROW_CLASSES];
	static VEC(uint32_t) edges;
	__builtin_memset(ends, 0, sizeof ends);
	uint64_t total = 0;
	for (uint32_t i = 0; i < s.n_reads; i++)
		for (uint32_t c = a->class_of[s.reads[i].lo]; c <= a->class_of[s.reads[i].hi]; c++) ends[c]++, total++;
	edges.n = 0;
	if (total > UINT32_MAX / 4 || !vec_room(&edges, total)) return fail_memory();
	for (uint32_t c = ROW_CLASSES, sum = 0; c < n + ROW_CLASSES; c++) {
		uint32_t size = ends[c];
		ends[c] = sum;
		sum += size;
	}
	for (uint32_t i = 0; i < s.n_reads; i++)
		for (uint32_t c = a->class_of[s.reads[i].lo]; c <= a->class_of[s.reads[i].hi]; c++) edges.at[ends[c]++] = i;
	uint32_t from = 0;
	for (uint32_t c = ROW_CLASSES; c < n + ROW_CLASSES; from = ends[c++]) {
		uint32_t size = ends[c] - from;
		if (!size) continue;
		// Neighbouring classes often have the same edges.
		uint32_t earlier = c > ROW_CLASSES ? from - (c > ROW_CLASSES + 1 ? ends[c - 2] : 0) : 0;
		if (earlier == size && __builtin_memcmp(edges.at + from - size, edges.at + from, 4 * size) == 0) {
			a->trans.at[at + c] = a->trans.at[at + c - 1];
			continue;
		}
		s.next.n = 0;
		for (uint32_t i = 0; i < size && !s.failed; i++) {
			uint32_t e = edges.at[from + i];
			put(a, ((entry){s.reads[e].to, 0, s.reads[e].parent}), NEXT);
		}
		uint32_t to = s.failed ? ROW_DEAD : row(a, intern(a, s.next.at, s.next.n)); // may move trans
		if (to == ROW_DEAD) return false;
		a->trans.at[at + c] = to;
	}
	return true;
}

// ---- forgetting ----------------------------------------------------------------------------------------------------------

void automaton_free(automaton *a) {
	vec_free(&a->nodes), vec_free(&a->edges), vec_free(&a->rules), vec_free(&a->repeats);
	vec_free(&a->entries), vec_free(&a->sets), vec_free(&a->rows_of), vec_free(&a->trans);
	heap_give(a->slots);
	*a = (automaton){0};
}

void automaton_drop_rows(automaton *a) {
	uint32_t size = a->n_classes + ROW_CLASSES;
	if (a->trans.n <= size) return;
	uint32_t cap = 0, *dead = 0;
	if (heap_grow((void **)&dead, &cap, 0, size, sizeof *dead)) {
		heap_give(a->trans.at);
		a->trans.at = dead, a->trans.cap = cap;
	}
	a->trans.n = size;
	__builtin_memset(a->rows_of.at, 0, a->rows_of.n * sizeof *a->rows_of.at);
}

bool automaton_sweep(automaton *a, uint32_t **keep, uint32_t n_keep) {
	uint32_t n = a->sets.n, *number = heap_take(4 * n); // 1 while only known to be wanted, then the new number
	if (!number) return fail_memory();
	for (uint32_t i = 0; i < n_keep; i++) number[*keep[i]] = 1;
	for (uint32_t set = n; set-- > 2;) // parents have lower numbers
		for (uint32_t i = 0; number[set] && i < set_size(a, set); i++) number[set_entries(a, set)[i].parent] = 1;
	automaton old = *a;
	a->entries.at = 0, a->entries.n = a->entries.cap = 0;
	a->sets.at = 0, a->sets.n = a->sets.cap = 0;
	a->rows_of.at = 0, a->rows_of.n = a->rows_of.cap = 0;
	a->trans.at = 0, a->trans.n = a->trans.cap = 0;
	a->slots = 0, a->n_slots = 0;
	bool ok = open_sets(a);
	number[SET_DEAD] = SET_DEAD, number[SET_BOTTOM] = SET_BOTTOM;
	for (uint32_t set = 2; ok && set < n; set++) {
		if (!number[set]) continue;
		s.next.n = 0;
		for (uint32_t i = 0; ok && i < set_size(&old, set); i++) {
			entry e = set_entries(&old, set)[i];
			e.parent = number[e.parent];
			ok = vec_add(&s.next, e);
		}
		number[set] = ok ? intern(a, s.next.at, s.next.n) : SET_FAILED;
		ok = number[set] != SET_FAILED;
	}
	if (!ok) { // as it was
		vec_free(&a->entries), vec_free(&a->sets), vec_free(&a->rows_of), vec_free(&a->trans);
		heap_give(a->slots);
		*a = old;
		heap_give(number);
		return fail_memory();
	}
	for (uint32_t i = 0; i < n_keep; i++) *keep[i] = number[*keep[i]];
	vec_free(&old.entries), vec_free(&old.sets), vec_free(&old.rows_of), vec_free(&old.trans);
	heap_give(old.slots), heap_give(number);
	return true;
}
