// schema_text.c: texts inside JSON: their characters and escapes, values that are given word by word, formats, patterns,
// and keys that must not be certain ones.
#include "regex.h"
#include "schema_parts.h"

static bool is_plain(uint32_t c) { return c >= ' ' && c != '"' && c != '\\'; }

// escape_letter is the letter of a character's short escape, 0 if it has none.
static uint8_t escape_letter(uint32_t c) {
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\b': return 'b';
	case '\f': return 'f';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	}
	return 0;
}

// escape_of writes the escape of a character that needs one and gives its length.
static uint32_t escape_of(uint32_t c, uint8_t out[6]) {
	static const char hex[] = "0123456789abcdef";
	out[0] = '\\';
	if ((out[1] = escape_letter(c))) return 2;
	out[1] = 'u', out[2] = out[3] = '0', out[4] = (uint8_t)hex[c >> 4], out[5] = (uint8_t)hex[c & 15];
	return 6;
}

uint32_t text_class(ir *g, char_set *set) {
	ir_list list = {0};
	char_set plain = {0};
	for (uint32_t i = 0; i < set->n; i++) {
		char_range r = set->at[i];
		for (uint32_t c = r.lo; c <= r.hi && c <= '\\'; c++) {
			uint8_t escape[6];
			if (!is_plain(c)) ir_add(g, &list, ir_bytes(g, escape, escape_of(c, escape)));
			else set_add(g, &plain, c, c);
		}
		if (r.hi > '\\') set_add(g, &plain, r.lo > '\\' ? r.lo : '\\' + 1, r.hi);
	}
	vec_free(set);
	if (plain.n) ir_add(g, &list, ir_class(g, &plain, false));
	vec_free(&plain);
	return ir_choice(g, list);
}

// escaped gives the tree of the escapes that may stand for a character: with four digits those of no half of a pair, or
// of both halves.
static uint32_t escaped(ir *g) {
	ir_list all = {0}, letters = {0}, single = {0}, pair = {0}, digits = {0};
#define HEX(n) ir_repeat(g, ir_ranges(g, "09afAF"), n, n)
	ir_add(g, &single, ir_pair(g, ir_ranges(g, "09acefACEF"), HEX(3)));
	ir_list low = {0};
	ir_add(g, &low, ir_ranges(g, "ddDD"));
	ir_add(g, &low, ir_ranges(g, "07"));
	ir_add(g, &low, HEX(2));
	ir_add(g, &single, ir_sequence(g, low));
	ir_add(g, &pair, ir_ranges(g, "ddDD"));
	ir_add(g, &pair, ir_ranges(g, "89abAB"));
	ir_add(g, &pair, HEX(2));
	ir_add(g, &pair, ir_text(g, "\\u"));
	ir_add(g, &pair, ir_ranges(g, "ddDD"));
	ir_add(g, &pair, ir_ranges(g, "cfCF"));
	ir_add(g, &pair, HEX(2));
	ir_add(g, &digits, ir_choice(g, single));
	ir_add(g, &digits, ir_sequence(g, pair));
#undef HEX
	ir_add(g, &letters, ir_ranges(g, "\"\"\\\\//bbffnnrrtt"));
	ir_add(g, &letters, ir_pair(g, ir_text(g, "u"), ir_choice(g, digits)));
	ir_add(g, &all, ir_text(g, "\\"));
	ir_add(g, &all, ir_choice(g, letters));
	return ir_sequence(g, all);
}

uint32_t any_char(ir *g) {
	char_set special = {0};
	set_add(g, &special, 0, 0x1F);
	set_add(g, &special, '"', '"');
	set_add(g, &special, '\\', '\\');
	return ir_either(g, ir_class(g, &special, true), escaped(g));
}

bool text_of(byte_list *out, const uint8_t *text, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		if (!vec_room(out, 6)) return false;
		if (is_plain(text[i])) out->at[out->n++] = text[i];
		else out->n += escape_of(text[i], out->at + out->n);
	}
	return true;
}

// ---- values word by word -----------------------------------------------------------------------------------------------

static bool put(byte_list *out, uint8_t c) { return vec_add(out, c); }

static bool put_text(byte_list *out, const uint8_t *text, uint32_t n) { return put(out, '"') && text_of(out, text, n) && put(out, '"'); }

static bool put_word(byte_list *out, const char *w) {
	bool ok = true;
	while (ok && *w) ok = put(out, (uint8_t)*w++);
	return ok;
}

