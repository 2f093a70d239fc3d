// trie.h: the vocabulary as a tree of bytes, so that tokens with a common beginning are looked at together.
//
// Nodes stand in the order of a walk that goes down first: a node's descendants follow it, up to the node `after`. Node 0
// is the root. The tokens whose piece ends at a node are order[node.token] up to order[next node's token].
#ifndef CONSTRAINT_TRIE_H
#define CONSTRAINT_TRIE_H

#include "heap.h"

enum { LONGEST_PIECE = 1024 }; // a longer one is never allowed

typedef struct {
	uint32_t after; // the first node that does not descend from this one
	uint32_t token; // index in order
	uint32_t below; // kinds of the characters that descend from here
	uint16_t depth;
	uint8_t byte;
	uint8_t chars; // the most characters on a way down from here, at most MANY_CHARS
} trie_node;

// Kinds of characters: bits for those that grammars tell apart, one for all outside ASCII, and one for bytes that are no
// UTF-8.
enum { KIND_HIGH = 1u << 30, KIND_BROKEN = 1u << 31, MANY_CHARS = 255 };
extern const uint8_t kind_of[128]; // of ASCII characters: a bit's number

typedef struct {
	trie_node *nodes; // and one more, whose token is the number of tokens
	uint32_t n_nodes;
	uint32_t *order;
	uint32_t n_tokens;
	uint32_t depth; // of the deepest node
	uint8_t *begun; // characters that begin on the way to each node, at most MANY_CHARS
	uint8_t *chars; // the same of each token in order
} trie;

// trie_build takes the tokens in ids, whose pieces are pieces[offsets[id]] up to pieces[offsets[id+1]]; it sorts ids and
// keeps them. Empty and overlong pieces are left out.
bool trie_build(trie *t, const uint8_t *pieces, const uint32_t *offsets, uint32_t *ids, uint32_t n);

static inline bool trie_leaf(const trie *t, uint32_t node) { return t->nodes[node].after == node + 1; }

#endif
