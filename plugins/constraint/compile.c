// compile.c: from a grammar's trees to its automaton. Each rule becomes nodes and edges (Thompson's construction); then
// what can never come to an end is cut off, so that every place of the automaton can be completed; rules that may be
// empty get an edge that skips their call, so that a rule that was called ends only after it has read something; and
// rules are put in an order in which callers stand before what they call first, which left recursion makes impossible.
#include "automaton.h"

enum { UNROLL = 64, MOST_NODES = 1 << 21, EMIT_DEPTH = 8 * MAX_DEPTH };

typedef struct {
	edge e;
	uint32_t next;
} link;

typedef struct {
	automaton *a;
	ir *g;
	VEC(uint32_t) heads;   // of each node's list of links, 0: none
	VEC(uint32_t) rule_of; // of each node
	VEC(link) links;
	VEC(uint32_t) ends;    // the final node of each rule
	VEC(uint32_t) bodies;  // ir node of each rule
	VEC(uint32_t) wanted;  // rules to emit
	uint32_t rule;         // that is being emitted
	bool failed;
} builder;

static uint32_t new_node(builder *b) {
	if (b->heads.n >= MOST_NODES) refuse("the grammar is too large: its automaton has more than ", decimal(MOST_NODES), " nodes");
	if (b->heads.n >= MOST_NODES || !vec_add(&b->heads, 0) || !vec_add(&b->rule_of, b->rule)) {
		b->failed = true;
		return 0;
	}
	return b->heads.n - 1;
}

static void add_edge(builder *b, uint32_t from, edge e) {
	if (b->failed || !vec_add(&b->links, (link){e, b->heads.at[from]})) {
		b->failed = true;
		return;
	}
	b->heads.at[from] = b->links.n - 1;
}

static void skip(builder *b, uint32_t from, uint32_t to) {
	if (from != to) add_edge(b, from, (edge){.kind = EDGE_SKIP, .to = to});
}

static void read_byte(builder *b, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to) {
	add_edge(b, from, (edge){.kind = EDGE_BYTE, .lo = (uint8_t)lo, .hi = (uint8_t)hi, .to = to});
}

// rest gives the node from which n continuation bytes of UTF-8, whatever they are, lead to `to`; nodes keeps those made.
static uint32_t rest(builder *b, uint32_t n, uint32_t to, uint32_t nodes[4]) {
	if (n == 0) return to;
	if (!nodes[n]) {
		nodes[n] = new_node(b);
		read_byte(b, nodes[n], 0x80, 0xBF, rest(b, n - 1, to, nodes));
	}
	return nodes[n];
}

static bool all_are(const uint8_t *p, uint32_t n, uint8_t byte) {
	for (uint32_t i = 0; i < n; i++)
		if (p[i] != byte) return false;
	return true;
}

// between adds the edges for the encodings from lo to hi, both n bytes long.
static void between(builder *b, uint32_t from, const uint8_t *lo, const uint8_t *hi, uint32_t n, uint32_t to, uint32_t nodes[4]) {
	static const uint8_t low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xBF, 0xBF, 0xBF, 0xBF};
	if (n == 1) {
		read_byte(b, from, lo[0], hi[0], to);
		return;
	}
	uint32_t first = lo[0], last = hi[0];
	bool whole_lo = all_are(lo + 1, n - 1, 0x80), whole_hi = all_are(hi + 1, n - 1, 0xBF);
	if (first == last && !(whole_lo && whole_hi)) {
		uint32_t mid = new_node(b);
		read_byte(b, from, first, first, mid);
		between(b, mid, lo + 1, hi + 1, n - 1, to, nodes);
		return;
	}
	if (!whole_lo) {
		uint32_t mid = new_node(b);
		read_byte(b, from, first, first, mid);
		between(b, mid, lo + 1, high, n - 1, to, nodes);
		first++;
	}
	if (!whole_hi) {
		uint32_t mid = new_node(b);
		read_byte(b, from, last, last, mid);
		between(b, mid, low, hi + 1, n - 1, to, nodes);
		last--;
	}
	if (first <= last) read_byte(b, from, first, last, rest(b, n - 1, to, nodes));
}

