// Built by build.sh. A processor that halves all logits and one that negates them.
#include "guest.h"
FORGE_MANIFEST("name = \"halve\"\nversion = \"1.0\"\nkind = \"processor\"\nabi = \"1.0\"\n[[entries]]\nname = \"halve\"\n[[entries]]\nname = \"negate\"\n")
FORGE_MARKER(processor)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

static int32_t times(forge_rows *f, float by) {
	for (uint32_t k = 0; k < f->n_rows; k++)
		for (uint32_t i = 0; i < f->rows[k].n; i++) f->rows[k].logits[i] *= by;
	return FORGE_OK;
}

FORGE_EXPORT(processor_halve) int32_t halve(forge_rows *f) { return times(f, 0.5f); }
FORGE_EXPORT(processor_negate) int32_t negate(forge_rows *f) { return times(f, -1); }
