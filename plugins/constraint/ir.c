#include "ir.h"

void ir_free(ir *g) {
	vec_free(&g->nodes);
	vec_free(&g->bytes);
	vec_free(&g->ranges);
	vec_free(&g->rules);
	heap_give(g->slots);
	*g = (ir){0};
}

static uint32_t node(ir *g, ir_node n) {
	if (g->nodes.n == 0 && !vec_add(&g->nodes, (ir_node){0})) g->failed = true;
	if (g->failed || !vec_add(&g->nodes, n)) {
		g->failed = true;
		return 0;
	}
	return g->nodes.n - 1;
}

uint32_t ir_empty(ir *g) { return node(g, (ir_node){.kind = IR_EMPTY}); }
uint32_t ir_never(ir *g) { return node(g, (ir_node){.kind = IR_NEVER}); }

uint32_t ir_bytes(ir *g, const void *text, uint32_t n) {
	if (n == 0) return ir_empty(g);
	uint32_t at = g->bytes.n;
	if (!vec_room(&g->bytes, n)) {
		g->failed = true;
		return 0;
	}
	__builtin_memcpy(g->bytes.at + at, text, n);
	g->bytes.n += n;
	return node(g, (ir_node){.kind = IR_BYTES, .a = at, .b = n});
}

uint32_t ir_text(ir *g, const char *text) {
	uint32_t n = 0;
	while (text[n]) n++;
	return ir_bytes(g, text, n);
}

uint32_t ir_char(ir *g, uint32_t c) {
	uint8_t text[4];
	return ir_bytes(g, text, utf8_encode(c, text));
}

uint32_t ir_repeat(ir *g, uint32_t what, uint32_t least, uint32_t most) {
	if (most == 0) return ir_empty(g);
	if (least == 1 && most == 1) return what;
	return node(g, (ir_node){.kind = IR_REPEAT, .a = what, .b = least, .c = most});
}

uint32_t ir_ref(ir *g, uint32_t rule) { return node(g, (ir_node){.kind = IR_RULE, .a = rule}); }

void ir_add(ir *g, ir_list *list, uint32_t n) {
	if (n == 0) {
		g->failed = true;
		return;
	}
	if (list->last) g->nodes.at[list->last].next = n;
	else list->first = n;
	list->last = n;
}

uint32_t ir_sequence(ir *g, ir_list list) {
	if (!list.first) return ir_empty(g);
	return list.first == list.last ? list.first : node(g, (ir_node){.kind = IR_SEQUENCE, .a = list.first});
}

uint32_t ir_choice(ir *g, ir_list list) {
	if (!list.first) return ir_never(g);
	return list.first == list.last ? list.first : node(g, (ir_node){.kind = IR_CHOICE, .a = list.first});
}

uint32_t ir_pair(ir *g, uint32_t a, uint32_t b) {
	ir_list list = {0};
	ir_add(g, &list, a);
	ir_add(g, &list, b);
	return ir_sequence(g, list);
}

uint32_t ir_either(ir *g, uint32_t a, uint32_t b) {
	ir_list list = {0};
	ir_add(g, &list, a);
	ir_add(g, &list, b);
	return ir_choice(g, list);
}

bool set_add(ir *g, char_set *set, uint32_t lo, uint32_t hi) {
	if (!vec_add(set, (char_range){lo, hi})) g->failed = true;
	return !g->failed;
}

bool set_tidy(ir *g, char_set *set, bool negate) {
	if (negate) { // so that the complement lacks surrogates
		if (!set_add(g, set, 0xD800, 0xDFFF)) return false;
	}
	uint32_t gap = 1; // Shell's method
	while (gap < set->n / 3) gap = 3 * gap + 1;
	for (; gap; gap /= 3) {
		for (uint32_t i = gap; i < set->n; i++) {
			char_range r = set->at[i];
			uint32_t j = i;
			for (; j >= gap && set->at[j - gap].lo > r.lo; j -= gap) set->at[j] = set->at[j - gap];
			set->at[j] = r;
		}
	}
	uint32_t n = 0;
	for (uint32_t i = 0; i < set->n; i++) {
		char_range r = set->at[i];
		if (n && r.lo <= set->at[n - 1].hi + 1) {
			if (r.hi > set->at[n - 1].hi) set->at[n - 1].hi = r.hi;
		} else {
			set->at[n++] = r;
		}
	}
	set->n = n;
	char_set out = {0};
	uint32_t next = 0;
	for (uint32_t i = 0; negate && i < set->n; i++) {
		if (set->at[i].lo > next) set_add(g, &out, next, set->at[i].lo - 1);
		next = set->at[i].hi + 1;
	}
	if (negate && next <= MAX_CHAR) set_add(g, &out, next, MAX_CHAR);
	for (uint32_t i = 0; !negate && i < set->n; i++) {
		char_range r = set->at[i];
		if (r.lo < 0xD800) set_add(g, &out, r.lo, r.hi < 0xD800 ? r.hi : 0xD7FF);
		if (r.hi > 0xDFFF) set_add(g, &out, r.lo > 0xDFFF ? r.lo : 0xE000, r.hi);
	}
	vec_free(set);
	*set = out;
	return !g->failed;
}

