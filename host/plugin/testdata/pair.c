// Built by build.sh. A sampler with several entries: keep narrows the table to the keep_n highest logits, highest first;
// pick picks the highest; draw picks candidate (draw counter modulo n); idle has nothing to do; note only checks that
// its parameters are where they should be.
#include "guest.h"
FORGE_MANIFEST("name = \"pair\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[config]]\nname = \"keep_n\"\ntype = \"i32\"\ndefault = 3\nmin = 1\nmax = 1000000\n[[config]]\nname = \"label\"\ntype = \"string\"\ndefault = \"none\"\n[[config]]\nname = \"on\"\ntype = \"bool\"\ndefault = true\n[[config]]\nname = \"ratio\"\ntype = \"f32\"\ndefault = 0.5\nmin = 0\nmax = 1\n[[entries]]\nname = \"keep\"\nconfig = [\"keep_n\"]\n[[entries]]\nname = \"pick\"\nconfig = []\n[[entries]]\nname = \"draw\"\nconfig = []\n[[entries]]\nname = \"idle\"\nconfig = []\n[[entries]]\nname = \"note\"\nconfig = [\"label\", \"on\", \"ratio\"]\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return f->n_vocab && f->max_rows == 1 ? FORGE_OK : FORGE_ERR_ARG; }

static uint32_t id_of(forge_row *r, uint32_t i) { return r->flags & FORGE_ROW_FLAG_WHOLE ? i : r->ids[i]; }

FORGE_EXPORT(sampler_keep) int32_t keep(forge_rows *f) {
	for (uint32_t k = 0; k < f->n_rows; k++) {
		forge_row *r = f->rows + k;
		uint32_t want = (uint32_t)r->params[0];
		if (want > r->n) want = r->n;
		for (uint32_t i = 0; i < r->n; i++) r->ids[i] = id_of(r, i);
		r->flags &= ~(uint32_t)FORGE_ROW_FLAG_WHOLE;
		for (uint32_t i = 0; i < want; i++) {
			uint32_t best = i;
			for (uint32_t j = i + 1; j < r->n; j++)
				if (r->logits[j] > r->logits[best]) best = j;
			float l = r->logits[best];
			uint32_t id = r->ids[best];
			r->logits[best] = r->logits[i], r->ids[best] = r->ids[i];
			r->logits[i] = l, r->ids[i] = id;
		}
		r->n = want;
		r->flags |= FORGE_ROW_FLAG_SORTED;
	}
	return FORGE_OK;
}

FORGE_EXPORT(sampler_pick) int32_t pick(forge_rows *f) {
	for (uint32_t k = 0; k < f->n_rows; k++) {
		forge_row *r = f->rows + k;
		r->selected = 0;
		for (uint32_t i = 1; i < r->n; i++)
			if (r->logits[i] > r->logits[r->selected]) r->selected = (int32_t)i;
	}
	return FORGE_OK;
}

FORGE_EXPORT(sampler_draw) int32_t draw(forge_rows *f) {
	for (uint32_t k = 0; k < f->n_rows; k++) f->rows[k].selected = (int32_t)(f->rows[k].draw++ % f->rows[k].n);
	return FORGE_OK;
}

FORGE_EXPORT(sampler_idle) int32_t idle(forge_rows *f) {
	f->rows->n = 0; // a table that nobody may see
	f->rows->draw = 99;
	return FORGE_SKIP;
}

// note wants label, on and ratio to be what is written in the order of the history: it moves the ids apart by them.
FORGE_EXPORT(sampler_note) int32_t note(forge_rows *f) {
	forge_row *r = f->rows;
	uint32_t *slot = (uint32_t *)(r->params + 1);
	const char *text = (const char *)slot[0];
	uint32_t n = slot[1];
	if (n == 4 && text[0] == 'b' && text[3] == 'm') // "boom"
		return FORGE_FAIL(f, FORGE_ERR_CONFIG, "label must not be boom.");
	if (r->params[2] == 0 || r->params[3] != 0.5) r->selected = (int32_t)n;
	return r->history_len ? FORGE_ERR_ARG : FORGE_OK; // history was not granted
}
