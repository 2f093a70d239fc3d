// dry (don't repeat yourself) lowers the logits of tokens that would continue a repetition. If the newest n tokens of the
// sequence also stand before an earlier token t, choosing t makes them n + 1; for the longest such n of each t,
//
//     logit -= dry_multiplier * dry_base ^ (n - dry_allowed_length)    where n >= dry_allowed_length
//
// A sequence breaker ends what is compared: the newest tokens count only as far back as the last breaker, and a token
// whose own text holds a breaker is not penalised. (By p-e-w, in text-generation-webui's pull request 5677.)
#include "text.h"
#include "math.h"

enum { MAX_BREAKERS = 64, MAX_BREAKER = 64 };
#define NONE (~0u)

typedef struct {
	uint32_t n, longest;
	struct {
		uint32_t n;
		uint8_t text[MAX_BREAKER];
	} list[MAX_BREAKERS];
	bool first[256]; // bytes that a breaker begins with
} breakers;

// read_breakers takes the setting apart: texts with commas between; \n, \t, \\ and \, are escapes.
static bool read_breakers(const char *s, uint32_t n, breakers *b) {
	memset(b, 0, sizeof *b);
	for (uint32_t i = 0; i < n; i++) {
		if (b->n == MAX_BREAKERS) {
			sampler.why = "there are more than 64 sequence breakers";
			return false;
		}
		uint8_t *text = b->list[b->n].text;
		uint32_t length = 0;
		for (; i < n && s[i] != ','; i++) {
			char c = s[i];
			if (c == '\\' && i + 1 < n) c = s[++i] == 'n' ? '\n' : s[i] == 't' ? '\t' : s[i];
			if (length == MAX_BREAKER) {
				sampler.why = "a sequence breaker is longer than 64 bytes";
				return false;
			}
			text[length++] = (uint8_t)c;
		}
		if (length == 0) continue;
		b->list[b->n++].n = length;
		b->first[text[0]] = true;
		if (length > b->longest) b->longest = length;
	}
	return true;
}

// breaks gives the length of the longest breaker that text begins with, 0 for none.
static uint32_t breaks(const breakers *b, const uint8_t *text, uint32_t n) {
	uint32_t longest = 0;
	if (!b->first[text[0]]) return 0;
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t length = b->list[i].n;
		if (length <= n && length > longest && memcmp(b->list[i].text, text, length) == 0) longest = length;
	}
	return longest;
}

// breaker_ends gives in which token the breaker ends that begins at a byte of one, NONE if none begins there; 0 is the newest
// token.
static uint32_t breaker_ends(const breakers *b, const uint32_t *newest, uint32_t token, uint32_t at) {
	uint8_t text[MAX_BREAKER];
	uint32_t owner[MAX_BREAKER], n = 0, length;
	for (uint32_t i = token + 1; i-- > 0 && n < b->longest; at = 0) {
		const uint8_t *piece = vocab_text(newest[-(int32_t)i], &length);
		for (; at < length && n < b->longest; at++, n++) text[n] = piece[at], owner[n] = i;
	}
	length = breaks(b, text, n);
	return length ? owner[length - 1] : NONE;
}

// unbroken gives how many of the newest tokens come after the last sequence breaker: it looks for the newest token in which
// one begins, and at which token that one ends. most is returned where there is none.
static uint32_t unbroken(const breakers *b, const uint32_t *newest, uint32_t most) {
	for (uint32_t i = 0; i < most; i++) {
		uint32_t n, found = NONE;
		const uint8_t *piece = vocab_text(newest[-(int32_t)i], &n);
		for (uint32_t at = 0; at < n; at++) {
			if (!b->first[piece[at]]) continue;
			uint32_t ends = breaker_ends(b, newest, i, at);
			if (ends < found) found = ends;
		}
		if (found != NONE) return found;
	}
	return most;
}

// holds_breaker tells whether a breaker stands in the token's own text.
static bool holds_breaker(const breakers *b, uint32_t id) {
	uint32_t n;
	const uint8_t *text = vocab_text(id, &n);
	for (uint32_t at = 0; at < n; at++)
		if (breaks(b, text + at, n - at)) return true;
	return false;
}

// room gives scratch for n numbers. It grows with the longest history that was seen.
static uint32_t *room(uint32_t n) {
	static uint32_t *scratch, cap;
	if (n > cap) {
		cap = n < 32768 ? 32768 : 2 * n;
		scratch = forge_grow(cap * sizeof *scratch);
		if (!scratch) cap = 0;
	}
	return scratch;
}

