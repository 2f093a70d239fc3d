// merge.h: joins neighbouring symbols of a text, the pair with the lowest priority number first and the leftmost of equals,
// until no pair can be joined. The including file defines
//
//     static uint32_t join(const uint8_t *text, uint32_t a, uint32_t b, uint32_t c, uint32_t left, uint32_t right, uint32_t *id)
//
// which gives the priority of joining the symbols text[a:b] and text[b:c] with ids left and right, and the id of the whole,
// or NONE.
#ifndef TOKENIZER_MERGE_H
#define TOKENIZER_MERGE_H

#include "memory.h"

#define SHORT 64                // symbols of a text that is merged by scanning
#define LONG (1024 * 1024 + 64) // symbols of the longest text

static uint32_t join(const uint8_t *text, uint32_t a, uint32_t b, uint32_t c, uint32_t left, uint32_t right, uint32_t *id);

// The symbols of one text: symbol i is text[start[i]:start[i+1]] in short_*, text[start[i]:start[next[i]]] in long_*.
static uint32_t short_start[SHORT + 1], short_id[SHORT + 1];

// merge_short merges n symbols in short_start and short_id and gives the number that is left.
static uint32_t merge_short(const uint8_t *text, uint32_t n) {
	static uint32_t priority[SHORT], joined[SHORT];
	uint32_t *start = short_start, *id = short_id;
	for (uint32_t i = 0; i + 1 < n; i++) priority[i] = join(text, start[i], start[i + 1], start[i + 2], id[i], id[i + 1], &joined[i]);
	while (n > 1) {
		uint32_t best = NONE, at = 0;
		for (uint32_t i = 0; i + 1 < n; i++)
			if (priority[i] < best) best = priority[i], at = i;
		if (best == NONE) break;
		id[at] = joined[at];
		n--;
		for (uint32_t i = at + 1; i < n; i++) start[i] = start[i + 1], id[i] = id[i + 1], priority[i - 1] = priority[i], joined[i - 1] = joined[i];
		start[n] = start[n + 1];
		if (at) priority[at - 1] = join(text, start[at - 1], start[at], start[at + 1], id[at - 1], id[at], &joined[at - 1]);
		if (at + 1 < n) priority[at] = join(text, start[at], start[at + 1], start[at + 2], id[at], id[at + 1], &joined[at]);
	}
	return n;
}

// A longer text has linked symbols and a heap of pairs; a pair is stale when its symbols have grown since.
struct pair {
	uint64_t key; // priority, then the left symbol's index
	uint32_t size, id;
};
static struct {
	uint32_t cap;
	uint32_t *start, *id, *next, *prev; // start[n] is the end of the text
	struct pair *heap;
	uint32_t n_heap, n;
} large;

// large_room makes room for n symbols.
static bool large_room(uint32_t n) {
	if (n <= large.cap) return true;
	uint32_t cap = n <= 8192 ? 8192 : n <= 131072 ? 131072 : LONG;
	if (n > cap) return false;
	if (!reserve(cap * (4 * 4 + 3 * (uint32_t)sizeof(struct pair)) + 1024)) return false;
	large.start = take((cap + 1) * 4);
	large.id = take(cap * 4);
	large.next = take(cap * 4);
	large.prev = take(cap * 4);
	large.heap = take(3 * cap * (uint32_t)sizeof(struct pair));
	if (!large.heap) return false;
	large.cap = cap;
	return true;
}

static void heap_push(struct pair p) {
	uint32_t i = large.n_heap++;
	while (i && large.heap[(i - 1) / 2].key > p.key) large.heap[i] = large.heap[(i - 1) / 2], i = (i - 1) / 2;
	large.heap[i] = p;
}

static struct pair heap_pop(void) {
	struct pair top = large.heap[0], last = large.heap[--large.n_heap];
	uint32_t i = 0;
	for (uint32_t child; (child = 2 * i + 1) < large.n_heap; i = child) {
		if (child + 1 < large.n_heap && large.heap[child + 1].key < large.heap[child].key) child++;
		if (large.heap[child].key >= last.key) break;
		large.heap[i] = large.heap[child];
	}
	large.heap[i] = last;
	return top;
}

static void large_pair(const uint8_t *text, uint32_t left) {
	uint32_t right = large.next[left];
	if (right >= large.n) return;
	uint32_t a = large.start[left], b = large.start[right], c = large.start[large.next[right]], id;
	uint32_t priority = join(text, a, b, c, large.id[left], large.id[right], &id);
	if (priority != NONE) heap_push((struct pair){(uint64_t)priority << 32 | left, c - a, id});
}

// merge_large merges n symbols in large.start and large.id; what is left is linked by large.next from symbol 0 to n.
static void merge_large(const uint8_t *text, uint32_t n) {
	large.n = n, large.n_heap = 0;
	for (uint32_t i = 0; i < n; i++) large.next[i] = i + 1, large.prev[i] = i - 1;
	for (uint32_t i = 0; i + 1 < n; i++) large_pair(text, i);
	while (large.n_heap) {
		struct pair p = heap_pop();
		uint32_t left = (uint32_t)p.key, right = large.next[left];
		// A symbol that was joined to its left has next 0.
		if (right == 0 || right >= n || large.start[large.next[right]] - large.start[left] != p.size) continue;
		large.id[left] = p.id;
		uint32_t next = large.next[right];
		large.next[left] = next, large.next[right] = 0;
		if (next < n) large.prev[next] = left;
		if (left) large_pair(text, large.prev[left]);
		large_pair(text, left);
	}
}

#endif
