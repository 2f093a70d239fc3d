// choice.h: answers that are one of a list of texts.
#ifndef CONSTRAINT_CHOICE_H
#define CONSTRAINT_CHOICE_H

#include "ir.h"

// choice_read gives the tree of a JSON array of texts, or 0 with a reason.
uint32_t choice_read(ir *g, const uint8_t *text, uint32_t n);

#endif
