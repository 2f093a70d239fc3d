// arch.h: what an architecture guest is written with: look up metadata and tensors, add operations, get value ids back.
//
// The first thing that goes wrong is kept as the guest's error and every later call does nothing, so a guest reads as a
// straight list and ends with `return forge_end(&a)`. Metadata names leave out the architecture ("block_count" is
// llama.block_count); tensor names leave out the layer ("attn_q.weight" is blk.3.attn_q.weight while a.layer is 3).
#ifndef FORGE_ARCH_H
#define FORGE_ARCH_H

#include "guest.h"
#include "math.h"

typedef int32_t forge_value;     // a value of the program
typedef int32_t forge_weight_id; // a weight of the program
#define FORGE_NONE (-1)

typedef struct {
	forge_arch *frame;
	int32_t layer; // -1 outside the layers
	int32_t n_values;
	int32_t status;
	char prefix[64]; // general.architecture
} forge_builder;

// Attributes of rope and attention in the order of their slots in the op record.
typedef struct {
	int32_t mode, head_dim, n_rot, first;
	float base, freq_scale, ext_factor, attn_factor, beta_fast, beta_slow;
	int32_t n_ctx_orig;
} forge_rotation;
typedef struct {
	int32_t n_head, n_head_kv, head_dim_k, head_dim_v;
	float scale;
	int32_t causal, window;
	float softcap;
} forge_heads;
_Static_assert(offsetof(forge_rotation, n_ctx_orig) == 4 * FORGE_ROPE_ATTR_N_CTX_ORIG, "rope attributes");
_Static_assert(offsetof(forge_heads, softcap) == 4 * FORGE_ATTENTION_ATTR_SOFTCAP, "attention attributes");

// ---- errors and names ---------------------------------------------------------------------------------------------

// forge_stop keeps the first error; the arguments are joined to its sentence.
#define forge_stop(a, code, ...)                                                          \
	do {                                                                                    \
		if ((a)->status == FORGE_OK) (a)->status = FORGE_FAIL((a)->frame, code, __VA_ARGS__); \
	} while (0)

static inline int32_t forge_end(forge_builder *a) { return a->status; }

typedef struct {
	char text[128];
	uint32_t n;
} forge_name;

static inline void forge_name_add(forge_name *name, const char *s) {
	for (; *s && name->n < sizeof name->text - 1; s++) name->text[name->n++] = *s;
	name->text[name->n] = 0;
}
static inline void forge_name_add_number(forge_name *name, uint32_t v) {
	char digits[11];
	uint32_t at = sizeof digits - 1;
	digits[at] = 0;
	do digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	forge_name_add(name, digits + at);
}
static inline bool forge_same(const uint8_t *text, uint32_t n, const char *s) {
	return n == forge_strlen(s) && memcmp(text, s, n) == 0;
}

// ---- metadata -------------------------------------------------------------------------------------------------------

// forge_key gives the full name of a key: a name with a leading '.' is complete without it (".general.architecture").
static inline forge_name forge_key(forge_builder *a, const char *key) {
	forge_name full = {.n = 0};
	if (*key == '.') {
		forge_name_add(&full, key + 1);
	} else {
		forge_name_add(&full, a->prefix);
		forge_name_add(&full, ".");
		forge_name_add(&full, key);
	}
	return full;
}

// forge_find gives the metadata record, or null if the file has none of this name.
static inline const forge_meta *forge_find(forge_builder *a, const char *key) {
	forge_name full = forge_key(a, key);
	for (uint32_t i = 0; i < a->frame->n_meta; i++)
		if (forge_same(a->frame->meta[i].key, a->frame->meta[i].key_len, full.text)) return &a->frame->meta[i];
	return 0;
}