static void emit_class(builder *b, const ir_node *n, uint32_t from, uint32_t to) {
	static const uint32_t bounds[5] = {0, 0x80, 0x800, 0x10000, MAX_CHAR + 1};
	uint32_t nodes[4] = {0};
	for (uint32_t i = 0; i < n->b; i++) {
		char_range r = b->g->ranges.at[n->a + i];
		for (uint32_t size = 1; size <= 4; size++) {
			uint32_t lo = r.lo > bounds[size - 1] ? r.lo : bounds[size - 1];
			uint32_t hi = r.hi < bounds[size] - 1 ? r.hi : bounds[size] - 1;
			if (lo > hi) continue;
			uint8_t first[4], last[4];
			utf8_encode(lo, first), utf8_encode(hi, last);
			between(b, from, first, last, size, to, nodes);
		}
	}
}

// cost is about how many nodes a tree becomes, at most UNROLL + 1.
static uint32_t cost(const ir *g, uint32_t at) {
	const ir_node *n = &g->nodes.at[at];
	uint64_t sum = 0;
	switch (n->kind) {
	case IR_BYTES: sum = n->b; break;
	case IR_CLASS: sum = g->ranges.at[n->a + n->b - 1].hi < 0x80 ? 1 : 8; break;
	case IR_RULE: sum = 1; break;
	case IR_REPEAT: sum = (uint64_t)cost(g, n->a) * (n->c != UNBOUNDED ? n->c : n->b ? n->b : 1); break;
	case IR_SEQUENCE:
	case IR_CHOICE:
		for (uint32_t i = n->a; i && sum <= UNROLL; i = g->nodes.at[i].next) sum += cost(g, i);
	}
	return sum > UNROLL ? UNROLL + 1 : (uint32_t)sum;
}

static uint32_t new_rule(builder *b, uint32_t body) {
	if (!vec_add(&b->bodies, body) || !vec_add(&b->ends, 0) || !vec_add(&b->a->rules, (automaton_rule){0})) {
		b->failed = true;
		return 0;
	}
	return b->bodies.n - 1;
}

// want has a rule emitted.
static void want(builder *b, uint32_t rule) {
	if (b->failed || b->a->rules.at[rule].start) return;
	uint32_t within = b->rule;
	b->rule = rule;
	b->a->rules.at[rule].start = new_node(b);
	b->ends.at[rule] = new_node(b);
	b->rule = within;
	if (!vec_add(&b->wanted, rule)) b->failed = true;
}

static void emit(builder *b, uint32_t at, uint32_t from, uint32_t to, uint32_t depth);

// ---- many texts --------------------------------------------------------------------------------------------------------
//
// Of a choice between many texts, those that begin alike share nodes: else the automaton would stand in as many places as
// there are texts.

enum { FEW_TEXTS = 8, MOST_FORKS = 64 };

typedef struct {
	const uint8_t *at;
	uint32_t n;
} text;

static int compare_texts(const text *a, const text *b) {
	int order = __builtin_memcmp(a->at, b->at, a->n < b->n ? a->n : b->n);
	return order ? order : a->n < b->n ? -1 : a->n > b->n;
}

static void sort_texts(text *p, uint32_t n) {
	uint32_t gap = 1;
	while (gap < n / 3) gap = 3 * gap + 1;
	for (; gap; gap /= 3) {
		for (uint32_t i = gap; i < n; i++) {
			text x = p[i];
			uint32_t j = i;
			for (; j >= gap && compare_texts(&x, &p[j - gap]) < 0; j -= gap) p[j] = p[j - gap];
			p[j] = x;
		}
	}
}

