#!/usr/bin/env python3
"""What HTTP costs: tokens per second of many clients against those of the engine itself.

    tests/load/throughput.py [--like minicpm4-0.5b] [--numerics fast] [--streams 100]

Writes a random checkpoint of the shape, runs `bitcpm bench decode` and a served round of the same
work in turns, and prints both medians, their ratio and what a token costs outside the engine. Exit
code 1 if the ratio is below --least.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from http_stream import Connection, read_stream  # noqa: E402


def thread_seconds(pid):
    """CPU seconds of each thread of a process."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        seconds[task.name] = (int(fields[11]) + int(fields[12])) / ticks
    return seconds


async def serve_round(port, options, seed):
    """Tokens per second of all streams, from the first request to the last end."""
    draw = random.Random(seed)  # other prompts each time, which no cache knows

    async def one(connection):
        connection.send("POST", "/v1/completions", {
            "prompt": [draw.randrange(10, 5000) for _ in range(options.prompt_tokens)],
            "max_tokens": options.max_tokens, "ignore_eos": True, "stream": True, "temperature": 0})
        status, _ = await connection.head()
        assert status == 200, status
        await read_stream(connection)
        connection.close()
    connections = [await Connection(port).open() for _ in range(options.streams)]
    began = time.monotonic()
    await asyncio.gather(*map(one, connections))
    return options.streams * options.max_tokens / (time.monotonic() - began)


def engine_round(model, options):
    done = harness.run("bench", "decode", model, "--json", "--repeat", 1,
                       "--batch", options.streams, "--numerics", options.numerics,
                       "--prompt-tokens", options.prompt_tokens,
                       "--max-tokens", options.max_tokens, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"][0]["overall_tokens_per_s"]["median"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--like", default="minicpm4-0.5b", help="the shape, as for bitcpm synth")
    parser.add_argument("--numerics", default="fast", choices=("exact", "fast"))
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--least", type=float, default=0.9, help="the ratio that must be reached")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bitcpm-load-") as folder:
        model = pathlib.Path(folder) / options.like
        done = harness.run("synth", model, "--like", options.like, timeout=600)
        assert done.returncode == 0, done.stderr
        engine, served = [], []
        with harness.serve(model, "--numerics", options.numerics, "--max-num-seqs", options.streams,
                           "--max-model-len", 2048) as server:
            asyncio.run(serve_round(server.port, options, 0))  # what is set up once
            before = thread_seconds(server.process.pid)
            for seed in range(options.repeat):
                engine.append(engine_round(model, options))
                served.append(asyncio.run(serve_round(server.port, options, seed + 1)))
            after = thread_seconds(server.process.pid)
    # The engine's own threads are the busiest by far; what is left is HTTP, JSON and text.
    spent = sorted(after[thread] - before.get(thread, 0) for thread in after)
    cores = len(os.sched_getaffinity(0))
    tokens = options.repeat * options.streams * options.max_tokens
    outside = 1e6 * sum(spent[:-cores]) / tokens
    ratio = statistics.median(served) / statistics.median(engine)
    print(f"{options.like}, numerics {options.numerics}, {options.streams} streams, prompt "
          f"{options.prompt_tokens}, {options.max_tokens} tokens each; medians of {options.repeat}")
    print(f"engine (bitcpm bench decode)  {statistics.median(engine):8.1f} tok/s  "
          f"{[round(value, 1) for value in engine]}")
    print(f"HTTP, {options.streams} clients             {statistics.median(served):8.1f} tok/s  "
          f"{[round(value, 1) for value in served]}")
    print(f"ratio {ratio:.3f} (at least {options.least}); outside the engine {outside:.1f} us of "
          "CPU per token")
    sys.exit(ratio < options.least)


if __name__ == "__main__":
    main()
