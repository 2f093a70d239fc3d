// heap.h: memory that can be given back, for a guest whose sequences and grammars come and go.
//
// Blocks of up to half a page have sizes 16, 32, 64, ... and are cut from pages of one size each, with lists of those that
// are free. Larger ones are whole pages, found where enough of them are free in a row. A byte for each page says what it
// holds, so that blocks need no headers. Nothing here fails but for want of memory: then the answer is a null pointer, and
// heap_short remembers it for the message.
#ifndef CONSTRAINT_HEAP_H
#define CONSTRAINT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool heap_short;

// heap_take gives a block of at least so many bytes, zeroed and aligned to 16, or 0.
void *heap_take(uint32_t bytes);

// heap_give takes a block back; a null pointer is ignored.
void heap_give(void *block);

// heap_keep gives whole pages that are never given back: for what is large and stays.
void *heap_keep(uint32_t bytes);

// heap_reserve takes memory from the host ahead of time, as growing may cost the host a copy of all that there is.
void heap_reserve(uint32_t bytes);

// heap_used counts the bytes of blocks that are taken.
uint32_t heap_used(void);

// A vec is an array that grows: data, its elements in use and the room for them.
#define VEC(type)       \
	struct {              \
		type *at;           \
		uint32_t n, cap;    \
	}

// heap_grow makes room for n elements of that size behind *at; it keeps the first `used`.
bool heap_grow(void **at, uint32_t *cap, uint32_t used, uint32_t n, uint32_t size);

// vec_room makes room for `more` further elements, vec_add appends one. They are false for want of memory.
#define vec_room(v, more) ((v)->n + (uint64_t)(more) <= (v)->cap || heap_grow((void **)&(v)->at, &(v)->cap, (v)->n, (v)->n + (more), sizeof *(v)->at))
#define vec_add(v, ...) (vec_room(v, 1) && ((v)->at[(v)->n++] = (__VA_ARGS__), true))
#define vec_free(v) (heap_give((v)->at), (v)->at = 0, (v)->n = (v)->cap = 0)

#endif
