// sampler.h: the settings of the module sampler. table.h has the candidate table.
#ifndef SAMPLER_H
#define SAMPLER_H

#include "table.h"

// Slots of row.params: the manifest's [[config]] tables in order.
enum {
	PARAM_TEMP,
	PARAM_TOP_K,
	PARAM_TOP_P,
	PARAM_MIN_P,
	PARAM_REPEAT_PENALTY,
	PARAM_REPEAT_LAST_N,
	PARAM_FREQUENCY_PENALTY,
	PARAM_PRESENCE_PENALTY,
	PARAM_DYNATEMP_RANGE,
	PARAM_DYNATEMP_EXPONENT,
	PARAM_TYPICAL_P,
	PARAM_TOP_N_SIGMA,
	PARAM_XTC_PROBABILITY,
	PARAM_XTC_THRESHOLD,
	PARAM_LOGIT_BIAS,
	N_PARAMS
};
_Static_assert(N_PARAMS <= TABLE_PARAMS, "table.h has room for fewer settings");

// dynatemp gives the temperature that dynamic temperature chooses for a row of at least two candidates.
double dynatemp(const forge_row *row, double temp, double range, double exponent);

#endif
