#include "schema.h"
uint32_t schema_read(ir *g, const uint8_t *text, uint32_t n) { (void)g, (void)text, (void)n; return refuse("none"), UNBOUNDED; }
