// grammars.h: the grammars in use. Sequences with the same one share it; one that nobody uses is kept for the next
// request until memory is wanted.
#ifndef CONSTRAINT_GRAMMARS_H
#define CONSTRAINT_GRAMMARS_H

#include "automaton.h"

// The languages that a grammar can be written in, in the order of their config keys.
typedef enum { LANGUAGE_GBNF, LANGUAGE_JSON_SCHEMA, LANGUAGE_REGEX, LANGUAGE_CHOICE, N_LANGUAGES } language;

// grammar_open gives the automaton of a text, or 0 with a reason; grammar_use and grammar_close count who has it.
automaton *grammar_open(language l, const uint8_t *text, uint32_t n);
void grammar_use(automaton *a);
void grammar_close(automaton *a);

// grammars_base says that what is taken now is taken for good; what follows is meant to stay below a few MiB more.
void grammars_base(void);

// grammars_relieve gives back what can be made again, if that is more than it should be, or in any case: first what
// belongs to others than a, then a's own.
void grammars_relieve(automaton *a, bool in_any_case);

#endif