static bool put_value(byte_list *out, const json *j, uint32_t value) {
	const json_value *v = json_at(j, value);
	bool ok = true;
	switch (v->kind) {
	case JSON_NULL: return put_word(out, "null");
	case JSON_FALSE: return put_word(out, "false");
	case JSON_TRUE: return put_word(out, "true");
	case JSON_TEXT: return put_text(out, json_text(j, value), v->text_n);
	case JSON_NUMBER:
		for (uint32_t i = 0; ok && i < v->text_n; i++) ok = put(out, json_text(j, value)[i]);
		return ok;
	}
	bool object = v->kind == JSON_OBJECT;
	ok = put(out, object ? '{' : '[');
	for (uint32_t m = v->first; ok && m; m = json_at(j, m)->next) {
		if (m != v->first) ok = put_word(out, ", ");
		if (object) ok = ok && put_text(out, json_key(j, m), json_at(j, m)->key_n) && put_word(out, ": ");
		ok = ok && put_value(out, j, m);
	}
	return ok && put(out, object ? '}' : ']');
}

uint32_t literal_tree(ir *g, const json *j, uint32_t value) {
	byte_list out = {0};
	uint32_t made = 0;
	if (put_value(&out, j, value)) made = ir_bytes(g, out.at, out.n);
	else g->failed = true;
	vec_free(&out);
	return made;
}

// ---- patterns and formats ------------------------------------------------------------------------------------------------

static uint32_t quoted_tree(ir *g, uint32_t inner) {
	ir_list list = {0};
	ir_add(g, &list, ir_text(g, "\""));
	ir_add(g, &list, inner);
	ir_add(g, &list, ir_text(g, "\""));
	return ir_sequence(g, list);
}

uint32_t pattern_tree(ir *g, const uint8_t *pattern, uint32_t n) {
	regex_options opt = {.what = "json_schema: pattern", .search = true, .class = text_class};
	uint32_t inner = regex_read(g, pattern, n, &opt);
	return inner ? quoted_tree(g, inner) : 0;
}

// What each format allows here is a part of what it allows at large: an answer is of the format, though not every text of
// the format can be an answer.
#define MONTH_DAY "((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))"
#define LEAP_YEAR "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
#define DATE "(\\d{4}-" MONTH_DAY "|" LEAP_YEAR "-02-29)"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOST LABEL "(\\." LABEL "){1,3}"
#define BYTE "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define GROUP "[0-9a-f]{1,4}"