static void emit_text(builder *b, const uint8_t *at, uint32_t n, uint32_t from, uint32_t to) {
	for (uint32_t i = 0; i < n && !b->failed; i++) {
		uint32_t next = i + 1 == n ? to : new_node(b);
		read_byte(b, from, at[i], at[i], next);
		from = next;
	}
	if (n == 0) skip(b, from, to);
}

// emit_texts reads one of some sorted texts, of which the first `depth` bytes were read.
static void emit_texts(builder *b, const text *p, uint32_t n, uint32_t depth, uint32_t from, uint32_t to, uint32_t forks) {
	for (uint32_t i = 0, next; i < n && !b->failed; i = next) {
		if (p[i].n == depth) {
			skip(b, from, to);
			next = i + 1;
			continue;
		}
		for (next = i + 1; next < n && p[next].at[depth] == p[i].at[depth]; next++) {}
		if (next == i + 1 || forks == MOST_FORKS) {
			for (uint32_t k = i; k < next; k++) emit_text(b, p[k].at + depth, p[k].n - depth, from, to);
			continue;
		}
		// As far as all go the same way there is one.
		uint32_t at = from, way = depth;
		do {
			uint32_t mid = new_node(b);
			read_byte(b, at, p[i].at[way], p[i].at[way], mid);
			at = mid, way++;
		} while (!b->failed && p[i].n > way && p[next - 1].at[way] == p[i].at[way]);
		emit_texts(b, p + i, next - i, way, at, to, forks + 1);
	}
}

// take_texts emits the texts of a choice, if they are many, and says so: then the other alternatives are left.
static bool take_texts(builder *b, uint32_t first, uint32_t from, uint32_t to) {
	VEC(text) texts = {0};
	uint32_t n = 0;
	for (uint32_t i = first; i; i = b->g->nodes.at[i].next) n += b->g->nodes.at[i].kind == IR_BYTES;
	if (n < FEW_TEXTS || !vec_room(&texts, n)) return false;
	for (uint32_t i = first; i; i = b->g->nodes.at[i].next) {
		const ir_node *t = &b->g->nodes.at[i];
		if (t->kind == IR_BYTES) texts.at[texts.n++] = (text){b->g->bytes.at + t->a, t->b};
	}
	sort_texts(texts.at, n);
	emit_texts(b, texts.at, n, 0, from, to, 0);
	vec_free(&texts);
	return true;
}

// emit_loop reads `what` once or more.
static void emit_loop(builder *b, uint32_t what, uint32_t from, uint32_t to, uint32_t depth) {
	uint32_t begin = new_node(b), end = new_node(b);
	skip(b, from, begin);
	emit(b, what, begin, end, depth);
	skip(b, end, begin);
	skip(b, end, to);
}

static void emit_repeat(builder *b, const ir_node *n, uint32_t from, uint32_t to, uint32_t depth) {
	uint32_t what = n->a, least = n->b, most = n->c;
	if (most == UNBOUNDED && least <= 1) {
		if (least == 0) skip(b, from, to);
		emit_loop(b, what, from, to, depth);
		return;
	}
	if ((uint64_t)cost(b->g, what) * (most == UNBOUNDED ? least : most) > UNROLL) {
		repeat r = {.rule = new_rule(b, what), .least = least, .most = most};
		want(b, r.rule);
		if (!vec_add(&b->a->repeats, r)) b->failed = true;
		uint32_t loop = new_node(b);
		skip(b, from, loop);
		add_edge(b, loop, (edge){.kind = EDGE_REPEAT, .to = to, .arg = b->a->repeats.n - 1});
		return;
	}
	for (uint32_t i = 1; i < least; i++) {
		uint32_t next = new_node(b);
		emit(b, what, from, next, depth);
		from = next;
	}
	if (most == UNBOUNDED) {
		emit_loop(b, what, from, to, depth);
		return;
	}
	for (uint32_t i = least ? least : 1; i <= most; i++) {
		if (i > least) skip(b, from, to);
		uint32_t next = i == most ? to : new_node(b);
		emit(b, what, from, next, depth);
		from = next;
	}
}

