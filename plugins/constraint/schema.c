// schema.c: JSON schemas (2020-12, and what earlier drafts say otherwise where the two do not clash) to rules.
//
// A view is a list of schemas that all have to hold for one value: a $ref or an allOf adds to it, an anyOf makes a view
// for each of its branches. A view without such keywords is gathered into one form (schema_gather.h), from which trees
// are made, type by type. Each view is a rule, made once, so that schemas may refer to themselves.
//
// What an answer may be is a part of what the schema allows, never more: properties come in the schema's order, between
// values stands little white space, and keys beside the declared ones are written only where additionalProperties is
// given or no property is. A keyword that cannot be held to is refused by its name.
#include "schema.h"

#include "schema_gather.h"

enum { MOST_VIEWS = 20000, MOST_BRANCHES = 256, DISJOINT_DEPTH = 6 };

typedef struct {
	uint32_t first, n; // in the reader's items
	uint32_t rule;
} view;

typedef struct {
	schema_source s;
	ir *g;
	items all; // items of the views
	VEC(view) views;
	uint32_t *slots, n_slots;
	uint32_t blank, any, string, number, integer; // rules made once: their number + 1
} reader;

static void no_memory(reader *r) {
	schema_no_memory(&r->s);
	r->g->failed = true;
}

// ---- views ---------------------------------------------------------------------------------------------------------------

static uint32_t *view_slot(reader *r, const uint32_t *list, uint32_t n) {
	uint32_t h = n;
	for (uint32_t i = 0; i < n; i++) h = (h ^ list[i]) * 0x85EBCA6Bu, h ^= h >> 15;
	for (;; h++) {
		uint32_t *slot = &r->slots[h & (r->n_slots - 1)];
		if (!*slot) return slot;
		const view *v = &r->views.at[*slot - 1];
		if (v->n == n && __builtin_memcmp(r->all.at + v->first, list, 4 * n) == 0) return slot;
	}
}

static bool slots_room(reader *r) {
	if (2 * (r->views.n + 1) <= r->n_slots) return true;
	heap_give(r->slots);
	r->n_slots = r->n_slots ? 2 * r->n_slots : 64;
	if (!(r->slots = heap_take(4 * r->n_slots))) return false;
	for (uint32_t i = 0; i < r->views.n; i++) *view_slot(r, r->all.at + r->views.at[i].first, r->views.at[i].n) = i + 1;
	return true;
}

// rule_of gives the rule of a view, to be filled later if it is new. It sorts the items.
static uint32_t rule_of(reader *r, const items *list) {
	if (r->s.failed || r->g->failed) return UNBOUNDED;
	for (uint32_t i = 1; i < list->n; i++) {
		uint32_t x = list->at[i], k = i;
		for (; k && list->at[k - 1] > x; k--) list->at[k] = list->at[k - 1];
		list->at[k] = x;
	}
	if (!slots_room(r)) return no_memory(r), UNBOUNDED;
	uint32_t *slot = view_slot(r, list->at, list->n);
	if (*slot) return r->views.at[*slot - 1].rule;
	if (r->views.n == MOST_VIEWS) {
		r->s.failed = true;
		refuse("json_schema: its anyOf, oneOf and allOf combine in more than ", decimal(MOST_VIEWS), " ways");
		return UNBOUNDED;
	}
	view v = {r->all.n, list->n, ir_new_rule(r->g, "", 0)};
	if (v.rule == UNBOUNDED || !vec_room(&r->all, list->n + 1) || !vec_add(&r->views, v)) return no_memory(r), UNBOUNDED;
	if (list->n) __builtin_memcpy(r->all.at + v.first, list->at, 4 * list->n);
	r->all.n += list->n;
	*slot = r->views.n;
	return v.rule;
}

// tree_of gives the tree of a view: a reference to its rule.
static uint32_t tree_of(reader *r, const items *list) {
	items copy = {0};
	for (uint32_t i = 0; i < list->n; i++) add_item(&r->s, &copy, list->at[i]);
	uint32_t rule = rule_of(r, &copy);
	vec_free(&copy);
	return rule == UNBOUNDED ? 0 : ir_ref(r->g, rule);
}

// ---- rules that stand for themselves -----------------------------------------------------------------------------------------

