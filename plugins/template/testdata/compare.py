"""Compares the guest's crate with Jinja2 over a folder of templates and four kinds of dialogue.

    cargo build --release --example render
    python3 testdata/compare.py target/release/examples/render FOLDER_OF_TEMPLATES

Needs Python 3 and Jinja2 3.1. Prints what differs, and ends with status 1 if more than one template does
in a kind of dialogue. A template that Jinja2 refuses must be refused by the guest too.
"""

import difflib
import json
import pathlib
import subprocess
import sys

import reference

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city; \"now\" or <later>, été & hiver.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city's name"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14.5},
                    "items": {"type": "array", "items": {"type": "string"}, "description": "What to report"},
                },
                "required": ["city"],
            },
        },
    }
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call00001",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Zürich", "unit": "celsius", "days": 2}},
        }
    ],
}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"temperature\": 21.5}"}

KINDS = {
    "plain": {"messages": [user("Why is the sky blue?")], "add_generation_prompt": True},
    "system": {
        "messages": [{"role": "system", "content": "You are terse."}, user("Hello, it's <b>me</b> & \"you\"\n")],
        "add_generation_prompt": True,
    },
    "multi-turn": {
        "messages": [
            {"role": "system", "content": "  Be kind.\n"},
            user("One?"),
            assistant("<think>\nhm\n</think>\n\nTwo."),
            user("  Three? 🙂 "),
            assistant("Four."),
            user("Five?"),
        ],
        "add_generation_prompt": False,
    },
    "tool": {
        "messages": [user("What is the weather in Zürich?"), CALL, RESULT, user("And tomorrow?")],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
}


def main():
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    cases = [
        (path, kind, variables)
        for path in sorted(folder.glob("*.jinja"))
        for kind, variables in KINDS.items()
    ]
    requests = "".join(
        json.dumps(
            {
                "template": path.read_text(),
                "bos": "<s>",
                "eos": "</s>",
                "now": reference.NOW,
                "input": json.dumps(variables, ensure_ascii=False),
            }
        )
        + "\n"
        for path, kind, variables in cases
    )
    done = subprocess.run([binary], input=requests, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    equal, refused, differ = ({kind: 0 for kind in KINDS} for _ in range(3))
    for (path, kind, variables), got in zip(cases, answers, strict=True):
        want, err = reference.render(path.read_text(), variables)
        if got.get("prompt") == want:
            (refused if want is None else equal)[kind] += 1
            continue
        differ[kind] += 1
        print(f"--- {path.name}, {kind}")
        if want is None or "prompt" not in got:
            print(f"    Jinja2: {err or 'a prompt'}\n    guest:  {got.get('error', 'a prompt')}")
        else:
            lines = difflib.unified_diff(want.splitlines(), got["prompt"].splitlines(), "Jinja2", "guest", n=0)
            print("\n".join(f"    {line}" for line in lines))
    for kind in KINDS:
        print(f"{kind}: {equal[kind]} equal, {refused[kind]} refused by both, {differ[kind]} differ")
    sys.exit(max(differ.values()) > 1)


main()
