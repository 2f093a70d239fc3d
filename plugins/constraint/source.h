// source.h: the text of a grammar or a regular expression while it is read.
#ifndef CONSTRAINT_SOURCE_H
#define CONSTRAINT_SOURCE_H

#include "ir.h"

enum { END_OF_SOURCE = 0xFFFFFFFFu };

typedef struct {
	const char *what; // for messages: "grammar"
	const uint8_t *text;
	uint32_t n, at;
	uint32_t depth; // of groups
	bool failed;
} source;

// source_fail says what is wrong where the source is being read.
bool source_fail(source *in, const char *why, const char *more);

// peek gives the next character, END_OF_SOURCE at the end and where the text is no UTF-8, which is a failure.
uint32_t source_peek(source *in);
// source_next takes it.
uint32_t source_next(source *in);
// source_take takes an ASCII character if it is the next.
bool source_take(source *in, uint8_t c);

// source_hex reads n hexadecimal digits.
uint32_t source_hex(source *in, uint32_t n);
// source_number reads a decimal number; false if there is none or it is above most.
bool source_number(source *in, uint32_t most, uint32_t *v);
// source_counts reads what follows the brace of {m}, {m,} or {m,n}.
bool source_counts(source *in, uint32_t *least, uint32_t *most);

enum { MOST_REPEATS = 100000 };

#endif
