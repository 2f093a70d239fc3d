// regex.c: the notation that Perl, RE2, Python and JavaScript have in common: alternation, groups (captured, not
// captured, named), * + ? {m} {m,} {m,n} and their lazy forms, classes, . (anything but a line end), the escapes
// \d \w \s \D \W \S \t \n \r \f \v \0 \xHH \x{H...} \uHHHH \u{H...}, and \ before a sign. Where these differ in what a
// class holds, it holds what it does in each: \d and \w are ASCII, neither \s nor \S has the spaces outside ASCII, a dot is
// none of JavaScript's line ends. ^ and $ stand at the ends. What needs more than a finite automaton (references back,
// looking around, word boundaries) is refused.
#include "regex.h"

#include "source.h"

typedef struct {
	source in;
	ir *g;
	const regex_options *opt;
} parser;

static uint32_t alternatives(parser *p, bool first, bool last);

static uint32_t class_of(parser *p, char_set *set, bool negate) {
	if (!p->opt->class) return ir_class(p->g, set, negate);
	if (set_tidy(p->g, set, negate)) return p->opt->class(p->g, set);
	vec_free(set);
	return 0;
}

static void add_ranges(ir *g, char_set *set, const char_range *ranges, uint32_t n, bool negate) {
	char_set more = {0};
	for (uint32_t i = 0; i < n; i++) set_add(g, &more, ranges[i].lo, ranges[i].hi);
	if (set_tidy(g, &more, negate))
		for (uint32_t i = 0; i < more.n; i++) set_add(g, set, more.at[i].lo, more.at[i].hi);
	vec_free(&more);
}