// shared gives a reference to a rule that is made when it is first wanted; *known keeps its number + 1.
static uint32_t shared(reader *r, uint32_t *known, uint32_t (*make)(reader *r)) {
	if (!*known) {
		uint32_t rule = ir_new_rule(r->g, "", 0);
		if (rule == UNBOUNDED) return 0;
		*known = rule + 1; // before the body, which may want it
		uint32_t body = make(r);
		if (r->g->failed) return 0;
		r->g->rules.at[rule].body = body;
	}
	return ir_ref(r->g, *known - 1);
}

// White space is none, a blank, or a new line with what indents it: enough to write in lines, not enough to go on for ever.
static uint32_t make_blank(reader *r) {
	ir *g = r->g;
	ir_list list = {0};
	ir_add(g, &list, ir_empty(g));
	ir_add(g, &list, ir_text(g, " "));
	ir_add(g, &list, ir_pair(g, ir_text(g, "\n"), ir_repeat(g, ir_ranges(g, "  \t\t"), 0, 20)));
	return ir_choice(g, list);
}
static uint32_t blank(reader *r) { return shared(r, &r->blank, make_blank); }

static uint32_t string_tree(reader *r, uint32_t least, uint32_t most) {
	ir_list list = {0};
	ir_add(r->g, &list, ir_text(r->g, "\""));
	ir_add(r->g, &list, ir_repeat(r->g, any_char(r->g), least, most));
	ir_add(r->g, &list, ir_text(r->g, "\""));
	return ir_sequence(r->g, list);
}

static uint32_t make_string(reader *r) { return string_tree(r, 0, UNBOUNDED); }
static uint32_t any_string(reader *r) { return shared(r, &r->string, make_string); }

static uint32_t make_number(reader *r) { return number_tree(r->g, &(bound){0}, &(bound){0}, MOST_DIGITS); }
static uint32_t make_integer(reader *r) { return number_tree(r->g, &(bound){0}, &(bound){0}, 0); }

// enclosed gives an opening sign, white space, the elements, white space, a closing sign.
static uint32_t enclosed(reader *r, const char *open, uint32_t elements, const char *close) {
	ir_list list = {0};
	ir_add(r->g, &list, ir_text(r->g, open));
	ir_add(r->g, &list, blank(r));
	ir_add(r->g, &list, elements);
	ir_add(r->g, &list, blank(r));
	ir_add(r->g, &list, ir_text(r->g, close));
	return ir_sequence(r->g, list);
}

// separated gives a comma and white space before an element.
static uint32_t separated(reader *r, uint32_t element) {
	ir_list list = {0};
	ir_add(r->g, &list, ir_text(r->g, ","));
	ir_add(r->g, &list, blank(r));
	ir_add(r->g, &list, element);
	return ir_sequence(r->g, list);
}

static uint32_t member(reader *r, uint32_t key, uint32_t value) {
	ir_list list = {0};
	ir_add(r->g, &list, key);
	ir_add(r->g, &list, ir_text(r->g, ":"));
	ir_add(r->g, &list, blank(r));
	ir_add(r->g, &list, value);
	return ir_sequence(r->g, list);
}

// several gives least to most elements with commas between; first and further are two trees of one element.
static uint32_t several(reader *r, uint32_t first, uint32_t further, uint32_t least, uint32_t most) {
	if (most == 0) return ir_empty(r->g);
	uint32_t more = most == NO_LIMIT ? UNBOUNDED : most - 1;
	uint32_t some = ir_pair(r->g, first, ir_repeat(r->g, separated(r, further), least ? least - 1 : 0, more));
	return least ? some : ir_optional(r->g, some);
}

static uint32_t make_any(reader *r);
static uint32_t any_value(reader *r) { return shared(r, &r->any, make_any); }
static uint32_t any_member(reader *r) { return member(r, any_string(r), any_value(r)); }

static uint32_t make_any(reader *r) {
	ir *g = r->g;
	ir_list list = {0};
	ir_add(g, &list, enclosed(r, "{", several(r, any_member(r), any_member(r), 0, NO_LIMIT), "}"));
	ir_add(g, &list, enclosed(r, "[", several(r, any_value(r), any_value(r), 0, NO_LIMIT), "]"));
	ir_add(g, &list, any_string(r));
	ir_add(g, &list, shared(r, &r->number, make_number));
	ir_add(g, &list, ir_text(g, "true"));
	ir_add(g, &list, ir_text(g, "false"));
	ir_add(g, &list, ir_text(g, "null"));
	return ir_choice(g, list);
}

