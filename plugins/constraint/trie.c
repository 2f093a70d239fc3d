#include "trie.h"

#include "ir.h"

const uint8_t kind_of[128] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	[' '] = 4, ['"'] = 5, ['\\'] = 6, ['0'] = 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, ['A'] = 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
	['a'] = 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
	['_'] = 12, ['-'] = 13, ['.'] = 14, [','] = 15, [':'] = 16, [';'] = 17, ['\''] = 18, ['('] = 19, [')'] = 19, ['{'] = 20, ['}'] = 20, ['['] = 21, [']'] = 21,
	['<'] = 22, ['>'] = 22, ['/'] = 23, ['+'] = 24, ['='] = 25, ['*'] = 26, ['@'] = 27, ['#'] = 27, ['$'] = 27, ['%'] = 27, ['&'] = 27, ['|'] = 27, ['~'] = 27, ['^'] = 27,
	['`'] = 27, ['!'] = 28, ['?'] = 28, [127] = 0,
};

// A token while it is sorted: its first eight bytes as a number that compares as they do.
typedef struct {
	uint64_t key;
	uint32_t id, n;
} item;

static const uint8_t *texts;
static const uint32_t *begins;

static uint64_t key_of(const uint8_t *p, uint32_t n) {
	uint64_t key = 0;
	for (uint32_t i = 0; i < 8; i++) key = key << 8 | (i < n ? p[i] : 0);
	return key;
}

static bool before(const item *a, const item *b) {
	if (a->key != b->key) return a->key < b->key;
	const uint8_t *p = texts + begins[a->id], *q = texts + begins[b->id];
	uint32_t n = a->n < b->n ? a->n : b->n;
	for (uint32_t i = 8; i < n; i++)
		if (p[i] != q[i]) return p[i] < q[i];
	if (a->n != b->n) return a->n < b->n;
	return a->id < b->id;
}

// merge_sort sorts items whose keys are equal; other has as much room.
static void merge_sort(item *items, item *other, uint32_t n) {
	enum { RUN = 12 };
	for (uint32_t from = 0; from < n; from += RUN) {
		uint32_t to = from + RUN < n ? from + RUN : n;
		for (uint32_t i = from + 1; i < to; i++) {
			item x = items[i];
			uint32_t j = i;
			for (; j > from && before(&x, &items[j - 1]); j--) items[j] = items[j - 1];
			items[j] = x;
		}
	}
	item *in = items, *out = other;
	for (uint32_t run = RUN; run < n; run *= 2) {
		for (uint32_t from = 0; from < n; from += 2 * run) {
			uint32_t a = from, mid = from + run < n ? from + run : n, b = mid, to = mid + run < n ? mid + run : n, at = from;
			while (a < mid && b < to) out[at++] = before(&in[b], &in[a]) ? in[b++] : in[a++];
			while (a < mid) out[at++] = in[a++];
			while (b < to) out[at++] = in[b++];
		}
		item *done = out;
		out = in, in = done;
	}
	if (in != items) __builtin_memcpy(items, in, n * sizeof *in);
}

// radix_sort sorts items by their keys, byte by byte from the last.
static void radix_sort(item *items, item *other, uint32_t n) {
	static uint32_t ends[8][256];
	__builtin_memset(ends, 0, sizeof ends);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t b = 0; b < 8; b++) ends[b][items[i].key >> 8 * b & 255]++;
	item *in = items, *out = other;
	for (uint32_t b = 0; b < 8; b++) {
		for (uint32_t c = 0, sum = 0; c < 256; c++) {
			uint32_t size = ends[b][c];
			ends[b][c] = sum;
			sum += size;
		}
		for (uint32_t i = 0; i < n; i++) out[ends[b][in[i].key >> 8 * b & 255]++] = in[i];
		item *done = out;
		out = in, in = done;
	}
}

// sorted puts ids in the order of their pieces and gives their number without those that are left out.
static bool sorted(const uint8_t *pieces, const uint32_t *offsets, uint32_t *ids, uint32_t *n) {
	item *items = heap_take(*n * sizeof *items), *other = heap_take(*n * sizeof *other);
	uint32_t kept = 0;
	if (!items || !other) {
		heap_give(items), heap_give(other);
		return false;
	}
	for (uint32_t i = 0; i < *n; i++) {
		uint32_t size = offsets[ids[i] + 1] - offsets[ids[i]];
		if (size && size <= LONGEST_PIECE) items[kept++] = (item){key_of(pieces + offsets[ids[i]], size), ids[i], size};
	}
	radix_sort(items, other, kept);
	texts = pieces, begins = offsets;
	for (uint32_t from = 0, to; from < kept; from = to) { // texts that begin with the same eight bytes, or end before
		for (to = from + 1; to < kept && items[to].key == items[from].key; to++) {}
		if (to - from > 1) merge_sort(items + from, other + from, to - from);
	}
	for (uint32_t i = 0; i < kept; i++) ids[i] = items[i].id;
	heap_give(items), heap_give(other);
	*n = kept;
	return true;
}

