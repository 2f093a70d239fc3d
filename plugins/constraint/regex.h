// regex.h: regular expressions.
#ifndef CONSTRAINT_REGEX_H
#define CONSTRAINT_REGEX_H

#include "ir.h"

typedef struct {
	const char *what; // for messages
	bool search;      // the text may have anything before and after, where ^ and $ do not forbid it, as JSON schema's pattern
	// Makes the tree of a class of characters, given as a tidy set, which it empties; 0: ir_class. A text in JSON has
	// some characters escaped.
	uint32_t (*class)(ir *g, char_set *set);
} regex_options;

// regex_read gives the tree of an expression, or 0 with a reason.
uint32_t regex_read(ir *g, const uint8_t *text, uint32_t n, const regex_options *opt);

#endif