// ---- types -----------------------------------------------------------------------------------------------------------------

static uint32_t number_of(reader *r, const gathered *v) {
	bool integers = !(v->types & TYPE_NUMBER);
	if (!v->least.set && !v->most.set && (integers || v->places == MOST_DIGITS))
		return integers ? shared(r, &r->integer, make_integer) : shared(r, &r->number, make_number);
	return number_tree(r->g, &v->least, &v->most, integers ? 0 : v->places);
}

static uint32_t string_of(reader *r, const gathered *v) {
	bool sized = v->min_length > 0 || v->max_length != NO_LIMIT;
	uint32_t word = v->pattern ? v->pattern : v->format;
	if (!word) {
		if (!sized) return any_string(r);
		return v->min_length > v->max_length ? ir_never(r->g) : string_tree(r, v->min_length, v->max_length == NO_LIMIT ? UNBOUNDED : v->max_length);
	}
	if (v->pattern && v->format) return refuse_at(&r->s, v->pattern, "an answer cannot be held to pattern and format at once", "", "");
	if (sized && v->min_length <= 1 && v->max_length == NO_LIMIT && v->format) sized = false; // no format has an empty text
	if (sized) return refuse_at(&r->s, word, "an answer cannot be held to minLength or maxLength beside pattern or format: bound the repetitions in a pattern", "", "");
	uint32_t n = json_at(&r->s.j, word)->text_n;
	uint32_t made = v->pattern ? pattern_tree(r->g, json_text(&r->s.j, word), n) : format_tree(r->g, json_text(&r->s.j, word), n);
	if (!made) r->s.failed = true;
	return made;
}

static uint32_t array_of(reader *r, const gathered *v) {
	ir *g = r->g;
	uint32_t n = v->prefix.n, least = v->min_items, most = v->max_items;
	if (v->unique && most > 1) return refuse_at(&r->s, v->unique, "an answer cannot be held to uniqueItems", "", "");
	if (n && !v->rest_given && most > n) most = least > n ? least : n; // nothing behind the prefix that need not be there
	if (least < n) least = n < most ? n : most;                        // and all of the prefix
	if (least > most) return ir_never(g);
	ir_list list = {0};
	for (uint32_t i = 0; i < n && i < most; i++) {
		uint32_t element = tree_of(r, &v->prefix.at[i]);
		ir_add(g, &list, i ? separated(r, element) : element);
	}
	if (n == 0) ir_add(g, &list, several(r, tree_of(r, &v->rest), tree_of(r, &v->rest), least, most));
	else if (most > n) ir_add(g, &list, ir_repeat(g, separated(r, tree_of(r, &v->rest)), least - n, most == NO_LIMIT ? UNBOUNDED : most - n));
	return enclosed(r, "[", ir_sequence(g, list), "]");
}

static uint32_t declared(reader *r, const property *p) {
	byte_list key = {0};
	bool ok = vec_add(&key, '"') && text_of(&key, r->s.j.bytes.at + p->name.at, p->name.n) && vec_add(&key, '"');
	uint32_t made = ok ? member(r, ir_bytes(r->g, key.at, key.n), tree_of(r, &p->schemas)) : 0;
	vec_free(&key);
	return made;
}

// other_member gives a member whose key is none of the properties'.
static uint32_t other_member(reader *r, const gathered *v) {
	uint32_t key = 0;
	if (v->names.n && v->properties.n) return refuse_at(&r->s, v->names.at[0] / 4, "an answer cannot be held to propertyNames beside properties", "", "");
	if (v->names.n) {
		items names = {0}; // and they are texts
		for (uint32_t i = 0; i < v->names.n; i++) add_item(&r->s, &names, v->names.at[i]);
		gathered of = {0};
		if (gather(&r->s, &names, &of)) {
			of.types &= TYPE_STRING;
			if (of.has_values || of.branch || !of.types) refuse_at(&r->s, v->names.at[0] / 4, "propertyNames should be a schema of texts without enum, anyOf or the like", "", "");
			else key = string_of(r, &of);
		}
		gathered_free(&of), vec_free(&names);
	} else if (v->properties.n) {
		VEC(name_range) names = {0};
		for (uint32_t i = 0; i < v->properties.n; i++)
			if (!vec_add(&names, v->properties.at[i].name)) no_memory(r);
		key = other_key(r->g, &r->s.j, names.at, names.n);
		vec_free(&names);
		if (!key) r->s.failed = true;
	} else {
		key = any_string(r);
	}
	return key ? member(r, key, tree_of(r, &v->additional)) : 0;
}

