#!/usr/bin/env python3
"""Measures what users feel beside raw speed, and prints each figure with the bound that the project sets itself.

usage: tools/measure.py [--quick]

start-up (warm and empty compile cache; processor time with a larger model), resident memory, memory against context size, the
cost of the sampler chain, many sequences against one, and --deterministic. Runs are interleaved and medians are taken; the machine should be quiet.
Needs bin/forge and the models (make build models), and Linux.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

SMOLLM2 = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = "models/gemma-3-270m-q4_k_m.gguf"
LARGE = "models/random-1b-q4_k_m.gguf"
PROMPT = {SMOLLM2: "The capital of France is Paris, and", GEMMA3: "The capital of France is Paris,"}
THREADS = str(len(os.sched_getaffinity(0)))
ROUNDS = 3 if "--quick" in sys.argv else 7


def first_byte(model, env=None):
    """Seconds from process start to the first byte of text."""
    start = time.monotonic()
    p = subprocess.Popen(["bin/forge", "run", "-m", model, "--raw", "-p", PROMPT[model], "-n", "4", "-t", THREADS, "--temp", "0"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    p.stdout.read(1)
    took = time.monotonic() - start
    p.stdout.read()
    if p.wait() != 0:
        sys.exit(f"forge run -m {model} failed")
    return took


def cpu_seconds(*args):
    """User and system seconds of forge run, the whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["bin/forge", "run", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_rss(*args):
    """Peak resident bytes of forge run, and what of the model's file they can hold at most."""
    code = ("import os,resource,subprocess,sys;subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL,check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    out = subprocess.run([sys.executable, "-c", code, "bin/forge", "run", *args], capture_output=True, text=True, check=True).stdout
    return int(out) * 1024


def rate(*args):
    out = subprocess.run(["bin/forge", *args], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def show(what, value, bound, unit, good):
    print(f"| {what} | {value:.3g} {unit} | {bound} | {'yes' if good else 'NO'} |", flush=True)


def startup():
    for model, bound in ((SMOLLM2, 0.3), (GEMMA3, 0.5)):
        first_byte(model)
        warm = statistics.median(first_byte(model) for _ in range(ROUNDS))
        show(f"start to first byte, {os.path.basename(model)}, warm", warm, f"{bound} s", "s", warm <= bound)
        cold = []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as d:
                cold.append(first_byte(model, dict(os.environ, XDG_CACHE_HOME=d)))
        cold = statistics.median(cold)
        show(f"start to first byte, {os.path.basename(model)}, empty compile cache", cold, "1.5 s", "s", cold <= 1.5)

    if not os.path.exists(LARGE):
        print(f"{LARGE} is missing: make synthetic", file=sys.stderr)
        return
    took = statistics.median([cpu_seconds("-m", LARGE, "--raw", "-p", "H", "-n", "1", "-t", THREADS) for _ in range(ROUNDS + 1)][1:])
    show("processor time from start to first token, 1.1B Q4_K_M of random weights, warm", took, "0.3 s", "s", took <= 0.3)


def memory():
    base = ["-m", SMOLLM2, "--raw", "-t", THREADS, "--temp", "0", "--ignore-eos"]
    size = os.path.getsize(SMOLLM2)
    full = peak_rss(*base, "-p", "word " * 1500, "-n", "400", "-c", "2048") - size
    show("resident beyond the mapped file, SmolLM2, 2,048 context in use", full / 2**20, "100 MiB", "MiB", full < 100 * 2**20)
    small, large = (peak_rss(*base, "-p", PROMPT[SMOLLM2], "-n", "92", "-c", c) for c in ("512", "8192"))
    show("-c 8192 against -c 512 with 100 tokens in use", (large - small) / 2**20, "8 MiB more", "MiB", large - small <= 8 * 2**20)


def chain_cost():
    ratios = []
    for _ in range(ROUNDS):
        b = rate("bench", "-m", SMOLLM2, "-p", "0", "-n", "128", "-d", "8", "-r", "1", "-t", THREADS, "--json")[0]["avg_ts"]
        r = rate("run", "-m", SMOLLM2, "--raw", "-p", PROMPT[SMOLLM2], "-n", "129", "--ignore-eos", "-t", THREADS, "--json")["timings"]["decode_per_second"]
        ratios.append(r / b)
    m = statistics.median(ratios)
    show("decode of forge run with the default chain against bench", m, "0.95", "x", m >= 0.95)


def batch_file(n, tokens):
    lines = [json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/completions",
                         "body": {"prompt": f"Chapter {i}. The", "max_tokens": tokens, "ignore_eos": True, "temperature": 0}}) for i in range(n)]
    f = tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False)
    f.write("\n".join(lines))
    f.close()
    return f.name


def batch_seconds(path, parallel, *extra):
    start = time.monotonic()
    subprocess.run(["bin/forge", "batch", "-m", SMOLLM2, "-i", path, "-o", "-", "-np", str(parallel), "-t", THREADS, *extra],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def sequences():
    path = batch_file(8, 128)
    many, det = [], []
    for _ in range(ROUNDS):
        one, eight, d = batch_seconds(path, 1), batch_seconds(path, 8), batch_seconds(path, 8, "--deterministic")
        many.append(one / eight)
        det.append(d / eight)
    os.unlink(path)
    m, d = statistics.median(many), statistics.median(det)
    show("8 sequences of forge batch against one", m, "1.5", "x", m >= 1.5)
    show("--deterministic", d, "1.25", "x the time", d <= 1.25)


def main():
    print(f"{THREADS} threads, load {os.getloadavg()[0]:.1f}\n\n| what | measured | bound | met |\n| --- | --- | --- | --- |")
    startup()
    memory()
    chain_cost()
    sequences()


if __name__ == "__main__":
    main()
