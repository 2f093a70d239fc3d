package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"forge/host/plugin"
	"forge/plugins"
)

// format compiles a shipped format.
func format(t *testing.T, m *plugin.Module, name string) *plugin.Template {
	t.Helper()
	text, ok := plugins.Formats()[name]
	if !ok {
		t.Fatalf("there is no format %s", name)
	}
	f, err := m.NewTemplate(ctx, text, "<s>", "</s>")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(f.Close)
	return f
}

// Ensure that the formats give what models' own templates give, where the two mean the same (testdata/formats.py).
func TestFormats_AsModelsHaveThem(t *testing.T) {
	var file struct {
		Now   int64
		Cases []struct {
			Format, Template, Name, SHA256 string
			Bytes                          int
			Input                          json.RawMessage
		}
	}
	read(t, "formats.json", &file)
	m := load(t, plugin.RuntimeOptions{})
	for _, c := range file.Cases {
		got, err := format(t, m, c.Format).Render(ctx, c.Input, time.Unix(file.Now, 0))
		if err != nil || len(got) != c.Bytes || digest(got) != c.SHA256 {
			t.Errorf("%s, %s: %q, %v; %s gives %d bytes, others", c.Format, c.Name, got, err, c.Template, c.Bytes)
		}
	}
}

// writtenFormats are the prompts that the documentation of each format asks for, of a dialogue "Be kind." (system), "Hi",
// "Hello.", "Bye", and of "Hi" alone. BOS in front is the tokenizer's.
var writtenFormats = map[string][2]string{
	"chatglm4": {
		"[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>\nHello.<|user|>\nBye<|assistant|>\n",
		"[gMASK]<sop><|user|>\nHi<|assistant|>\n",
	},
	"chatml": {
		"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n" +
			"<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
		"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
	},
	"command-r": {
		"<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be kind.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>" +
			"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|>" +
			"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
		"<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
	},
	"deepseek": {
		"Be kind.### Instruction:\nHi\n### Response:\nHello.\n<|EOT|>\n### Instruction:\nBye\n### Response:\n",
		"### Instruction:\nHi\n### Response:\n",
	},
	"deepseek2": {
		"Be kind.\n\nUser: Hi\n\nAssistant: Hello.</s>User: Bye\n\nAssistant:",
		"User: Hi\n\nAssistant:",
	},
	"deepseek3": {
		"Be kind.<｜User｜>Hi<｜Assistant｜>Hello.<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜>",
		"<｜User｜>Hi<｜Assistant｜>",
	},
	"gemma": {
		"<start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
		"<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
	},
	"gpt-oss": {
		"<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: 2024-07-25\n\n" +
			"Reasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>" +
			"<|start|>developer<|message|># Instructions\n\nBe kind.\n\n<|end|><|start|>user<|message|>Hi<|end|>" +
			"<|start|>assistant<|channel|>final<|message|>Hello.<|end|><|start|>user<|message|>Bye<|end|><|start|>assistant",
		"<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: 2024-07-25\n\n" +
			"Reasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>" +
			"<|start|>user<|message|>Hi<|end|><|start|>assistant",
	},
	"granite": {
		"<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n" +
			"<|start_of_role|>assistant<|end_of_role|>Hello.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Bye<|end_of_text|>\n" +
			"<|start_of_role|>assistant<|end_of_role|>",
		"<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
	},
	"kimi-k2": {
		"<|im_system|>system<|im_middle|>Be kind.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|>Hello.<|im_end|>" +
			"<|im_user|>user<|im_middle|>Bye<|im_end|><|im_assistant|>assistant<|im_middle|>",
		"<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|>",
	},
	"llama2": {
		"[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]",
		"[INST] Hi [/INST]",
	},
	"llama3": {
		"<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\n",
		"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
	},
	"llama4": {
		"<|header_start|>system<|header_end|>\n\nBe kind.<|eot|><|header_start|>user<|header_end|>\n\nHi<|eot|>" +
			"<|header_start|>assistant<|header_end|>\n\nHello.<|eot|><|header_start|>user<|header_end|>\n\nBye<|eot|><|header_start|>assistant<|header_end|>\n\n",
		"<|header_start|>user<|header_end|>\n\nHi<|eot|><|header_start|>assistant<|header_end|>\n\n",
	},
	"mistral-v1": {
		" [INST] Be kind.\n\nHi [/INST] Hello.</s> [INST] Bye [/INST]",
		" [INST] Hi [/INST]",
	},
	"mistral-v3": {
		"[INST] Hi[/INST] Hello.</s>[INST] Be kind.\n\nBye[/INST]",
		"[INST] Hi[/INST]",
	},
	"mistral-v3-tekken": {
		"[INST]Hi[/INST]Hello.</s>[INST]Be kind.\n\nBye[/INST]",
		"[INST]Hi[/INST]",
	},
	"mistral-v7": {
		"[SYSTEM_PROMPT] Be kind.[/SYSTEM_PROMPT][INST] Hi[/INST] Hello.</s>[INST] Bye[/INST]",
		"[INST] Hi[/INST]",
	},
	"mistral-v7-tekken": {
		"[SYSTEM_PROMPT]Be kind.[/SYSTEM_PROMPT][INST]Hi[/INST]Hello.</s>[INST]Bye[/INST]",
		"[INST]Hi[/INST]",
	},
	"phi3": {
		"<|system|>\nBe kind.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n",
		"<|user|>\nHi<|end|>\n<|assistant|>\n",
	},
	"phi4": {
		"<|im_start|>system<|im_sep|>Be kind.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Hello.<|im_end|>" +
			"<|im_start|>user<|im_sep|>Bye<|im_end|><|im_start|>assistant<|im_sep|>",
		"<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>",
	},
	"rwkv-world": {
		"System: Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:",
		"User: Hi\n\nAssistant:",
	},
	"seed_oss": {
		"<seed:bos>system\nBe kind.<seed:eos><seed:bos>user\nHi<seed:eos><seed:bos>assistant\nHello.<seed:eos><seed:bos>user\nBye<seed:eos><seed:bos>assistant\n",
		"<seed:bos>user\nHi<seed:eos><seed:bos>assistant\n",
	},
	"vicuna": {
		"Be kind.\n\nUSER: Hi\nASSISTANT: Hello.</s>\nUSER: Bye\nASSISTANT:",
		"USER: Hi\nASSISTANT:",
	},
	"zephyr": {
		"<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n<|user|>\nBye</s>\n<|assistant|>\n",
		"<|user|>\nHi</s>\n<|assistant|>\n",
	},
}

