// schema_parts.h: what the parts of the schema reader have in common.
#ifndef CONSTRAINT_SCHEMA_PARTS_H
#define CONSTRAINT_SCHEMA_PARTS_H

#include "ir.h"
#include "json.h"

enum { MOST_DIGITS = 15, DECIMAL_ROOM = 40 };

// A decimal number, taken apart. whole has no leading zeros (0 is empty), fraction no trailing ones.
typedef struct {
	bool negative;
	uint8_t whole[DECIMAL_ROOM], fraction[DECIMAL_ROOM];
	uint32_t n_whole, n_fraction;
} decimal_number;

// decimal_read takes a JSON number apart; false if it has too many digits.
bool decimal_read(decimal_number *d, const uint8_t *text, uint32_t n);
int decimal_compare(const decimal_number *a, const decimal_number *b);
static inline bool decimal_is_zero(const decimal_number *d) { return d->n_whole + d->n_fraction == 0; }

// A bound of numbers; not set: none.
typedef struct {
	bool set, exclusive;
	decimal_number at;
} bound;

// number_tree gives the tree of the numbers between two bounds, with at most so many digits behind the point; integers if
// places is 0.
uint32_t number_tree(ir *g, const bound *least, const bound *most, uint32_t places);

// text_class gives the tree of a class of characters inside a JSON text: those that JSON wants escaped are. It empties
// the set.
uint32_t text_class(ir *g, char_set *set);
// any_char gives the tree of one character of a JSON text, in any of its spellings.
uint32_t any_char(ir *g);
// text_of adds a text's JSON spelling to bytes, without quotation marks.
typedef VEC(uint8_t) byte_list;
bool text_of(byte_list *out, const uint8_t *text, uint32_t n);
// literal_tree gives the tree of one JSON value.
uint32_t literal_tree(ir *g, const json *j, uint32_t value);
// format_tree gives the tree of the texts of a format, in quotation marks; 0 with a reason if it is none that is known.
uint32_t format_tree(ir *g, const uint8_t *name, uint32_t n);
// pattern_tree gives the tree of the texts in which a pattern is found, in quotation marks.
uint32_t pattern_tree(ir *g, const uint8_t *pattern, uint32_t n);
// A name_range is a name among the bytes of a JSON tree.
typedef struct {
	uint32_t at, n;
} name_range;

// other_key gives the tree of the keys that are none of some names.
uint32_t other_key(ir *g, const json *j, const name_range *names, uint32_t n);

#endif
