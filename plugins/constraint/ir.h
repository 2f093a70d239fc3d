// ir.h: what a grammar, a schema or a regular expression is turned into, and what automata are made of: rules whose
// bodies are trees of texts, classes of characters, sequences, alternatives, repetitions and references to rules.
//
// Nodes are numbers; 0 is no node. What cannot be made for want of memory is 0 too, and marks the whole ir as failed, so
// that only the end needs to look. A node stands in one place: what is wanted twice is made twice, or is a rule.
#ifndef CONSTRAINT_IR_H
#define CONSTRAINT_IR_H

#include "heap.h"
#include "refuse.h"

enum { UNBOUNDED = 0xFFFFFFFFu, MAX_CHAR = 0x10FFFF, MAX_DEPTH = 100, JSON_DEPTH = 200 };

typedef enum { IR_NONE, IR_EMPTY, IR_NEVER, IR_BYTES, IR_CLASS, IR_SEQUENCE, IR_CHOICE, IR_REPEAT, IR_RULE } ir_kind;

typedef struct {
	uint8_t kind;
	uint32_t next;    // the neighbour in a sequence or choice
	uint32_t a, b, c; // bytes: offset, length; class: offset, ranges; sequence, choice: first; repeat: what, least, most; rule: which
} ir_node;

typedef struct {
	uint32_t body; // 0: not defined
	uint32_t name, name_n;
} ir_rule;

typedef struct {
	uint32_t lo, hi;
} char_range;

typedef struct {
	VEC(ir_node) nodes;
	VEC(uint8_t) bytes;
	VEC(char_range) ranges;
	VEC(ir_rule) rules;
	uint32_t *slots, n_slots; // rule + 1 by the hash of its name
	bool failed;
} ir;

// A list of nodes that become a sequence or a choice.
typedef struct {
	uint32_t first, last;
} ir_list;

// A set of characters while it is put together.
typedef VEC(char_range) char_set;

void ir_free(ir *g);

uint32_t ir_empty(ir *g);
uint32_t ir_never(ir *g);
uint32_t ir_bytes(ir *g, const void *text, uint32_t n);
uint32_t ir_text(ir *g, const char *text); // ended by 0
uint32_t ir_char(ir *g, uint32_t c);       // its UTF-8
uint32_t ir_repeat(ir *g, uint32_t what, uint32_t least, uint32_t most);
uint32_t ir_ref(ir *g, uint32_t rule);

void ir_add(ir *g, ir_list *list, uint32_t node);
uint32_t ir_sequence(ir *g, ir_list list);
uint32_t ir_choice(ir *g, ir_list list);
uint32_t ir_pair(ir *g, uint32_t a, uint32_t b);
uint32_t ir_either(ir *g, uint32_t a, uint32_t b);
static inline uint32_t ir_optional(ir *g, uint32_t what) { return ir_repeat(g, what, 0, 1); }

// ir_class takes the set, which is empty afterwards; negate takes its complement. Surrogates are never in a class.
uint32_t ir_class(ir *g, char_set *set, bool negate);
// ir_ranges makes a class of pairs: "azAZ" is the letters of ASCII.
uint32_t ir_ranges(ir *g, const char *pairs);
bool set_add(ir *g, char_set *set, uint32_t lo, uint32_t hi);
// set_tidy sorts and joins the ranges of a set and drops surrogates; negate takes the complement of it.
bool set_tidy(ir *g, char_set *set, bool negate);

// ir_new_rule gives a rule without a body, whose name is kept for messages and for ir_find.
uint32_t ir_new_rule(ir *g, const void *name, uint32_t n);
// ir_find gives the rule of that name, or UNBOUNDED.
uint32_t ir_find(const ir *g, const uint8_t *name, uint32_t n);

// utf8_decode reads a character and says how many bytes it has, 0 if they are no UTF-8.
uint32_t utf8_decode(const uint8_t *p, uint32_t n, uint32_t *c);
uint32_t utf8_encode(uint32_t c, uint8_t out[4]);

#endif
