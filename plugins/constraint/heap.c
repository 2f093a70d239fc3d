#include "heap.h"

#include "../sdk/c/guest.h"

enum {
	SMALLEST = 4,       // log2 of the smallest block
	PAGE = 16,          // log2 of a page
	LARGEST = 1 << 28,  // bytes of the largest block
	MOST_PAGES = 16384, // 1 GiB
	GROWTH = 16,        // pages asked for at once
};

// What a page holds: nothing of ours, nothing yet, small blocks (log2 of their size), the beginning of a large block, more
// of it.
enum { PAGE_FOREIGN = 0, PAGE_FREE = 1, PAGE_LARGE = 32, PAGE_MORE = 33 };

typedef struct block {
	struct block *next;
} block;

static block *free_blocks[PAGE];
static uint8_t holds[MOST_PAGES + 1];
static uint32_t first_free = MOST_PAGES, end_page; // no free page is before the one or behind the other
static uint32_t used;
bool heap_short;

// grow asks the host for n pages.
static bool grow(uint32_t n) {
	uint8_t *p = forge_grow(n << PAGE);
	uint32_t at = (uint32_t)((uintptr_t)p >> PAGE);
	if (!p || at + n > MOST_PAGES) return false;
	__builtin_memset(holds + at, PAGE_FREE, n);
	if (at < first_free) first_free = at;
	end_page = at + n;
	return true;
}

// run finds n free pages in a row.
static uint32_t run(uint32_t n) {
	uint32_t length = 0;
	while (first_free < end_page && holds[first_free] != PAGE_FREE) first_free++;
	for (uint32_t at = first_free; at < end_page; at++) {
		length = holds[at] == PAGE_FREE ? length + 1 : 0;
		if (length == n) return at - n + 1;
	}
	return MOST_PAGES;
}

// pages gives n pages in a row, or 0.
static void *pages(uint32_t n, uint8_t kind) {
	uint32_t at = run(n), last = 0; // free pages at the end
	while (at == MOST_PAGES && end_page > last && holds[end_page - last - 1] == PAGE_FREE) last++;
	// Near the limit what is needed and no more.
	if (at == MOST_PAGES && (grow(n > GROWTH ? n : GROWTH) || grow(n - last))) at = run(n);
	if (at == MOST_PAGES) {
		heap_short = true;
		return 0;
	}
	holds[at] = kind;
	if (n > 1) __builtin_memset(holds + at + 1, PAGE_MORE, n - 1);
	return (void *)((uintptr_t)at << PAGE);
}

static uint32_t class_of(uint32_t bytes) {
	uint32_t size = SMALLEST;
	while ((1u << size) < bytes) size++;
	return size;
}

// room is how many bytes a block has that is asked for so many.
static uint32_t room(uint32_t bytes) {
	return bytes > 1u << (PAGE - 1) ? (bytes + (1u << PAGE) - 1) & ~((1u << PAGE) - 1) : 1u << class_of(bytes);
}

void *heap_take(uint32_t bytes) {
	if (bytes > LARGEST) {
		heap_short = true;
		return 0;
	}
	uint32_t size = room(bytes);
	block *b;
	if (size >> PAGE) {
		b = pages(size >> PAGE, PAGE_LARGE);
	} else {
		uint32_t class = class_of(bytes);
		if (!free_blocks[class]) {
			uint8_t *p = pages(1, (uint8_t)class);
			for (uint32_t at = 0; p && at < 1u << PAGE; at += size) {
				block *rest = (block *)(p + at);
				rest->next = free_blocks[class];
				free_blocks[class] = rest;
			}
		}
		if ((b = free_blocks[class])) free_blocks[class] = b->next;
	}
	if (!b) return 0;
	used += size;
	__builtin_memset(b, 0, size);
	return b;
}

void heap_give(void *p) {
	if (!p) return;
	uint32_t at = (uint32_t)((uintptr_t)p >> PAGE);
	if (holds[at] != PAGE_LARGE) {
		block *b = p;
		b->next = free_blocks[holds[at]];
		free_blocks[holds[at]] = b;
		used -= 1u << holds[at];
		return;
	}
	if (at < first_free) first_free = at;
	do holds[at++] = PAGE_FREE, used -= 1u << PAGE;
	while (holds[at] == PAGE_MORE);
}

void *heap_keep(uint32_t bytes) {
	void *p = forge_grow(bytes);
	if (!p) heap_short = true;
	return p;
}

void heap_reserve(uint32_t bytes) { grow(bytes >> PAGE); }

uint32_t heap_used(void) { return used; }

bool heap_grow(void **at, uint32_t *cap, uint32_t kept, uint32_t n, uint32_t size) {
	uint64_t bytes = (uint64_t)n * size;
	if (bytes < 2 * (uint64_t)*cap * size) bytes = 2 * (uint64_t)*cap * size;
	if (bytes > LARGEST) bytes = (uint64_t)n * size;
	void *p = bytes > LARGEST ? 0 : heap_take((uint32_t)bytes);
	if (!p) {
		heap_short = true;
		return false;
	}
	if (kept) __builtin_memcpy(p, *at, kept * size);
	heap_give(*at);
	*at = p;
	*cap = room((uint32_t)bytes) / size;
	return true;
}
