#!/usr/bin/env python3
"""`bitcpm bench serve` against another engine's server: make test-other-engine.

llama.cpp (node-llama-cpp's prebuilt binary) serves bitcpm-tiny from a GGUF that make_gguf.py writes;
the same load then goes to ours, one thread each, and both go on with a story in the same words. Exit
code 77, with a line that says why, where it cannot run.
"""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = ROOT / "build/other_engine"
sys.path.insert(0, str(ROOT / "tests/e2e"))

import harness  # noqa: E402  (after the path to it)

INSTALL_SECONDS = 300
STORY = "Once upon a time there was"
LOAD = ("--num-prompts", 12, "--random-input-len", 40, "--random-output-len", 24, "--ignore-eos",
        "--max-concurrency", 4)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)


def install():
    node = shutil.which("node")
    npm = shutil.which("npm")
    if not node or not npm:
        skip("needs node 20 and npm")
    if platform.machine() != "x86_64":
        skip("the prebuilt llama.cpp taken here is for x86-64")
    SITE.mkdir(parents=True, exist_ok=True)
    python = SITE / "venv/bin/python"
    if not (SITE / "node_modules/node-llama-cpp").is_dir() or not python.exists():
        print("installing node-llama-cpp and gguf into build/other_engine", flush=True)
        for name in ("package.json", "server.mjs"):
            shutil.copy(HERE / name, SITE / name)
        try:
            subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts",
                            "--omit=optional"], cwd=SITE, check=True, capture_output=True,
                           timeout=INSTALL_SECONDS)
            subprocess.run([sys.executable, "-m", "venv", SITE / "venv"], check=True,
                           timeout=INSTALL_SECONDS)
            subprocess.run([SITE / "venv/bin/pip", "install", "gguf==0.19.0"], check=True,
                           capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            skip(f"{error.cmd[0]} {error.cmd[1]} failed: {(error.stderr or b'')[-300:]!r}")
    shutil.copy(HERE / "server.mjs", SITE / "server.mjs")
    return node, python


@contextlib.contextmanager
def llama_server(node, gguf):
    port = harness.free_port()
    with open(SITE / "server.log", "w") as log:
        process = subprocess.Popen([node, SITE / "server.mjs", gguf, str(port)], cwd=SITE,
                                   stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (SITE / "server.log").read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("llama.cpp's server did not start:\n" +
                             (SITE / "server.log").read_text())
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def story(url):
    """Twelve greedy tokens, streamed, without spaces: llama.cpp spells a lone token without its own."""
    body = {"prompt": STORY, "max_tokens": 12, "temperature": 0, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        chunks = [json.loads(event) for event in
                  harness.events(response) if event != "[DONE]"]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]).replace(" ", "")


def load(url, *more):
    done = harness.run("bench", "serve", "--base-url", url, *LOAD, *more, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["completed"] == 12 and report["failed"] == 0, report
    assert report["total_output_tokens"] == 12 * 24, report
    for name in ("ttft", "tpot", "itl", "e2el"):
        assert report[f"p99_{name}_ms"] >= report[f"median_{name}_ms"] > 0, name
    assert report["mean_e2el_ms"] > report["mean_ttft_ms"]
    return report


def main():
    node, python = install()
    gguf = SITE / "bitcpm-tiny.gguf"
    subprocess.run([python, HERE / "make_gguf.py", harness.TINY_MODEL, gguf], check=True)
    reports = {}
    with llama_server(node, gguf) as url:
        reports["llama.cpp"] = load(url)
        load(url, "--request-rate", 20)
        theirs = story(url)
    with harness.serve("--numerics", "exact", "--threads", 1) as server:
        url = f"http://127.0.0.1:{server.port}"
        reports["bitcpm"] = load(url)
        ours = story(url)
    assert theirs == ours, (theirs, ours)
    print(f"both go on: {STORY} {ours}")
    for name, report in reports.items():
        print(f"{name:10} {report['output_throughput']:8.1f} output tok/s, median TTFT "
              f"{report['median_ttft_ms']:.2f} ms, TPOT {report['median_tpot_ms']:.2f} ms")


if __name__ == "__main__":
    main()
