package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withTemplate gives stories260K a chat template.
func withTemplate(t testing.TB, text string) string {
	t.Helper()
	return rewrite(t, map[string]any{"tokenizer.chat_template": text})
}

// promptOf gives the ids that a run was prompted with.
func promptOf(t testing.TB, o outcome) []int {
	t.Helper()
	var r struct {
		PromptTokens []int `json:"prompt_tokens"`
	}
	if err := json.Unmarshal([]byte(o.must(t).out), &r); err != nil {
		t.Fatalf("%v in %s", err, o.out)
	}
	return r.PromptTokens
}

// idsOf gives the ids of a text.
func idsOf(t testing.TB, text string) []int {
	t.Helper()
	var ids []int
	o := forge(t, "", "tokenize", "-m", storiesFile, "-p", text, "--json").must(t)
	if err := json.Unmarshal([]byte(o.out), &ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

// Ensure that a prompt goes through the template that the flags or the file name, raw where there is none, and through
// chatml where the model's own does not work; and that the user is told.
func TestRun_Template(t *testing.T) {
	const chatml = "<|im_start|>user\nOnce upon<|im_end|>\n<|im_start|>assistant\n"
	const broken = "the model's chat template does not work ("
	file := write(t, "own.jinja", "<{{ messages[-1].content }}>")
	brokenFile := write(t, "own.jinja", "{% if %}")
	good := withTemplate(t, "{{ bos_token }}[{{ messages|map(attribute='content')|join('|') }}]{{ '!' if add_generation_prompt }}")
	wrong := withTemplate(t, "{% if %}")
	raises := withTemplate(t, "\n{{ raise_exception('Only two roles, please.') }}")
	for name, c := range map[string]struct {
		model string
		args  []string
		text  string // of the prompt, "" if there must be none
		told  string // the beginning of a line on standard error, "" for none
	}{
		"none":                    {storiesFile, nil, "Once upon", "the model file has no chat template: the prompt is continued as it is (--raw says so"},
		"none, and a system text": {storiesFile, []string{"--system", "Be kind."}, "Once upon", "the model file has no chat template: the prompt is continued as it is"},
		"none, and raw":           {storiesFile, []string{"--raw"}, "Once upon", ""},
		"none, and a name":        {storiesFile, []string{"--chat-template", "chatml"}, chatml, ""},
		"its own":                 {good, nil, "[Once upon]!", ""},
		"its own, and a system":   {good, []string{"--system", "Be kind."}, "[Be kind.|Once upon]!", ""},
		"its own, and raw":        {good, []string{"--raw"}, "Once upon", ""},
		"its own, and a name":     {good, []string{"--chat-template", "zephyr"}, "<|user|>\nOnce upon</s>\n<|assistant|>\n", ""},
		"its own, and a file":     {good, []string{"--chat-template-file", file}, "<Once upon>", ""},
		"one that is wrong":       {wrong, nil, chatml, broken + "plugin template: forge_init says: chat template, line 1: syntax error"},
		"one that raises":         {raises, nil, chatml, broken + "plugin template: template_render says: Only two roles, please"},
		"a file that is wrong":    {good, []string{"--chat-template-file", brokenFile}, "", "forge: plugin template: forge_init says: chat template, line 1: syntax error"},
	} {
		t.Run(name, func(t *testing.T) {
			o := forge(t, "", append([]string{"run", "-m", c.model, "-p", "Once upon", "-n", "2", "--temp", "0", "--json"}, c.args...)...)
			if c.text == "" {
				if o.status != 1 || o.out != "" {
					t.Errorf("status %d, %q", o.status, o.out)
				}
			} else if got, want := promptOf(t, o), idsOf(t, c.text); !slices.Equal(got, want) {
				t.Errorf("prompted with %v, want %v: %q", got, want, c.text)
			}
			first, rest, _ := strings.Cut(o.err, "\n")
			if c.told != "" && !strings.HasPrefix(first, c.told) || c.told == "" && !strings.HasPrefix(first, "prompt ") {
				t.Errorf("standard error begins with %q, want %q", first, c.told)
			}
			if c.told != "" && c.text != "" && (!strings.HasPrefix(rest, "prompt ") || strings.Count(rest, "\n") != 1) {
				t.Errorf("more is said: %q", rest)
			}
			if strings.Contains(strings.Join(c.args, " "), "--system") && c.model == storiesFile && !strings.Contains(first, "the system message is left out") {
				t.Errorf("the system message is lost without a word: %q", first)
			}
		})
	}
}

// Ensure that a batch says once, not for every line, that the template does not work, and takes content in parts.
func TestBatch_Template(t *testing.T) {
	model := withTemplate(t, "{{ raise_exception('No.') }}")
	var lines []string
	for i := range 3 {
		lines = append(lines, fmt.Sprintf(`{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"max_tokens":2,"temperature":0,`+
			`"messages":[{"role":"user","content":[{"type":"text","text":"Once"},{"type":"text","text":" upon"}]}]}}`, i))
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := forge(t, "", "batch", "-m", model, "-i", write(t, "in.jsonl", strings.Join(lines, "\n")), "-o", out).must(t)
	if n := strings.Count(o.err, "does not work"); n != 1 || !strings.Contains(o.err, "answered 3, 0 of them with an error") {
		t.Errorf("told %d times: %s", n, o.err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`"prompt_tokens":%d,`, len(idsOf(t, "<|im_start|>user\nOnce upon<|im_end|>\n<|im_start|>assistant\n")))
	if n := strings.Count(string(b), want); n != 3 {
		t.Errorf("%d of 3 answers have %s: %s", n, want, b)
	}
}