// repeats sets counts[t] to 1 + the longest repetition that token t would continue, for those of least tokens or more. z[k]
// is how many of the newest tokens equal those that end k tokens earlier: the Z-algorithm on the reversed history.
static void repeats(const uint32_t *newest, uint32_t n, uint32_t limit, uint32_t least, uint32_t *z) {
	uint32_t left = 0, right = 0; // the match that reaches farthest back: [left, right)
	for (uint32_t k = 1; k < n; k++) {
		uint32_t m = 0;
		if (k < right) m = z[k - left] < right - k ? z[k - left] : right - k;
		if (k + m >= right) {
			while (k + m < n && newest[-(int32_t)m] == newest[-(int32_t)(k + m)]) m++;
			left = k, right = k + m;
		}
		z[k] = m;
		uint32_t t = newest[-(int32_t)k + 1]; // what came after
		if (m > limit) m = limit;
		if (m >= least && t < sampler.n_vocab && sampler.counts[t] < m + 1) sampler.counts[t] = m + 1;
	}
}

typedef struct {
	double multiplier, log_base;
	uint32_t allowed, most; // the exponent's bound: base^most is no more than the largest float32
	const breakers *breakers;
} rule;

static float lowered(const rule *r, float logit, uint32_t id) {
	if (r->breakers->n && holds_breaker(r->breakers, id)) return logit;
	uint32_t exponent = sampler.counts[id] - 1 - r->allowed;
	if (r->most && exponent > r->most) exponent = r->most;
	return (float)(logit - r->multiplier * forge_exp(exponent * r->log_base));
}

static void apply(forge_row *row, const rule *r, const uint32_t *recent, uint32_t n) {
	if (table_whole(row)) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t id = recent[i];
			if (id >= sampler.n_vocab || sampler.counts[id] == 0) continue;
			row->logits[id] = lowered(r, row->logits[id], id);
			sampler.counts[id] = 0;
		}
		return;
	}
	for (uint32_t i = 0; i < row->n; i++) {
		uint32_t id = row->ids[i];
		if (id < sampler.n_vocab && sampler.counts[id]) row->logits[i] = lowered(r, row->logits[i], id);
	}
	for (uint32_t i = 0; i < n; i++)
		if (recent[i] < sampler.n_vocab) sampler.counts[recent[i]] = 0;
}

SAMPLER(dry) {
	double multiplier = table_param(row, PARAM_DRY_MULTIPLIER), base = table_param(row, PARAM_DRY_BASE);
	double allowed = table_param(row, PARAM_DRY_ALLOWED_LENGTH), last = table_param(row, PARAM_DRY_PENALTY_LAST_N);
	if (!is_finite(multiplier) || !is_finite(base) || !is_finite(allowed) || !is_finite(last) || allowed < 0) return FORGE_ERR_CONFIG;
	if (multiplier == 0 || base < 1) return FORGE_SKIP;
	uint32_t n = row->history_len, len;
	if (last >= 0 && last < n) n = (uint32_t)last;
	if (n == 0 || n <= allowed) return FORGE_SKIP;

	static breakers b;
	const char *setting = table_text(row, PARAM_DRY_SEQUENCE_BREAKERS, &len);
	if (!read_breakers(setting, len, &b)) return FORGE_ERR_CONFIG;
	if (b.n && !vocab_known()) {
		sampler.why = "needs the tokens' texts for its sequence breakers: give the plugin the grant vocab in plugins.toml";
		return FORGE_ERR_UNSUPPORTED;
	}
	const uint32_t *recent = row->history + (row->history_len - n), *newest = recent + n - 1;
	uint32_t limit = b.n ? unbroken(&b, newest, n) : n;
	if (limit < allowed) return FORGE_SKIP;
	uint32_t *z = room(n);
	if (!z) {
		sampler.why = "memory for comparing the history was refused; raise the plugin's page limit";
		return FORGE_ERR_NOMEM;
	}
	double log_base = forge_log(base);
	rule r = {.multiplier = multiplier, .log_base = log_base, .allowed = (uint32_t)allowed, .breakers = &b};
	if (base > 1.000001) r.most = (uint32_t)(88.7228391 / log_base); // ln of the largest float32
	repeats(newest, n, limit, r.allowed, z);
	apply(row, &r, recent, n);
	row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}
