// logit_bias adds to the logits of single tokens. The setting lists them as llama.cpp's flag has them, ID+BIAS or
// ID-BIAS, with commas between: "15043+1,2-inf". A token that stands there twice gets the sum; -inf forbids a token, +inf
// leaves no other.
#include "sampler.h"

// number reads digits with a fraction and an exponent, or inf, and gives how many characters it took, 0 if there is none.
static uint32_t number(const char *s, uint32_t n, double *value) {
	if (n >= 3 && s[0] == 'i' && s[1] == 'n' && s[2] == 'f') {
		*value = __builtin_inf();
		return 3;
	}
	uint32_t i = 0, digits = 0;
	double x = 0, divisor = 1; // digits are gathered as a whole number and divided once, so that 0.1 is the nearest double
	for (; i < n && s[i] >= '0' && s[i] <= '9'; i++, digits++) x = x * 10 + (s[i] - '0');
	if (i < n && s[i] == '.')
		for (i++; i < n && s[i] >= '0' && s[i] <= '9'; i++, digits++) x = x * 10 + (s[i] - '0'), divisor *= 10;
	if (digits == 0) return 0;
	if (i < n && (s[i] == 'e' || s[i] == 'E')) {
		uint32_t j = i + 1, exponent = 0, first;
		bool negative = j < n && s[j] == '-';
		if (j < n && (s[j] == '-' || s[j] == '+')) j++;
		for (first = j; j < n && s[j] >= '0' && s[j] <= '9' && exponent < 400; j++) exponent = exponent * 10 + (uint32_t)(s[j] - '0');
		if (j == first) return 0;
		double power = 1;
		for (; exponent; exponent--) power *= 10;
		if (negative) divisor *= power;
		else x *= power;
		i = j;
	}
	*value = x / divisor;
	return i;
}

typedef struct {
	uint32_t id;
	double bias;
} token_bias;

// parse fills sampler.list with one entry a token and counts[id] with the entry's index + 1; it gives their number, or -1
// with sampler.why set and counts as they were.
static int32_t parse(const char *s, uint32_t n) {
	token_bias *list = (token_bias *)sampler.list; // 16 bytes an entry: list and other lie next to each other
	uint32_t m = 0, i = 0;
	while (i < n) {
		while (i < n && s[i] == ' ') i++;
		uint64_t id = 0;
		uint32_t first = i, took = 0;
		for (; i < n && s[i] >= '0' && s[i] <= '9' && id < 1ull << 32; i++) id = id * 10 + (uint64_t)(s[i] - '0');
		double bias = 0;
		if (i > first && i + 1 < n && (s[i] == '+' || s[i] == '-')) took = number(s + i + 1, n - i - 1, &bias);
		if (took == 0 || bias != bias) {
			sampler.why = "the setting is not a list of ID+BIAS and ID-BIAS with commas between, such as 15043+1,2-inf";
			break;
		}
		if (s[i] == '-') bias = -bias;
		i += 1 + took;
		while (i < n && s[i] == ' ') i++;
		if (i < n && s[i++] != ',') {
			sampler.why = "the setting is not a list of ID+BIAS and ID-BIAS with commas between, such as 15043+1,2-inf";
			break;
		}
		if (id >= sampler.n_vocab) {
			sampler.why = "the setting names a token that the vocabulary does not have";
			break;
		}
		uint32_t at = sampler.counts[id];
		if (at)
			list[at - 1].bias += bias;
		else
			list[m++] = (token_bias){(uint32_t)id, bias}, sampler.counts[id] = m;
	}
	if (!sampler.why) return (int32_t)m;
	for (uint32_t j = 0; j < m; j++) sampler.counts[list[j].id] = 0;
	return -1;
}

SAMPLER(logit_bias) {
	uint32_t len;
	const char *text = table_text(row, PARAM_LOGIT_BIAS, &len);
	if (len == 0) return FORGE_SKIP;
	int32_t m = parse(text, len);
	if (m < 0) return FORGE_ERR_CONFIG;
	const token_bias *list = (const token_bias *)sampler.list;
	if (table_whole(row)) {
		for (int32_t i = 0; i < m; i++) row->logits[list[i].id] = (float)(row->logits[list[i].id] + list[i].bias);
	} else {
		for (uint32_t i = 0; i < row->n; i++) {
			uint32_t at = row->ids[i] < sampler.n_vocab ? sampler.counts[row->ids[i]] : 0;
			if (at) row->logits[i] = (float)(row->logits[i] + list[at - 1].bias);
		}
	}
	for (int32_t i = 0; i < m; i++) sampler.counts[list[i].id] = 0;
	row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}
