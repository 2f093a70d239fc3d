#include "schema_gather.h"

// ---- messages ------------------------------------------------------------------------------------------------------------

static char where[240];

// locate writes the path to a value into where.
static bool locate(const schema_source *s, uint32_t from, uint32_t value, uint32_t n) {
	where[n] = 0;
	if (from == value) return true;
	if (json_at(&s->j, from)->kind < JSON_ARRAY) return false;
	bool object = json_at(&s->j, from)->kind == JSON_OBJECT;
	uint32_t index = 0;
	for (uint32_t v = json_at(&s->j, from)->first; v; v = json_at(&s->j, v)->next, index++) {
		uint32_t at = n, size = object ? json_at(&s->j, v)->key_n : 0;
		if (at < sizeof where - 50) {
			where[at++] = '/';
			for (uint32_t i = 0; i < size && i < 40; i++) {
				uint8_t c = json_key(&s->j, v)[i];
				where[at++] = c < ' ' || c > '~' ? '?' : (char)c;
			}
			for (uint32_t unit = 1000; !object && unit; unit /= 10)
				if (index >= unit || unit == 1) where[at++] = (char)('0' + index / unit % 10);
		}
		if (locate(s, v, value, at)) return true;
	}
	return false;
}

bool refuse_at(schema_source *s, uint32_t value, const char *a, const char *b, const char *c) {
	s->failed = true;
	where[0] = '#';
	if (!locate(s, s->root, value, 1)) where[1] = 0;
	return refuse("json_schema: ", a, b, c, " (at ", where, ")");
}

bool schema_no_memory(schema_source *s) {
	s->failed = true;
	return refuse("there is not enough memory for the schema: raise limits.pages");
}

static bool unsupported(schema_source *s, uint32_t keyword, const char *mend) {
	return refuse_at(s, keyword, "an answer cannot be held to the keyword ", quoted(json_key(&s->j, keyword), json_at(&s->j, keyword)->key_n), mend);
}

static bool malformed(schema_source *s, uint32_t keyword, const char *wanted) {
	return refuse_at(s, keyword, quoted(json_key(&s->j, keyword), json_at(&s->j, keyword)->key_n), " should be ", wanted);
}

// ---- lists ------------------------------------------------------------------------------------------------------------------

bool add_item(schema_source *s, items *list, uint32_t item) {
	for (uint32_t i = 0; i < list->n; i++) {
		if (list->at[i] / 4 != item / 4) continue;
		list->at[i] |= item; // what was dealt with in one place was in all
		return true;
	}
	return vec_add(list, item) || schema_no_memory(s);
}

static bool add_value(schema_source *s, items *list, uint32_t value) { return add_item(s, list, value * 4); }

static bool same_name(const schema_source *s, name_range a, name_range b) {
	return a.n == b.n && __builtin_memcmp(s->j.bytes.at + a.at, s->j.bytes.at + b.at, a.n) == 0;
}

property *property_find(const schema_source *s, gathered *g, name_range name) {
	for (uint32_t i = 0; i < g->properties.n; i++)
		if (same_name(s, g->properties.at[i].name, name)) return &g->properties.at[i];
	return 0;
}

static property *property_of(schema_source *s, gathered *g, name_range name) {
	property *p = property_find(s, g, name);
	if (p) return p;
	if (vec_add(&g->properties, (property){.name = name})) return &g->properties.at[g->properties.n - 1];
	schema_no_memory(s);
	return 0;
}

void gathered_free(gathered *g) {
	for (uint32_t i = 0; i < g->prefix.n; i++) vec_free(&g->prefix.at[i]);
	for (uint32_t i = 0; i < g->properties.n; i++) vec_free(&g->properties.at[i].schemas);
	vec_free(&g->work), vec_free(&g->values), vec_free(&g->prefix), vec_free(&g->rest), vec_free(&g->properties);
	vec_free(&g->additional), vec_free(&g->names);
}

// ---- keywords -------------------------------------------------------------------------------------------------------------------

static const struct {
	const char *name;
	uint32_t bits;
} type_names[] = {{"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"number", TYPE_NUMBER | TYPE_INTEGER}, {"integer", TYPE_INTEGER}, {"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT}};

