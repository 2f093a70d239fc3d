// Built by build.sh. A template guest that gives BOS, its text, the JSON as it comes, EOS and the time in seconds.
#include "guest.h"
FORGE_MANIFEST("name = \"template\"\nversion = \"1.0\"\nkind = \"template\"\nabi = \"1.0\"\n")
FORGE_MARKER(template)

static uint8_t *text, *bos, *eos;
static uint32_t text_len, bos_len, eos_len;

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	text = f->text, text_len = f->text_len;
	bos = f->bos, bos_len = f->bos_len;
	eos = f->eos, eos_len = f->eos_len;
	if (text_len && text[0] == '{') return FORGE_FAIL(f, FORGE_ERR_ARG, "line 1: the template has a brace.");
	return FORGE_OK;
}

FORGE_EXPORT(template_render) int32_t render(forge_text *f) {
	uint32_t n = 0, i = 0;
	if (f->flags & FORGE_TEXT_FLAG_FIRST) {
		for (uint32_t k = 0; k < bos_len; k++) f->output[n++] = bos[k];
		for (uint32_t k = 0; k < text_len; k++) f->output[n++] = text[k];
	}
	while (i < f->input_len && n + 32 + eos_len < f->output_cap) f->output[n++] = f->input[i++];
	f->consumed = i;
	if (i == f->input_len && (f->flags & FORGE_TEXT_FLAG_LAST)) {
		for (uint32_t k = 0; k < eos_len; k++) f->output[n++] = eos[k];
		uint8_t digits[24];
		uint32_t d = 0;
		for (int64_t t = f->now; t || !d; t /= 10) digits[d++] = (uint8_t)('0' + t % 10);
		while (d) f->output[n++] = digits[--d];
	}
	f->output_len = n;
	return FORGE_OK;
}