static void emit(builder *b, uint32_t at, uint32_t from, uint32_t to, uint32_t depth) {
	if (b->failed) return;
	if (depth > EMIT_DEPTH) {
		b->failed = true;
		refuse("the grammar is nested too deep");
		return;
	}
	ir_node n = b->g->nodes.at[at];
	switch (n.kind) {
	case IR_EMPTY: skip(b, from, to); break;
	case IR_CLASS: emit_class(b, &n, from, to); break;
	case IR_REPEAT: emit_repeat(b, &n, from, to, depth + 1); break;
	case IR_BYTES: emit_text(b, b->g->bytes.at + n.a, n.b, from, to); break;
	case IR_SEQUENCE:
		for (uint32_t i = n.a; i; i = b->g->nodes.at[i].next) {
			uint32_t next = b->g->nodes.at[i].next ? new_node(b) : to;
			emit(b, i, from, next, depth + 1);
			from = next;
		}
		break;
	case IR_CHOICE: {
		bool taken = take_texts(b, n.a, from, to);
		for (uint32_t i = n.a; i; i = b->g->nodes.at[i].next)
			if (!taken || b->g->nodes.at[i].kind != IR_BYTES) emit(b, i, from, to, depth + 1);
		break;
	}
	case IR_RULE:
		want(b, n.a);
		add_edge(b, from, (edge){.kind = EDGE_CALL, .to = to, .arg = n.a});
	}
}

// ---- which rules may be empty, which can end -----------------------------------------------------------------------

static bool is_end(const builder *b, uint32_t node) { return b->ends.at[b->rule_of.at[node]] == node; }

// spread marks the rules whose end is reached from their start over edges that skip and over calls and repeats of marked
// rules and, with bytes, over edges that read. The marks are the caller's to give back.
static uint8_t *spread(builder *b, bool bytes) {
	uint32_t n = b->heads.n, n_rules = b->bodies.n;
	uint8_t *done = heap_take(n_rules), *reached = heap_take(n);
	uint32_t *waiting = heap_take(4 * n_rules), *next = heap_take(4 * b->links.n); // links that wait for a rule
	VEC(uint32_t) queue = {0};
	bool ok = done && reached && waiting && next;
#define REACH(node) (reached[node] || (reached[node] = 1, vec_add(&queue, node)))
	for (uint32_t r = 0; ok && r < n_rules; r++)
		if (b->a->rules.at[r].start) ok = REACH(b->a->rules.at[r].start);
	while (ok && queue.n) {
		uint32_t node = queue.at[--queue.n];
		if (is_end(b, node)) {
			uint32_t r = b->rule_of.at[node];
			done[r] = 1;
			for (uint32_t i = waiting[r]; ok && i; i = next[i]) ok = REACH(b->links.at[i].e.to);
			waiting[r] = 0;
		}
		for (uint32_t i = b->heads.at[node]; ok && i; i = b->links.at[i].next) {
			edge e = b->links.at[i].e;
			uint32_t rule = e.kind == EDGE_REPEAT ? b->a->repeats.at[e.arg].rule : e.arg;
			bool go = e.kind == EDGE_SKIP || (e.kind == EDGE_BYTE && bytes) || (e.kind == EDGE_CALL && done[rule]) ||
				(e.kind == EDGE_REPEAT && (done[rule] || b->a->repeats.at[e.arg].least == 0));
			if (go) ok = REACH(e.to);
			else if (e.kind != EDGE_BYTE) next[i] = waiting[rule], waiting[rule] = i;
		}
	}
#undef REACH
	vec_free(&queue);
	heap_give(reached), heap_give(waiting), heap_give(next);
	if (!ok) b->failed = true;
	return done;
}

