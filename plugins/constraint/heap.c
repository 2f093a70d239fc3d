#include "heap.h"

#include "../sdk/c/guest.h"

enum {
	SMALLEST = 4,          // log2 of the smallest block
	PAGE = 16,             // log2 of a page
	SIZES = 28,            // log2 of the largest block is below this
	MOST_PAGES = 16384,    // 1 GiB
	GROWTH = 16,           // pages asked for at once
};

typedef struct block {
	struct block *next;
} block;

static block *free_blocks[SIZES];
static uint8_t page_size[MOST_PAGES]; // log2 of the blocks that begin in a page
static uint8_t *spare, *spare_end;    // pages not given out yet
static uint32_t used;
bool heap_short;

// pages gives n fresh pages, or 0.
static uint8_t *pages(uint32_t n) {
	uint32_t bytes = n << PAGE;
	if ((uint32_t)(spare_end - spare) < bytes) {
		uint8_t *p = forge_grow(bytes > GROWTH << PAGE ? bytes : GROWTH << PAGE);
		uint32_t got = bytes > GROWTH << PAGE ? bytes : GROWTH << PAGE;
		if (!p) p = forge_grow(got = bytes); // near the limit: what is needed and no more
		if (!p || ((uint32_t)(uintptr_t)p + got) >> PAGE > MOST_PAGES) {
			heap_short = true;
			return 0;
		}
		if (p != spare_end) spare = p;
		spare_end = p + got;
	}
	uint8_t *p = spare;
	spare += bytes;
	return p;
}

static uint32_t size_of(uint32_t bytes) {
	uint32_t size = SMALLEST;
	while (size < SIZES && (1u << size) < bytes) size++;
	return size;
}

void *heap_take(uint32_t bytes) {
	uint32_t size = size_of(bytes);
	if (size >= SIZES) {
		heap_short = true;
		return 0;
	}
	block *b = free_blocks[size];
	if (b) {
		free_blocks[size] = b->next;
	} else if (size >= PAGE) {
		b = (block *)pages(1u << (size - PAGE));
		if (!b) return 0;
		page_size[(uintptr_t)b >> PAGE] = (uint8_t)size;
	} else {
		uint8_t *p = pages(1);
		if (!p) return 0;
		page_size[(uintptr_t)p >> PAGE] = (uint8_t)size;
		for (uint32_t at = 1u << size; at < 1u << PAGE; at += 1u << size) {
			block *rest = (block *)(p + at);
			rest->next = free_blocks[size];
			free_blocks[size] = rest;
		}
		b = (block *)p;
	}
	used += 1u << size;
	__builtin_memset(b, 0, 1u << size);
	return b;
}

void heap_give(void *p) {
	if (!p) return;
	uint32_t size = page_size[(uintptr_t)p >> PAGE];
	block *b = p;
	b->next = free_blocks[size];
	free_blocks[size] = b;
	used -= 1u << size;
}

void *heap_keep(uint32_t bytes) {
	void *p = forge_grow(bytes);
	if (!p) heap_short = true;
	return p;
}

void heap_reserve(uint32_t bytes) {
	if ((uint32_t)(spare_end - spare) >= bytes) return;
	uint8_t *p = forge_grow(bytes);
	if (!p || ((uint32_t)(uintptr_t)p + bytes) >> PAGE > MOST_PAGES) return;
	if (p != spare_end) spare = p;
	spare_end = p + bytes;
}

uint32_t heap_used(void) { return used; }

bool heap_grow(void **at, uint32_t *cap, uint32_t kept, uint32_t n, uint32_t size) {
	uint64_t bytes = (uint64_t)n * size;
	if (bytes < 2 * (uint64_t)*cap * size) bytes = 2 * (uint64_t)*cap * size;
	if (bytes >> SIZES) bytes = (uint64_t)n * size;
	void *p = bytes >> SIZES ? 0 : heap_take((uint32_t)bytes);
	if (!p) {
		heap_short = true;
		return false;
	}
	if (kept) __builtin_memcpy(p, *at, kept * size);
	heap_give(*at);
	*at = p;
	*cap = (1u << size_of((uint32_t)bytes)) / size;
	return true;
}
