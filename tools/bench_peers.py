#!/usr/bin/env python3
"""Times forge next to llama.cpp, and ik_llama.cpp where its source is given, on the same files and threads.

usage: tools/bench_peers.py [--models real|synthetic|FILE,...] [--threads 1,2] [--tests pp512,tg128] [--depth 4096]
                            [--batch 2,4,8,16] [--busy N] [--rounds N] [--ik SOURCE] [--json FILE]

Every round runs the machine's probes, forge and each peer in all their settings one after the other, so that a busy minute hits
all alike; medians are compared. Each engine counts with its best setting: forge with the model mapped or copied (--no-mmap), a
peer with flash attention on or off, ik_llama.cpp with run-time repack on or off. The last column says how near forge is to what
the machine can do: of decode, the bytes that a token must read against the DRAM bandwidth; of prefill, the multiply-adds of a
token against the unit that does them, bytes for block formats and float32 for float ones. The better of a C loop (tools/probe.c,
built here) and of forge's own is 100 %.

--depth adds tg32 after that many tokens, --batch the decoding of so many sequences at once (llama-batched-bench). --busy N runs
N busy loops beside everything.

llama.cpp comes as source inside the package llama-cpp-python 0.3.36 and is built natively (Release) under .peers/, which git
ignores; ik_llama.cpp is built in the folder build of its source. Needs cmake, a C++ compiler, gcc and python3 with pip.
"""
import argparse
import contextlib
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile

VERSION = "0.3.36"
PEERS = ".peers"
REAL = ["models/SmolLM2-135M-Instruct.Q4_1.gguf", "models/gemma-3-270m-q4_k_m.gguf"]
OWN = {"forge": [], "forge, no-mmap": ["--no-mmap"]}
OWN_PROBE = {"dram": "bytes_per_second", "fma": "float_macs_per_second", "int8": "int8_macs_per_second"}
SYNTHETIC = [f"models/random-{name}.gguf" for name in ("1b-q4_k_m", "1b-q8_0", "1b-q4_0", "1b-f16", "moe-q4_k_m")]


def run(*command, **kw):
    return subprocess.run(command, check=True, **kw)


def build(source, folder, *targets):
    """Builds programs of llama.cpp or of its fork where they are not there yet, and gives their folder."""
    bin = os.path.join(folder, "bin")
    if not all(os.path.exists(os.path.join(bin, t)) for t in targets):
        run("cmake", "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DBUILD_SHARED_LIBS=OFF",
            "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_TOOLS=ON", stdout=sys.stderr)
        run("cmake", "--build", folder, "--target", *targets, "-j", str(os.cpu_count()), stdout=sys.stderr)
    return bin


def build_llama():
    folder = os.path.join(PEERS, "build")
    programs = ("llama-bench", "llama-batched-bench")
    if not all(os.path.exists(os.path.join(folder, "bin", p)) for p in programs):
        os.makedirs(PEERS, exist_ok=True)
        archive = os.path.join(PEERS, f"llama_cpp_python-{VERSION}.tar.gz")
        if not os.path.exists(archive):
            run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", PEERS, f"llama-cpp-python=={VERSION}")
        with tarfile.open(archive) as t:
            t.extractall(PEERS, filter="data")
    source = glob.glob(os.path.join(PEERS, "llama_cpp_python-*", "vendor", "llama.cpp"))
    return build(source[0] if source else "", folder, *programs)


def build_probe():
    probe = os.path.join(PEERS, "probe")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.c")
    if not os.path.exists(probe) or os.path.getmtime(probe) < os.path.getmtime(source):
        os.makedirs(PEERS, exist_ok=True)
        run("gcc", "-O3", "-mavx2", "-mfma", "-pthread", "-o", probe, source)
    return probe


class Test:
    """pp512, tg128, tg32@d4096 or tg64x4 (four sequences)."""

    def __init__(self, name):
        self.name, self.prefill = name, name.startswith("pp")
        head, _, depth = name.partition("@d")
        n, _, seqs = head[2:].partition("x")
        self.n, self.depth, self.seqs = int(n), int(depth or 0), int(seqs or 1)


def command_json(*command):
    return json.loads(run(*command, capture_output=True, text=True).stdout)


def forge(model, threads, t, *flags):
    """Gives tokens/s, and the row with what a token costs."""
    counts = ["-p", str(t.n), "-n", "0"] if t.prefill else ["-p", "0", "-n", str(t.n)]
    row = command_json("bin/forge", "bench", "-m", model, "-t", str(threads), "-r", "1", "--json", "--roofline", "-d", str(t.depth), "-np", str(t.seqs), *counts, *flags)[0]
    return row["samples_ts"][0], row


def llama(bin, fa):
    def sample(model, threads, t):
        if t.seqs > 1:
            out = run(os.path.join(bin, "llama-batched-bench"), "-m", model, "-t", str(threads), "-fa", "on" if fa else "off", "-c", str(t.seqs * (t.n + 32)),
                      "-npp", "16", "-ntg", str(t.n), "-npl", str(t.seqs), "--output-format", "jsonl", capture_output=True, text=True).stdout
            return json.loads([line for line in out.splitlines() if line.startswith("{")][-1])["speed_tg"]
        counts = ["-p", str(t.n), "-n", "0"] if t.prefill else ["-p", "0", "-n", str(t.n)]
        return command_json(os.path.join(bin, "llama-bench"), "-m", model, "-t", str(threads), "-r", "1", "-fa", str(fa), "-d", str(t.depth), "-o", "json", *counts)[0]["samples_ts"][0]

    return sample