// rule_with gives a new rule with a body, 0 after a failure.
static uint32_t rule_with(reader *r, uint32_t body) {
	uint32_t rule = ir_new_rule(r->g, "", 0);
	if (rule == UNBOUNDED || !body) return 0;
	r->g->rules.at[rule].body = body;
	return rule;
}

// members gives the properties in their order, then others. Before the first required one the comma depends on whether
// anything stands before; so what follows each property there is a rule of its own, which begins with commas.
static uint32_t members(reader *r, const gathered *v, bool others) {
	ir *g = r->g;
	uint32_t n = v->properties.n, first = 0, other = others ? rule_with(r, other_member(r, v)) : 0;
	while (first < n && !v->properties.at[first].required) first++;
	ir_list rest = {0};
	for (uint32_t i = first + 1; i < n; i++) {
		uint32_t one = separated(r, declared(r, &v->properties.at[i]));
		ir_add(g, &rest, v->properties.at[i].required ? one : ir_optional(g, one));
	}
	if (others) ir_add(g, &rest, ir_repeat(g, separated(r, ir_ref(g, other)), 0, UNBOUNDED));
	uint32_t after = rule_with(r, ir_sequence(g, rest)); // what follows the first required one, or all
	ir_list choice = {0};
	if (first < n) {
		ir_add(g, &choice, ir_pair(g, declared(r, &v->properties.at[first]), ir_ref(g, after)));
		after = rule_with(r, ir_pair(g, separated(r, declared(r, &v->properties.at[first])), ir_ref(g, after)));
	} else {
		ir_add(g, &choice, ir_empty(g));
		if (others) ir_add(g, &choice, ir_pair(g, ir_ref(g, other), ir_ref(g, after)));
	}
	for (uint32_t i = first; i-- && !g->failed && !r->s.failed;) {
		ir_add(g, &choice, ir_pair(g, declared(r, &v->properties.at[i]), ir_ref(g, after)));
		after = rule_with(r, ir_pair(g, ir_optional(g, separated(r, declared(r, &v->properties.at[i]))), ir_ref(g, after)));
	}
	return ir_choice(g, choice);
}

static uint32_t object_of(reader *r, gathered *v) {
	uint32_t n = v->properties.n, required = 0;
	for (uint32_t i = 0; i < n; i++) required += v->properties.at[i].required;
	bool others = v->additional_given || n == 0;
	if (n == 0) {
		// Keys may be written twice, and count once: more than one cannot be promised.
		if (v->min_properties > 1) return refuse_at(&r->s, v->count_keyword, "an answer cannot be held to minProperties above 1 where no property is declared", "", "");
		if (v->min_properties > v->max_properties) return ir_never(r->g);
		return enclosed(r, "{", several(r, other_member(r, v), other_member(r, v), v->min_properties, v->max_properties), "}");
	}
	if (v->min_properties > required || v->max_properties < n || (others && v->max_properties != NO_LIMIT))
		return refuse_at(&r->s, v->count_keyword, "an answer cannot be held to minProperties or maxProperties beside properties that may be left out", "", "");
	return enclosed(r, "{", members(r, v, others), "}");
}

// fits tells whether a value of an enum is of the view's types and bounds; *unsure says that it would take more to know.
static bool fits(reader *r, const gathered *v, uint32_t value, bool *unsure) {
	uint32_t type = type_of(&r->s, value);
	if (!(type & v->types)) return false;
	if (type == TYPE_STRING) {
		uint32_t length = 0;
		for (uint32_t i = 0; i < json_at(&r->s.j, value)->text_n; i++) length += (json_text(&r->s.j, value)[i] & 0xC0) != 0x80;
		*unsure |= v->pattern || v->format;
		return length >= v->min_length && length <= v->max_length;
	}
	if (type & (TYPE_NUMBER | TYPE_INTEGER)) {
		decimal_number d;
		if (!decimal_read(&d, json_text(&r->s.j, value), json_at(&r->s.j, value)->text_n)) return *unsure = true;
		int low = v->least.set ? decimal_compare(&d, &v->least.at) : 1, high = v->most.set ? decimal_compare(&v->most.at, &d) : 1;
		return d.n_fraction <= v->places && low >= (int)v->least.exclusive && high >= (int)v->most.exclusive;
	}
	if (type == TYPE_ARRAY) *unsure |= v->prefix.n || v->rest_given || v->min_items || v->max_items != NO_LIMIT || v->unique;
	if (type == TYPE_OBJECT) *unsure |= v->properties.n || v->additional_given || v->names.n || v->min_properties || v->max_properties != NO_LIMIT;
	return true;
}