uint32_t type_of(const schema_source *s, uint32_t value) {
	decimal_number d;
	switch (json_at(&s->j, value)->kind) {
	case JSON_NULL: return TYPE_NULL;
	case JSON_FALSE: case JSON_TRUE: return TYPE_BOOLEAN;
	case JSON_TEXT: return TYPE_STRING;
	case JSON_ARRAY: return TYPE_ARRAY;
	case JSON_OBJECT: return TYPE_OBJECT;
	}
	return decimal_read(&d, json_text(&s->j, value), json_at(&s->j, value)->text_n) && d.n_fraction == 0 ? TYPE_INTEGER : TYPE_NUMBER;
}

static bool read_type(schema_source *s, gathered *g, uint32_t v) {
	bool list = json_at(&s->j, v)->kind == JSON_ARRAY;
	uint32_t bits = 0;
	for (uint32_t t = list ? json_at(&s->j, v)->first : v; t; t = list ? json_at(&s->j, t)->next : 0) {
		uint32_t i = 0, n = sizeof type_names / sizeof *type_names;
		while (i < n && !json_is(&s->j, t, type_names[i].name)) i++;
		if (i == n) return malformed(s, v, "one of null, boolean, number, integer, string, array, object, or a list of them");
		bits |= type_names[i].bits;
	}
	g->types &= bits;
	g->types_said = true;
	return true;
}

// read_values takes the values of an enum, or the one of a const: all such keywords have to agree.
static bool read_values(schema_source *s, gathered *g, uint32_t v, bool list) {
	if (list && json_at(&s->j, v)->kind != JSON_ARRAY) return malformed(s, v, "a list of values");
	uint32_t kept = 0;
	if (!g->has_values) {
		for (uint32_t e = list ? json_at(&s->j, v)->first : v; e; e = list ? json_at(&s->j, e)->next : 0)
			if (!vec_add(&g->values, e)) return schema_no_memory(s);
		kept = g->values.n;
	}
	for (uint32_t i = 0; g->has_values && i < g->values.n; i++) {
		bool found = false;
		for (uint32_t e = list ? json_at(&s->j, v)->first : v; e && !found; e = list ? json_at(&s->j, e)->next : 0) found = json_equal(&s->j, e, g->values.at[i]);
		if (found) g->values.at[kept++] = g->values.at[i];
	}
	g->values.n = kept;
	g->has_values = true;
	return true;
}

static bool read_decimal(schema_source *s, uint32_t v, decimal_number *d) {
	if (json_at(&s->j, v)->kind != JSON_NUMBER) return malformed(s, v, "a number");
	return decimal_read(d, json_text(&s->j, v), json_at(&s->j, v)->text_n) || refuse_at(s, v, "the number ", quoted(json_text(&s->j, v), json_at(&s->j, v)->text_n), " has too many digits");
}

// read_bound tightens a bound. sign: 1 for a lower one, -1 for an upper one.
static bool read_bound(schema_source *s, bound *b, uint32_t v, bool exclusive, int sign) {
	decimal_number d;
	if (!read_decimal(s, v, &d)) return false;
	int order = b->set ? sign * decimal_compare(&d, &b->at) : 1;
	if (order > 0) *b = (bound){.set = true, .exclusive = exclusive, .at = d};
	if (order == 0) b->exclusive |= exclusive;
	return true;
}

// read_places takes a multipleOf of 1, 0.1, 0.01 and so on.
static bool read_places(schema_source *s, gathered *g, uint32_t v) {
	decimal_number d;
	if (!read_decimal(s, v, &d)) return false;
	bool one = !d.negative && d.n_whole == 1 && d.whole[0] == '1' && d.n_fraction == 0;
	bool part = !d.negative && d.n_whole == 0 && d.n_fraction && d.fraction[d.n_fraction - 1] == '1';
	for (uint32_t i = 0; part && i + 1 < d.n_fraction; i++) part = d.fraction[i] == '0';
	if (!one && !part) return unsupported(s, v, ", unless it is 1, 0.1, 0.01 or the like");
	if (d.n_fraction < g->places) g->places = d.n_fraction;
	return true;
}

