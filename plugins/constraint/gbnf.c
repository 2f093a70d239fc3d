// gbnf.c: the notation is
//
//     name ::= alternatives        # comment; a rule ends with its line, unless in parentheses or behind ::= or |
//     "text"  [class]  [^class]  .  name  (alternatives)      each followed by * + ? {m} {m,} or {m,n}
//
// with the escapes \x41 \u0041 \U00000041 \t \r \n \\ \" \[ \] \- \^ in texts and classes. A dot is any character.
#include "gbnf.h"

#include "source.h"

static uint32_t alternatives(ir *g, source *in, bool nested);

static bool is_name(uint32_t c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// space skips blanks and comments, and line ends too where they do not end the rule.
static void space(source *in, bool lines) {
	while (!in->failed && in->at < in->n) {
		uint8_t c = in->text[in->at];
		if (c == '#') {
			while (in->at < in->n && in->text[in->at] != '\n' && in->text[in->at] != '\r') in->at++;
		} else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
			in->at++;
		} else {
			return;
		}
	}
}

static uint32_t name(source *in) {
	uint32_t from = in->at;
	while (in->at < in->n && is_name(in->text[in->at])) in->at++;
	return in->at - from;
}

// character reads one of a text or class, escapes resolved.
static uint32_t character(source *in) {
	uint32_t c = source_next(in);
	if (c != '\\') {
		if (c == END_OF_SOURCE) source_fail(in, "the text or class is not closed", "");
		return c;
	}
	switch (c = source_next(in)) {
	case 'x': return source_hex(in, 2);
	case 'u': c = source_hex(in, 4); break;
	case 'U': c = source_hex(in, 8); break;
	case 't': return '\t';
	case 'r': return '\r';
	case 'n': return '\n';
	case '\\': case '"': case '[': case ']': case '-': case '^': return c;
	default:
		source_fail(in, "there is no such escape; it has \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\- and \\^", "");
		return 0;
	}
	if (c > MAX_CHAR || (c >= 0xD800 && c <= 0xDFFF)) source_fail(in, "the escape is of no character", "");
	return c;
}

static uint32_t text(ir *g, source *in) {
	VEC(uint8_t) bytes = {0};
	while (!in->failed && !source_take(in, '"')) {
		uint32_t c = character(in);
		if (in->failed) break;
		if (!vec_room(&bytes, 4)) {
			g->failed = true;
			break;
		}
		bytes.n += utf8_encode(c, bytes.at + bytes.n);
	}
	uint32_t made = in->failed || g->failed ? 0 : ir_bytes(g, bytes.at, bytes.n);
	vec_free(&bytes);
	return made;
}

static uint32_t class(ir *g, source *in) {
	char_set set = {0};
	bool negate = source_take(in, '^');
	while (!in->failed && !g->failed && !source_take(in, ']')) {
		uint32_t lo = character(in), hi = lo;
		if (in->at + 1 < in->n && in->text[in->at] == '-' && in->text[in->at + 1] != ']') {
			in->at++;
			hi = character(in);
			if (!in->failed && hi < lo) source_fail(in, "the range of the class ends before it begins", "");
		}
		if (!in->failed) set_add(g, &set, lo, hi);
	}
	if (in->failed) vec_free(&set);
	return in->failed ? 0 : ir_class(g, &set, negate);
}

static uint32_t reference(ir *g, source *in) {
	const uint8_t *from = in->text + in->at;
	uint32_t n = name(in), rule = ir_find(g, from, n);
	if (rule == UNBOUNDED) rule = ir_new_rule(g, from, n);
	return ir_ref(g, rule);
}

