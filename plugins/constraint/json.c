#include "json.h"

#include "ir.h"

typedef struct {
	json *j;
	const char *what;
	const uint8_t *p;
	uint32_t n, at;
	bool failed;
} reader;

static uint32_t fail(reader *r, const char *why) {
	r->failed = true;
	return refuse(r->what, " is not valid JSON at byte ", decimal(r->at + 1), ": ", why);
}

static uint32_t short_of_memory(reader *r) {
	r->failed = true;
	return refuse("there is not enough memory for ", r->what, ": raise limits.pages");
}

static void blanks(reader *r) {
	while (r->at < r->n && (r->p[r->at] == ' ' || r->p[r->at] == '\t' || r->p[r->at] == '\n' || r->p[r->at] == '\r')) r->at++;
}

static bool take(reader *r, uint8_t c) {
	blanks(r);
	if (r->failed || r->at == r->n || r->p[r->at] != c) return false;
	r->at++;
	return true;
}

static uint32_t add(reader *r, json_value v) {
	if (r->j->values.n == 0 && !vec_add(&r->j->values, (json_value){0})) return short_of_memory(r);
	if (!vec_add(&r->j->values, v)) return short_of_memory(r);
	return r->j->values.n - 1;
}

static void put(reader *r, uint32_t c) {
	uint8_t out[4];
	uint32_t n = utf8_encode(c, out);
	for (uint32_t i = 0; i < n; i++)
		if (!vec_add(&r->j->bytes, out[i])) short_of_memory(r);
}

static uint32_t hex4(reader *r) {
	uint32_t v = 0;
	for (uint32_t i = 0; i < 4; i++, r->at++) {
		uint32_t c = r->at < r->n ? r->p[r->at] : 0, digit;
		if (c >= '0' && c <= '9') digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f') digit = (c | 32) - 'a' + 10;
		else return fail(r, "four hexadecimal digits should follow \\u");
		v = v << 4 | digit;
	}
	return v;
}

static void escape(reader *r) {
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	uint32_t c = r->at < r->n ? r->p[r->at++] : 0;
	if (c == 'u') {
		c = hex4(r);
		if (c >= 0xD800 && c < 0xDC00 && r->at + 1 < r->n && r->p[r->at] == '\\' && r->p[r->at + 1] == 'u') {
			r->at += 2;
			uint32_t low = hex4(r);
			c = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : 0xD800;
		}
		if (c >= 0xD800 && c < 0xE000) fail(r, "half a surrogate pair is no character");
		else put(r, c);
		return;
	}
	for (uint32_t i = 0; letters[i]; i++) {
		if (c == (uint8_t)letters[i]) {
			put(r, (uint8_t)meant[i]);
			return;
		}
	}
	fail(r, "there is no such escape");
}

// text reads what follows a quotation mark into bytes and gives its length.
static uint32_t text(reader *r) {
	uint32_t from = r->j->bytes.n, c;
	while (!r->failed) {
		uint32_t size = utf8_decode(r->p + r->at, r->n - r->at, &c);
		if (r->at == r->n) return fail(r, "the text is not closed");
		if (!size) return fail(r, "the text is not UTF-8");
		r->at += size;
		if (c == '"') break;
		if (c < ' ') return fail(r, "a control character stands in a text");
		if (c == '\\') escape(r);
		else put(r, c);
	}
	return r->j->bytes.n - from;
}

static bool digits(reader *r) {
	uint32_t from = r->at;
	while (r->at < r->n && r->p[r->at] >= '0' && r->p[r->at] <= '9') r->at++;
	return r->at > from;
}

static uint32_t number(reader *r) {
	uint32_t from = r->at, at = r->j->bytes.n;
	if (r->p[r->at] == '-') r->at++;
	uint32_t whole = r->at;
	if (!digits(r) || (r->p[whole] == '0' && r->at - whole > 1)) return fail(r, "this is no value");
	if (r->at < r->n && r->p[r->at] == '.' && (r->at++, !digits(r))) return fail(r, "digits should follow the point");
	if (r->at < r->n && (r->p[r->at] | 32) == 'e') {
		r->at++;
		if (r->at < r->n && (r->p[r->at] == '+' || r->p[r->at] == '-')) r->at++;
		if (!digits(r)) return fail(r, "digits should follow the exponent's letter");
	}
	for (uint32_t i = from; i < r->at; i++)
		if (!vec_add(&r->j->bytes, r->p[i])) return short_of_memory(r);
	return add(r, (json_value){.kind = JSON_NUMBER, .text = at, .text_n = r->at - from});
}

static uint32_t word(reader *r, const char *w, json_kind kind) {
	for (; *w; w++, r->at++)
		if (r->at == r->n || r->p[r->at] != (uint8_t)*w) return fail(r, "this is no value");
	return add(r, (json_value){.kind = (uint8_t)kind});
}

static uint32_t hash_key(const json *j, uint32_t v) {
	uint32_t h = 2166136261u; // FNV-1a
	for (uint32_t i = 0; i < json_at(j, v)->key_n; i++) h = (h ^ json_key(j, v)[i]) * 16777619u;
	return h;
}