static uint32_t values_of(reader *r, const gathered *v) {
	ir_list list = {0};
	for (uint32_t i = 0; i < v->values.n; i++) {
		bool unsure = false;
		bool in = fits(r, v, v->values.at[i], &unsure);
		if (unsure) return refuse_at(&r->s, v->values.at[i], "an answer cannot be held to other keywords beside the value of an enum or const", "", "");
		if (in) ir_add(r->g, &list, literal_tree(r->g, &r->s.j, v->values.at[i]));
	}
	return ir_choice(r->g, list);
}

static uint32_t types_of(reader *r, gathered *v) {
	ir *g = r->g;
	ir_list list = {0};
	if (v->types & TYPE_OBJECT) ir_add(g, &list, object_of(r, v));
	if (v->types & TYPE_ARRAY) ir_add(g, &list, array_of(r, v));
	if (v->types & TYPE_STRING) ir_add(g, &list, string_of(r, v));
	if (v->types & (TYPE_NUMBER | TYPE_INTEGER)) ir_add(g, &list, number_of(r, v));
	if (v->types & TYPE_BOOLEAN) ir_add(g, &list, ir_either(g, ir_text(g, "true"), ir_text(g, "false")));
	if (v->types & TYPE_NULL) ir_add(g, &list, ir_text(g, "null"));
	return ir_choice(g, list);
}

// ---- branches ---------------------------------------------------------------------------------------------------------------

// branch_view makes the view of one branch of an item's anyOf or oneOf: all that holds anyway, and the branch.
static void branch_view(reader *r, const gathered *v, uint32_t branch, items *out) {
	for (uint32_t i = 0; i < v->work.n; i++) {
		uint32_t item = v->work.at[i];
		if (item == v->branch) item |= v->branch_one ? ITEM_ONE_DONE : ITEM_ANY_DONE;
		add_item(&r->s, out, item);
	}
	add_item(&r->s, out, branch * 4);
}

// excludes tells whether no answer made for one view can be valid for the other, as far as can be seen at once.
static bool excludes(reader *r, const items *one, const items *other, uint32_t depth);

static bool excludes_objects(reader *r, gathered *a, gathered *b, uint32_t depth) {
	bool out = false;
	for (uint32_t i = 0; i < b->properties.n && !out; i++) {
		property *p = &b->properties.at[i], *mine = property_find(&r->s, a, p->name);
		if (p->required && !mine && !a->branch && !a->additional_given && a->properties.n) out = true; // it is never written
		if (mine && mine->required && p->schemas.n) out = excludes(r, &mine->schemas, &p->schemas, depth + 1);
	}
	for (uint32_t i = 0; i < a->properties.n && !out; i++) {
		bool closed = false; // the other allows no further keys
		for (uint32_t k = 0; k < b->additional.n; k++) closed |= json_at(&r->s.j, b->additional.at[k] / 4)->kind == JSON_FALSE;
		out = a->properties.at[i].required && closed && !property_find(&r->s, b, a->properties.at[i].name);
	}
	return out;
}

// excludes_gathered is excludes for views that were gathered.
static bool excludes_gathered(reader *r, gathered *a, gathered *b, uint32_t depth) {
	uint32_t said = b->types_said ? b->types : TYPE_ALL, common = a->types & said;
	if (a->never || b->never || !common) return true;
	bool out = a->has_values;
	for (uint32_t i = 0; out && i < a->values.n; i++) {
		bool in = type_of(&r->s, a->values.at[i]) & common;
		for (uint32_t k = 0; in && b->has_values; k++) {
			if (k == b->values.n) in = false;
			else if (json_equal(&r->s.j, a->values.at[i], b->values.at[k])) break;
		}
		out = !in;
	}
	if (out) return true;
	if (!(common & ~(TYPE_NUMBER | TYPE_INTEGER))) {
		int order = a->most.set && b->least.set ? decimal_compare(&a->most.at, &b->least.at) : 1;
		int back = b->most.set && a->least.set ? decimal_compare(&b->most.at, &a->least.at) : 1;
		return order < (a->most.exclusive || b->least.exclusive) || back < (b->most.exclusive || a->least.exclusive);
	}
	return common == TYPE_OBJECT && excludes_objects(r, a, b, depth);
}

