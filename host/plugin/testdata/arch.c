// Built by build.sh. An architecture guest that hands back what it was given: a weight for each tensor, then a slice
// of the first; an op for each metadata key with its type, length and value. The key mode makes it misbehave.
#include "guest.h"
FORGE_MANIFEST("name = \"arch\"\nversion = \"1.0\"\nkind = \"arch\"\nabi = \"1.0\"\nprovides = [\"test\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

FORGE_EXPORT(arch_build) int32_t build(forge_arch *f) {
	uint32_t at = 0, mode = 0;
	if (f->n_tensors + 1 > f->weights_cap || f->n_meta + 1 > f->ops_cap) return FORGE_FAIL(f, FORGE_ERR_ARG, "no room");
	for (uint32_t i = 0; i < f->n_tensors; i++) {
		forge_tensor *t = f->tensors + i;
		forge_weight *w = f->weights + i;
		w->kind = FORGE_WEIGHT_KIND_TENSOR;
		w->name = f->names + at;
		w->name_len = t->name_len;
		for (uint32_t k = 0; k < t->name_len; k++) f->names[at++] = t->name[k];
		w->source = (int32_t)t->type;
		w->first = t->dims[0] * 1000 + t->dims[1];
		w->count = t->n_dims * 1000 + t->dims[3];
	}
	forge_weight *w = f->weights + f->n_tensors;
	w->kind = FORGE_WEIGHT_KIND_SLICE;
	w->source = 0;
	w->first = 1;
	w->count = 2;
	for (uint32_t i = 0; i < f->n_meta; i++) {
		forge_meta *m = f->meta + i;
		forge_op *o = f->ops + i;
		o->code = m->type;
		o->layer = (int32_t)m->n;
		o->input[0] = (int32_t)m->value;
		o->output[1] = (int32_t)m->key_len;
		o->weight[7] = m->type == FORGE_META_TYPE_STRING && m->n ? m->data[m->n - 1] : -1;
		if (m->type == FORGE_META_TYPE_NUMBERS) o->attr[15] = (uint32_t)((double *)m->data)[m->n - 1];
		if (m->key_len == 4 && m->key[0] == 'm' && m->key[3] == 'e') mode = (uint32_t)m->value;
	}
	f->ops[f->n_meta].code = 18;
	f->ops[f->n_meta].attr[0] = f->n_ctx;
	f->n_weights = f->n_tensors + 1;
	f->n_ops = f->n_meta + 1;
	f->names_len = at;
	switch (mode) {
	case 1: f->n_ops = 0xffffffff; break;
	case 2: f->n_weights = f->weights_cap + 1; break;
	case 3: f->weights[0].name = (uint8_t *)0xfffffff0; f->weights[0].name_len = 0x20; break;
	case 4: f->weights[0].name = (uint8_t *)0; break;
	case 5: f->weights[0].kind = 9; break;
	case 6: f->n_ops = 0; break;
	case 7: f->names[0] = 0xff; break;
	case 8: // each name is the whole arena
		f->n_weights = f->weights_cap;
		for (uint32_t i = 0; i < f->n_weights; i++) f->weights[i].name = f->names, f->weights[i].name_len = f->names_cap;
		break;
	case 9: return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "rope type longrope is not known.");
	case 10: return FORGE_SKIP;
	}
	return FORGE_OK;
}
