// schema_number.c: numbers between bounds. A range of decimal numbers is split at the places where its ends part: below
// the first digit that differs, one end bounds what follows and the other no longer does.
#include "schema_parts.h"

bool decimal_read(decimal_number *d, const uint8_t *text, uint32_t n) {
	*d = (decimal_number){0};
	uint32_t i = 0;
	if (i < n && text[i] == '-') d->negative = true, i++;
	uint8_t digits[2 * DECIMAL_ROOM];
	int32_t n_digits = 0, point = 0;
	bool behind = false;
	for (; i < n && (text[i] | 32) != 'e'; i++) {
		if (text[i] == '.') {
			behind = true;
			continue;
		}
		if (n_digits == sizeof digits) return false;
		digits[n_digits++] = text[i];
		point += !behind;
	}
	int32_t exponent = 0;
	bool down = false;
	for (; i < n; i++) {
		if (text[i] == '-') down = true;
		if (text[i] >= '0' && text[i] <= '9' && exponent < 10000) exponent = exponent * 10 + (text[i] - '0');
	}
	point += down ? -exponent : exponent;
	while (n_digits && digits[n_digits - 1] == '0') n_digits--;
	int32_t from = 0;
	while (from < n_digits && digits[from] == '0') from++;
	if (from == n_digits) {
		d->negative = false;
		return true;
	}
	if (point - from > DECIMAL_ROOM || n_digits - point > DECIMAL_ROOM) return false;
	for (int32_t at = from; at < point; at++) d->whole[d->n_whole++] = at < n_digits ? digits[at] : '0';
	for (int32_t at = point; at < n_digits; at++) d->fraction[d->n_fraction++] = at >= from ? digits[at] : '0';
	return true;
}

static int compare_size(const decimal_number *a, const decimal_number *b) {
	if (a->n_whole != b->n_whole) return a->n_whole < b->n_whole ? -1 : 1;
	for (uint32_t i = 0; i < a->n_whole; i++)
		if (a->whole[i] != b->whole[i]) return a->whole[i] < b->whole[i] ? -1 : 1;
	for (uint32_t i = 0; i < a->n_fraction || i < b->n_fraction; i++) {
		uint8_t x = i < a->n_fraction ? a->fraction[i] : '0', y = i < b->n_fraction ? b->fraction[i] : '0';
		if (x != y) return x < y ? -1 : 1;
	}
	return 0;
}

int decimal_compare(const decimal_number *a, const decimal_number *b) {
	if (a->negative != b->negative) return a->negative ? -1 : 1;
	return a->negative ? compare_size(b, a) : compare_size(a, b);
}

// ---- trees of digits ---------------------------------------------------------------------------------------------------

static uint32_t digit(ir *g, uint32_t lo, uint32_t hi) {
	char_set set = {0};
	set_add(g, &set, lo, hi);
	return ir_class(g, &set, false);
}

static uint32_t digits(ir *g, uint32_t least, uint32_t most) {
	return most ? ir_repeat(g, digit(g, '0', '9'), least, most) : ir_empty(g);
}

// An end of a range of fractions: digits, and whether the end itself is outside. Trailing zeros are left out.
typedef struct {
	const uint8_t *at;
	uint32_t n;
	bool open;
} fraction_end;

// above gives the digits of fractions above an end, in at most `room` places; below gives those below one. Both may give
// no digits at all, where that is in the range.
static uint32_t above(ir *g, fraction_end e, uint32_t room) {
	if (e.n == 0 && !e.open) return digits(g, 0, room);
	if (room == 0) return ir_never(g);
	uint32_t d = e.n ? e.at[0] : '0';
	fraction_end rest = {e.at + (e.n ? 1 : 0), e.n ? e.n - 1 : 0, e.open};
	uint32_t same = ir_pair(g, digit(g, d, d), above(g, rest, room - 1));
	if (d == '9') return same;
	return ir_either(g, same, ir_pair(g, digit(g, d + 1, '9'), digits(g, 0, room - 1)));
}

static uint32_t below(ir *g, fraction_end e, uint32_t room) {
	if (e.n == 0) return e.open ? ir_never(g) : room ? ir_repeat(g, digit(g, '0', '0'), 0, room) : ir_empty(g);
	ir_list list = {0};
	ir_add(g, &list, ir_empty(g));
	if (room) {
		fraction_end rest = {e.at + 1, e.n - 1, e.open};
		ir_add(g, &list, ir_pair(g, digit(g, e.at[0], e.at[0]), below(g, rest, room - 1)));
		if (e.at[0] > '0') ir_add(g, &list, ir_pair(g, digit(g, '0', e.at[0] - 1), digits(g, 0, room - 1)));
	}
	return ir_choice(g, list);
}

