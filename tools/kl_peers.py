#!/usr/bin/env python3
"""Holds what forge's kernels round away against what llama.cpp's do, format by format.

usage: tools/kl_peers.py [--formats Q4_0,Q4_K,...] [--models FILE,...] [--texts FILE,...] [--tokens N] [--json FILE]

For each format a small model of random weights (randmodel.Peaked) is written, and its distributions over a text of random words
are computed. The figure is the mean Kullback-Leibler divergence in nats from the same engine's exact run: of forge's simd device
from its scalar one, of llama.cpp from its run of the same weights de-quantised to F32 (tools/floatmodel), with an F32 cache and
without flash attention. "products" has the cache of the exact run (forge F16, llama.cpp F32), so that weights times
activations are all that differs; "whole" is each engine as it runs by itself, with an F16 cache and flash attention.
--models takes files instead, over the beginnings of --texts, N tokens or so of each.

A ratio above 1 is to forge's disadvantage. Behind it stands its standard error, since which way a number is rounded is chance.
It takes the tokens as independent, which they are not quite: all share the roundings of those before them. So forge counts as
above where the ratio is above 1 by more than three times that, unless both are differences of float order (under 1e-9 nats).
The exit status is 1 then. Run it in the repository's root; it needs bin/forge, go, and what bench_peers.py needs.
"""
import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile

import bench_peers
import peer_logits

FORMATS = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
FLOAT_ORDER = 1e-9  # nats: sums of floats in another order


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def random_words(n):
    """A text of about n tokens for the vocabulary of randmodel, whose words are all strings of one or two letters and some of three."""
    r = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(r.choices(letters, k=r.choice((1, 2, 2, 2, 3)))) for _ in range(9 * n // 20))


def measure(model, texts, folder, peer):
    """Gives the divergences of each token by engine and setting, and the entropy of the exact distributions."""
    exact = os.path.join(folder, "float.gguf")
    run(os.path.join(folder, "floatmodel"), model, exact)
    forge, theirs, entropy = {"products": [], "whole": []}, {"products": [], "whole": []}, 0
    for text in texts:
        command = ["bin/forge", "perplexity", "-m", model, "-f", text, "--device", "simd", "--against-device", "scalar", "--json"]
        forge["products"] += json.loads(run(*command, "-ctk", "f16", "-ctv", "f16"))["kl"]
        forge["whole"] += json.loads(run(*command))["kl"]
        tokens = json.loads(run("bin/forge", "tokenize", "-m", model, "-f", text, "--json"))
        out = json.loads(run(peer, exact, model, *map(str, tokens)))
        n = len(tokens) - 1  # forge has none for the last token
        theirs["products"] += out["strict"][:n]
        theirs["whole"] += out["usual"][:n]
        entropy += n * out["entropy"]
    return {"forge": forge, "peer": theirs, "entropy": entropy / len(forge["whole"])}


def mean(x):
    return sum(x) / len(x)


def compare(ours, theirs):
    """The ratio of the means, its standard error, and whether forge is above."""
    a, b = mean(ours), mean(theirs)
    if max(a, b) < FLOAT_ORDER:
        return {"forge": a, "peer": b, "ratio": None, "above": False}
    if b <= 0:
        return {"forge": a, "peer": b, "ratio": None, "above": True}
    ratio = a / b
    error = math.sqrt(mean([(x - ratio * y) ** 2 for x, y in zip(ours, theirs)]) / len(ours)) / b
    return {"forge": a, "peer": b, "ratio": ratio, "error": error, "above": ratio - 3 * error > 1}


def cells(c):
    ratio = "float order" if c["ratio"] is None else f"{c['ratio']:.2f} ± {c['error']:.2f}"
    return f"{c['forge']:.2e} | {c['peer']:.2e} | {ratio}" + (" ABOVE" if c["above"] else "")


def models(a, folder):
    """Gives name, model and texts of each line of the table."""
    if a.models:
        texts = []
        for path in a.texts.split(","):
            texts.append(os.path.join(folder, f"text{len(texts)}"))
            with open(path, encoding="utf-8") as f, open(texts[-1], "w", encoding="utf-8") as out:
                out.write(f.read()[:4 * a.tokens])
        for path in a.models.split(","):
            yield os.path.basename(path), path, texts
        return
    text, path = os.path.join(folder, "words"), os.path.join(folder, "model.gguf")
    with open(text, "w", encoding="utf-8") as out:
        out.write(random_words(a.tokens))
    for name in a.formats.split(","):
        run(os.path.join(folder, "randmodel"), "-type", name, "peaked", path)
        yield name, path, [text]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--formats", default=",".join(FORMATS))
    p.add_argument("--models")
    p.add_argument("--texts", default="ARCHITECTURE.md,RATIONALE.md,README.md,docs/plugins.md")
    p.add_argument("--tokens", type=int, default=1000, help="about so many")
    p.add_argument("--json")
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        peer = peer_logits.build(folder, "peer_kl")
        run("go", "build", "-o", folder, "./tools/randmodel", "./tools/floatmodel")
        print(f"{bench_peers.cpu()}; `tools/kl_peers.py {' '.join(sys.argv[1:])}`\n")
        print("| format | forge, products | llama.cpp, products | ratio | forge, whole | llama.cpp, whole | ratio | entropy |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, path, texts in models(a, folder):
            m = measure(path, texts, folder, peer)
            row = {"name": name, "entropy": m["entropy"], **{how: compare(m["forge"][how], m["peer"][how]) for how in ("products", "whole")}}
            rows.append(row)
            print(f"| {name} | {cells(row['products'])} | {cells(row['whole'])} | {row['entropy']:.2f} |", flush=True)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"cpu": bench_peers.cpu(), "tokens": a.tokens, "rows": rows}, f)
    sys.exit(any(r[how]["above"] for r in rows for how in ("products", "whole")))


if __name__ == "__main__":
    main()
