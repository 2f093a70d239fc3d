// Built by build.sh. A sampler that uses the grants: it logs the text of the sequence's newest token and picks that
// token; bad_log logs from outside its memory; flood logs too much.
#include "guest.h"
FORGE_MANIFEST("name = \"granted\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\ngrants = [\"log\", \"vocab\", \"history\"]\n[[entries]]\nname = \"again\"\n[[entries]]\nname = \"bad_log\"\n[[entries]]\nname = \"flood\"\n")
FORGE_MARKER(sampler)

__attribute__((import_module("forge"), import_name("log"))) void forge_log(int32_t level, const uint8_t *text, uint32_t n);

static forge_vocab *vocab;

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	f->accepted = f->offered & (FORGE_CAP_LOG | FORGE_CAP_VOCAB | FORGE_CAP_HISTORY);
	vocab = f->vocab;
	return vocab && f->accepted == (FORGE_CAP_LOG | FORGE_CAP_VOCAB | FORGE_CAP_HISTORY) ? FORGE_OK : FORGE_ERR_ARG;
}

FORGE_EXPORT(sampler_again) int32_t again(forge_rows *f) {
	forge_row *r = f->rows;
	uint32_t id = r->history[r->history_len - 1];
	forge_log(1, vocab->texts + vocab->offsets[id], vocab->offsets[id + 1] - vocab->offsets[id]);
	r->selected = (int32_t)id;
	return FORGE_OK;
}

FORGE_EXPORT(sampler_bad_log) int32_t bad_log(forge_rows *f) {
	forge_log(1, (const uint8_t *)0xfffffff0, 0x100);
	return FORGE_OK;
}

FORGE_EXPORT(sampler_flood) int32_t flood(forge_rows *f) {
	for (uint32_t i = 0; i < 1000; i++) forge_log(1, (const uint8_t *)"x", 1);
	return FORGE_OK;
}