static uint32_t within(ir *g, fraction_end lo, fraction_end hi, uint32_t room) {
	if (hi.n == 0) return lo.n || lo.open ? ir_never(g) : below(g, hi, room);
	if (lo.n == 0 && !lo.open) return below(g, hi, room);
	if (room == 0) return ir_never(g);
	uint32_t a = lo.n ? lo.at[0] : '0', b = hi.at[0];
	fraction_end lo_rest = {lo.at + (lo.n ? 1 : 0), lo.n ? lo.n - 1 : 0, lo.open}, hi_rest = {hi.at + 1, hi.n - 1, hi.open};
	if (a > b) return ir_never(g);
	if (a == b) return ir_pair(g, digit(g, a, a), within(g, lo_rest, hi_rest, room - 1));
	ir_list list = {0};
	ir_add(g, &list, ir_pair(g, digit(g, a, a), above(g, lo_rest, room - 1)));
	ir_add(g, &list, ir_pair(g, digit(g, b, b), below(g, hi_rest, room - 1)));
	if (b - a > 1) ir_add(g, &list, ir_pair(g, digit(g, a + 1, b - 1), digits(g, 0, room - 1)));
	return ir_choice(g, list);
}

// pointed puts a point before digits that may be none: then there is no point. kind: 0 above, 1 below, 2 within.
static uint32_t pointed(ir *g, int kind, fraction_end lo, fraction_end hi, uint32_t places) {
	bool none = kind == 1 ? hi.n || !hi.open : kind == 2 ? !lo.n && !lo.open && (hi.n || !hi.open) : !lo.n && !lo.open;
	ir_list list = {0};
	if (none) ir_add(g, &list, ir_empty(g));
	if (places) {
		// At least one digit stands behind a point: the trees allow none in some branches, which a leading digit rules out.
		for (uint32_t d = '0'; d <= '9'; d++) {
			uint8_t lo_digit = lo.n ? lo.at[0] : '0', hi_digit = hi.n ? hi.at[0] : '0';
			bool has_lo = kind != 1, has_hi = kind != 0;
			if ((has_lo && d < lo_digit) || (has_hi && d > hi_digit)) continue;
			fraction_end a = {lo.at + (lo.n ? 1 : 0), lo.n ? lo.n - 1 : 0, lo.open}, b = {hi.at + (hi.n ? 1 : 0), hi.n ? hi.n - 1 : 0, hi.open};
			bool on_lo = has_lo && d == lo_digit, on_hi = has_hi && d == hi_digit;
			uint32_t rest = on_lo && on_hi ? within(g, a, b, places - 1) : on_lo ? above(g, a, places - 1) : on_hi ? below(g, b, places - 1) : digits(g, 0, places - 1);
			ir_list one = {0};
			ir_add(g, &one, ir_text(g, "."));
			ir_add(g, &one, digit(g, d, d));
			ir_add(g, &one, rest);
			ir_add(g, &list, ir_sequence(g, one));
		}
	}
	return ir_choice(g, list);
}

// same_length gives the whole numbers from lo to hi, which have n digits each and no leading zero but in 0 itself.
static uint32_t same_length(ir *g, const uint8_t *lo, const uint8_t *hi, uint32_t n) {
	if (n == 0) return ir_empty(g);
	if (lo[0] == hi[0]) return ir_pair(g, digit(g, lo[0], lo[0]), same_length(g, lo + 1, hi + 1, n - 1));
	static const uint8_t zeros[DECIMAL_ROOM + 1] = "0000000000000000000000000000000000000000", nines[DECIMAL_ROOM + 1] = "9999999999999999999999999999999999999999";
	uint32_t first = lo[0], last = hi[0];
	ir_list list = {0};
	if (__builtin_memcmp(lo + 1, zeros, n - 1)) ir_add(g, &list, ir_pair(g, digit(g, first, first), same_length(g, lo + 1, nines, n - 1))), first++;
	if (__builtin_memcmp(hi + 1, nines, n - 1)) ir_add(g, &list, ir_pair(g, digit(g, last, last), same_length(g, zeros, hi + 1, n - 1))), last--;
	if (first <= last) ir_add(g, &list, ir_pair(g, digit(g, first, last), digits(g, n - 1, n - 1)));
	return ir_choice(g, list);
}

// A whole number with its length; 0 has one digit.
typedef struct {
	uint8_t at[DECIMAL_ROOM + 1];
	uint32_t n;
} whole_number;

static whole_number whole_of(const decimal_number *d) {
	whole_number w = {{'0'}, 1};
	if (d->n_whole) __builtin_memcpy(w.at, d->whole, w.n = d->n_whole);
	return w;
}

static int compare_whole(const whole_number *a, const whole_number *b) {
	return a->n != b->n ? (a->n < b->n ? -1 : 1) : __builtin_memcmp(a->at, b->at, a->n);
}

static void count_up(whole_number *w) {
	uint32_t i = w->n;
	while (i && w->at[i - 1] == '9') w->at[--i] = '0';
	if (i) {
		w->at[i - 1]++;
		return;
	}
	w->at[0] = '1'; // all nines: one digit more, the others are zeros
	w->at[w->n++] = '0';
}

