// gbnf.h: grammars in the GBNF notation of llama.cpp.
#ifndef CONSTRAINT_GBNF_H
#define CONSTRAINT_GBNF_H

#include "ir.h"

// gbnf_read gives the rule root of a grammar, or UNBOUNDED with a reason.
uint32_t gbnf_read(ir *g, const uint8_t *text, uint32_t n);

#endif