// common is how many bytes two pieces begin with in common.
static uint32_t common(const uint8_t *p, uint32_t n, const uint8_t *q, uint32_t m) {
	uint32_t i = 0;
	while (i < n && i < m && p[i] == q[i]) i++;
	return i;
}

// How many bytes of a character are still to come, and the bounds of the next one.
typedef struct {
	uint8_t left, lo, hi;
} utf8_state;

static utf8_state after_byte(utf8_state at, uint8_t c, bool *broken) {
	if (at.left) {
		*broken = c < at.lo || c > at.hi;
		return (utf8_state){at.left - 1, 0x80, 0xBF};
	}
	*broken = c >= 0x80 && (c < 0xC2 || c > 0xF4);
	if (c < 0x80 || *broken) return (utf8_state){0, 0, 0};
	uint8_t left = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
	return (utf8_state){left, c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF};
}

// characters fills in what characters stand below each node, and how many above.
static void characters(trie *t) {
	// Nodes are taken in their order with a stack of the way down; what is known of a node goes up when it is left.
	struct {
		uint32_t node, kinds, chars;
		utf8_state state;
	} *way = heap_take((t->depth + 1) * sizeof *way);
	uint32_t at = 0;
	if (!way) {
		for (uint32_t i = 0; i < t->n_nodes; i++) t->nodes[i].below = KIND_BROKEN; // slower, no less right
		return;
	}
	for (uint32_t i = 1; i <= t->n_nodes; i++) {
		uint32_t depth = i < t->n_nodes ? t->nodes[i].depth : 0;
		for (; at && (at >= depth); at--) {
			trie_node *n = &t->nodes[way[at].node];
			uint32_t kinds = way[at].kinds, chars = way[at].chars;
			n->below = kinds;
			n->chars = (uint8_t)(chars > MANY_CHARS ? MANY_CHARS : chars);
			bool broken;
			after_byte(way[at - 1].state, n->byte, &broken);
			kinds |= broken ? KIND_BROKEN : n->byte < 0x80 ? 1u << kind_of[n->byte] : KIND_HIGH;
			chars += way[at - 1].state.left == 0; // a character begins here
			way[at - 1].kinds |= kinds;
			if (chars > way[at - 1].chars) way[at - 1].chars = chars;
		}
		if (i == t->n_nodes) break;
		bool broken;
		at = depth;
		uint32_t begun = t->begun[way[at - 1].node] + (way[at - 1].state.left == 0);
		t->begun[i] = (uint8_t)(begun > MANY_CHARS ? MANY_CHARS : begun);
		for (uint32_t k = t->nodes[i].token; k < t->nodes[i + 1].token; k++) t->chars[k] = t->begun[i];
		way[at].node = i, way[at].kinds = way[at].chars = 0;
		way[at].state = after_byte(way[at - 1].state, t->nodes[i].byte, &broken);
	}
	t->nodes[0].below = way[0].kinds;
	t->nodes[0].chars = (uint8_t)(way[0].chars > MANY_CHARS ? MANY_CHARS : way[0].chars);
	heap_give(way);
}

bool trie_build(trie *t, const uint8_t *pieces, const uint32_t *offsets, uint32_t *ids, uint32_t n) {
	if (!sorted(pieces, offsets, ids, &n)) return false;
	const uint8_t *last = 0;
	uint32_t last_n = 0, n_nodes = 1, depth = 0;
	uint16_t *shares = heap_take(n * sizeof *shares); // bytes that each piece begins with as the one before it does
	for (uint32_t i = 0; shares && i < n; i++) { // count first: the array has no room to waste
		const uint8_t *p = pieces + offsets[ids[i]];
		uint32_t size = offsets[ids[i] + 1] - offsets[ids[i]], shared = common(last, last_n, p, size);
		n_nodes += size - shared;
		shares[i] = (uint16_t)shared;
		if (size > depth) depth = size;
		last = p, last_n = size;
	}
	trie_node *nodes = heap_keep((n_nodes + 1) * sizeof *nodes);
	uint8_t *begun = heap_keep(n_nodes + n);
	uint32_t *path = heap_take((depth + 1) * sizeof *path); // the node at each depth
	if (!nodes || !begun || !path || !shares) return false;
	uint32_t made = 1, at = 0; // depth of the last node
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = pieces + offsets[ids[i]];
		uint32_t size = offsets[ids[i] + 1] - offsets[ids[i]];
		for (; at > shares[i]; at--) nodes[path[at]].after = made;
		for (; at < size; at++) {
			nodes[made] = (trie_node){.token = i, .depth = (uint16_t)(at + 1), .byte = p[at]};
			path[at + 1] = made++;
		}
	}
	for (; at; at--) nodes[path[at]].after = made;
	nodes[0] = (trie_node){.after = made};
	nodes[made] = (trie_node){.after = made, .token = n};
	heap_give(path), heap_give(shares);
	*t = (trie){nodes, made, ids, n, depth, begun, begun + n_nodes};
	characters(t);
	return true;
}
