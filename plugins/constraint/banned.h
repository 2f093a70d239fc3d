// banned.h: texts that must not occur in the answer.
//
// The automaton of Aho and Corasick (Efficient string matching, 1975): a node for each beginning of a banned text, and
// from each the node of its longest end that begins one too. Capital and small letters of ASCII count as the same.
#ifndef CONSTRAINT_BANNED_H
#define CONSTRAINT_BANNED_H

#include "heap.h"
#include "refuse.h"

typedef struct {
	uint32_t child, sibling, fail;
	uint32_t depth; // bytes
	uint32_t match; // bytes of the shortest banned text that ends here, 0: none
	uint8_t byte;
} banned_node;

typedef struct {
	VEC(banned_node) nodes; // the first is the root; none: nothing is banned
} banned;

// banned_read takes a JSON array of texts.
bool banned_read(banned *b, const uint8_t *text, uint32_t n);
void banned_free(banned *b);

// banned_step gives the node after one more byte.
uint32_t banned_step(const banned *b, uint32_t node, uint8_t byte);

#endif
