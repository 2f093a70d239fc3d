"""Records what Jinja2 makes of plain dialogues with models' own templates, for the shipped formats: formats.json.

    python3 testdata/formats.py FOLDER

FOLDER has the chat templates that PAIRS names. Each prompt is recorded by its SHA-256 and its length in bytes. BOS is
left out: the formats leave it to the tokenizer. Needs Python 3 and Jinja2 3.1.
"""

import hashlib
import json
import pathlib
import sys

import jinja2

import reference

HERE = pathlib.Path(__file__).parent

PLAIN = {
    "question": "user",
    "texts": "user",
    "turns": "user assistant user",
    "more turns": "user assistant user assistant user",
    "answered": "user assistant user assistant",
    "system": "system user",
    "system and turns": "system user assistant user",
    "system and more turns": "system user assistant user assistant user",
}
WITHOUT_SYSTEM = [name for name in PLAIN if "system" not in name and name != "answered"]
WITH_SYSTEM = [name for name in PLAIN if "system" in name]

# The format, the model's own template, and the dialogues on which the two mean the same: some templates make up a
# system message, some know none, and some end an answered dialogue or begin an answer in their own way.
PAIRS = [
    ("chatml", "Qwen-Qwen2.5-7B-Instruct.jinja", WITH_SYSTEM),
    ("deepseek3", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", ["answered"]),
    ("gemma", "google-gemma-2-2b-it.jinja", WITHOUT_SYSTEM + ["answered"]),
    ("gpt-oss", "openai-gpt-oss-120b.jinja", WITHOUT_SYSTEM + WITH_SYSTEM),
    ("granite", "ibm-granite-granite-3.3-2B-Instruct.jinja", WITH_SYSTEM),
    ("kimi-k2", "moonshotai-Kimi-K2.jinja", WITH_SYSTEM),
    ("mistral-v3-tekken", "mistralai-Mistral-Nemo-Instruct-2407.jinja", WITHOUT_SYSTEM + WITH_SYSTEM + ["answered"]),
    ("mistral-v7-tekken", "unsloth-mistral-Devstral-Small-2507.jinja", WITH_SYSTEM),
    ("phi3", "microsoft-Phi-3.5-mini-instruct.jinja", WITHOUT_SYSTEM + WITH_SYSTEM),
    ("rwkv-world", "llama-cpp-rwkv-world.jinja", WITHOUT_SYSTEM + WITH_SYSTEM),
    ("seed_oss", "ByteDance-Seed-OSS.jinja", WITHOUT_SYSTEM + WITH_SYSTEM + ["answered"]),
]
BOS = {"seed_oss": "<seed:bos>"}  # it begins every turn
EOS = {"seed_oss": "<seed:eos>"}


def dialogue(name):
    texts = {"system": "Be kind.", "user": "Is it {}?", "assistant": "It is {}."}
    if name == "texts":
        texts["user"] = '<b>&amp;</b> "it\'s" {{ 1 }} é 日本 🙂\n\n\tend'
    roles = PLAIN[name].split()
    messages = [{"role": role, "content": texts[role].replace("{}", str(n))} for n, role in enumerate(roles)]
    return {"messages": messages, "add_generation_prompt": roles[-1] == "user"}


def main():
    folder = pathlib.Path(sys.argv[1])
    cases = []
    for form, template, names in PAIRS:
        text = (folder / template).read_text()
        for name in names:
            variables = dialogue(name)
            prompt, err = reference.render(text, variables, BOS.get(form, ""), EOS.get(form, "</s>"))
            assert err is None, f"{form}, {name}: {err}"
            digest = hashlib.sha256(prompt.encode()).hexdigest()
            cases.append({"format": form, "template": template, "name": name, "input": variables,
                          "sha256": digest, "bytes": len(prompt.encode())})
    head = {"generated_by": "python3 testdata/formats.py FOLDER", "jinja2": jinja2.__version__, "now": reference.NOW}
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    opening = json.dumps(head, indent=1).removesuffix("\n}")
    (HERE / "formats.json").write_text(f'{opening},\n "cases": [\n{lines}\n ]\n}}\n')


main()
