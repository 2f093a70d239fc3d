"""Writes the expectations of the guest's tests, rendered by Jinja2 as transformers sets it up.

    python3 testdata/vectors.py MODEL.gguf

MODEL.gguf is SmolLM2-135M-Instruct: its own template over four dialogues gives smollm2.json. snippets.txt, one
template a line, and the white space below give language.json; those that Jinja2 refuses have no prompt, and must be
refused. Needs Python 3 and Jinja2 3.1.
"""

import json
import pathlib
import random
import struct
import sys

import reference

HERE = pathlib.Path(__file__).parent
COMMAND = "python3 testdata/vectors.py SmolLM2-135M-Instruct.Q4_1.gguf"

DIALOGUES = {
    "plain": {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "add_generation_prompt": True},
    "system": {
        "messages": [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": "Hello, it's <b>me</b> & \"you\"."},
        ],
        "add_generation_prompt": True,
    },
    "multi-turn": {
        "messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
            {"role": "assistant", "content": "Four."},
        ],
        "add_generation_prompt": False,
    },
    "odd": {
        "messages": [
            {"role": "system", "content": ""},
            {"role": "user", "content": "  {{ 1 + 1 }} {% if %}\n\n\t<|im_end|> \\n é 日本 🙂 \u0000\r\n "},
            {"role": "tool", "content": "{\"a\": [1]}"},
        ],
        "add_generation_prompt": True,
    },
}

VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be kind, it's \"good\"."},
        {"role": "user", "content": "Hello é"},
        {"role": "assistant", "content": "b\n"},
    ],
    "big": 123456789012345678901234567890,
    "pi": 3.14,
    "tiny": 1e-7,
    "nothing": None,
    "add_generation_prompt": True,
}

WHITE_SPACE = [
    "  {% if true %}  \n    a\n  {% endif %}  \n  {{ 'b' }}  \n",
    "{%- for i in [1, 2] %}\n  {{ i }}\n{% endfor -%}\n\n",
    "x\n{# c #}\ny\n  {# d #}  \nz",
    "{{ ['a',\n  'b']\n  | join(', ') }} {# multi\nline #} x\n",
    '{{ "line\nbreak" }}\n\n',
    "a\r\nb\rc{% if true %}\r\nd{% endif %}\r\n",
    "{% raw %}\n a {{ x }}\n{% endraw %}\nb\n  {% raw %}  c{% endraw %}",
    "   {%+ if true %}x{% endif +%}\ny",
]


def random_white_space(count):
    """Templates of blocks, comments and raw parts in any order, for the rules of white space."""
    pieces = ["\n", "  ", " ", "a", "\n", "\t", "\n\n", "{{ 'v' }}", "{{- 'v' -}}", "{{ 'v' -}}", "{# c #}", "{#- c -#}",
              "{#+ c +#}", "{% set q = 1 %}", "{% raw %} r\n{% endraw %}", "{%- raw -%} s {%- endraw -%}",
              "{% raw %}\n t\n{% endraw +%}"]
    opening = ["{% if true %}", "{%- if true %}", "{% if true -%}", "{%+ if true %}"]
    closing = ["{% endif %}", "{%- endif -%}", "{% endif +%}"]
    rng = random.Random(1)
    for _ in range(count):
        out, depth = [], 0
        for _ in range(rng.randint(2, 14)):
            kind = rng.random()
            if kind < 0.2:
                out.append(rng.choice(opening))
                depth += 1
            elif kind < 0.35 and depth:
                out.append(rng.choice(closing))
                depth -= 1
            else:
                out.append(rng.choice(pieces))
        yield "".join(out + ["{% endif %}"] * depth)


def metadata(path):
    """The metadata of a GGUF file."""
    data = path.read_bytes()
    at = 24
    (count,) = struct.unpack_from("<Q", data, 16)
    numbers = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

    def value(kind):
        nonlocal at
        if kind == 8:
            (n,) = struct.unpack_from("<Q", data, at)
            at += 8 + n
            return data[at - n : at].decode()
        if kind == 9:
            item, n = struct.unpack_from("<IQ", data, at)
            at += 12
            return [value(item) for _ in range(n)]
        (x,) = struct.unpack_from(numbers[kind], data, at)
        at += struct.calcsize(numbers[kind])
        return x

    out = {}
    for _ in range(count):
        key = value(8)
        out[key] = value(value(4))
    return out


def write(name, record):
    text = json.dumps({"generated_by": COMMAND, "now": reference.NOW, **record}, ensure_ascii=False, indent=1)
    (HERE / name).write_text(text + "\n")


def main():
    model = metadata(pathlib.Path(sys.argv[1]))
    text = model["tokenizer.chat_template"]
    tokens = model["tokenizer.ggml.tokens"]
    bos, eos = (tokens[model[f"tokenizer.ggml.{which}_token_id"]] for which in ("bos", "eos"))
    cases = []
    for name, variables in DIALOGUES.items():
        prompt, err = reference.render(text, variables, bos, eos)
        assert err is None, err
        cases.append({"name": name, "template": text, "input": json.dumps(variables), "prompt": prompt})
    write("smollm2.json", {"bos": bos, "eos": eos, "cases": cases})

    cases = []
    snippets = (HERE / "snippets.txt").read_text().splitlines()
    for text in snippets + WHITE_SPACE + list(random_white_space(150)):
        prompt, err = reference.render(text, VARIABLES)
        cases.append({"template": text, **({"refused": err} if err else {"prompt": prompt})})
    write("language.json", {"bos": "<s>", "eos": "</s>", "input": json.dumps(VARIABLES), "cases": cases})


main()
