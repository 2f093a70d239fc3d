// schema.h: JSON schemas.
#ifndef CONSTRAINT_SCHEMA_H
#define CONSTRAINT_SCHEMA_H

#include "ir.h"

// schema_read gives the rule of the values that a schema allows, or UNBOUNDED with a reason, which names the keyword that
// cannot be held to.
uint32_t schema_read(ir *g, const uint8_t *text, uint32_t n);

#endif
