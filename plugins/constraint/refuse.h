// refuse.h: the sentence that says why something cannot be done.
#ifndef CONSTRAINT_REFUSE_H
#define CONSTRAINT_REFUSE_H

#include <stdbool.h>
#include <stdint.h>

enum { REASON_ROOM = 400 };
extern char reason[REASON_ROOM]; // ended by 0; empty: nothing was refused

// refuse writes the parts one after the other, unless there is a sentence already, and gives false.
bool refuse_parts(const char *const *parts);
#define refuse(...) refuse_parts((const char *const[]){__VA_ARGS__, 0})

// quoted copies the beginning of a text for a sentence, bytes that are no printable ASCII replaced; decimal writes a
// number. Each has four buffers, used in turn.
const char *quoted(const uint8_t *text, uint32_t n);
const char *decimal(uint64_t v);

#endif
