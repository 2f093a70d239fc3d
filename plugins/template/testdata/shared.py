"""Records what Jinja2 makes of a folder of chat templates: shared.json.

    python3 testdata/shared.py FOLDER

For each template its own SHA-256, and for each dialogue of dialogues.json the SHA-256 of the prompt and its length in
bytes, or "refused" and the name of Jinja2's error. The templates themselves are not ours to publish. Needs
Python 3 and Jinja2 3.1.
"""

import hashlib
import json
import pathlib
import sys

import jinja2

import reference

HERE = pathlib.Path(__file__).parent


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def outcome(text, case, file):
    prompt, err = reference.render(text, case["input"], file["bos"], file["eos"])
    if err is not None:
        return "refused " + err.partition(":")[0]
    return f"{sha256(prompt)} {len(prompt.encode())}"


def main():
    file = json.loads((HERE / "dialogues.json").read_text())
    head = {"generated_by": "python3 testdata/shared.py FOLDER", "jinja2": jinja2.__version__}
    lines = []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
        text = path.read_bytes().decode()
        prompts = {f"{case['kind']}/{case['name']}": outcome(text, case, file) for case in file["dialogues"]}
        record = json.dumps({"sha256": sha256(text), "prompts": prompts}, indent=1).replace("\n", "\n  ")
        lines.append(f"  {json.dumps(path.name)}: {record}")
    body = ",\n".join(lines)
    opening = json.dumps(head, indent=1).removesuffix("\n}")
    (HERE / "shared.json").write_text(f'{opening},\n "templates": {{\n{body}\n }}\n}}\n')


main()