// count_down takes one from a number above 0.
static void count_down(whole_number *w) {
	uint32_t i = w->n;
	while (w->at[i - 1] == '0') w->at[--i] = '9';
	w->at[i - 1]--;
	if (w->at[0] == '0' && w->n > 1) {
		for (uint32_t k = 1; k < w->n; k++) w->at[k - 1] = w->at[k];
		w->n--;
	}
}

static uint32_t wholes(ir *g, whole_number lo, whole_number hi) {
	ir_list list = {0};
	for (uint32_t n = lo.n; n <= hi.n; n++) {
		uint8_t from[DECIMAL_ROOM + 1], to[DECIMAL_ROOM + 1];
		__builtin_memset(from, '0', n), __builtin_memset(to, '9', n);
		from[0] = n == 1 ? '0' : '1';
		if (n == lo.n) __builtin_memcpy(from, lo.at, n);
		if (n == hi.n) __builtin_memcpy(to, hi.at, n);
		if (__builtin_memcmp(from, to, n) <= 0) ir_add(g, &list, same_length(g, from, to, n));
	}
	return ir_choice(g, list);
}

// sizes gives the numbers from lo to hi, neither of them negative.
static uint32_t sizes(ir *g, const bound *lo, const bound *hi, uint32_t places) {
	whole_number a = whole_of(&lo->at), b = whole_of(&hi->at);
	fraction_end from = {lo->at.fraction, lo->at.n_fraction, lo->exclusive}, to = {hi->at.fraction, hi->at.n_fraction, hi->exclusive};
	ir_list list = {0};
	int order = compare_whole(&a, &b);
	if (order > 0) return ir_never(g);
	if (order == 0) return ir_pair(g, wholes(g, a, a), pointed(g, 2, from, to, places));
	ir_add(g, &list, ir_pair(g, wholes(g, a, a), pointed(g, 0, from, to, places)));
	ir_add(g, &list, ir_pair(g, wholes(g, b, b), pointed(g, 1, from, to, places)));
	count_up(&a), count_down(&b);
	fraction_end any = {0};
	if (compare_whole(&a, &b) <= 0) ir_add(g, &list, ir_pair(g, wholes(g, a, b), pointed(g, 0, any, any, places)));
	return ir_choice(g, list);
}

// widest is the bound where none is set: all numbers of that many digits.
static bound widest(uint32_t n) {
	bound b = {.set = true};
	b.at.n_whole = n;
	__builtin_memset(b.at.whole, '9', n);
	return b;
}

static uint32_t unbounded(ir *g, uint32_t places) {
	ir_list whole = {0}, all = {0};
	ir_add(g, &whole, ir_text(g, "0"));
	ir_list some = {0};
	ir_add(g, &some, ir_optional(g, ir_text(g, "-")));
	ir_add(g, &some, digit(g, '1', '9'));
	ir_add(g, &some, digits(g, 0, MOST_DIGITS - 1));
	ir_add(g, &whole, ir_sequence(g, some));
	if (places == 0) return ir_choice(g, whole);
	ir_add(g, &whole, ir_text(g, "-0"));
	ir_add(g, &all, ir_choice(g, whole));
	ir_add(g, &all, ir_optional(g, ir_pair(g, ir_text(g, "."), digits(g, 1, places))));
	if (places == MOST_DIGITS) {
		ir_list power = {0}; // of two digits: what is read as a 64-bit float is finite
		ir_add(g, &power, ir_ranges(g, "eeEE"));
		ir_add(g, &power, ir_optional(g, ir_ranges(g, "++--")));
		ir_add(g, &power, digits(g, 1, 2));
		ir_add(g, &all, ir_optional(g, ir_sequence(g, power)));
	}
	return ir_sequence(g, all);
}

uint32_t number_tree(ir *g, const bound *least, const bound *most, uint32_t places) {
	if (!least->set && !most->set) return unbounded(g, places);
	bound lo = *least, hi = *most, zero = {.set = true};
	uint32_t n = MOST_DIGITS;
	if (lo.set && lo.at.n_whole >= n) n = lo.at.n_whole + 1;
	if (hi.set && hi.at.n_whole >= n) n = hi.at.n_whole + 1;
	if (n > DECIMAL_ROOM) n = DECIMAL_ROOM;
	if (!lo.set) lo = widest(n), lo.at.negative = true;
	if (!hi.set) hi = widest(n);
	int order = decimal_compare(&lo.at, &hi.at);
	if (order > 0 || (order == 0 && (lo.exclusive || hi.exclusive))) return ir_never(g);
	ir_list list = {0};
	if (!hi.at.negative && !(decimal_is_zero(&hi.at) && hi.exclusive)) ir_add(g, &list, sizes(g, lo.at.negative ? &zero : &lo, &hi, places));
	if (lo.at.negative) {
		// Sizes from that of the upper end, or above 0, up to that of the lower.
		bound from = hi.at.negative ? hi : (bound){.set = true, .exclusive = true};
		ir_add(g, &list, ir_pair(g, ir_text(g, "-"), sizes(g, &from, &lo, places)));
	}
	return ir_choice(g, list);
}