// alive marks the nodes from which their rule's end can be reached; ends says which rules have one.
static uint8_t *alive(builder *b, const uint8_t *ends) {
	uint32_t n = b->heads.n;
	uint8_t *marks = heap_take(n);
	uint32_t *into = heap_take(4 * n), *next = heap_take(4 * b->links.n), *from = heap_take(4 * b->links.n); // links by their target
	VEC(uint32_t) queue = {0};
	bool ok = marks && into && next && from;
	for (uint32_t node = 1; ok && node < n; node++) {
		for (uint32_t i = b->heads.at[node]; i; i = b->links.at[i].next) {
			edge e = b->links.at[i].e;
			if (e.kind == EDGE_CALL && !ends[e.arg]) continue;
			if (e.kind == EDGE_REPEAT && b->a->repeats.at[e.arg].least && !ends[b->a->repeats.at[e.arg].rule]) continue;
			from[i] = node, next[i] = into[e.to], into[e.to] = i;
		}
		if (is_end(b, node)) marks[node] = 1, ok = vec_add(&queue, node);
	}
	while (ok && queue.n)
		for (uint32_t i = into[queue.at[--queue.n]]; ok && i; i = next[i])
			if (!marks[from[i]]) marks[from[i]] = 1, ok = vec_add(&queue, from[i]);
	vec_free(&queue);
	heap_give(into), heap_give(next), heap_give(from);
	if (!ok) b->failed = true;
	return marks;
}

// forward follows a node from which one edge leads that reads nothing.
static uint32_t forward(const builder *b, uint32_t node) {
	for (uint32_t steps = 0; steps < 64 && !is_end(b, node); steps++) {
		uint32_t i = b->heads.at[node];
		if (!i || b->links.at[i].next || b->links.at[i].e.kind != EDGE_SKIP) break;
		node = b->links.at[i].e.to;
	}
	return node;
}

// finish copies what is alive into the automaton.
static void finish(builder *b) {
	automaton *a = b->a;
	uint8_t *empty = b->failed ? 0 : spread(b, false), *ends = b->failed ? 0 : spread(b, true), *live = b->failed ? 0 : alive(b, ends);
	for (uint32_t i = 0; !b->failed && i < a->repeats.n; i++)
		if (empty[a->repeats.at[i].rule]) a->repeats.at[i].least = 0;
	for (uint32_t r = 0; !b->failed && r < b->bodies.n; r++)
		if (a->rules.at[r].start && !live[a->rules.at[r].start]) a->rules.at[r].start = 0;
	if (!b->failed && !a->rules.at[a->root].start) {
		b->failed = true;
		refuse("no text fits: whatever is begun can never be completed");
	}
	for (uint32_t node = 0; !b->failed && node < b->heads.n; node++) {
		automaton_node n = {.first = a->edges.n, .flags = node && is_end(b, node) ? NODE_FINAL : 0};
		bool ok = true;
		for (uint32_t i = b->heads.at[node]; ok && i && live[node]; i = b->links.at[i].next) {
			edge e = b->links.at[i].e;
			if (!live[e.to]) continue;
			e.to = forward(b, e.to);
			if (e.kind == EDGE_REPEAT && !ends[a->repeats.at[e.arg].rule]) e.kind = EDGE_SKIP;
			if (e.kind == EDGE_REPEAT) n.flags |= NODE_REPEAT;
			if (e.kind == EDGE_CALL && !ends[e.arg]) continue;
			ok = vec_add(&a->edges, e) && (e.kind != EDGE_CALL || !empty[e.arg] || vec_add(&a->edges, (edge){.kind = EDGE_SKIP, .to = e.to}));
		}
		if (!ok || !vec_add(&a->nodes, n)) b->failed = true;
	}
	if (!b->failed && !vec_add(&a->nodes, (automaton_node){.first = a->edges.n})) b->failed = true;
	heap_give(empty), heap_give(ends), heap_give(live);
}

// ---- order of rules, bytes that they begin with -----------------------------------------------------------------------