// Ensure that every format gives the prompts that its documentation asks for.
func TestFormats_AsWritten(t *testing.T) {
	m := load(t, plugin.RuntimeOptions{})
	const alone = `{"add_generation_prompt": true, "messages": [{"role": "user", "content": "Hi"}]}`
	const turns = `{"add_generation_prompt": true, "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
		{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Bye"}]}`
	for name := range plugins.Formats() {
		want, ok := writtenFormats[name]
		if !ok {
			t.Errorf("the format %s has no prompt to compare with", name)
			continue
		}
		f := format(t, m, name)
		for i, input := range []string{turns, alone} {
			if got, err := f.Render(ctx, []byte(input), time.Unix(1721865600, 0)); err != nil || got != want[i] {
				t.Errorf("%s gives\n%q, %v, want\n%q", name, got, err, want[i])
			}
		}
	}
}

// Ensure that no format stumbles over an answer without text or a role that it does not know.
func TestFormats_OddDialogues(t *testing.T) {
	m := load(t, plugin.RuntimeOptions{})
	const input = `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null, "tool_calls": []},
		{"role": "tool", "content": "42"}, {"role": "assistant"}, {"role": "user", "content": "Bye"}]}`
	for name := range plugins.Formats() {
		got, err := format(t, m, name).Render(ctx, []byte(input), time.Unix(0, 0))
		if err != nil || !strings.Contains(got, "42") || !strings.Contains(got, "Bye") {
			t.Errorf("%s gives %q, %v", name, got, err)
		}
	}
}