// read_count reads a number of things, and keeps the tighter one.
static bool read_count(schema_source *s, uint32_t v, uint32_t *least, uint32_t *most) {
	decimal_number d;
	if (!read_decimal(s, v, &d)) return false;
	if (d.negative || d.n_fraction || d.n_whole > 9) return malformed(s, v, "a whole number from 0 to 999999999");
	uint32_t n = 0;
	for (uint32_t i = 0; i < d.n_whole; i++) n = n * 10 + (d.whole[i] - '0');
	if (least && n > *least) *least = n;
	if (most && n < *most) *most = n;
	return true;
}

static bool read_text(schema_source *s, uint32_t *kept, uint32_t v) {
	if (json_at(&s->j, v)->kind != JSON_TEXT) return malformed(s, v, "a text");
	if (*kept && !json_equal(&s->j, *kept, v)) return unsupported(s, v, " twice, with different texts, in what has to hold together");
	*kept = v;
	return true;
}

// read_elements takes the prefix of an array's elements, a list of schemas or 0, and the schema of the rest, or 0.
static bool read_elements(schema_source *s, gathered *g, uint32_t prefix, uint32_t rest) {
	if (prefix && json_at(&s->j, prefix)->kind != JSON_ARRAY) return malformed(s, prefix, "a list of schemas");
	uint32_t n = prefix ? json_at(&s->j, prefix)->text_n : 0;
	while (g->prefix.n < n) {
		if (!vec_add(&g->prefix, (items){0})) return schema_no_memory(s);
		for (uint32_t i = 0; i < g->rest.n; i++)
			if (!add_item(s, &g->prefix.at[g->prefix.n - 1], g->rest.at[i])) return false;
	}
	uint32_t v = prefix ? json_at(&s->j, prefix)->first : 0;
	for (uint32_t i = 0; i < g->prefix.n; i++) {
		uint32_t schema = i < n ? v : rest;
		if (schema && !add_value(s, &g->prefix.at[i], schema)) return false;
		if (i < n) v = json_at(&s->j, v)->next;
	}
	if (!rest) return true;
	g->rest_given = true;
	return add_value(s, &g->rest, rest);
}

static bool read_properties(schema_source *s, gathered *g, uint32_t v) {
	if (json_at(&s->j, v)->kind != JSON_OBJECT) return malformed(s, v, "an object of schemas");
	for (uint32_t p = json_at(&s->j, v)->first; p; p = json_at(&s->j, p)->next) {
		property *to = property_of(s, g, (name_range){json_at(&s->j, p)->key, json_at(&s->j, p)->key_n});
		if (!to || !add_value(s, &to->schemas, p)) return false;
	}
	return true;
}

static bool read_required(schema_source *s, gathered *g, uint32_t v) {
	if (json_at(&s->j, v)->kind != JSON_ARRAY) return malformed(s, v, "a list of names");
	for (uint32_t n = json_at(&s->j, v)->first; n; n = json_at(&s->j, n)->next) {
		if (json_at(&s->j, n)->kind != JSON_TEXT) return malformed(s, v, "a list of names");
		property *p = property_of(s, g, (name_range){json_at(&s->j, n)->text, json_at(&s->j, n)->text_n});
		if (!p) return false;
		p->required = true;
	}
	return true;
}

static bool add_all(schema_source *s, items *list, uint32_t v) {
	if (json_at(&s->j, v)->kind != JSON_ARRAY) return malformed(s, v, "a list of schemas");
	for (uint32_t e = json_at(&s->j, v)->first; e; e = json_at(&s->j, e)->next)
		if (!add_value(s, list, e)) return false;
	return true;
}

