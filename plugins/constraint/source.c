#include "source.h"

bool source_fail(source *in, const char *why, const char *more) {
	uint32_t line = 1, column = 1;
	for (uint32_t i = 0; i < in->at && i < in->n; i++) {
		column += (in->text[i] & 0xC0) != 0x80;
		if (in->text[i] == '\n') line++, column = 1;
	}
	in->failed = true;
	return refuse(in->what, ", line ", decimal(line), ", column ", decimal(column), ": ", why, more);
}

uint32_t source_peek(source *in) {
	uint32_t c = END_OF_SOURCE;
	if (in->failed || in->at == in->n) return c;
	if (!utf8_decode(in->text + in->at, in->n - in->at, &c)) source_fail(in, "the text is not UTF-8", "");
	return c;
}

uint32_t source_next(source *in) {
	uint32_t c = source_peek(in);
	if (c != END_OF_SOURCE) in->at += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	return c;
}

bool source_take(source *in, uint8_t c) {
	if (in->failed || in->at == in->n || in->text[in->at] != c) return false;
	in->at++;
	return true;
}

uint32_t source_hex(source *in, uint32_t n) {
	uint32_t v = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t c = source_peek(in), digit;
		if (c >= '0' && c <= '9') digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f') digit = (c | 32) - 'a' + 10;
		else {
			source_fail(in, "the escape has not as many hexadecimal digits as it should: ", decimal(n));
			return 0;
		}
		v = v << 4 | digit;
		in->at++;
	}
	return v;
}

bool source_number(source *in, uint32_t most, uint32_t *v) {
	uint64_t sum = 0;
	uint32_t from = in->at;
	while (in->at < in->n && in->text[in->at] >= '0' && in->text[in->at] <= '9') {
		sum = sum * 10 + (in->text[in->at++] - '0');
		if (sum > most) return source_fail(in, "the number is above ", decimal(most));
	}
	*v = (uint32_t)sum;
	return in->at > from;
}

static void blanks(source *in) {
	while (source_take(in, ' ') || source_take(in, '\t')) {}
}

bool source_counts(source *in, uint32_t *least, uint32_t *most) {
	blanks(in);
	if (!source_number(in, MOST_REPEATS, least)) return source_fail(in, "a number should follow the brace of a repetition", "");
	*most = *least;
	blanks(in);
	if (source_take(in, ',')) {
		blanks(in);
		if (!source_number(in, MOST_REPEATS, most)) *most = UNBOUNDED;
		blanks(in);
	}
	if (in->failed) return false;
	if (!source_take(in, '}')) return source_fail(in, "the repetition's closing brace is missing", "");
	if (*most < *least) return source_fail(in, "the repetition's second number is below the first", "");
	return true;
}
