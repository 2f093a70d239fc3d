// record: routes as the model does, and says in the log which experts each token went to.
//
// A guest has no files, no clock and no standard output. What it has to say goes through forge.log, which the user grants;
// the host shows the lines with --verbose. One line holds many tokens:
//
//     layer 2: 1@0=5,0,7 1@1=5,3,0      sequence 1 at position 0 went to the experts 5, 0 and 7, at position 1 to 5, 3 and 0
#include "route.h"

FORGE_MANIFEST("name = \"record\"\nversion = \"1.0\"\nkind = \"router\"\nabi = \"1.0\"\ngrants = [\"log\"]\n"
               "[[config]]\nname = \"layer\"\ntype = \"i32\"\ndefault = -1\nmin = -1\nmax = 65535\ndoc = \"the only layer to record; -1: all\"\n")
FORGE_MARKER(router)

__attribute__((import_module("forge"), import_name("log"))) void log_line(int32_t level, const char *text, uint32_t n);

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_LOG;
	return FORGE_OK;
}

static char line[4000]; // the host cuts longer ones
static uint32_t used;

static void put(const char *s) {
	while (*s && used < sizeof line) line[used++] = *s++;
}
static void put_number(uint64_t v) {
	char digits[21];
	uint32_t at = sizeof digits - 1;
	digits[at] = 0;
	do digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	put(digits + at);
}

static void begin_line(int32_t layer) {
	used = 0;
	put("layer ");
	put_number((uint64_t)layer);
	put(":");
}

// No router_plan: a router that wants to see every choice must be called for every choice.
FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	forge_routing r = forge_routing_of(f);
	int32_t status = forge_route_tokens(f, &r);
	if (status != FORGE_OK || (f->params[0] >= 0 && f->params[0] != f->layer)) return status;
	begin_line(f->layer);
	for (uint32_t t = 0; t < f->n_tokens; t++) {
		if (sizeof line - used < 48 + 6 * f->top_k) {
			log_line(FORGE_LOG_LEVEL_INFO, line, used);
			begin_line(f->layer);
		}
		put(" ");
		put_number(f->seqs[t]);
		put("@");
		put_number(f->positions[t]);
		for (uint32_t k = 0; k < f->top_k; k++) {
			put(k ? "," : "=");
			put_number(f->ids[t * f->top_k + k]);
		}
	}
	log_line(FORGE_LOG_LEVEL_INFO, line, used);
	return FORGE_OK;
}
