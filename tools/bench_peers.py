#!/usr/bin/env python3
"""Times forge next to llama.cpp on the same files and threads, interleaved, and prints medians and ratios.

usage: tools/bench_peers.py [--rounds N] [--threads 1,2] [--models FILE,...] [--tests pp512,tg128] [--json FILE]

llama.cpp comes as source inside the package llama-cpp-python 0.3.36 and is built natively (Release) under .peers/, which
git ignores. Of its flash attention on and off the better median counts. Needs cmake, a C++ compiler and python3 with pip.
"""
import argparse
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile

VERSION = "0.3.36"
PEERS = ".peers"


def run(*command, **kw):
    return subprocess.run(command, check=True, **kw)


def build_llama():
    """Gives the path of llama-bench, built on first use."""
    bench = os.path.join(PEERS, "build", "bin", "llama-bench")
    if os.path.exists(bench):
        return bench
    os.makedirs(PEERS, exist_ok=True)
    archive = os.path.join(PEERS, f"llama_cpp_python-{VERSION}.tar.gz")
    if not os.path.exists(archive):
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", PEERS, f"llama-cpp-python=={VERSION}")
    with tarfile.open(archive) as t:
        t.extractall(PEERS, filter="data")
    source = glob.glob(os.path.join(PEERS, "llama_cpp_python-*", "vendor", "llama.cpp"))[0]
    build = os.path.join(PEERS, "build")
    run("cmake", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DBUILD_SHARED_LIBS=OFF",
        "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_TOOLS=ON", stdout=sys.stderr)
    run("cmake", "--build", build, "--target", "llama-bench", "-j", str(os.cpu_count()), stdout=sys.stderr)
    return bench


def sample_llama(bench, model, threads, test, fa):
    kind, n = test[:2], test[2:]
    args = ["-p", n, "-n", "0"] if kind == "pp" else ["-p", "0", "-n", n]
    out = run(bench, "-m", model, "-t", str(threads), "-r", "1", "-fa", fa, "-o", "json", *args, capture_output=True, text=True).stdout
    return json.loads(out)[0]["samples_ts"][0]


def sample_forge(model, threads, test):
    kind, n = test[:2], test[2:]
    args = ["-p", n, "-n", "0"] if kind == "pp" else ["-p", "0", "-n", n]
    out = run("bin/forge", "bench", "-m", model, "-t", str(threads), "-r", "1", "--json", *args, capture_output=True, text=True).stdout
    return json.loads(out)[0]["samples_ts"][0]


def cpu():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", default="1,2")
    p.add_argument("--models", default="models/SmolLM2-135M-Instruct.Q4_1.gguf,models/gemma-3-270m-q4_k_m.gguf")
    p.add_argument("--tests", default="pp512,tg128")
    p.add_argument("--json")
    a = p.parse_args()
    bench = build_llama()
    rows = []
    print(f"{cpu()}, {os.cpu_count()} processors; medians of {a.rounds} interleaved rounds, tokens/s\n")
    print("| model | threads | test | forge | llama.cpp | flash attention | ratio |\n| --- | --- | --- | --- | --- | --- | --- |")
    for model in a.models.split(","):
        for threads in (int(t) for t in a.threads.split(",")):
            for test in a.tests.split(","):
                samples = {"forge": [], "on": [], "off": []}
                for _ in range(a.rounds):
                    samples["forge"].append(sample_forge(model, threads, test))
                    samples["on"].append(sample_llama(bench, model, threads, test, "1"))
                    samples["off"].append(sample_llama(bench, model, threads, test, "0"))
                med = {k: statistics.median(v) for k, v in samples.items()}
                fa = max(("on", "off"), key=lambda k: med[k])
                ratio = med["forge"] / med[fa]
                rows.append({"model": os.path.basename(model), "threads": threads, "test": test, "samples": samples, "ratio": ratio})
                print(f"| {os.path.basename(model)} | {threads} | {test} | {med['forge']:.1f} | {med[fa]:.1f} | {fa} | {ratio:.2f} |", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f)


if __name__ == "__main__":
    main()
