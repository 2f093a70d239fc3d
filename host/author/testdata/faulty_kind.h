// Of the other kinds there is one guest each with many faults, chosen by the setting fault; 0 is none.
#ifndef FAULTY_KIND_H
#define FAULTY_KIND_H
#include "faulty.h"

#define FAULTY_KIND(KIND, MORE) \
	FORGE_MANIFEST("name = \"faulty\"\nversion = \"1.0\"\nkind = \"" #KIND "\"\nabi = \"1.0\"\n" MORE \
	               "[[config]]\nname = \"fault\"\ntype = \"i32\"\ndefault = 0\nmin = 0\nmax = 99\n") \
	FORGE_MARKER(KIND)

static int32_t fault; // set by forge_init
static uint32_t calls;
#endif
