// Built by build.sh, several times: a guest whose forge_arena gives PTR, or, with SIGNATURE, whose entry has the wrong
// signature.
#include "forge.h"
#define FORGE_EXPORT(name) __attribute__((export_name(#name), used))
__asm__(".section .custom_section.forge.abi,\"\",@\n.ascii \"name = \\\"arena\\\"\\nversion = \\\"1.0\\\"\\nkind = \\\"sampler\\\"\\nabi = \\\"1.0\\\"\\n[[entries]]\\nname = \\\"pick\\\"\\n\"\n.text\n");

FORGE_EXPORT(forge_sampler_1) void marker(void) {}
FORGE_EXPORT(forge_arena) uint32_t arena(uint32_t bytes) { return PTR; }
FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }
#ifdef SIGNATURE
FORGE_EXPORT(sampler_pick) int64_t pick(forge_rows *f, int32_t n) { return n; }
#else
FORGE_EXPORT(sampler_pick) int32_t pick(forge_rows *f) { return FORGE_OK; }
#endif