// forge_number reads a number or bool; of an array, the element of the current layer. Absent: fallback.
static inline double forge_number(forge_builder *a, const char *key, double fallback) {
	const forge_meta *m = forge_find(a, key);
	if (!m) return fallback;
	if (m->type == FORGE_META_TYPE_NUMBER || m->type == FORGE_META_TYPE_BOOL) return m->value;
	if (m->type == FORGE_META_TYPE_NUMBERS) {
		uint32_t at = a->layer < 0 ? 0 : (uint32_t)a->layer;
		if (at < m->n) return ((const double *)m->data)[at];
		forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, key).text, " is an array with fewer elements than there are layers");
	}
	forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, key).text, " is not a number");
	return fallback;
}

// forge_int reads a whole number of 0 to 2^31 - 1; absent: fallback.
static inline int32_t forge_int(forge_builder *a, const char *key, int32_t fallback) {
	double v = forge_number(a, key, fallback);
	if (v >= 0 && v <= 2147483647.0 && v == __builtin_floor(v)) return (int32_t)v;
	if (v == fallback) return fallback;
	forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, key).text, " is not a whole number from 0 to 2147483647");
	return fallback;
}

// forge_need_number and forge_need_int stop the build if the key is missing; a count must be at least 1.
static inline double forge_need_number(forge_builder *a, const char *key) {
	if (!forge_find(a, key)) forge_stop(a, FORGE_ERR_ARG, "missing metadata ", forge_key(a, key).text);
	return forge_number(a, key, 1);
}
static inline int32_t forge_need_int(forge_builder *a, const char *key) {
	if (!forge_find(a, key)) forge_stop(a, FORGE_ERR_ARG, "missing metadata ", forge_key(a, key).text);
	int32_t v = forge_int(a, key, 1);
	if (v < 1) forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, key).text, " is 0, expected at least 1");
	return v < 1 ? 1 : v;
}

static inline bool forge_text_is(forge_builder *a, const char *key, const char *text) {
	const forge_meta *m = forge_find(a, key);
	return m && m->type == FORGE_META_TYPE_STRING && forge_same(m->data, m->n, text);
}

// forge_start begins a program; it ends in an error if general.architecture is missing.
static inline forge_builder forge_start(forge_arch *frame) {
	forge_builder a = {.frame = frame, .layer = -1};
	if (frame->head.size < sizeof *frame) {
		static forge_arch empty; // so that the calls that follow read nothing of a frame that is not there
		forge_stop(&a, FORGE_ERR_ABI, "the arch frame is shorter than that of ABI " FORGE_ABI);
		a.frame = &empty;
		return a;
	}
	frame->n_weights = frame->n_ops = frame->names_len = 0;
	const forge_meta *m = forge_find(&a, ".general.architecture");
	if (!m || m->type != FORGE_META_TYPE_STRING || m->n == 0 || m->n >= sizeof a.prefix) {
		forge_stop(&a, FORGE_ERR_ARG, "missing metadata general.architecture");
		return a;
	}
	memcpy(a.prefix, m->data, m->n);
	return a;
}

// ---- weights ----------------------------------------------------------------------------------------------------------

static inline forge_name forge_tensor_name(forge_builder *a, const char *name) {
	forge_name full = {.n = 0};
	if (a->layer >= 0) {
		forge_name_add(&full, "blk.");
		forge_name_add_number(&full, (uint32_t)a->layer);
		forge_name_add(&full, ".");
	}
	forge_name_add(&full, name);
	return full;
}

// forge_tensor_of gives the tensor's record (its dims are [n_out, n_in]), or null.
static inline const forge_tensor *forge_tensor_of(forge_builder *a, const char *name) {
	forge_name full = forge_tensor_name(a, name);
	for (uint32_t i = 0; i < a->frame->n_tensors; i++)
		if (forge_same(a->frame->tensors[i].name, a->frame->tensors[i].name_len, full.text)) return &a->frame->tensors[i];
	return 0;
}

