// json.h: JSON texts as a tree. Numbers are kept as they are written; texts are unescaped.
#ifndef CONSTRAINT_JSON_H
#define CONSTRAINT_JSON_H

#include "heap.h"
#include "refuse.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT } json_kind;

// A value. Values of arrays and objects are linked by next; 0 ends them. Value 0 is none.
typedef struct {
	uint8_t kind;
	uint32_t next;
	uint32_t key, key_n;   // in bytes, of a member of an object
	uint32_t first;        // array, object
	uint32_t text, text_n; // in bytes: number, text; array and object: count of values in text_n
} json_value;

typedef struct {
	VEC(json_value) values;
	VEC(uint8_t) bytes;
} json;

// json_read gives the value of a text, or 0 with a reason that begins with what it is.
uint32_t json_read(json *j, const char *what, const uint8_t *text, uint32_t n);
void json_free(json *j);

static inline const json_value *json_at(const json *j, uint32_t v) { return &j->values.at[v]; }
static inline const uint8_t *json_key(const json *j, uint32_t v) { return j->bytes.at + j->values.at[v].key; }
static inline const uint8_t *json_text(const json *j, uint32_t v) { return j->bytes.at + j->values.at[v].text; }

// json_member gives the value of a key, 0 if there is none; json_is compares a text, json_key_is a key.
uint32_t json_member(const json *j, uint32_t object, const char *key);
uint32_t json_member_n(const json *j, uint32_t object, const uint8_t *key, uint32_t n);
bool json_is(const json *j, uint32_t v, const char *text);
bool json_key_is(const json *j, uint32_t v, const char *key);

// json_equal tells whether two values are the same; numbers are compared as written, but for a decimal fraction of zeros.
bool json_equal(const json *j, uint32_t a, uint32_t b);

#endif
