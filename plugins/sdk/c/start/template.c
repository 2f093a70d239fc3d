// NAME: a chat format without Jinja: whatever template a model file has, its dialogues are written as ChatML. Change `write_message`
// and `write_end` into the format that you want.
//
// The variables come as one JSON object, in pieces; they are gathered, rendered into a buffer once complete, and given out in pieces.
#include "guest.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"template\"\nabi = \"1.0\"\n")
FORGE_MARKER(template)

typedef struct {
	uint8_t *data;
	uint32_t n, room;
} buffer;

static buffer variables, prompt; // kept from call to call: their memory serves every dialogue
static uint32_t given;           // bytes of the prompt that the host has

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0; // frame->text is the file's Jinja template, frame->bos and frame->eos are the texts of its ends
	return FORGE_OK;
}

// reserve makes room for n more bytes; false where there is no memory.
static bool reserve(buffer *b, uint32_t n) {
	if (n <= b->room - b->n) return true;
	if (n > 0x20000000 - b->n) return false;
	uint32_t room = 2 * (b->n + n);
	uint8_t *data = forge_grow(room);
	if (!data) return false;
	memcpy(data, b->data, b->n);
	b->data = data, b->room = room;
	return true;
}

// ---- JSON: a value is the bytes from its first to where what holds it ends; the host sends nothing but well-formed texts ----------

typedef struct {
	const uint8_t *at, *end;
} json;

static json blanks(json v) {
	while (v.at < v.end && (*v.at == ' ' || *v.at == '\n' || *v.at == '\t' || *v.at == '\r' || *v.at == ',' || *v.at == ':')) v.at++;
	return v;
}

// after gives what follows the first value.
static json after(json v) {
	uint32_t depth = 0;
	bool quoted = false;
	while (v.at < v.end) {
		uint8_t c = *v.at++;
		if (quoted && c == '\\' && v.at < v.end) v.at++;
		else if (c == '"') quoted = !quoted;
		else if (!quoted && (c == '{' || c == '[')) depth++;
		else if (!quoted && (c == '}' || c == ']')) depth -= depth > 0;
		if (quoted || depth > 0) continue;
		if (c == '"' || c == '}' || c == ']') break;
		if (v.at < v.end && (*v.at == ',' || *v.at == '}' || *v.at == ']')) break; // a number or a word ended
	}
	return blanks(v);
}

// inside gives the first key or element of an object or array, which ends at the closing bracket; other values have none.
static json inside(json v) {
	if (v.at == v.end || (*v.at != '{' && *v.at != '[')) return (json){v.end, v.end};
	v.at++;
	return blanks(v);
}
static bool more(json v) { return v.at < v.end && *v.at != '}' && *v.at != ']'; }

// member gives the value of an object's key, or an empty one.
static json member(json object, const char *key) {
	uint32_t n = forge_strlen(key);
	for (json v = inside(object); more(v); v = after(v)) {
		json value = after(v);
		if ((uint32_t)(v.end - v.at) > n + 2 && memcmp(v.at + 1, key, n) == 0 && v.at[n + 1] == '"') return value;
		v = value;
	}
	return (json){object.end, object.end};
}

static uint32_t hex(json v) {
	uint32_t x = 0;
	for (int i = 0; i < 4 && v.at + i < v.end; i++) x = x * 16 + (v.at[i] <= '9' ? v.at[i] - '0' : (v.at[i] & 0xDF) - 'A' + 10) % 16;
	return x;
}

// ---- writing: a prompt never has more bytes than three times its variables, so there is room --------------------------------------

static void write(const char *s) {
	while (*s) prompt.data[prompt.n++] = (uint8_t)*s++;
}

static void write_character(uint32_t c) {
	uint8_t *to = prompt.data + prompt.n;
	if (c < 0x80) to[0] = (uint8_t)c, prompt.n += 1;
	else if (c < 0x800) to[0] = (uint8_t)(0xC0 | c >> 6), to[1] = (uint8_t)(0x80 | (c & 63)), prompt.n += 2;
	else if (c < 0x10000) to[0] = (uint8_t)(0xE0 | c >> 12), to[1] = (uint8_t)(0x80 | (c >> 6 & 63)), to[2] = (uint8_t)(0x80 | (c & 63)), prompt.n += 3;
	else to[0] = (uint8_t)(0xF0 | c >> 18), to[1] = (uint8_t)(0x80 | (c >> 12 & 63)), to[2] = (uint8_t)(0x80 | (c >> 6 & 63)), to[3] = (uint8_t)(0x80 | (c & 63)), prompt.n += 4;
}

// write_escape writes what stands behind a backslash and gives what follows.
static json write_escape(json v) {
	static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
	uint8_t c = *v.at++;
	if (c != 'u') {
		for (uint32_t i = 0; i < sizeof from - 1; i++)
			if (c == (uint8_t)from[i]) c = (uint8_t)to[i];
		write_character(c);
		return v;
	}
	uint32_t x = hex(v);
	v.at += v.end - v.at < 4 ? v.end - v.at : 4;
	if (x >> 10 == 0xD800 >> 10 && v.end - v.at >= 6 && v.at[0] == '\\' && v.at[1] == 'u') { // a pair of surrogates
		x = 0x10000 + ((x & 0x3FF) << 10) + (hex((json){v.at + 2, v.end}) & 0x3FF);
		v.at += 6;
	}
	write_character(x);
	return v;
}

// write_text writes a string; anything else is nothing.
static void write_text(json v) {
	if (v.at == v.end || *v.at++ != '"') return;
	while (v.at < v.end && *v.at != '"') {
		if (*v.at == '\\' && v.end - v.at > 1) {
			v.at++;
			v = write_escape(v);
		} else {
			prompt.data[prompt.n++] = *v.at++;
		}
	}
}

static void write_message(json message) {
	write("<|im_start|>");
	write_text(member(message, "role"));
	write("\n");
	write_text(member(message, "content"));
	write("<|im_end|>\n");
}

static void write_end(void) { write("<|im_start|>assistant\n"); }

static int32_t render(forge_text *frame) {
	prompt.n = 0;
	if (!reserve(&prompt, 3 * variables.n + 64)) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "no memory for the prompt: raise limits.pages");
	json all = blanks((json){variables.data, variables.data + variables.n});
	for (json m = inside(member(all, "messages")); more(m); m = after(m)) {
		json content = member(m, "content");
		if (content.at < content.end && *content.at == '[') return FORGE_FAIL(frame, FORGE_ERR_UNSUPPORTED, "a message has parts: this format takes text alone");
		write_message(m);
	}
	json wanted = member(all, "add_generation_prompt");
	if (wanted.at < wanted.end && *wanted.at == 't') write_end();
	return FORGE_OK;
}

FORGE_EXPORT(template_render) int32_t template_render(forge_text *frame) {
	if (frame->flags & FORGE_TEXT_FLAG_FIRST) variables.n = prompt.n = given = 0;
	if (!reserve(&variables, frame->input_len)) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "no memory for the messages: raise limits.pages");
	memcpy(variables.data + variables.n, frame->input, frame->input_len);
	variables.n += frame->consumed = frame->input_len;
	if (!(frame->flags & FORGE_TEXT_FLAG_LAST)) return FORGE_OK;
	if (given == 0) {
		int32_t status = render(frame);
		if (status != FORGE_OK) return status;
	}
	uint32_t n = prompt.n - given < frame->output_cap ? prompt.n - given : frame->output_cap;
	memcpy(frame->output, prompt.data + given, n);
	given += n, frame->output_len = n;
	frame->more = given < prompt.n;
	return FORGE_OK;
}
