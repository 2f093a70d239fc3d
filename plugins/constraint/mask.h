// mask.h: which tokens may follow where an automaton stands.
//
// What a token does inside a rule, until the rule ends, does not depend on the rule's caller. So a set is taken apart into
// groups of entries with one parent, and the walk over the vocabulary is made for the group alone, with {bottom} in the
// parent's place. It gives the tokens that the rule reads to their end, and the exits: the places in the trie, inside
// tokens, where the rule may have ended. From the exits the walk goes on in the parent's groups, and so on; few tokens
// reach far. Each such walk, from (exits, group), is made once and kept: a text in JSON, say, is one group wherever it
// stands, and its next mask is a copy and a handful of unions.
#ifndef CONSTRAINT_MASK_H
#define CONSTRAINT_MASK_H

#include "automaton.h"
#include "trie.h"

typedef struct mask_cache mask_cache;

// mask_fill writes the tokens that may follow a set into words, token i in bit i % 32 of word i / 32.
bool mask_fill(automaton *a, const trie *t, uint32_t set, uint32_t *words, uint32_t n_words);

// mask_bytes is what the kept walks take; mask_forget gives it back, which has to be done when sets are swept.
uint32_t mask_bytes(const automaton *a);
void mask_forget(automaton *a);

#endif
