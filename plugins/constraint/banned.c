#include "banned.h"

#include "json.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

static uint32_t child_of(const banned *b, uint32_t node, uint8_t byte) {
	uint32_t c = b->nodes.at[node].child;
	while (c && b->nodes.at[c].byte != byte) c = b->nodes.at[c].sibling;
	return c;
}

static bool add(banned *b, const uint8_t *p, uint32_t n) {
	uint32_t at = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t next = child_of(b, at, lower(p[i]));
		if (!next) {
			banned_node made = {.sibling = b->nodes.at[at].child, .depth = i + 1, .byte = lower(p[i])};
			if (!vec_add(&b->nodes, made)) return false;
			b->nodes.at[at].child = next = b->nodes.n - 1;
		}
		at = next;
	}
	b->nodes.at[at].match = n;
	return true;
}

// link finds the fail node of each node, parents before children.
static bool link(banned *b) {
	VEC(uint32_t) queue = {0};
	bool ok = vec_add(&queue, 0);
	for (uint32_t i = 0; ok && i < queue.n; i++) {
		uint32_t parent = queue.at[i];
		for (uint32_t c = b->nodes.at[parent].child; ok && c; c = b->nodes.at[c].sibling) {
			banned_node *n = &b->nodes.at[c];
			n->fail = parent ? banned_step(b, b->nodes.at[parent].fail, n->byte) : 0;
			uint32_t shorter = b->nodes.at[n->fail].match;
			if (shorter) n->match = shorter;
			ok = vec_add(&queue, c);
		}
	}
	vec_free(&queue);
	return ok;
}

bool banned_read(banned *b, const uint8_t *text, uint32_t n) {
	json j = {0};
	uint32_t all = json_read(&j, "banned_strings", text, n);
	bool ok = all && (json_at(&j, all)->kind == JSON_ARRAY || refuse("banned_strings is not a JSON array of texts"));
	bool room = ok && json_at(&j, all)->first ? vec_add(&b->nodes, (banned_node){0}) : true;
	for (uint32_t v = ok ? json_at(&j, all)->first : 0; ok && room && v; v = json_at(&j, v)->next) {
		if (json_at(&j, v)->kind != JSON_TEXT) ok = refuse("banned_strings is not a JSON array of texts");
		else if (json_at(&j, v)->text_n == 0) ok = refuse("banned_strings has an empty text, which would forbid everything");
		else room = add(b, json_text(&j, v), json_at(&j, v)->text_n);
	}
	room = room && (!ok || !b->nodes.n || link(b));
	json_free(&j);
	return ok && (room || refuse("there is not enough memory for banned_strings: raise limits.pages"));
}

void banned_free(banned *b) { vec_free(&b->nodes); }

uint32_t banned_step(const banned *b, uint32_t node, uint8_t byte) {
	for (byte = lower(byte);; node = b->nodes.at[node].fail) {
		uint32_t c = child_of(b, node, byte);
		if (c || node == 0) return c;
	}
}
