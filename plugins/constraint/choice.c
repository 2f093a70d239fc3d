#include "choice.h"

#include "json.h"

uint32_t choice_read(ir *g, const uint8_t *text, uint32_t n) {
	json j = {0};
	ir_list list = {0};
	uint32_t all = json_read(&j, "choice", text, n);
	if (all && json_at(&j, all)->kind != JSON_ARRAY) all = refuse("choice is not a JSON array of texts");
	for (uint32_t v = all ? json_at(&j, all)->first : 0; all && v; v = json_at(&j, v)->next) {
		if (json_at(&j, v)->kind == JSON_TEXT) ir_add(g, &list, ir_bytes(g, json_text(&j, v), json_at(&j, v)->text_n));
		else all = refuse("choice is not a JSON array of texts");
	}
	if (all && !list.first && !g->failed) all = refuse("choice is an empty list: there would be nothing to answer");
	json_free(&j);
	return all ? ir_choice(g, list) : 0;
}
