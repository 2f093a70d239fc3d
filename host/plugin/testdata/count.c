// Built by build.sh. A sampler whose state is its image: picks the candidate at the number of tokens accepted so far, and
// keeps its scratch memory dirty to see that it is copied.
#include "guest.h"
FORGE_MANIFEST("name = \"count\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\nstate = \"image\"\n[[config]]\nname = \"trap\"\ntype = \"bool\"\n[[entries]]\nname = \"count\"\n")
FORGE_MARKER(sampler)

static uint32_t n, *more; // more lies in pages that were grown after init

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	if (!more) more = forge_grow(65536);
	if (!more) return FORGE_ERR_NOMEM;
	n += f->count, *more += f->count;
	return FORGE_OK;
}

FORGE_EXPORT(sampler_count) int32_t count(forge_rows *f) {
	if (f->rows->params[0] != 0) __builtin_trap();
	if (more && *more != n) return FORGE_ERR_INTERNAL;
	f->rows->selected = (int32_t)(n % f->rows->n);
	return FORGE_OK;
}