static bool excludes(reader *r, const items *one, const items *other, uint32_t depth) {
	gathered a = {0}, b = {0};
	bool out = depth < DISJOINT_DEPTH && gather(&r->s, one, &a) && gather(&r->s, other, &b) && excludes_gathered(r, &a, &b, depth);
	gathered_free(&a), gathered_free(&b);
	return out;
}

// exclusive checks that the branches of a oneOf exclude each other.
static bool exclusive(reader *r, const gathered *v, uint32_t list) {
	uint32_t n = json_at(&r->s.j, list)->text_n, i = 0;
	if (n > MOST_BRANCHES) return refuse_at(&r->s, list, "oneOf has more than ", decimal(MOST_BRANCHES), " branches");
	gathered *all = heap_take(n * sizeof *all);
	if (!all) return no_memory(r), false;
	bool ok = true;
	for (uint32_t b = json_at(&r->s.j, list)->first; ok && b; b = json_at(&r->s.j, b)->next) {
		items view = {0};
		branch_view(r, v, b, &view);
		ok = gather(&r->s, &view, &all[i++]);
		vec_free(&view);
	}
	for (uint32_t a = 0; ok && a < n; a++)
		for (uint32_t b = 0; ok && b < n; b++)
			if (a != b && !excludes_gathered(r, &all[a], &all[b], 0))
				ok = refuse_at(&r->s, list, "it cannot be seen that an answer for branch ", decimal(a), " of oneOf is never one for another: write anyOf if it may be both");
	for (i = 0; i < n; i++) gathered_free(&all[i]);
	heap_give(all);
	return ok && !r->s.failed;
}

static uint32_t branches_of(reader *r, const gathered *v) {
	uint32_t list = json_member(&r->s.j, v->branch / 4, v->branch_one ? "oneOf" : "anyOf");
	ir_list choice = {0};
	if (v->branch_one && !exclusive(r, v, list)) return 0;
	for (uint32_t b = json_at(&r->s.j, list)->first; b; b = json_at(&r->s.j, b)->next) {
		items one = {0};
		branch_view(r, v, b, &one);
		ir_add(r->g, &choice, tree_of(r, &one));
		vec_free(&one);
	}
	return ir_choice(r->g, choice);
}

// body_of makes the tree of a view.
static uint32_t body_of(reader *r, view v) {
	items list = {0};
	gathered of = {0};
	uint32_t made = 0;
	for (uint32_t i = 0; i < v.n; i++) add_item(&r->s, &list, r->all.at[v.first + i]);
	if (!r->s.failed && gather(&r->s, &list, &of)) {
		bool free = of.work.n == 0 || (of.types == TYPE_ALL && !of.has_values && !of.branch && !of.never);
		if (of.never) made = ir_never(r->g);
		else if (of.branch) made = branches_of(r, &of);
		else if (of.has_values) made = values_of(r, &of);
		else made = free && !of.hinted ? any_value(r) : types_of(r, &of);
	}
	gathered_free(&of), vec_free(&list);
	return made;
}

uint32_t schema_read(ir *g, const uint8_t *text, uint32_t n) {
	reader r = {.g = g};
	uint32_t rule = UNBOUNDED;
	if ((r.s.root = json_read(&r.s.j, "json_schema", text, n))) {
		items root = {0};
		add_item(&r.s, &root, r.s.root * 4);
		rule = rule_of(&r, &root);
		vec_free(&root);
		for (uint32_t i = 0; i < r.views.n && !r.s.failed && !g->failed; i++) {
			uint32_t body = body_of(&r, r.views.at[i]);
			if (!r.s.failed && !g->failed) g->rules.at[r.views.at[i].rule].body = body;
		}
	}
	if (r.s.failed) rule = UNBOUNDED;
	json_free(&r.s.j);
	vec_free(&r.all), vec_free(&r.views), heap_give(r.slots);
	return rule;
}