// forge_new_weight takes the next weight record, or null when the host left no room.
static inline forge_weight *forge_new_weight(forge_builder *a) {
	if (a->status != FORGE_OK) return 0;
	if (a->frame->n_weights == a->frame->weights_cap) {
		forge_stop(a, FORGE_ERR_ARG, "the program needs more weights than the host allows");
		return 0;
	}
	forge_weight *w = &a->frame->weights[a->frame->n_weights++];
	*w = (forge_weight){.source = -1};
	return w;
}

// forge_maybe adds the tensor as a weight; FORGE_NONE if the file has none of this name. Asked again, it gives the same id.
static inline forge_weight_id forge_maybe(forge_builder *a, const char *name) {
	const forge_tensor *t = forge_tensor_of(a, name);
	if (!t || a->status != FORGE_OK) return FORGE_NONE;
	for (uint32_t i = 0; i < a->frame->n_weights; i++) {
		forge_weight *w = &a->frame->weights[i];
		if (w->kind == FORGE_WEIGHT_KIND_TENSOR && w->name_len == t->name_len && memcmp(w->name, t->name, t->name_len) == 0) return (int32_t)i;
	}
	if (a->frame->names_cap - a->frame->names_len < t->name_len) {
		forge_stop(a, FORGE_ERR_ARG, "the program needs more room for names than the host allows");
		return FORGE_NONE;
	}
	forge_weight *w = forge_new_weight(a);
	if (!w) return FORGE_NONE;
	w->kind = FORGE_WEIGHT_KIND_TENSOR;
	w->name = a->frame->names + a->frame->names_len;
	w->name_len = t->name_len;
	memcpy(w->name, t->name, t->name_len);
	a->frame->names_len += t->name_len;
	return (int32_t)a->frame->n_weights - 1;
}

// forge_need is forge_maybe for a tensor without which the model cannot run.
static inline forge_weight_id forge_need(forge_builder *a, const char *name) {
	forge_weight_id w = forge_maybe(a, name);
	if (w < 0) forge_stop(a, FORGE_ERR_ARG, "missing tensor ", forge_tensor_name(a, name).text);
	return w;
}

// forge_slice takes count indices of a weight's outermost dimension from first on; forge_transpose swaps the two innermost.
static inline forge_weight_id forge_slice(forge_builder *a, forge_weight_id of, int32_t first, int32_t count) {
	forge_weight *w = of < 0 ? 0 : forge_new_weight(a);
	if (!w) return FORGE_NONE;
	w->kind = FORGE_WEIGHT_KIND_SLICE, w->source = of, w->first = (uint32_t)first, w->count = (uint32_t)count;
	return (int32_t)a->frame->n_weights - 1;
}
static inline forge_weight_id forge_transpose(forge_builder *a, forge_weight_id of) {
	forge_weight *w = of < 0 ? 0 : forge_new_weight(a);
	if (!w) return FORGE_NONE;
	w->kind = FORGE_WEIGHT_KIND_TRANSPOSE, w->source = of;
	return (int32_t)a->frame->n_weights - 1;
}

// ---- operations -------------------------------------------------------------------------------------------------------

// forge_op_new adds an operation with no inputs, weights and attributes yet, and a new value unless code is output.
// After an error it gives a record that nobody reads, so that callers need no test.
static inline forge_op *forge_op_new(forge_builder *a, uint32_t code) {
	static forge_op nowhere;
	if (a->status == FORGE_OK && a->frame->n_ops == a->frame->ops_cap)
		forge_stop(a, FORGE_ERR_ARG, "the program needs more operations than the host allows");
	forge_op *op = a->status == FORGE_OK ? &a->frame->ops[a->frame->n_ops++] : &nowhere;
	*op = (forge_op){.code = code, .layer = a->layer, .input = {-1, -1, -1, -1}, .output = {-1, -1}, .weight = {-1, -1, -1, -1, -1, -1, -1, -1}};
	if (code != FORGE_OP_OUTPUT) op->output[0] = a->n_values++;
	return op;
}
static inline uint32_t forge_f32(float x) { return __builtin_bit_cast(uint32_t, x); }

