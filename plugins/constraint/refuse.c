#include "refuse.h"

char reason[REASON_ROOM];

bool refuse_parts(const char *const *parts) {
	if (reason[0]) return false;
	uint32_t n = 0;
	for (; *parts; parts++)
		for (const char *p = *parts; *p && n < REASON_ROOM - 1; p++) reason[n++] = *p;
	reason[n] = 0;
	return false;
}

const char *quoted(const uint8_t *text, uint32_t n) {
	enum { MOST = 40 };
	static char buffers[4][MOST + 4];
	static uint32_t turn;
	char *out = buffers[turn++ % 4];
	uint32_t i = 0;
	for (; i < n && i < MOST; i++) out[i] = text[i] < ' ' || text[i] > '~' ? '?' : (char)text[i];
	for (uint32_t dots = 0; n > MOST && dots < 3; dots++) out[i++] = '.';
	out[i] = 0;
	return out;
}

const char *decimal(uint64_t v) {
	static char buffers[4][24];
	static uint32_t turn;
	char *p = buffers[turn++ % 4] + 23;
	*p = 0;
	do *--p = (char)('0' + v % 10), v /= 10;
	while (v);
	return p;
}
