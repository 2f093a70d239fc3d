// automaton.h: the pushdown automaton over bytes that a grammar becomes.
//
// Every rule is an automaton of its own, with edges that read a byte of a range, that read nothing, that call another
// rule, or that repeat one. A call continues behind its edge when the called rule has ended, so where the whole automaton
// stands is a stack of nodes; and because it may stand in several places at once, it is a set of entries
//
//     (node, count, parent)
//
// where count is how often a repeat edge's rule was read, and parent, itself such a set, is where it goes on when the
// rule of the node has ended. All callers of a rule at one place in the text share one parent, so what would be
// exponentially many stacks is a graph. Sets are kept once: equal sets have equal numbers, a parent's number is below
// the numbers of sets that mention it, and sets that mean the same are almost always equal, because an entry from which
// its rule can only end is replaced by its parent's entries.
//
// The set {bottom} is the end of the grammar; or, where a mask is made, "whatever the caller does next": what a rule does
// with a token until it ends does not depend on who called it (mask.h).
#ifndef CONSTRAINT_AUTOMATON_H
#define CONSTRAINT_AUTOMATON_H

#include "ir.h"

enum {
	SET_DEAD = 0,   // the empty set: the text does not fit
	SET_BOTTOM = 1, // {bottom}
	SET_FAILED = 0xFFFFFFFF, // no memory, or too many places at once; refuse says which
	NODE_BOTTOM = 0,
};

typedef struct {
	uint32_t node, count, parent;
} entry;

typedef enum { EDGE_SKIP, EDGE_BYTE, EDGE_CALL, EDGE_REPEAT } edge_kind;
typedef struct {
	uint8_t kind, lo, hi;
	uint32_t to;
	uint32_t arg; // call: the rule; repeat: index in repeats
} edge;

enum { NODE_FINAL = 1, NODE_ONLY_FINAL = 2, NODE_REPEAT = 4 };
typedef struct {
	uint32_t first; // edge; the next node's first ends them
	uint32_t flags;
} automaton_node;

typedef struct {
	uint32_t start;
	uint32_t order;      // callers before the rules that they call first
	uint32_t first[8];   // bytes that it can begin with
} automaton_rule;

typedef struct {
	uint32_t rule, least, most;
	uint32_t loops; // kinds of characters of which its rule reads any one to its end
	bool looked;    // loops was found, and what follows
	bool alone;     // nothing but the repetition reads such characters where it stands, or behind it
	bool ends;      // the group may end behind it
} repeat;

// Rows of the table of byte transitions of sets, made when they are first needed. A row begins at trans.at[row]:
// its set, its flags, three words of which mask.c says what they hold, then the row of the next set for each class of bytes,
// 0 for the dead one.
enum { ROW_SET, ROW_FLAGS, ROW_LOOPS, ROW_STEPS, ROW_ENDS, ROW_CLASSES };
enum { ROW_DEAD = 0, ROW_EXPANDED = 1, ROW_EXIT = 2, ROW_LOOKED = 4 };

struct mask_cache;

typedef struct {
	VEC(automaton_node) nodes;
	VEC(edge) edges;
	VEC(automaton_rule) rules;
	VEC(repeat) repeats;
	uint32_t root;

	uint32_t n_classes;
	uint16_t class_of[256]; // + ROW_CLASSES

	VEC(entry) entries;
	VEC(uint32_t) sets; // the end of each set's entries
	uint32_t *slots, n_slots;

	VEC(uint32_t) rows_of; // row of each set, 0: none
	VEC(uint32_t) trans;

	struct mask_cache *masks;
	uint32_t users; // sequences
	uint32_t sweep; // sets from which on they are swept
} automaton;

// compile makes the automaton of a grammar whose answer is the rule root; false with a reason where it cannot.
bool compile(automaton *a, ir *g, uint32_t root);
void automaton_free(automaton *a);

// automaton_start gives the set before any text.
uint32_t automaton_start(automaton *a);
// automaton_step gives the set after one more byte.
uint32_t automaton_step(automaton *a, uint32_t set, uint8_t byte);
// automaton_ends tells whether the grammar may end here: 1, 0, or -1 for a failure.
int automaton_ends(automaton *a, uint32_t set);

// intern gives the number of the set of these entries, which it sorts.
uint32_t intern(automaton *a, entry *entries, uint32_t n);
static inline uint32_t set_size(const automaton *a, uint32_t set) { return a->sets.at[set] - (set ? a->sets.at[set - 1] : 0); }
static inline const entry *set_entries(const automaton *a, uint32_t set) { return a->entries.at + (set ? a->sets.at[set - 1] : 0); }

// row gives the row of a set, not expanded; 0 for the dead set and for a failure. expand fills one.
uint32_t row(automaton *a, uint32_t set);
bool expand(automaton *a, uint32_t row);
// automaton_drop_rows gives back all rows.
void automaton_drop_rows(automaton *a);

// automaton_sweep forgets every set but those in keep, whose numbers it replaces by their new ones, and all rows.
bool automaton_sweep(automaton *a, uint32_t **keep, uint32_t n_keep);

#endif
