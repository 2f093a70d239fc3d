package author

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"forge/host/plugin"
)

// templateBattery is what templates are put through: dialogues, with Jinja texts made here or a model's.
func templateBattery() *battery {
	return &battery{
		shapes: "dialogues: empty, all roles, tools, unicode, escapes, long ones, with and without a prompt to answer",
		trials: templateTrials,
		checks: []check{
			{"pieces", templatePieces}, {"leak", templateLeak}, {"hostile host", templateHostile}, {"texts", templateTexts}, {"fuzz", templateFuzz},
		},
	}
}

// namedTemplate is a Jinja text; a guest that has a format of its own does not look at it.
type namedTemplate struct{ name, text, bos, eos string }

const (
	chatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
	withTools = `{{ bos_token }}{%- if tools %}{%- for tool in tools %}[{{ tool | tojson }}]{%- endfor %}{%- endif %}` +
		`{%- for message in messages %}{%- if message.role == 'system' %}<<{{ message.content | trim }}>>{%- elif message.tool_calls %}` +
		`{%- for call in message.tool_calls %}({{ call.function.name }} {{ call.function.arguments | tojson }}){%- endfor %}` +
		`{%- else %}{{ message.role | upper }}: {{ message.content }}{{ eos_token }}{%- endif %}{%- endfor %}` +
		`{%- if add_generation_prompt %}ASSISTANT: {% endif %}`
)

func (s *session) templates() ([]namedTemplate, error) {
	list := []namedTemplate{{"ChatML", chatML, "<s>", "</s>"}, {"tools", withTools, "<s>", "</s>"}, {"empty", "", "", ""}}
	if f := s.opt.Model; f != nil {
		text, found, err := f.Str("tokenizer.chat_template")
		if err != nil {
			return nil, err
		}
		if found {
			list = append(list, namedTemplate{"of the model", text, "<s>", "</s>"})
		}
	}
	return list, nil
}

// namedDialogue is the JSON of a template's variables.
type namedDialogue struct {
	name string
	json []byte
}

type object = map[string]any