static const struct {
	const char *name, *regex;
} formats[] = {
	{"date", DATE},
	{"time", TIME},
	{"date-time", DATE "T" TIME},
	{"duration", "P(\\d{1,4}Y(\\d{1,4}M(\\d{1,4}D)?)?|\\d{1,4}M(\\d{1,4}D)?|\\d{1,4}D)?T\\d{1,4}(H(\\d{1,4}M(\\d{1,4}S)?)?|M(\\d{1,4}S)?|S)|P\\d{1,4}[YMWD]"},
	{"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
	{"email", "[A-Za-z0-9_+-]{1,30}(\\.[A-Za-z0-9_+-]{1,20}){0,2}@" HOST},
	{"hostname", HOST},
	{"ipv4", BYTE "(\\." BYTE "){3}"},
	{"ipv6", "(" GROUP ":){7}" GROUP "|::(" GROUP ":){0,5}" GROUP "|(" GROUP ":){1,3}(:" GROUP "){1,3}"},
	{"uri", "https?://" HOST "(:[1-9]\\d{0,3})?(/[A-Za-z0-9._~-]*)*(\\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?"},
};

uint32_t format_tree(ir *g, const uint8_t *name, uint32_t n) {
	for (uint32_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		const char *f = formats[i].name, *regex = formats[i].regex;
		uint32_t size = 0, length = 0;
		while (f[size]) size++;
		while (regex[length]) length++;
		if (size != n || __builtin_memcmp(f, name, n)) continue;
		uint32_t inner = regex_read(g, (const uint8_t *)regex, length, &(regex_options){.what = "format", .class = text_class});
		return inner ? quoted_tree(g, inner) : 0;
	}
	refuse("json_schema: the format ", quoted(name, n), " is none that an answer can be held to: it has date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6 and uri");
	return 0;
}

// ---- keys --------------------------------------------------------------------------------------------------------------------

enum { LONGEST_NAME = 200 }; // its characters are so many trees in one another

typedef struct {
	ir *g;
	const json *j;
	VEC(name_range) names; // sorted
	uint32_t chars;      // rule: any characters
} key_reader;

static int compare_names(const json *j, name_range a, name_range b) {
	int order = __builtin_memcmp(j->bytes.at + a.at, j->bytes.at + b.at, a.n < b.n ? a.n : b.n);
	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

// short_escape gives the tree of one character by its short escape.
static uint32_t short_escape(ir *g, char_set *set) {
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	ir_list list = {0};
	for (uint32_t i = 0; letters[i]; i++) {
		uint8_t out[2] = {'\\', (uint8_t)letters[i]};
		for (uint32_t k = 0; k < set->n; k++)
			if (set->at[k].lo <= (uint8_t)meant[i] && (uint8_t)meant[i] <= set->at[k].hi) ir_add(g, &list, ir_bytes(g, out, 2));
	}
	return ir_choice(g, list);
}

// spelled gives the tree of a class of characters as they are or by their short escape. Escapes with digits are left out:
// while a key may still become one of the names, it should not in disguise. The set is kept.
static uint32_t spelled(ir *g, const char_set *set) {
	char_set plain = {0};
	for (uint32_t i = 0; i < set->n; i++) {
		char_range r = set->at[i];
		for (uint32_t c = r.lo; c <= r.hi && c <= '\\'; c++)
			if (is_plain(c)) set_add(g, &plain, c, c);
		if (r.hi > '\\') set_add(g, &plain, r.lo > '\\' ? r.lo : '\\' + 1, r.hi);
	}
	uint32_t class = plain.n ? ir_class(g, &plain, false) : ir_never(g);
	vec_free(&plain);
	char_set copy = *set;
	return ir_either(g, class, short_escape(g, &copy));
}

// others gives the tree of what may follow, up to the closing mark, where the key has so far the first `at` bytes of the
// names from..to, so that it will be none of them.
static uint32_t others(key_reader *r, uint32_t from, uint32_t to, uint32_t at) {
	ir *g = r->g;
	ir_list list = {0};
	char_set known = {0};
	bool ends = false;
	for (; from < to && r->names.at[from].n == at; from++) ends = true;
	if (!ends) ir_add(g, &list, ir_text(g, "\""));
	for (uint32_t i = from; i < to && !g->failed;) {
		const uint8_t *key = r->j->bytes.at + r->names.at[i].at;
		uint32_t n = r->names.at[i].n, c, size = utf8_decode(key + at, n - at, &c), next = i + 1;
		for (; next < to; next++) {
			name_range other = r->names.at[next];
			if (other.n < at + size || __builtin_memcmp(r->j->bytes.at + other.at + at, key + at, size)) break;
		}
		set_add(g, &known, c, c);
		char_set one = {0};
		set_add(g, &one, c, c);
		uint32_t same = spelled(g, &one);
		vec_free(&one);
		ir_add(g, &list, ir_pair(g, same, others(r, i, next, at + size)));
		i = next;
	}
	char_set rest = {0};
	for (uint32_t i = 0; i < known.n; i++) set_add(g, &rest, known.at[i].lo, known.at[i].hi);
	vec_free(&known);
	if (set_tidy(g, &rest, true)) {
		uint32_t other = spelled(g, &rest);
		ir_add(g, &list, ir_pair(g, other, ir_ref(g, r->chars)));
	}
	vec_free(&rest);
	return ir_choice(g, list);
}

uint32_t other_key(ir *g, const json *j, const name_range *names, uint32_t n) {
	key_reader r = {.g = g, .j = j};
	for (uint32_t i = 0; i < n && !g->failed; i++) {
		if (names[i].n > LONGEST_NAME) {
			refuse("json_schema: additionalProperties beside a name of more than ", decimal(LONGEST_NAME), " bytes cannot be held to: ", quoted(j->bytes.at + names[i].at, names[i].n));
			vec_free(&r.names);
			return 0;
		}
		if (!vec_add(&r.names, names[i])) g->failed = true;
		for (uint32_t k = r.names.n - 1; k && compare_names(j, r.names.at[k - 1], r.names.at[k]) > 0; k--) {
			name_range swap = r.names.at[k];
			r.names.at[k] = r.names.at[k - 1], r.names.at[k - 1] = swap;
		}
	}
	r.chars = ir_new_rule(g, "", 0);
	if (!g->failed) {
		uint32_t body = ir_pair(g, ir_repeat(g, any_char(g), 0, UNBOUNDED), ir_text(g, "\""));
		if (!g->failed) g->rules.at[r.chars].body = body;
	}
	uint32_t made = g->failed ? 0 : ir_pair(g, ir_text(g, "\""), others(&r, 0, r.names.n, 0));
	vec_free(&r.names);
	return made;
}