// distinct checks that an object has no key twice, by a table of its n members.
static bool distinct(reader *r, uint32_t object, uint32_t n) {
	uint32_t size = 4;
	while (size < 2 * n) size *= 2;
	uint32_t *slots = heap_take(4 * size);
	if (!slots) return short_of_memory(r);
	bool ok = true;
	for (uint32_t v = json_at(r->j, object)->first; ok && v; v = json_at(r->j, v)->next) {
		uint32_t i = hash_key(r->j, v);
		for (; ok && slots[i & (size - 1)]; i++) {
			uint32_t other = slots[i & (size - 1)];
			ok = json_at(r->j, other)->key_n != json_at(r->j, v)->key_n || __builtin_memcmp(json_key(r->j, other), json_key(r->j, v), json_at(r->j, v)->key_n);
		}
		slots[i & (size - 1)] = v;
	}
	heap_give(slots);
	return ok || fail(r, "a key of the object that ends here is there twice");
}

static uint32_t value(reader *r, uint32_t depth);

static uint32_t list(reader *r, uint32_t depth, bool object) {
	uint32_t made = add(r, (json_value){.kind = object ? JSON_OBJECT : JSON_ARRAY}), last = 0, n = 0;
	if (take(r, object ? '}' : ']')) return made;
	do {
		uint32_t key = 0, key_n = 0;
		if (object) {
			if (!take(r, '"')) return fail(r, "a key in quotation marks should stand here");
			key = r->j->bytes.n;
			key_n = text(r);
			if (!take(r, ':')) return fail(r, "a colon should follow the key");
		}
		uint32_t v = value(r, depth + 1);
		if (r->failed) return 0;
		json_value *at = r->j->values.at;
		at[v].key = key, at[v].key_n = key_n;
		if (last) at[last].next = v;
		else at[made].first = v;
		last = v, at[made].text_n = ++n;
	} while (take(r, ','));
	if (!take(r, object ? '}' : ']')) return fail(r, object ? "a comma or a closing brace should stand here" : "a comma or a closing bracket should stand here");
	return !object || distinct(r, made, n) ? made : 0;
}

static uint32_t value(reader *r, uint32_t depth) {
	if (depth > JSON_DEPTH) return fail(r, "values are nested too deep");
	if (take(r, '{')) return list(r, depth, true);
	if (take(r, '[')) return list(r, depth, false);
	if (take(r, '"')) {
		uint32_t at = r->j->bytes.n, n = text(r);
		return r->failed ? 0 : add(r, (json_value){.kind = JSON_TEXT, .text = at, .text_n = n});
	}
	switch (r->at < r->n ? r->p[r->at] : 0) {
	case 't': return word(r, "true", JSON_TRUE);
	case 'f': return word(r, "false", JSON_FALSE);
	case 'n': return word(r, "null", JSON_NULL);
	case 0: return fail(r, "a value is missing");
	}
	return number(r);
}

uint32_t json_read(json *j, const char *what, const uint8_t *p, uint32_t n) {
	reader r = {.j = j, .what = what, .p = p, .n = n};
	uint32_t v = value(&r, 0);
	blanks(&r);
	if (!r.failed && r.at < n) fail(&r, "something follows the value");
	return r.failed ? 0 : v;
}

void json_free(json *j) {
	vec_free(&j->values);
	vec_free(&j->bytes);
}

static uint32_t length(const char *s) {
	uint32_t n = 0;
	while (s[n]) n++;
	return n;
}

uint32_t json_member_n(const json *j, uint32_t object, const uint8_t *key, uint32_t n) {
	if (!object || json_at(j, object)->kind != JSON_OBJECT) return 0;
	for (uint32_t v = json_at(j, object)->first; v; v = json_at(j, v)->next)
		if (json_at(j, v)->key_n == n && __builtin_memcmp(json_key(j, v), key, n) == 0) return v;
	return 0;
}

uint32_t json_member(const json *j, uint32_t object, const char *key) { return json_member_n(j, object, (const uint8_t *)key, length(key)); }

bool json_is(const json *j, uint32_t v, const char *text) {
	uint32_t n = length(text);
	return json_at(j, v)->kind == JSON_TEXT && json_at(j, v)->text_n == n && __builtin_memcmp(json_text(j, v), text, n) == 0;
}

bool json_key_is(const json *j, uint32_t v, const char *key) {
	uint32_t n = length(key);
	return json_at(j, v)->key_n == n && __builtin_memcmp(json_key(j, v), key, n) == 0;
}

// plain is the length of a number without a fraction of zeros.
static uint32_t plain(const uint8_t *p, uint32_t n) {
	uint32_t end = n;
	while (end && p[end - 1] == '0') end--;
	return end && p[end - 1] == '.' ? end - 1 : n;
}

bool json_equal(const json *j, uint32_t a, uint32_t b) {
	const json_value *x = json_at(j, a), *y = json_at(j, b);
	if (x->kind != y->kind) return false;
	if (x->kind == JSON_NUMBER) {
		uint32_t n = plain(json_text(j, a), x->text_n);
		return n == plain(json_text(j, b), y->text_n) && __builtin_memcmp(json_text(j, a), json_text(j, b), n) == 0;
	}
	if (x->kind == JSON_TEXT) return x->text_n == y->text_n && __builtin_memcmp(json_text(j, a), json_text(j, b), x->text_n) == 0;
	if (x->kind < JSON_NUMBER) return true;
	if (x->text_n != y->text_n) return false;
	uint32_t v = x->first, w = y->first;
	for (; v; v = json_at(j, v)->next, w = json_at(j, w)->next) {
		uint32_t other = x->kind == JSON_OBJECT ? json_member_n(j, b, json_key(j, v), json_at(j, v)->key_n) : w;
		if (!other || !json_equal(j, v, other)) return false;
	}
	return true;
}
