// What the faulty samplers of the tests share: a manifest, and a loop over rows in which each has its fault.
#include "guest.h"

#define FAULTY(NAME) \
	FORGE_MANIFEST("name = \"" NAME "\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[entries]]\nname = \"" NAME "\"\n") \
	FORGE_MARKER(sampler) \
	FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) { return frame->accepted = 0, FORGE_OK; }
#define ROWS(row) for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++)