static inline forge_value forge_embed(forge_builder *a, forge_weight_id table) {
	forge_op *op = forge_op_new(a, FORGE_OP_EMBED);
	op->weight[0] = table;
	return op->output[0];
}

// forge_norm normalises groups of group entries (0: the whole row); weight and bias may be FORGE_NONE.
static inline forge_value forge_norm(forge_builder *a, forge_value x, int32_t kind, float eps, int32_t group, forge_weight_id weight, forge_weight_id bias) {
	forge_op *op = forge_op_new(a, FORGE_OP_NORM);
	op->input[0] = x, op->weight[0] = weight, op->weight[1] = bias;
	op->attr[FORGE_NORM_ATTR_KIND] = (uint32_t)kind, op->attr[FORGE_NORM_ATTR_EPS] = forge_f32(eps), op->attr[FORGE_NORM_ATTR_GROUP] = (uint32_t)group;
	return op->output[0];
}
static inline forge_value forge_rms(forge_builder *a, forge_value x, float eps, forge_weight_id weight) {
	return forge_norm(a, x, FORGE_NORM_KIND_RMS, eps, 0, weight, FORGE_NONE);
}

static inline forge_value forge_linear_heads(forge_builder *a, forge_value x, int32_t heads, forge_weight_id weight, forge_weight_id bias) {
	forge_op *op = forge_op_new(a, FORGE_OP_LINEAR);
	op->input[0] = x, op->weight[0] = weight, op->weight[1] = bias, op->attr[FORGE_LINEAR_ATTR_HEADS] = (uint32_t)heads;
	return op->output[0];
}
static inline forge_value forge_linear(forge_builder *a, forge_value x, forge_weight_id weight, forge_weight_id bias) {
	return forge_linear_heads(a, x, 1, weight, bias);
}

static inline forge_value forge_rope(forge_builder *a, forge_value x, const forge_rotation *r, forge_weight_id factors) {
	forge_op *op = forge_op_new(a, FORGE_OP_ROPE);
	op->input[0] = x, op->weight[0] = factors;
	memcpy(op->attr, r, sizeof *r);
	return op->output[0];
}

static inline forge_value forge_attention(forge_builder *a, forge_value q, forge_value k, forge_value v, const forge_heads *h, forge_weight_id sinks) {
	forge_op *op = forge_op_new(a, FORGE_OP_ATTENTION);
	op->input[0] = q, op->input[1] = k, op->input[2] = v, op->weight[0] = sinks;
	memcpy(op->attr, h, sizeof *h);
	return op->output[0];
}

static inline forge_value forge_glu(forge_builder *a, forge_value gate, forge_value up, int32_t act) {
	forge_op *op = forge_op_new(a, FORGE_OP_GLU);
	op->input[0] = gate, op->input[1] = up;
	op->attr[FORGE_GLU_ATTR_ACT] = (uint32_t)act, op->attr[FORGE_GLU_ATTR_ALPHA] = forge_f32(1);
	return op->output[0];
}
static inline forge_value forge_activate(forge_builder *a, forge_value x, int32_t act) {
	forge_op *op = forge_op_new(a, FORGE_OP_ACT);
	op->input[0] = x, op->attr[FORGE_ACT_ATTR_ACT] = (uint32_t)act;
	return op->output[0];
}
static inline forge_value forge_binary(forge_builder *a, uint32_t code, forge_value x, forge_value y) {
	forge_op *op = forge_op_new(a, code);
	op->input[0] = x, op->input[1] = y;
	return op->output[0];
}
static inline forge_value forge_add(forge_builder *a, forge_value x, forge_value y) { return forge_binary(a, FORGE_OP_ADD, x, y); }
static inline forge_value forge_mul(forge_builder *a, forge_value x, forge_value y) { return forge_binary(a, FORGE_OP_MUL, x, y); }

