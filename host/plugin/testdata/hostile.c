// Built by build.sh. A sampler that does what its config key mode says, each of it wrong.
#include "guest.h"
FORGE_MANIFEST("name = \"hostile\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[config]]\nname = \"mode\"\ntype = \"i32\"\n[[entries]]\nname = \"hostile\"\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	if (f->config[0] == 100) __builtin_trap();
	if (f->config[0] == 101) return FORGE_FAIL(f, FORGE_ERR_CONFIG, "mode 101 is not for the likes of you.");
	if (f->config[0] == 102) f->accepted = 8;
	if (f->config[0] == 103) for (volatile int i = 0;; i++) {}
	return FORGE_OK;
}

static volatile int32_t sink, zero;
__attribute__((noinline)) static int32_t deeper(int32_t n) { return n == 12345 ? 0 : deeper(n - 1) + sink; }

FORGE_EXPORT(sampler_hostile) int32_t hostile(forge_rows *f) {
	forge_row *r = f->rows;
	switch ((int)r->params[0]) {
	case 1: for (volatile int i = 0;; i++) {}
	case 2: __builtin_trap();
	case 3: return *(volatile int32_t *)0x7ffffff0;
	case 4: return deeper(-1);
	case 5: r->n++; return FORGE_OK;
	case 6: r->flags = 0; r->n = 2; r->ids[0] = r->ids[1] = 0xfffffff0; return FORGE_OK; // met when they cross to the next module
	case 7: r->selected = (int32_t)r->n; return FORGE_OK;
	case 8: r->selected = -2; return FORGE_OK;
	case 9: r->flags |= 64; return FORGE_OK;
	case 10: r->draw--; return FORGE_OK;
	case 11: r->n = 0; return FORGE_OK;
	case 12: return 7;
	case 13: f->head.error_len = 0xffffffff; for (uint32_t i = 0; i < f->head.error_cap; i++) f->head.error_ptr[i] = 'x'; return FORGE_ERR_ARG;
	case 14: return FORGE_FAIL(f, FORGE_ERR_ARG, "one\ntwo\x1b[31m\xff three.");
	case 15: return -99;
	case 16: r->n--; return FORGE_OK; // still says that the row is whole
	case 17: while (forge_grow(65536)) {} r->selected = 1; return FORGE_OK; // as much as there is: allowed
	case 18: r->flags = 0; r->ids[0] = 0xfffffff0; r->selected = 0; return FORGE_OK;
	case 19: return FORGE_FAIL(f, FORGE_ERR_INTERNAL, "I am lost.");
	case 20: return sink / zero;
	case 21: r->flags |= FORGE_ROW_FLAG_STOP; return FORGE_OK; // allowed
	case 22: for (uint32_t i = 0; i < sizeof *f; i++) ((volatile uint8_t *)f)[i] = 0xff; return FORGE_ERR_ARG;
	case 23: for (uint32_t i = 0; i < sizeof *r; i++) ((volatile uint8_t *)r)[i] = 0xff; return FORGE_OK;
	}
	r->selected = 0;
	return FORGE_OK;
}