def ik(bin, fa, repack):
    def sample(model, threads, t):
        if t.seqs > 1:
            # It writes a table to standard error, |PP|TG|B|N_KV|T_PP|S_PP|T_TG|S_TG|T|S|, and a llama.log where it stands.
            flags = ["-fa", "on" if fa else "off"] + ["-rtr"] * repack
            with tempfile.TemporaryDirectory() as folder:
                out = run(os.path.abspath(os.path.join(bin, "llama-batched-bench")), "-m", os.path.abspath(model), "-t", str(threads), *flags,
                          "-c", str(t.seqs * (t.n + 32)), "-npp", "16", "-ntg", str(t.n), "-npl", str(t.seqs),
                          cwd=folder, capture_output=True, text=True).stderr
            row = [line.split("|") for line in out.splitlines() if line.startswith("|")][-1]
            return float(row[8])
        counts = ["-p", str(t.n), "-n", "0"] if t.prefill else ["-p", "0", "-n", str(t.n)]
        if t.depth:
            counts = ["-p", "0", "-n", "0", "-gp", f"{t.depth},{t.n}"]
        rows = command_json(os.path.join(bin, "llama-bench"), "-m", model, "-t", str(threads), "-r", "1", "-fa", str(fa), "-rtr", str(repack), "-o", "json", *counts)
        return rows[0]["samples_ts"][0]

    return sample


@contextlib.contextmanager
def busy(n):
    loops = [subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"]) for _ in range(n)]
    try:
        yield
    finally:
        for p in loops:
            p.kill()
            p.wait()


def cpu():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def compare(model, threads, test, rounds, peers, probe):
    """Runs the rounds of one line of the table and gives it with all samples."""
    samples = {name: [] for name in (*OWN, *peers)}
    limits, unit, row = [], "dram", None
    for i in range(rounds):
        order = list(samples)
        for name in order if i % 2 == 0 else reversed(order):
            if name in OWN:
                ts, row = forge(model, threads, test, *OWN[name])
            else:
                ts = peers[name](model, threads, test)
            if ts is not None:
                samples[name].append(ts)
        if test.prefill:
            unit = "fma" if 2 * row["float_macs_per_token"] > row["macs_per_token"] else "int8"
        c = float(run(probe, unit, str(threads), capture_output=True, text=True).stdout)
        limits.append(max(c, row["roofline"][OWN_PROBE[unit]] / 1e9))
    med = {name: statistics.median(s) for name, s in samples.items() if s}
    own = max(OWN, key=med.get)
    best = max((name for name in med if name in peers), key=med.get)
    # Sequences that decode at once share one reading of the weights.
    reached = med[own] * row["macs_per_token"] if test.prefill else med[own] / test.seqs * row["bytes_per_token"]
    limit = statistics.median(limits)
    return {
        "model": os.path.basename(model), "threads": threads, "test": test.name, "setting": own, "forge": med[own], "peer": best, "peer_ts": med[best],
        "ratio": med[own] / med[best], "ratio_of_best": max(samples[own]) / max(samples[best]), "unit": unit, "limit": limit,
        "share": reached / 1e9 / limit, "samples": samples, "probes": limits,
    }


def tests_of(a):
    tests = [Test(t) for t in a.tests.split(",") if t]
    if a.depth:
        tests.append(Test(f"tg32@d{a.depth}"))
    return tests + [Test(f"tg64x{n}") for n in a.batch.split(",") if n]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", default="1,2")
    p.add_argument("--models", default="real")
    p.add_argument("--tests", default="pp512,tg128")
    p.add_argument("--depth", type=int, default=0)
    p.add_argument("--batch", default="")
    p.add_argument("--busy", type=int, default=0)
    p.add_argument("--ik", metavar="SOURCE")
    p.add_argument("--json")
    a = p.parse_args()
    models = []
    for m in a.models.split(","):
        models += {"real": REAL, "synthetic": SYNTHETIC}.get(m, [m])
    bin, probe = build_llama(), build_probe()
    peers = {"llama.cpp, fa": llama(bin, 1), "llama.cpp": llama(bin, 0)}
    if a.ik:
        bin = build(a.ik, os.path.join(a.ik, "build"), "llama-bench", "llama-batched-bench")
        for fa in (1, 0):
            for repack in (0, 1):
                peers["ik" + (", fa" if fa else "") + (", rtr" if repack else "")] = ik(bin, fa, repack)
    beside = f", {a.busy} busy loops beside" if a.busy else ""
    print(f"{cpu()}, {os.cpu_count()} processors; medians of {a.rounds} interleaved rounds{beside}; `tools/bench_peers.py {' '.join(sys.argv[1:])}`\n")
    print("| model | threads | test | best forge | its tokens/s | best peer | its tokens/s | ratio | ratio of best samples | of the machine |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    with busy(a.busy):
        for model in models:
            for threads in (int(t) for t in a.threads.split(",")):
                for test in tests_of(a):
                    r = compare(model, threads, test, a.rounds, peers, probe)
                    rows.append(r)
                    limit = f"{100 * r['share']:.0f} % of {r['limit']:.1f} " + {"dram": "GB/s", "fma": "GMAC/s float32", "int8": "GMAC/s int8"}[r["unit"]]
                    print(f"| {r['model']} | {threads} | {test.name} | {r['setting']} | {r['forge']:.1f} | {r['peer']} | {r['peer_ts']:.1f} | {r['ratio']:.2f} | {r['ratio_of_best']:.2f} | {limit} |", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"cpu": cpu(), "load": os.getloadavg(), "rows": rows}, f)


if __name__ == "__main__":
    main()
