#!/usr/bin/env python3
"""Records llama.cpp's logits of the small random-weight models under testdata/random/.

usage: tools/peer_logits.py [NAME ...]

Makes each model with tools/randmodel, runs llama.cpp (built as tools/bench_peers.py does) over 70 of its tokens with an F32
cache, and writes testdata/random/NAME.json: tokens, and the logits of some positions. Run it in the repository's root. Needs
what bench_peers.py needs, and go.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import bench_peers

N_TOKENS, N_ROWS = 70, 4
NAMES = ["qwen3moe", "qwen3", "qwen2moe", "qwen2"]


def build(folder, program="peer_logits"):
    """Links tools/PROGRAM.cpp with llama.cpp's static libraries."""
    bench_peers.build_llama()
    source = next(p for p in os.listdir(bench_peers.PEERS) if p.startswith("llama_cpp_python-") and not p.endswith(".gz"))
    source = os.path.join(bench_peers.PEERS, source, "vendor", "llama.cpp")
    libs = [os.path.join(bench_peers.PEERS, "build", p) for p in
            ("src/libllama.a", "ggml/src/libggml.a", "ggml/src/libggml-cpu.a", "ggml/src/libggml-base.a")]
    out = os.path.join(folder, program)
    subprocess.run(["c++", "-std=c++17", "-O1", "-I", os.path.join(source, "include"), "-I", os.path.join(source, "ggml", "include"),
                    f"tools/{program}.cpp", *libs, "-fopenmp", "-lpthread", "-ldl", "-lm", "-o", out], check=True)
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        recorder = build(folder)
        for name in sys.argv[1:] or NAMES:
            model = os.path.join(folder, name + ".gguf")
            subprocess.run(["go", "run", "./tools/randmodel", name, model], check=True)
            tokens = subprocess.run(["go", "run", "./tools/randmodel", "-tokens", str(N_TOKENS), name],
                                    check=True, capture_output=True, text=True).stdout.split()
            logits = subprocess.run([recorder, model, str(N_ROWS), *tokens], check=True, capture_output=True, text=True).stdout
            with open(model, "rb") as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            os.makedirs("testdata/random", exist_ok=True)
            with open(f"testdata/random/{name}.json", "w") as f:
                rows = ",\n".join(f'"{pos}": {json.dumps(row)}' for pos, row in json.loads(logits).items())
                f.write(f'{{"model": "{name}", "sha256": "{digest}",\n"tokens": {json.dumps([int(t) for t in tokens])},\n'
                        f'"logits": {{\n{rows}\n}}}}\n')
            print(name, digest)


if __name__ == "__main__":
    main()