static uint8_t hex_digit(uint8_t c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

// refer finds what a $ref names: a JSON pointer in this schema.
static uint32_t refer(schema_source *s, uint32_t v) {
	if (json_at(&s->j, v)->kind != JSON_TEXT) return malformed(s, v, "a text");
	const uint8_t *p = json_text(&s->j, v);
	uint32_t n = json_at(&s->j, v)->text_n, at = s->root, i = 1;
	if (n == 0 || p[0] != '#' || (n > 1 && p[1] != '/')) return refuse_at(s, v, "a $ref should be a path in this schema, as #/$defs/name, not ", quoted(p, n), "");
	while (i < n && at) { // p[i] is a slash
		uint8_t step[256];
		uint32_t size = 0;
		for (i++; i < n && p[i] != '/' && size < sizeof step; i++) {
			uint8_t c = p[i];
			if (c == '~' && i + 1 < n) c = p[++i] == '1' ? '/' : '~';
			else if (c == '%' && i + 2 < n) c = (uint8_t)(hex_digit(p[i + 1]) << 4 | hex_digit(p[i + 2])), i += 2;
			step[size++] = c;
		}
		if (json_at(&s->j, at)->kind == JSON_OBJECT) {
			at = json_member_n(&s->j, at, step, size);
			continue;
		}
		uint32_t index = 0;
		for (uint32_t k = 0; k < size && index < 1 << 20; k++) index = step[k] >= '0' && step[k] <= '9' ? index * 10 + (step[k] - '0') : 1 << 20;
		at = json_at(&s->j, at)->kind == JSON_ARRAY && size ? json_at(&s->j, at)->first : 0;
		while (at && index--) at = json_at(&s->j, at)->next;
	}
	if (!at) refuse_at(s, v, "there is nothing at ", quoted(p, n), ", which a $ref names");
	return at;
}

typedef enum {
	K_NOTE, K_UNSUPPORTED, K_UNLESS_TRUE, K_LATER, K_REF, K_ALL_OF, K_ANY_OF, K_ONE_OF, K_TYPE, K_ENUM, K_CONST,
	K_MINIMUM, K_MAXIMUM, K_ABOVE, K_BELOW, K_MULTIPLE, K_MIN_LENGTH, K_MAX_LENGTH, K_PATTERN, K_FORMAT, K_MIN_ITEMS, K_MAX_ITEMS, K_UNIQUE,
	K_PROPERTIES, K_REQUIRED, K_NAMES, K_MIN_PROPERTIES, K_MAX_PROPERTIES,
} keyword;

// The keywords, what to do with them, and which type they are about.
static const struct {
	const char *name;
	uint8_t keyword, type;
} keywords[] = {
	{"$schema", K_NOTE, 0}, {"$id", K_NOTE, 0}, {"id", K_NOTE, 0}, {"$comment", K_NOTE, 0}, {"$anchor", K_NOTE, 0}, {"$dynamicAnchor", K_NOTE, 0}, {"$vocabulary", K_NOTE, 0},
	{"$defs", K_NOTE, 0}, {"definitions", K_NOTE, 0}, {"title", K_NOTE, 0}, {"description", K_NOTE, 0}, {"default", K_NOTE, 0}, {"example", K_NOTE, 0}, {"examples", K_NOTE, 0},
	{"deprecated", K_NOTE, 0}, {"readOnly", K_NOTE, 0}, {"writeOnly", K_NOTE, 0}, {"contentEncoding", K_NOTE, 0}, {"contentMediaType", K_NOTE, 0}, {"nullable", K_NOTE, 0},
	{"discriminator", K_NOTE, 0}, {"externalDocs", K_NOTE, 0}, {"xml", K_NOTE, 0},
	{"$ref", K_REF, 0}, {"allOf", K_ALL_OF, 0}, {"anyOf", K_ANY_OF, 0}, {"oneOf", K_ONE_OF, 0}, {"type", K_TYPE, 0}, {"enum", K_ENUM, 0}, {"const", K_CONST, 0},
	{"minimum", K_MINIMUM, TYPE_NUMBER | TYPE_INTEGER}, {"maximum", K_MAXIMUM, TYPE_NUMBER | TYPE_INTEGER}, {"exclusiveMinimum", K_ABOVE, TYPE_NUMBER | TYPE_INTEGER},
	{"exclusiveMaximum", K_BELOW, TYPE_NUMBER | TYPE_INTEGER}, {"multipleOf", K_MULTIPLE, TYPE_NUMBER | TYPE_INTEGER},
	{"minLength", K_MIN_LENGTH, TYPE_STRING}, {"maxLength", K_MAX_LENGTH, TYPE_STRING}, {"pattern", K_PATTERN, TYPE_STRING}, {"format", K_FORMAT, TYPE_STRING},
	{"items", K_LATER, TYPE_ARRAY}, {"prefixItems", K_LATER, TYPE_ARRAY}, {"additionalItems", K_LATER, TYPE_ARRAY},
	{"minItems", K_MIN_ITEMS, TYPE_ARRAY}, {"maxItems", K_MAX_ITEMS, TYPE_ARRAY}, {"uniqueItems", K_UNIQUE, TYPE_ARRAY},
	{"contains", K_UNSUPPORTED, 0}, {"minContains", K_UNSUPPORTED, 0}, {"maxContains", K_UNSUPPORTED, 0}, {"unevaluatedItems", K_UNLESS_TRUE, 0},
	{"properties", K_PROPERTIES, TYPE_OBJECT}, {"required", K_REQUIRED, TYPE_OBJECT}, {"additionalProperties", K_LATER, TYPE_OBJECT}, {"propertyNames", K_NAMES, TYPE_OBJECT},
	{"minProperties", K_MIN_PROPERTIES, TYPE_OBJECT}, {"maxProperties", K_MAX_PROPERTIES, TYPE_OBJECT},
	{"patternProperties", K_UNSUPPORTED, 0}, {"dependencies", K_UNSUPPORTED, 0}, {"dependentRequired", K_UNSUPPORTED, 0}, {"dependentSchemas", K_UNSUPPORTED, 0},
	{"unevaluatedProperties", K_UNLESS_TRUE, 0}, {"not", K_UNSUPPORTED, 0}, {"if", K_UNSUPPORTED, 0}, {"then", K_UNSUPPORTED, 0}, {"else", K_UNSUPPORTED, 0},
	{"$dynamicRef", K_UNSUPPORTED, 0}, {"$recursiveRef", K_UNSUPPORTED, 0}, {"contentSchema", K_UNSUPPORTED, 0},
};

// read_keyword does with a keyword of an item what has to be done; *hints collects the types that keywords are about.
static bool read_keyword(schema_source *s, gathered *g, uint32_t item, uint32_t v, uint32_t *hints) {
	uint32_t schema = item / 4, i = 0, n = sizeof keywords / sizeof *keywords;
	while (i < n && !json_key_is(&s->j, v, keywords[i].name)) i++;
	const uint8_t *key = json_key(&s->j, v);
	uint32_t key_n = json_at(&s->j, v)->key_n, kind = json_at(&s->j, v)->kind;
	if (i == n) return (key_n > 1 && key[0] == 'x' && key[1] == '-') || refuse_at(s, v, quoted(key, key_n), " is no keyword of JSON schema that is known here: leave it out", "");
	*hints |= keywords[i].type;
	switch ((keyword)keywords[i].keyword) {
	case K_NOTE:
	case K_LATER: return true;
	case K_UNSUPPORTED: return unsupported(s, v, "");
	case K_UNLESS_TRUE: return kind == JSON_TRUE || unsupported(s, v, ", unless it is true");
	case K_REF: return (v = refer(s, v)) && add_value(s, &g->work, v);
	case K_ALL_OF: return add_all(s, &g->work, v);
	case K_ANY_OF:
	case K_ONE_OF: {
		bool one = keywords[i].keyword == K_ONE_OF;
		if (kind != JSON_ARRAY || json_at(&s->j, v)->text_n == 0) return malformed(s, v, "a list of schemas");
		if (!g->branch && !(item & (one ? ITEM_ONE_DONE : ITEM_ANY_DONE))) g->branch = item, g->branch_one = one;
		return true;
	}
	case K_TYPE: return read_type(s, g, v);
	case K_ENUM: return read_values(s, g, v, true);
	case K_CONST: return read_values(s, g, v, false);
	case K_MINIMUM: {
		uint32_t x = json_member(&s->j, schema, "exclusiveMinimum"); // a truth value in draft 4
		return read_bound(s, &g->least, v, x && json_at(&s->j, x)->kind == JSON_TRUE, 1);
	}
	case K_MAXIMUM: {
		uint32_t x = json_member(&s->j, schema, "exclusiveMaximum");
		return read_bound(s, &g->most, v, x && json_at(&s->j, x)->kind == JSON_TRUE, -1);
	}
	case K_ABOVE: return kind == JSON_TRUE || kind == JSON_FALSE || read_bound(s, &g->least, v, true, 1);
	case K_BELOW: return kind == JSON_TRUE || kind == JSON_FALSE || read_bound(s, &g->most, v, true, -1);
	case K_MULTIPLE: return read_places(s, g, v);
	case K_MIN_LENGTH: return read_count(s, v, &g->min_length, 0);
	case K_MAX_LENGTH: return read_count(s, v, 0, &g->max_length);
	case K_PATTERN: return read_text(s, &g->pattern, v);
	case K_FORMAT: return read_text(s, &g->format, v);
	case K_MIN_ITEMS: return read_count(s, v, &g->min_items, 0);
	case K_MAX_ITEMS: return read_count(s, v, 0, &g->max_items);
	case K_UNIQUE:
		if (kind == JSON_TRUE) g->unique = v;
		return true;
	case K_PROPERTIES: return read_properties(s, g, v);
	case K_REQUIRED: return (kind == JSON_TRUE || kind == JSON_FALSE) ? malformed(s, v, "a list of names") : read_required(s, g, v);
	case K_NAMES: return add_value(s, &g->names, v);
	case K_MIN_PROPERTIES: return g->count_keyword = v, read_count(s, v, &g->min_properties, 0);
	case K_MAX_PROPERTIES: return g->count_keyword = v, read_count(s, v, 0, &g->max_properties);
	}
	return true;
}

// read_later takes the keywords that depend on others beside them.
static bool read_later(schema_source *s, gathered *g, uint32_t schema) {
	uint32_t list = json_member(&s->j, schema, "items"), prefix = json_member(&s->j, schema, "prefixItems"), further = json_member(&s->j, schema, "additionalItems");
	bool old = list && json_at(&s->j, list)->kind == JSON_ARRAY; // before 2020-12, items may be the prefix
	if ((list || prefix || further) && !(old ? read_elements(s, g, list, further) : read_elements(s, g, prefix, list))) return false;
	return true;
}

// read_additional holds the properties that others declare to a schema's additionalProperties.
static bool read_additional(schema_source *s, gathered *g, uint32_t schema) {
	uint32_t more = json_member(&s->j, schema, "additionalProperties"), own = json_member(&s->j, schema, "properties");
	if (!more) return true;
	g->additional_given = true;
	for (uint32_t i = 0; i < g->properties.n; i++) {
		property *p = &g->properties.at[i];
		if (!json_member_n(&s->j, own, s->j.bytes.at + p->name.at, p->name.n) && !add_value(s, &p->schemas, more)) return false;
	}
	return add_value(s, &g->additional, more);
}

bool gather(schema_source *s, const items *view, gathered *g) {
	*g = (gathered){.types = TYPE_ALL, .places = MOST_DIGITS, .max_length = NO_LIMIT, .max_items = NO_LIMIT, .max_properties = NO_LIMIT};
	uint32_t hints = 0;
	for (uint32_t i = 0; i < view->n; i++)
		if (!add_item(s, &g->work, view->at[i])) return false;
	for (uint32_t i = 0; i < g->work.n; i++) {
		uint32_t item = g->work.at[i], schema = item / 4, kind = json_at(&s->j, schema)->kind;
		if (kind == JSON_FALSE) g->never = true;
		if (kind == JSON_FALSE || kind == JSON_TRUE) continue;
		if (kind != JSON_OBJECT) return refuse_at(s, schema, "a schema should be an object, true or false", "", "");
		for (uint32_t v = json_at(&s->j, schema)->first; v; v = json_at(&s->j, v)->next)
			if (!read_keyword(s, g, item, v, &hints)) return false;
		if (!read_later(s, g, schema)) return false;
	}
	for (uint32_t i = 0; i < g->work.n; i++)
		if (json_at(&s->j, g->work.at[i] / 4)->kind == JSON_OBJECT && !read_additional(s, g, g->work.at[i] / 4)) return false;
	// Without a type, keywords say what is meant; other types, which they do not forbid, are left out.
	g->hinted = hints != 0;
	if (!g->types_said && hints && !g->has_values) g->types = hints;
	return true;
}
