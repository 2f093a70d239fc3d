// guest.h: the hand-written part of the C SDK: arena, errors, strings, maths and the generator, for freestanding guests.
// A guest is one .c file:
//
//     #include "guest.h"
//     FORGE_MANIFEST("name = \"mine\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[entries]]\nname = \"mine\"\n")
//     FORGE_MARKER(sampler)
//     FORGE_EXPORT(sampler_mine) int32_t mine(forge_rows *frame) { ... return FORGE_OK; }
#ifndef FORGE_GUEST_H
#define FORGE_GUEST_H

#include "forge.h"
#include <stdbool.h>

#define FORGE_EXPORT(name) __attribute__((export_name(#name), used))
#define FORGE_MARKER(kind) FORGE_EXPORT(forge_##kind##_1) void forge_marker_##kind(void) {}
// The manifest goes into the custom section forge.abi as TOML text.
#define FORGE_MANIFEST(toml) __asm__(".section .custom_section.forge.abi,\"\",@\n.ascii " FORGE_QUOTE(toml) "\n.text\n");
#define FORGE_QUOTE(s) #s

// forge_grow gives bytes of fresh memory at the end of linear memory, aligned to a page, or 0.
static inline void *forge_grow(uint32_t bytes) {
	uint32_t pages = bytes / 65536 + (bytes % 65536 != 0);
	size_t at = __builtin_wasm_memory_grow(0, pages);
	return at == (size_t)-1 ? 0 : (void *)(at * 65536);
}

// Weak, so that a guest may be linked from several files that all include this one.
FORGE_EXPORT(forge_arena) __attribute__((weak)) void *forge_arena(uint32_t bytes) { return forge_grow(bytes); }

static inline uint32_t forge_strlen(const char *s) {
	uint32_t n = 0;
	while (s[n]) n++;
	return n;
}

// forge_fail writes parts (ended by a null pointer) to the error slot and returns the status.
static inline int32_t forge_fail(forge_head *head, int32_t status, const char *const *parts) {
	uint32_t n = 0;
	for (; *parts; parts++)
		for (const char *p = *parts; *p && n < head->error_cap; p++) head->error_ptr[n++] = (uint8_t)*p;
	head->error_len = n;
	return status;
}
#define FORGE_FAIL(frame, status, ...) forge_fail(&(frame)->head, status, (const char *const[]){__VA_ARGS__, 0})

// A freestanding compiler still emits calls to these four for struct copies and loops that it recognises. They are
// weak, so a guest may bring its own, and are linked only where something calls them.
__attribute__((weak)) void *memcpy(void *restrict to, const void *restrict from, size_t n) {
	__asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.copy 0, 0" : : "r"(to), "r"(from), "r"(n) : "memory");
	return to;
}
__attribute__((weak)) void *memmove(void *to, const void *from, size_t n) {
	__asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.copy 0, 0" : : "r"(to), "r"(from), "r"(n) : "memory");
	return to;
}
__attribute__((weak)) void *memset(void *to, int value, size_t n) {
	__asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.fill 0" : : "r"(to), "r"(value), "r"(n) : "memory");
	return to;
}
__attribute__((weak)) int memcmp(const void *a, const void *b, size_t n) {
	const uint8_t *p = a, *q = b;
	for (size_t i = 0; i < n; i++)
		if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
	return 0;
}

#endif
