#include "grammars.h"

#include "choice.h"
#include "gbnf.h"
#include "mask.h"
#include "regex.h"
#include "schema.h"

enum { SOFT_LIMIT = 24 << 20, MOST_TEXT = 4 << 20, MOST_IDLE = 16 };

typedef struct grammar {
	automaton a;
	struct grammar *next;
	uint8_t *text;
	uint32_t n, language;
} grammar;

static grammar *all; // the one used last comes first
static uint32_t base;

static bool same_text(const grammar *g, language l, const uint8_t *text, uint32_t n) {
	return g->language == l && g->n == n && __builtin_memcmp(g->text, text, n) == 0;
}

static void drop(grammar *g) {
	mask_forget(&g->a);
	automaton_free(&g->a);
	heap_give(g->text), heap_give(g);
}

// read gives the rule that an answer follows.
static uint32_t read(ir *g, language l, const uint8_t *text, uint32_t n) {
	uint32_t body = 0;
	switch (l) {
	case LANGUAGE_GBNF: return gbnf_read(g, text, n);
	case LANGUAGE_JSON_SCHEMA: return schema_read(g, text, n);
	case LANGUAGE_REGEX: body = regex_read(g, text, n, &(regex_options){.what = "regex"}); break;
	default: body = choice_read(g, text, n);
	}
	uint32_t rule = body ? ir_new_rule(g, "", 0) : UNBOUNDED;
	if (rule != UNBOUNDED) g->rules.at[rule].body = body;
	return rule;
}

static grammar *make(language l, const uint8_t *text, uint32_t n) {
	grammar *made = heap_take(sizeof *made);
	uint8_t *copy = heap_take(n ? n : 1);
	ir g = {0};
	bool ok = made && copy;
	uint32_t root = ok ? read(&g, l, text, n) : UNBOUNDED;
	ok = ok && root != UNBOUNDED && !g.failed && compile(&made->a, &g, root) && automaton_start(&made->a) != SET_FAILED;
	ir_free(&g);
	if (!ok) {
		refuse("there is not enough memory for the grammar: raise limits.pages");
		if (made) automaton_free(&made->a);
		heap_give(made), heap_give(copy);
		return 0;
	}
	if (n) __builtin_memcpy(copy, text, n);
	made->text = copy, made->n = n, made->language = l;
	return made;
}

// trim keeps few grammars that nobody uses.
static void trim(uint32_t most) {
	uint32_t idle = 0;
	for (grammar **at = &all; *at;) {
		grammar *g = *at;
		if (g->a.users || ++idle <= most) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		drop(g);
	}
}

automaton *grammar_open(language l, const uint8_t *text, uint32_t n) {
	if (n > MOST_TEXT) return refuse("the grammar has ", decimal(n), " bytes; the limit is ", decimal(MOST_TEXT)), (automaton *)0;
	grammar **at = &all;
	while (*at && !same_text(*at, l, text, n)) at = &(*at)->next;
	grammar *g = *at;
	if (g) {
		*at = g->next;
	} else {
		grammars_relieve(0, false);
		if (!(g = make(l, text, n))) return 0;
	}
	g->next = all, all = g;
	g->a.users++;
	trim(MOST_IDLE);
	return &g->a;
}

void grammar_use(automaton *a) { a->users++; }
void grammar_close(automaton *a) { a->users--; }

void grammars_base(void) { base = heap_used(); }

void grammars_relieve(automaton *a, bool in_any_case) {
	for (uint32_t step = 0; step < 3; step++) {
		if (!in_any_case && heap_used() - base < SOFT_LIMIT) return;
		if (step == 0) trim(0);
		for (grammar *g = all; step && g; g = g->next)
			if ((&g->a == a) == (step == 2)) mask_forget(&g->a), automaton_drop_rows(&g->a);
	}
}