// A visit of leading: what it does with an edge that can be taken before a byte was read.
typedef struct {
	automaton *a;
	uint32_t *seen; // the last visit of each node
	uint32_t visit;
	VEC(uint32_t) queue;
	VEC(uint32_t) called;
	uint32_t first[8];
} leading;

// lead collects the rules that a node calls, and the bytes it reads, before anything is read.
static bool lead(leading *l, uint32_t from) {
	l->visit++;
	l->queue.n = l->called.n = 0;
	__builtin_memset(l->first, 0, sizeof l->first);
	if (!vec_add(&l->queue, from)) return false;
	while (l->queue.n) {
		uint32_t node = l->queue.at[--l->queue.n];
		if (l->seen[node] == l->visit) continue;
		l->seen[node] = l->visit;
		for (uint32_t i = l->a->nodes.at[node].first; i < l->a->nodes.at[node + 1].first; i++) {
			edge e = l->a->edges.at[i];
			repeat r = e.kind == EDGE_REPEAT ? l->a->repeats.at[e.arg] : (repeat){0};
			if ((e.kind == EDGE_SKIP || (e.kind == EDGE_REPEAT && r.least == 0)) && !vec_add(&l->queue, e.to)) return false;
			if (e.kind == EDGE_CALL && !vec_add(&l->called, e.arg)) return false;
			if (e.kind == EDGE_REPEAT && !vec_add(&l->called, r.rule)) return false;
			if (e.kind == EDGE_BYTE)
				for (uint32_t c = e.lo; c <= e.hi; c++) l->first[c / 32] |= 1u << c % 32;
		}
	}
	return true;
}

// left_recursion names a rule of a circle.
static bool left_recursion(const builder *b, uint32_t rule) {
	const ir_rule *r = rule < b->g->rules.n ? &b->g->rules.at[rule] : 0;
	if (!r || !r->name_n) return refuse("the grammar has left recursion: a rule calls itself before it has read anything; write it as a repetition");
	return refuse("rule ", quoted(b->g->bytes.at + r->name, r->name_n), " calls itself before it has read anything (left recursion): write it as a repetition");
}

typedef struct {
	uint32_t rule, next, end; // of its calls in the list
} frame;

// order numbers the rules, callers before what they call first, and gives each rule the bytes it may begin with.
static bool order(builder *b) {
	automaton *a = b->a;
	uint32_t n = a->rules.n, number = n;
	leading l = {.a = a, .seen = heap_take(4 * a->nodes.n)};
	uint8_t *state = heap_take(n); // 1: open, 2: done
	VEC(uint32_t) calls = {0};
	VEC(frame) stack = {0};
	bool ok = l.seen && state;
	for (uint32_t root = 0; ok && root < n; root++) {
		uint32_t opened = state[root] || !a->rules.at[root].start ? UNBOUNDED : root;
		while (ok && (opened != UNBOUNDED || stack.n)) {
			if (opened != UNBOUNDED) {
				state[opened] = 1;
				frame f = {opened, calls.n, 0};
				ok = lead(&l, a->rules.at[opened].start);
				for (uint32_t i = 0; ok && i < l.called.n; i++) ok = vec_add(&calls, l.called.at[i]);
				f.end = calls.n;
				if (ok) __builtin_memcpy(a->rules.at[opened].first, l.first, sizeof l.first);
				ok = ok && vec_add(&stack, f);
				opened = UNBOUNDED;
				continue;
			}
			frame *f = &stack.at[stack.n - 1];
			if (f->next == f->end) {
				automaton_rule *r = &a->rules.at[f->rule];
				r->order = --number;
				state[f->rule] = 2;
				calls.n = --stack.n ? stack.at[stack.n - 1].end : 0;
				continue;
			}
			uint32_t callee = calls.at[f->next++];
			if (state[callee] == 1) ok = left_recursion(b, callee);
			else if (!state[callee]) opened = callee;
		}
		stack.n = calls.n = 0;
	}
	// Callees have higher numbers: from the last to the first, each rule's bytes are complete when a caller asks.
	uint32_t *by_order = heap_take(4 * (n + 1));
	ok = ok && by_order;
	for (uint32_t i = 0; ok && i < n; i++)
		if (a->rules.at[i].start) by_order[a->rules.at[i].order] = i + 1;
	for (uint32_t i = n; ok && i--;) {
		if (!by_order[i]) continue;
		automaton_rule *r = &a->rules.at[by_order[i] - 1];
		ok = lead(&l, r->start);
		for (uint32_t c = 0; ok && c < l.called.n; c++)
			for (uint32_t w = 0; w < 8; w++) r->first[w] |= a->rules.at[l.called.at[c]].first[w];
	}
	heap_give(by_order), heap_give(l.seen), heap_give(state);
	vec_free(&l.queue), vec_free(&l.called), vec_free(&calls), vec_free(&stack);
	return ok;
}