// shapedDialogues are dialogues of every shape.
func shapedDialogues() []namedDialogue {
	message := func(role, content string) object { return object{"role": role, "content": content} }
	var out []namedDialogue
	add := func(name string, vars object, messages ...object) {
		if messages == nil {
			messages = []object{}
		}
		all := object{"messages": messages, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"}
		for k, v := range vars {
			all[k] = v
		}
		text, err := json.Marshal(all)
		if err != nil {
			panic(err) // it is written here
		}
		out = append(out, namedDialogue{name, text})
	}
	tool := object{"type": "function", "function": object{"name": "look", "description": "looks \"at\" <things>", "parameters": object{"type": "object", "properties": object{"at": object{"type": "string"}}}}}
	call := object{"role": "assistant", "content": "", "tool_calls": []object{{"type": "function", "function": object{"name": "look", "arguments": object{"at": "é"}}}}}
	long := []object{}
	for i := range 60 {
		long = append(long, message([]string{"user", "assistant"}[i%2], strings.Repeat("Some words, and more of them. ", 1+i%9)))
	}
	add("no messages", nil)
	add("no messages and nothing to answer", object{"add_generation_prompt": false})
	add("one message", nil, message("user", "Hello"))
	add("an empty message", nil, message("user", ""))
	add("nothing to answer", object{"add_generation_prompt": false}, message("user", "Hello"), message("assistant", "Hi"))
	add("all roles", nil, message("system", "Be brief."), message("user", "Hello"), message("assistant", "Hi"), message("user", "Look."), call, message("tool", "nothing"))
	add("tools", object{"tools": []object{tool, tool}}, message("user", "Look."))
	add("no tools", object{"tools": nil}, message("user", "Look."))
	add("unicode", nil, message("user", "é ü 日本語 🙂👨‍👩‍👧 \u2028 \u0000 \u200f"))
	add("escapes", nil, message("user", "\"quoted\" \\ back / <b>&amp; \b\f\n\r\t }{][ {{ x }} {% y %}"))
	add("specials in a message", nil, message("user", "<|im_end|>\n<|im_start|>system\n<s></s>"))
	add("a role of its own", nil, message("narrator", "Then it rained."))
	add("unknown variables", object{"nobody_knows": []any{1, nil, "x", object{"y": -1.5e300}}, "messages2": "x"}, message("user", "Hello"))
	add("long", nil, long...)
	return out
}

func (s *session) template(t namedTemplate) (*plugin.Template, error) {
	return open(s, "template "+t.name, func() (*plugin.Template, error) { return s.mod.NewTemplate(s.ctx, t.text, t.bos, t.eos) })
}

func templateTrials(s *session) ([]trial, error) {
	list, err := s.templates()
	if err != nil {
		return nil, err
	}
	var out []trial
	for _, t := range list {
		for _, d := range shapedDialogues() {
			out = append(out, trial{t.name + "/" + d.name, func(s *session) (string, error) { return s.templateTrial(t, d) }})
		}
	}
	return out, nil
}

func (s *session) templateTrial(t namedTemplate, d namedDialogue) (string, error) {
	guest, err := s.template(t)
	if err != nil {
		return "", err
	}
	text, err := guest.Render(s.ctx, d.json, time.Unix(1_700_000_000, 0))
	if err != nil {
		return "", err
	}
	return digest(text), nil
}

// templateDesk opens each template that is taken.
func (s *session) templateDesk(f func(d *desk) error) error {
	list, err := s.templates()
	if err != nil {
		return err
	}
	for _, t := range list {
		err := s.textDesk(plugin.ProbeOptions{Text: t.text, BOS: t.bos, EOS: t.eos}, "", f)
		if err != nil {
			return at("template "+t.name, err)
		}
	}
	return nil
}

func templatePieces(s *session) (string, error) {
	return "variables in pieces of 1 to 64 bytes, and with little room for text, render as the whole", s.templateDesk(func(d *desk) error {
		for _, v := range shapedDialogues() {
			d.input = "dialogue: " + v.name
			if err := d.inPieces(rendering, v.json, showText); err != nil {
				return err
			}
		}
		return nil
	})
}

func templateLeak(s *session) (tried string, err error) {
	dialogue := shapedDialogues()[5].json
	err = s.templateDesk(func(d *desk) error {
		tried, err = d.steady(func(int) error {
			_, err := d.runText(rendering, dialogue, wholeOffer)
			if d.s.refusal(err) != nil {
				return nil
			}
			return err
		})
		return err
	})
	return tried, err
}

// templateHostile sends frames that no host sends, and variables that are no JSON or no dialogue.
func templateHostile(s *session) (string, error) {
	bad := []string{
		"", " ", "{", "}", "[]", "null", "1e999", "\"", "\"\\u", "{\"messages\":", "{\"messages\":null}", "{\"messages\":5}", "{\"messages\":{}}", "{\"messages\":[5,\"x\",null,[]]}",
		"{\"messages\":[{}]}", "{\"messages\":[{\"role\":null,\"content\":null}]}", "{\"messages\":[{\"role\":[],\"content\":{\"a\":1}}]}", "\x00\xff\xfe{}", "{\"\xff\":\"\xc0\"}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}", strings.Repeat("[", 5000), strings.Repeat("{\"a\":", 5000), "{\"messages\":[" + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "]}",
		"{\"messages\":[],\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} trailing",
	}
	whole := shapedDialogues()[2].json
	return fmt.Sprintf("short buffers, cut and longer frames, unknown flags, %d texts that are no dialogue are borne", len(bad)+len(whole)), s.templateDesk(func(d *desk) error {
		if err := d.hostileText(rendering, whole); err != nil {
			return err
		}
		for n := range whole { // a dialogue that is cut off anywhere
			if err := d.bears(string(whole[:n])); err != nil {
				return err
			}
		}
		for _, text := range bad {
			if err := d.bears(text); err != nil {
				return err
			}
		}
		return nil
	})
}

// bears renders variables that may be refused.
func (d *desk) bears(variables string) error {
	d.input = "variables " + quote(variables)
	_, err := d.runText(rendering, []byte(variables), wholeOffer)
	_, err = d.s.settled("", err)
	if err != nil {
		return at(d.input, err)
	}
	return nil
}

// templateTexts starts a guest with Jinja texts that no file should have.
func templateTexts(s *session) (string, error) {
	list := []string{
		"{% for", "{{", "{% if x %}", "{% endfor %}", "{{ 1 + }}", "\x00\xff", strings.Repeat("{% if 1 %}", 300), strings.Repeat("(", 10_000), "{{ " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + " }}",
		"{{ messages[99].content }}", "{{ nobody.knows.this }}", "{{ raise_exception('no') }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'x' * 10 }}", "{{ 1 // 0 }}", "{{ range(10)[100] }}", strings.Repeat("x", 100_000),
	}
	dialogue := shapedDialogues()[5].json
	for _, text := range list {
		input := "template " + quote(text)
		err := s.textDesk(plugin.ProbeOptions{Text: text, BOS: "<s>", EOS: "</s>"}, input, func(d *desk) error {
			_, err := d.runText(rendering, dialogue, wholeOffer)
			_, err = s.settled("", err)
			return at(input, err)
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d templates that no file should have are refused or borne", len(list)), nil
}

// templateFuzz renders random dialogues, whole and with some of their bytes changed.
func templateFuzz(s *session) (tried string, err error) {
	err = s.templateDesk(func(d *desk) error {
		tried, err = s.fuzz(func(rng *rand.Rand) error {
			messages := []object{}
			for range rng.IntN(6) {
				messages = append(messages, object{"role": []string{"system", "user", "assistant", "tool", "x"}[rng.IntN(5)], "content": strings.ToValidUTF8(randomText(rng, 200), "?")})
			}
			text, err := json.Marshal(object{"messages": messages, "add_generation_prompt": rng.IntN(2) == 0})
			if err != nil {
				return err
			}
			d.input = "variables " + quote(text)
			want, err := d.runText(rendering, text, wholeOffer)
			if s.refusal(err) == nil {
				if err != nil {
					return err
				}
				o := offer{1 + rng.IntN(50), 2048}
				got, err := d.runText(rendering, text, o)
				if err != nil {
					return err
				}
				if string(got) != string(want) {
					return &Fault{fmt.Sprintf("%s in %s", d.input, o), "renders to " + quote(got), "as whole, " + quote(want)}
				}
			}
			for range 1 + rng.IntN(4) {
				text[rng.IntN(len(text))] = byte(rng.IntN(256))
			}
			return d.bears(string(text))
		})
		return err
	})
	return tried, err
}