static inline forge_value forge_unary_f32(forge_builder *a, uint32_t code, forge_value x, float v) {
	forge_op *op = forge_op_new(a, code);
	op->input[0] = x, op->attr[0] = forge_f32(v);
	return op->output[0];
}
static inline forge_value forge_scale(forge_builder *a, forge_value x, float factor) { return forge_unary_f32(a, FORGE_OP_SCALE, x, factor); }
static inline forge_value forge_softcap(forge_builder *a, forge_value x, float cap) { return forge_unary_f32(a, FORGE_OP_SOFTCAP, x, cap); }

// forge_view takes width entries from offset on of each group of group entries (0: the whole row).
static inline forge_value forge_view(forge_builder *a, forge_value x, int32_t group, int32_t offset, int32_t width) {
	forge_op *op = forge_op_new(a, FORGE_OP_VIEW);
	op->input[0] = x;
	op->attr[FORGE_VIEW_ATTR_GROUP] = (uint32_t)group, op->attr[FORGE_VIEW_ATTR_OFFSET] = (uint32_t)offset, op->attr[FORGE_VIEW_ATTR_WIDTH] = (uint32_t)width;
	return op->output[0];
}

// forge_concat joins two inputs head by head; bit i of shared says that input i is the same for all heads.
static inline forge_value forge_concat(forge_builder *a, forge_value x, forge_value y, int32_t heads, int32_t shared) {
	forge_op *op = forge_op_new(a, FORGE_OP_CONCAT);
	op->input[0] = x, op->input[1] = y, op->attr[FORGE_CONCAT_ATTR_HEADS] = (uint32_t)heads, op->attr[FORGE_CONCAT_ATTR_SHARED] = (uint32_t)shared;
	return op->output[0];
}

// forge_choose chooses top_k experts in one group; set the record's other attributes by hand where a model has groups.
static inline forge_value forge_choose(forge_builder *a, forge_value scores, forge_weight_id bias, int32_t score, int32_t top_k, bool renormalise, float factor) {
	forge_op *op = forge_op_new(a, FORGE_OP_ROUTE);
	op->input[0] = scores, op->weight[0] = bias;
	op->attr[FORGE_ROUTE_ATTR_SCORE] = (uint32_t)score, op->attr[FORGE_ROUTE_ATTR_TOP_K] = (uint32_t)top_k, op->attr[FORGE_ROUTE_ATTR_N_GROUP] = 1;
	op->attr[FORGE_ROUTE_ATTR_N_GROUP_USED] = 1, op->attr[FORGE_ROUTE_ATTR_RENORMALISE] = renormalise, op->attr[FORGE_ROUTE_ATTR_FACTOR] = forge_f32(factor);
	return op->output[0];
}
static inline forge_value forge_experts(forge_builder *a, forge_value x, forge_value routes, int32_t act, forge_weight_id gate, forge_weight_id up, forge_weight_id down) {
	forge_op *op = forge_op_new(a, FORGE_OP_EXPERTS);
	op->input[0] = x, op->input[1] = routes, op->weight[0] = gate, op->weight[1] = up, op->weight[2] = down;
	op->attr[FORGE_EXPERTS_ATTR_ACT] = (uint32_t)act, op->attr[FORGE_EXPERTS_ATTR_ALPHA] = forge_f32(1);
	return op->output[0];
}

static inline forge_value forge_rows_wanted(forge_builder *a, forge_value x) {
	forge_op *op = forge_op_new(a, FORGE_OP_ROWS);
	op->input[0] = x;
	return op->output[0];
}
static inline void forge_output(forge_builder *a, forge_value x, int32_t kind) {
	forge_op *op = forge_op_new(a, FORGE_OP_OUTPUT);
	op->input[0] = x, op->attr[FORGE_OUTPUT_ATTR_KIND] = (uint32_t)kind;
}

// ---- what many families share -----------------------------------------------------------------------------------------

