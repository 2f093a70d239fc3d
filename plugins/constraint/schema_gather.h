// schema_gather.h: what a list of schemas says together about one value, keyword by keyword.
#ifndef CONSTRAINT_SCHEMA_GATHER_H
#define CONSTRAINT_SCHEMA_GATHER_H

#include "schema_parts.h"

enum { TYPE_NULL = 1, TYPE_BOOLEAN = 2, TYPE_NUMBER = 4, TYPE_INTEGER = 8, TYPE_STRING = 16, TYPE_ARRAY = 32, TYPE_OBJECT = 64, TYPE_ALL = 127 };
enum { NO_LIMIT = 0xFFFFFFFFu };

// A schema file while it is read.
typedef struct {
	json j;
	uint32_t root;
	bool failed;
} schema_source;

// Items are schemas that hold together: the value of each times 4, and which of its keywords were dealt with already.
enum { ITEM_ANY_DONE = 1, ITEM_ONE_DONE = 2 };
typedef VEC(uint32_t) items;

typedef struct {
	name_range name;
	items schemas;
	bool required;
} property;

typedef struct {
	items work; // the schemas, with all that they refer to

	uint32_t types;  // INTEGER alone: whole numbers; with NUMBER: all numbers
	bool types_said; // by the keyword type, not only by what other keywords are about
	bool hinted;     // some keyword is about a type
	bool never;
	uint32_t branch; // an item with an anyOf or oneOf that was not dealt with, 0: none
	bool branch_one; // it is a oneOf
	VEC(uint32_t) values; // of enum and const, those that all have
	bool has_values;

	bound least, most;
	uint32_t places; // digits behind the point

	uint32_t min_length, max_length;
	uint32_t pattern, format; // values of these keywords, 0: none

	VEC(items) prefix;
	items rest; // of the elements behind the prefix
	bool rest_given;
	uint32_t min_items, max_items, unique; // unique: value of the keyword

	VEC(property) properties;
	items additional;
	bool additional_given;
	items names; // of keys
	uint32_t min_properties, max_properties, count_keyword;
} gathered;

// gather reads the keywords of a view; false with a reason where one cannot be held to.
bool gather(schema_source *s, const items *view, gathered *out);
void gathered_free(gathered *g);

// type_of gives the bit of a value's type.
uint32_t type_of(const schema_source *s, uint32_t value);
// property_find gives the property of a name, or 0.
property *property_find(const schema_source *s, gathered *g, name_range name);

bool add_item(schema_source *s, items *list, uint32_t item);
// refuse_at says what is wrong, in three parts, and where the value stands.
bool refuse_at(schema_source *s, uint32_t value, const char *a, const char *b, const char *c);
bool schema_no_memory(schema_source *s);

#endif