uint32_t ir_class(ir *g, char_set *set, bool negate) {
	uint32_t made = 0;
	if (set_tidy(g, set, negate)) {
		uint32_t at = g->ranges.n;
		if (set->n == 0) {
			made = ir_never(g);
		} else if (vec_room(&g->ranges, set->n)) {
			__builtin_memcpy(g->ranges.at + at, set->at, set->n * sizeof *set->at);
			g->ranges.n += set->n;
			made = node(g, (ir_node){.kind = IR_CLASS, .a = at, .b = set->n});
		} else {
			g->failed = true;
		}
	}
	vec_free(set);
	return made;
}

uint32_t ir_ranges(ir *g, const char *pairs) {
	char_set set = {0};
	for (; *pairs; pairs += 2) set_add(g, &set, (uint8_t)pairs[0], (uint8_t)pairs[1]);
	return ir_class(g, &set, false);
}

static uint32_t hash_name(const uint8_t *p, uint32_t n) {
	uint32_t h = 2166136261u; // FNV-1a
	while (n--) h = (h ^ *p++) * 16777619u;
	return h ^ h >> 15;
}

// slot finds the place of a name in the table, or the free one where it belongs.
static uint32_t *slot(const ir *g, const uint8_t *name, uint32_t n) {
	for (uint32_t i = hash_name(name, n);; i++) {
		uint32_t *s = &g->slots[i & (g->n_slots - 1)];
		if (!*s) return s;
		const ir_rule *r = &g->rules.at[*s - 1];
		if (r->name_n == n && __builtin_memcmp(g->bytes.at + r->name, name, n) == 0) return s;
	}
}

// name_room keeps the table at most half full.
static bool name_room(ir *g) {
	if (2 * (g->rules.n + 1) <= g->n_slots) return true;
	heap_give(g->slots);
	g->n_slots = g->n_slots ? 2 * g->n_slots : 64;
	if (!(g->slots = heap_take(4 * g->n_slots))) return false;
	for (uint32_t i = 0; i < g->rules.n; i++)
		if (g->rules.at[i].name_n) *slot(g, g->bytes.at + g->rules.at[i].name, g->rules.at[i].name_n) = i + 1;
	return true;
}

uint32_t ir_new_rule(ir *g, const void *name, uint32_t n) {
	ir_rule r = {.name = g->bytes.n, .name_n = n};
	if (!vec_room(&g->bytes, n) || !name_room(g) || !vec_room(&g->rules, 1)) {
		g->failed = true;
		return UNBOUNDED;
	}
	if (n) {
		__builtin_memcpy(g->bytes.at + r.name, name, n);
		g->bytes.n += n;
		*slot(g, name, n) = g->rules.n + 1;
	}
	g->rules.at[g->rules.n++] = r;
	return g->rules.n - 1;
}

uint32_t ir_find(const ir *g, const uint8_t *name, uint32_t n) {
	if (!g->n_slots || !n) return UNBOUNDED;
	return *slot(g, name, n) - 1; // a free slot, 0, becomes UNBOUNDED
}

uint32_t utf8_decode(const uint8_t *p, uint32_t n, uint32_t *c) {
	if (n == 0) return 0;
	if (p[0] < 0x80) {
		*c = p[0];
		return 1;
	}
	uint32_t size = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
	if (p[0] < 0xC2 || p[0] > 0xF4 || size > n) return 0;
	uint32_t v = p[0] & (0x7Fu >> size);
	for (uint32_t i = 1; i < size; i++) {
		if ((p[i] & 0xC0) != 0x80) return 0;
		v = v << 6 | (p[i] & 0x3F);
	}
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	if (v < least[size] || v > MAX_CHAR || (v >= 0xD800 && v <= 0xDFFF)) return 0;
	*c = v;
	return size;
}

uint32_t utf8_encode(uint32_t c, uint8_t out[4]) {
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	uint32_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (uint32_t i = size - 1; i; i--, c >>= 6) out[i] = 0x80 | (c & 0x3F);
	out[0] = (uint8_t)(0xF00u >> size | c);
	return size;
}