// only_final marks the nodes from which the end of the rule is reached and nothing else can be.
static bool only_final(automaton *a) {
	leading l = {.a = a, .seen = heap_take(4 * a->nodes.n)};
	bool ok = l.seen != 0;
	for (uint32_t node = 1; ok && node + 1 < a->nodes.n; node++) {
		bool reads = false;
		for (uint32_t i = a->nodes.at[node].first; i < a->nodes.at[node + 1].first; i++) reads |= a->edges.at[i].kind != EDGE_SKIP;
		if (reads) continue;
		ok = lead(&l, node);
		reads = l.called.n != 0;
		for (uint32_t w = 0; w < 8; w++) reads |= l.first[w] != 0;
		// Every node that is left can reach its rule's end; one that reads and calls nothing has reached it already.
		if (!reads && (a->nodes.at[node].first < a->nodes.at[node + 1].first || a->nodes.at[node].flags & NODE_FINAL))
			a->nodes.at[node].flags |= NODE_ONLY_FINAL;
	}
	heap_give(l.seen), vec_free(&l.queue), vec_free(&l.called);
	return ok;
}

// classes numbers the classes of bytes that no edge tells apart.
static void classes(automaton *a) {
	uint8_t cut[257] = {0};
	for (uint32_t i = 0; i < a->edges.n; i++)
		if (a->edges.at[i].kind == EDGE_BYTE) cut[a->edges.at[i].lo] = cut[a->edges.at[i].hi + 1] = 1;
	uint32_t n = 0;
	for (uint32_t c = 0; c < 256; c++) {
		if (c && cut[c]) n++;
		a->class_of[c] = (uint16_t)(n + ROW_CLASSES);
	}
	a->n_classes = n + 1;
}

bool compile(automaton *a, ir *g, uint32_t root) {
	builder b = {.a = a, .g = g};
	a->root = root;
	bool ok = !g->failed && vec_add(&b.heads, 0) && vec_add(&b.rule_of, 0) && vec_add(&b.links, (link){0});
	for (uint32_t i = 0; ok && i < g->rules.n; i++) {
		new_rule(&b, g->rules.at[i].body);
		ok = !b.failed;
	}
	if (ok) want(&b, root);
	for (uint32_t i = 0; ok && !b.failed && i < b.wanted.n; i++) {
		b.rule = b.wanted.at[i];
		emit(&b, b.bodies.at[b.rule], a->rules.at[b.rule].start, b.ends.at[b.rule], 0);
	}
	ok = ok && !b.failed;
	if (ok) finish(&b);
	ok = ok && !b.failed && order(&b) && only_final(a);
	if (ok) classes(a);
	vec_free(&b.heads), vec_free(&b.rule_of), vec_free(&b.links), vec_free(&b.ends), vec_free(&b.bodies), vec_free(&b.wanted);
	if (!ok) refuse("there is not enough memory for the grammar: raise limits.pages");
	return ok;
}