// shorthand adds the characters of \d \w \s \D \W \S, if c is one of these letters.
static bool shorthand(ir *g, char_set *set, uint32_t c) {
	static const char_range digit[] = {{'0', '9'}}, word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
	static const char_range blank[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
	static const char_range any_space[] = {{'\t', '\r'}, {0x1C, ' '}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x180E, 0x180E},
		{0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
#define ADD(ranges, negate) add_ranges(g, set, ranges, sizeof ranges / sizeof *ranges, negate)
	switch (c) {
	case 'd': ADD(digit, false); break;
	case 'D': ADD(digit, true); break;
	case 'w': ADD(word, false); break;
	case 'W': ADD(word, true); break;
	case 's': ADD(blank, false); break;
	case 'S': ADD(any_space, true); break;
	default: return false;
	}
#undef ADD
	return true;
}

static uint32_t braced_hex(parser *p, uint32_t digits) {
	source *in = &p->in;
	if (!source_take(in, '{')) return source_hex(in, digits);
	uint32_t n = 0;
	while (in->at + n < in->n && in->text[in->at + n] != '}' && n < 8) n++;
	uint32_t c = source_hex(in, n ? n : 1);
	if (!in->failed && !source_take(in, '}')) source_fail(in, "the escape's closing brace is missing", "");
	return c;
}

// escaped reads the character behind a backslash whose letter c was taken.
static uint32_t escaped(parser *p, uint32_t c) {
	switch (c) {
	case 't': return '\t';
	case 'n': return '\n';
	case 'r': return '\r';
	case 'f': return '\f';
	case 'v': return '\v';
	case '0': return 0;
	case 'x': c = braced_hex(p, 2); break;
	case 'u':
		c = braced_hex(p, 4);
		if (c >= 0xD800 && c < 0xDC00 && source_take(&p->in, '\\') && source_take(&p->in, 'u')) { // a surrogate pair
			uint32_t low = source_hex(&p->in, 4);
			c = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : 0xD800;
		}
		break;
	default:
		if (c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))
			source_fail(&p->in, c >= '1' && c <= '9' ? "references back are not regular" : c == 'b' || c == 'B' ? "word boundaries are not supported" :
				c == 'p' || c == 'P' ? "Unicode properties are not supported: write the ranges in brackets" : "there is no such escape", "");
		return c;
	}
	if (!p->in.failed && (c > MAX_CHAR || (c >= 0xD800 && c <= 0xDFFF))) source_fail(&p->in, "the escape is of no character", "");
	return c;
}

// member reads one of a class; false if it was a shorthand, which is in the set already.
static bool member(parser *p, char_set *set, uint32_t *c) {
	*c = source_next(&p->in);
	if (*c == END_OF_SOURCE) return source_fail(&p->in, "the class is not closed", "");
	if (*c == '[' && source_peek(&p->in) == ':') return source_fail(&p->in, "classes by name ([:alpha:]) are not supported: write the ranges", "");
	if (*c != '\\') return true;
	*c = source_next(&p->in);
	if (*c == END_OF_SOURCE) return source_fail(&p->in, "the class is not closed", "");
	if (shorthand(p->g, set, *c)) return false;
	*c = *c == 'b' ? '\b' : escaped(p, *c);
	return !p->in.failed;
}

static uint32_t class(parser *p) {
	source *in = &p->in;
	char_set set = {0};
	bool negate = source_take(in, '^');
	for (bool first = true; !in->failed && !p->g->failed; first = false) {
		if (!first && source_take(in, ']')) break;
		uint32_t lo, hi;
		if (!member(p, &set, &lo)) continue;
		hi = lo;
		if (in->at + 1 < in->n && in->text[in->at] == '-' && in->text[in->at + 1] != ']') {
			in->at++;
			if (!member(p, &set, &hi)) {
				source_fail(in, "a range cannot end with a class", "");
				break;
			}
			if (hi < lo) source_fail(in, "the range ends before it begins", "");
		}
		if (!in->failed) set_add(p->g, &set, lo, hi);
	}
	if (in->failed) vec_free(&set);
	return in->failed ? 0 : class_of(p, &set, negate);
}

static uint32_t one_char(parser *p, uint32_t c) {
	if (!p->opt->class) return ir_char(p->g, c);
	char_set set = {0};
	set_add(p->g, &set, c, c);
	return class_of(p, &set, false);
}

static uint32_t not_line_end(parser *p) {
	char_set set = {0};
	set_add(p->g, &set, '\n', '\n');
	set_add(p->g, &set, '\r', '\r');
	set_add(p->g, &set, 0x2028, 0x2029);
	return class_of(p, &set, true);
}

static uint32_t anything(parser *p) {
	char_set none = {0};
	return ir_repeat(p->g, class_of(p, &none, true), 0, UNBOUNDED);
}

// group reads what follows an opening parenthesis.
static uint32_t group(parser *p, bool first, bool last) {
	source *in = &p->in;
	if (in->depth++ == MAX_DEPTH) source_fail(in, "groups are nested deeper than ", decimal(MAX_DEPTH));
	if (source_take(in, '?')) {
		source_take(in, 'P');
		if (source_take(in, '<')) {
			uint32_t c = source_peek(in);
			if (c == '=' || c == '!') source_fail(in, "looking back is not supported", "");
			while (!in->failed && (c = source_next(in)) != '>')
				if (c == END_OF_SOURCE) source_fail(in, "the group's name is not closed", "");
		} else if (!source_take(in, ':')) {
			uint32_t c = source_peek(in);
			source_fail(in, c == '=' || c == '!' ? "looking ahead is not supported" : "groups with flags are not supported", "");
		}
	}
	uint32_t made = alternatives(p, first, last);
	in->depth--;
	if (!in->failed && !source_take(in, ')')) source_fail(in, "a closing parenthesis should stand here", "");
	return made;
}

// atom reads what a repetition may follow. first and last: see sequence.
static uint32_t atom(parser *p, bool first, bool last) {
	uint32_t c = source_next(&p->in);
	switch (c) {
	case '(': return group(p, first, last);
	case '[': return class(p);
	case '.': return not_line_end(p);
	case '*': case '+': case '?': return source_fail(&p->in, "there is nothing to repeat", ""), 0;
	case '\\':
		c = source_next(&p->in);
		if (c == END_OF_SOURCE) return source_fail(&p->in, "a backslash stands at the end", ""), 0;
		char_set set = {0};
		if (shorthand(p->g, &set, c)) return class_of(p, &set, false);
		c = escaped(p, c);
		break;
	case '^': return source_fail(&p->in, "^ stands only at the beginning", ""), 0;
	case '$': return source_fail(&p->in, "$ stands only at the end", ""), 0;
	}
	return p->in.failed ? 0 : one_char(p, c);
}

// is_repetition tells whether a repetition begins at a place; a brace that begins none is a brace.
static bool is_repetition(const source *in, uint32_t at) {
	uint8_t c = at < in->n ? in->text[at] : 0;
	if (c != '{') return c == '*' || c == '+' || c == '?';
	uint32_t digits = ++at;
	while (at < in->n && in->text[at] >= '0' && in->text[at] <= '9') at++;
	return at > digits && at < in->n && (in->text[at] == ',' || in->text[at] == '}');
}

// repeated reads the repetition behind an atom, if there is one.
static uint32_t repeated(parser *p, uint32_t what) {
	source *in = &p->in;
	uint32_t least, most;
	if (!is_repetition(in, in->at)) return what;
	if (source_take(in, '*')) least = 0, most = UNBOUNDED;
	else if (source_take(in, '+')) least = 1, most = UNBOUNDED;
	else if (source_take(in, '?')) least = 0, most = 1;
	else if (in->at++, !source_counts(in, &least, &most)) return 0;
	if (source_take(in, '+')) source_fail(in, "possessive repetitions are not supported", "");
	source_take(in, '?'); // a lazy one matches the same texts
	if (is_repetition(in, in->at)) source_fail(in, "one repetition follows another", "");
	return ir_repeat(p->g, what, least, most);
}

// group_end gives the place behind the group that begins here, 0 if none does.
static uint32_t group_end(const source *in) {
	if (in->at == in->n || in->text[in->at] != '(') return 0;
	bool class = false;
	for (uint32_t i = in->at, depth = 0; i < in->n; i++) {
		uint8_t c = in->text[i];
		if (c == '\\') i++;
		else if (class) class = c != ']';
		else if (c == '[') class = true, i += i + 1 < in->n && (in->text[i + 1] == ']' || in->text[i + 1] == '^');
		else if (c == '(') depth++;
		else if (c == ')' && --depth == 0) return i + 1;
	}
	return 0;
}

// ends_at tells whether a sequence ends at a place.
static bool ends_at(const source *in, uint32_t at) { return at == in->n || in->text[at] == '|' || in->text[at] == ')'; }

// sequence reads up to a bar or the end of the group. first and last say that nothing stands before or behind it, so that
// ^ and $ may; where the expression is searched for, anything may stand in their place. A group at an end that is not
// repeated takes that end's part.
static uint32_t sequence(parser *p, bool first, bool last) {
	source *in = &p->in;
	ir_list list = {0};
	bool anchored = false;
	while (first && source_take(in, '^')) anchored = true;
	for (bool front = first && !anchored; !in->failed && !p->g->failed;) {
		uint32_t end = group_end(in), dollars = 0;
		bool alone = end && !is_repetition(in, end);
		if (front && !alone && p->opt->search) ir_add(p->g, &list, anything(p));
		while (last && in->at + dollars < in->n && in->text[in->at + dollars] == '$') dollars++;
		if (ends_at(in, in->at + dollars)) {
			in->at += dollars;
			if (last && !dollars && p->opt->search) ir_add(p->g, &list, anything(p));
			break;
		}
		bool closing = last && alone && ends_at(in, end);
		uint32_t made = atom(p, front && alone, closing);
		made = in->failed ? 0 : repeated(p, made);
		if (!in->failed) ir_add(p->g, &list, made);
		front = false;
		if (closing) break;
	}
	return in->failed ? 0 : ir_sequence(p->g, list);
}

static uint32_t alternatives(parser *p, bool first, bool last) {
	ir_list list = {0};
	do ir_add(p->g, &list, sequence(p, first, last));
	while (!p->in.failed && source_take(&p->in, '|'));
	return ir_choice(p->g, list);
}

uint32_t regex_read(ir *g, const uint8_t *text, uint32_t n, const regex_options *opt) {
	parser p = {{.what = opt->what, .text = text, .n = n}, g, opt};
	uint32_t made = alternatives(&p, true, true);
	if (!p.in.failed && p.in.at < n) source_fail(&p.in, "a closing parenthesis stands alone", "");
	return p.in.failed || g->failed ? 0 : made;
}