// symbol reads one text, class, dot, name or group; 0 where there is none or after a failure.
static uint32_t symbol(ir *g, source *in) {
	uint32_t c = source_peek(in);
	if (is_name(c)) return reference(g, in);
	if (c == '"') return in->at++, text(g, in);
	if (c == '[') return in->at++, class(g, in);
	if (c == '.') {
		in->at++;
		char_set any = {0};
		return ir_class(g, &any, true);
	}
	if (c == '<' || c == '!') source_fail(in, "tokens as symbols (<name>, <[id]>) are not supported", "");
	if (c != '(') return 0;
	if (in->depth++ == MAX_DEPTH) source_fail(in, "groups are nested deeper than ", decimal(MAX_DEPTH));
	in->at++;
	space(in, true);
	uint32_t made = alternatives(g, in, true);
	in->depth--;
	if (!in->failed && !source_take(in, ')')) source_fail(in, "a closing parenthesis should stand here", "");
	return in->failed ? 0 : made;
}

static uint32_t repeated(ir *g, source *in, uint32_t what, bool nested) {
	for (uint32_t times = 0; !in->failed; times++) {
		uint32_t least, most;
		if (source_take(in, '*')) least = 0, most = UNBOUNDED;
		else if (source_take(in, '+')) least = 1, most = UNBOUNDED;
		else if (source_take(in, '?')) least = 0, most = 1;
		else if (!source_take(in, '{')) break;
		else if (!source_counts(in, &least, &most)) break;
		if (times == MAX_DEPTH) source_fail(in, "too many repetitions of one symbol", "");
		what = ir_repeat(g, what, least, most);
		space(in, nested);
	}
	return what;
}

static uint32_t sequence(ir *g, source *in, bool nested) {
	ir_list list = {0};
	uint32_t made;
	while (!in->failed && !g->failed && (made = symbol(g, in))) {
		space(in, nested);
		made = repeated(g, in, made, nested);
		ir_add(g, &list, made);
		space(in, nested);
	}
	return ir_sequence(g, list);
}

static uint32_t alternatives(ir *g, source *in, bool nested) {
	ir_list list = {0};
	for (;;) {
		space(in, true);
		ir_add(g, &list, sequence(g, in, nested));
		// A line may begin with the bar: no rule does.
		uint32_t end = in->at;
		space(in, true);
		if (source_take(in, '|')) continue;
		if (!nested) in->at = end;
		return ir_choice(g, list);
	}
}

static void rule(ir *g, source *in) {
	const uint8_t *from = in->text + in->at;
	uint32_t n = name(in), r = ir_find(g, from, n);
	if (n == 0) {
		source_fail(in, "a rule's name should stand here", "");
		return;
	}
	if (r == UNBOUNDED) r = ir_new_rule(g, from, n);
	space(in, false);
	if (!(source_take(in, ':') && source_take(in, ':') && source_take(in, '='))) {
		source_fail(in, "::= should follow the rule's name ", quoted(from, n));
		return;
	}
	if (!g->failed && g->rules.at[r].body) {
		source_fail(in, "there is a rule of this name already: ", quoted(from, n));
		return;
	}
	space(in, true);
	uint32_t body = alternatives(g, in, false);
	if (!g->failed) g->rules.at[r].body = body;
	if (in->failed || in->at == in->n) return;
	if (in->text[in->at] != '\n' && in->text[in->at] != '\r') source_fail(in, "this belongs to no rule", "");
}

uint32_t gbnf_read(ir *g, const uint8_t *text, uint32_t n) {
	source in = {.what = "grammar", .text = text, .n = n};
	space(&in, true);
	while (!in.failed && !g->failed && in.at < n) {
		rule(g, &in);
		space(&in, true);
	}
	if (in.failed || g->failed) return UNBOUNDED;
	for (uint32_t i = 0; i < g->rules.n; i++) {
		ir_rule *r = &g->rules.at[i];
		if (!r->body) return refuse("grammar: there is no rule ", quoted(g->bytes.at + r->name, r->name_n)), UNBOUNDED;
	}
	uint32_t root = ir_find(g, (const uint8_t *)"root", 4);
	if (root == UNBOUNDED) refuse("grammar: it has no rule named root, where an answer begins");
	return root;
}