// forge_rotation_plain turns n_rot entries of each head by the unscaled frequencies of base.
static inline forge_rotation forge_rotation_plain(int32_t mode, int32_t head_dim, int32_t n_rot, float base) {
	return (forge_rotation){.mode = mode, .head_dim = head_dim, .n_rot = n_rot, .base = base, .freq_scale = 1, .attn_factor = 1, .beta_fast = 32, .beta_slow = 1};
}

// forge_rotation_read takes the rope.* keys: dimension_count, freq_base, and scaling.type none, linear or yarn with its
// factor (older files: scale_linear). YaRN's magnitude 1 + 0.1 ln factor is multiplied into attn_factor here.
static inline forge_rotation forge_rotation_read(forge_builder *a, int32_t mode, int32_t head_dim, float base) {
	forge_rotation r = forge_rotation_plain(mode, head_dim, forge_int(a, "rope.dimension_count", head_dim), (float)forge_number(a, "rope.freq_base", base));
	if (r.n_rot > head_dim || r.n_rot % 2) forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, "rope.dimension_count").text, " is odd or larger than a head");
	r.n_ctx_orig = forge_int(a, "rope.scaling.original_context_length", forge_int(a, "context_length", 0));
	r.attn_factor = (float)forge_number(a, "rope.scaling.attn_factor", 1);
	double factor = forge_number(a, "rope.scaling.factor", forge_number(a, "rope.scale_linear", 0));
	const forge_meta *type = forge_find(a, "rope.scaling.type");
	bool yarn = forge_text_is(a, "rope.scaling.type", "yarn");
	if (type && !yarn && !forge_text_is(a, "rope.scaling.type", "linear") && !forge_text_is(a, "rope.scaling.type", "none"))
		forge_stop(a, FORGE_ERR_UNSUPPORTED, "metadata ", forge_key(a, "rope.scaling.type").text, " names a scaling that this plugin does not know; it knows none, linear and yarn");
	if (factor == 0 || forge_text_is(a, "rope.scaling.type", "none")) return r;
	if (!(factor > 0)) forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, "rope.scaling.factor").text, " is not a positive number");
	r.freq_scale = (float)(1 / factor);
	if (yarn) {
		r.ext_factor = 1;
		if (r.n_ctx_orig == 0) forge_stop(a, FORGE_ERR_ARG, "missing metadata ", forge_key(a, "rope.scaling.original_context_length").text);
		if (factor > 1) r.attn_factor *= (float)(1 + 0.1 * forge_log(factor));
	}
	return r;
}

// forge_heads_read takes the head counts and sizes of the current layer; head sizes default to n_embd / n_head.
static inline forge_heads forge_heads_read(forge_builder *a, int32_t n_embd) {
	forge_heads h = {.n_head = forge_need_int(a, "attention.head_count"), .causal = 1};
	h.n_head_kv = forge_int(a, "attention.head_count_kv", h.n_head);
	if (h.n_head_kv < 1 || h.n_head % h.n_head_kv)
		forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, "attention.head_count_kv").text, " does not divide ", forge_key(a, "attention.head_count").text);
	h.head_dim_k = forge_int(a, "attention.key_length", n_embd / h.n_head);
	h.head_dim_v = forge_int(a, "attention.value_length", n_embd / h.n_head);
	if (h.head_dim_k < 1 || h.head_dim_v < 1) forge_stop(a, FORGE_ERR_ARG, "the size of a head is 0; see metadata ", forge_key(a, "attention.key_length").text);
	h.scale = 1 / __builtin_sqrtf((float)h.head_dim_k);
	return h;
}

// forge_experts_read gives how many experts a row uses (expert_used_count), held to how many there are (expert_count).
static inline int32_t forge_experts_read(forge_builder *a) {
	int32_t n_expert = forge_need_int(a, "expert_count"), n_used = forge_need_int(a, "expert_used_count");
	if (n_used > n_expert) forge_stop(a, FORGE_ERR_ARG, "metadata ", forge_key(a, "expert_used_count").text, " is larger than ", forge_key(a, "expert_count").text);
	return n_used;
}

#endif
