// A template that writes its variables as they come.
#include "faulty_kind.h"
FAULTY_KIND(template, "")

enum { TRAPS = 1, SILENT, COUNTS, ENGINES, PIECES, NO_UTF8, LEAK, OVERRUNS, NO_OBJECT, TEXTS, RARE, ENDLESS };

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	fault = (int32_t)frame->config[0];
	if (fault == TEXTS && frame->text_len > 50000) __builtin_trap();
	return FORGE_OK;
}

static bool has(const forge_text *f, const char *word) {
	uint32_t n = forge_strlen(word);
	for (uint32_t i = 0; i + n <= f->input_len; i++)
		if (memcmp(f->input + i, word, n) == 0) return true;
	return false;
}

FORGE_EXPORT(template_render) int32_t render(forge_text *f) {
	uint32_t n = f->input_len < f->output_cap ? f->input_len : f->output_cap;
	if (fault == TRAPS && has(f, "narrator")) __builtin_trap();
	if (fault == SILENT && has(f, "narrator")) return FORGE_ERR_ARG;
	if (fault == NO_OBJECT && f->flags & FORGE_TEXT_FLAG_FIRST && n && f->input[0] != '{') __builtin_trap();
	if (fault == RARE && has(f, "\x07")) __builtin_trap();
	if (fault == LEAK) __builtin_wasm_memory_grow(0, 1);
	for (volatile uint32_t i = 0; fault == ENDLESS; i++) {}
	memcpy(f->output, f->input, n);
	if (fault == OVERRUNS && f->input_len > n) f->output[n] = '!';
	if (fault == PIECES && n && !(f->flags & FORGE_TEXT_FLAG_FIRST)) f->output[0] = '.';
	if (fault == COUNTS && n) f->output[0] = (uint8_t)('a' + calls++ % 26);
	if (fault == ENGINES && n) f->output[0] = (uint8_t)('0' + nan_bit());
	if (fault == NO_UTF8 && n) f->output[0] = 0xFF;
	f->consumed = f->output_len = n;
	f->more = n < f->input_len;
	return FORGE_OK;
}
