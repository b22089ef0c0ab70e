#!/usr/bin/env python3
"""The server under load and ill treatment. `make test-load` calls it.

    tests/load/load_test.py [--seconds 60] [unittest's arguments]

Loopback only; every phase is bounded in time. Prints what it measures.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import statistics
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from http_stream import Broken, Connection, random_body, read_stream  # noqa: E402

SECONDS = 60
# A sanitizer multiplies memory and time: what is measured then is printed and not judged.
IS_SANITIZED = bool(os.environ.get("BITCPM_LOAD_SANITIZED"))


def say(text):
    print(f"  {text}", flush=True)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Process:
    """What /proc says of the server."""

    def __init__(self, server):
        self._folder = pathlib.Path(f"/proc/{server.process.pid}")

    def descriptors(self):
        return len(list((self._folder / "fd").iterdir()))

    def resident_bytes(self):
        status = (self._folder / "status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# What must be zero when nobody asks for anything.
GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")


def metrics(server):
    """name -> sum over labels, of the samples on /metrics."""
    status, text = server.request("GET", "/metrics")
    assert status == 200, status
    sums = collections.Counter()
    for name, value in re.findall(r"^(\w[\w:]*)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        sums[name] += float(value)
    assert all(name in sums for name in GAUGES), text
    return sums


def wait_until_idle(server, process, descriptors, seconds=20):
    """Nothing runs or waits, no KV block is held, and no descriptor more than at the start."""
    deadline = time.monotonic() + seconds
    while True:
        now = metrics(server)
        held = {name: now[name] for name in GAUGES}
        held["descriptors"] = max(0, process.descriptors() - descriptors)
        if not any(held.values()):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"still held {seconds} s after the last client left: {held}")
        time.sleep(0.1)


class Client:
    """One of many at once: good, slow, or gone in the middle; counts how its requests end."""

    KINDS = ("stream",) * 5 + ("whole",) * 2 + ("slow", "leave", "leave", "reset", "cancel")

    def __init__(self, port, draw, ends, faults):
        self._port, self._draw, self._ends, self._faults = port, draw, ends, faults
        self._connection = None

    async def run(self, until):
        while time.monotonic() < until:
            kind = self._draw.choice(self.KINDS)
            try:
                self._ends[await getattr(self, f"_{kind}")()] += 1
            except (Broken, OSError, ValueError) as fault:
                self._faults.append(f"{kind}: {fault!r}")
                self._drop()
        self._drop()

    def _drop(self, reset=False):
        if self._connection:
            self._connection.close(reset)
        self._connection = None

    async def _connected(self):
        if self._connection is None or not self._connection.is_open:
            self._connection = await Connection(self._port).open()
        return self._connection

    async def _begin(self, stream, connection=None):
        connection = connection or await self._connected()
        connection.send("POST", "/v1/completions", random_body(self._draw, stream=stream))
        status, headers = await connection.head()
        if status == 503:
            if "retry-after" not in headers:
                raise Broken("503 without Retry-After")
            await connection.body(headers)
        elif status != 200:
            raise Broken(f"status {status}: {await connection.body(headers)}")
        return status, headers, connection

    async def _stream(self):
        status, _, connection = await self._begin(stream=True)
        if status == 503:
            return "refused"
        await read_stream(connection)
        if self._draw.random() < 0.3:
            self._drop()
        return "streamed"

    async def _whole(self):
        status, headers, connection = await self._begin(stream=False)
        if status == 503:
            return "refused"
        choices = json.loads(await connection.body(headers))["choices"]
        if [choice["finish_reason"] for choice in choices] != ["length"]:
            raise Broken(f"ends in {choices}")
        return "whole"

    async def _slow(self):
        connection = await Connection(self._port, receive_buffer=4096).open()
        try:
            status, _, _ = await self._begin(stream=True, connection=connection)
            if status == 503:
                return "refused"
            await connection.slow_bytes(self._draw.randint(2_000, 20_000), 0.03)
        finally:
            connection.close(reset=self._draw.random() < 0.5)
        return "slow"

    async def _leave(self, reset=False):
        status, _, connection = await self._begin(stream=True)
        if status == 200:
            left = self._draw.randint(1, 20)
            async for _ in connection.events():
                left -= 1
                if left == 0:
                    break
        self._drop(reset)
        return "reset" if reset else "left"

    async def _reset(self):
        return await self._leave(reset=True)

    async def _cancel(self):
        connection = await self._connected()
        connection.send("POST", "/v1/completions",
                        random_body(self._draw, stream=self._draw.random() < 0.5))
        await asyncio.sleep(self._draw.random() * 0.05)
        self._drop(reset=self._draw.random() < 0.5)
        return "cancelled"


class Soak(unittest.TestCase):

    STREAMS = 200

    def crowd(self, port, seconds, seed):
        ends, faults = collections.Counter(), []

        async def run():
            until = time.monotonic() + seconds
            clients = [Client(port, random.Random(seed * 1000 + i), ends, faults)
                       for i in range(self.STREAMS)]
            await asyncio.gather(*(client.run(until) for client in clients))
        asyncio.run(run())
        return ends, faults

    def test_nothing_leaks_and_every_request_ends_once(self):
        """200 clients, a third of them slow, leaving or cancelling: each good request gets one
        terminal event, and afterwards blocks, descriptors and memory are back where they were."""
        # A small cache, so that requests preempt each other and all its pages are in use early.
        with harness.serve("--kv-cache-memory-bytes", "64M") as server:
            process = Process(server)
            before = process.descriptors()
            resident = []
            for seed, seconds in enumerate((max(3, SECONDS / 6), SECONDS)):
                ends, faults = self.crowd(server.port, seconds, seed)
                self.assertEqual(faults, [])
                for kind in ("streamed", "whole", "slow", "left", "reset", "cancelled"):
                    self.assertGreater(ends[kind], 0, kind)
                wait_until_idle(server, process, before)
                resident.append(process.resident_bytes())
            say(f"soak: {sum(ends.values())} requests in {SECONDS} s, {dict(ends)}; resident after "
                f"the warm-up {resident[0] / 1e6:.1f} MB, at the end {resident[1] / 1e6:.1f} MB")
            if not IS_SANITIZED:
                self.assertLess(resident[1], resident[0] * 1.05 + (4 << 20))
            self.assertEqual(server.request("POST", "/v1/completions",
                                            {"prompt": "Once", "max_tokens": 2})[0], 200)
            self.assertEqual(server.stop(), 0)


class Overload(unittest.TestCase):

    RUNNING, IN_FLIGHT, CLIENTS = 8, 16, 160

    async def closed_loop(self, port, clients, seconds):
        """(latencies of answers, latencies of refusals) of clients that ask again at once."""
        answered, refused = [], []

        async def one(number):
            until = time.monotonic() + seconds
            connection = await Connection(port).open()
            while time.monotonic() < until:
                began = time.monotonic()
                status, headers, _ = await connection.ask("POST", "/v1/completions", {
                    "prompt": [number + 10] * 16, "max_tokens": 64, "ignore_eos": True})
                took = time.monotonic() - began
                if status == 200:
                    answered.append(took)
                    continue
                assert status == 503 and int(headers["retry-after"]) >= 1, (status, headers)
                refused.append(took)
                await asyncio.sleep(0.05)  # impatient: Retry-After says a second at least
            connection.close()
        await asyncio.gather(*map(one, range(clients)))
        return answered, refused

    def test_the_admitted_are_served_and_the_rest_is_told(self):
        """Ten times what may be in flight: answers take no longer than the queue allows, refusals
        are quick and say when to come back, and throughput does not suffer."""
        seconds = max(3, SECONDS / 4)
        with harness.serve("--max-num-seqs", self.RUNNING,
                           "--max-num-queued-reqs", self.IN_FLIGHT) as server:
            calm, none = asyncio.run(self.closed_loop(server.port, self.RUNNING, seconds))
            answered, refused = asyncio.run(self.closed_loop(server.port, self.CLIENTS, seconds))
            self.assertEqual(none, [])
            self.assertGreater(len(refused), 0)
            mean = self.IN_FLIGHT * seconds / len(answered)  # Little's law
            worst = percentile(answered, 0.99)
            say(f"overload: {self.CLIENTS} clients, {len(answered) / seconds:.0f} answers/s and "
                f"{len(refused) / seconds:.0f} refusals/s; {self.RUNNING} clients, "
                f"{len(calm) / seconds:.0f} answers/s")
            say(f"overload: p99 of answers {worst:.3f} s, a full queue takes {mean:.3f} s on "
                f"average; p99 of refusals {percentile(refused, 0.99):.3f} s")
            if not IS_SANITIZED:
                self.assertLess(worst, 4 * mean)
                self.assertLess(percentile(refused, 0.99), 1)
                self.assertGreater(len(answered), 0.3 * len(calm))
            # A refused request was never begun: it holds nothing.
            wait_until_idle(server, Process(server), 1 << 20)


class Shutdown(unittest.TestCase):

    def test_sigterm_loses_no_accepted_answer(self):
        """What was accepted is answered whole, streamed or not; nobody new gets in; exit code 0."""
        with harness.serve("--max-num-seqs", 64, "--shutdown-timeout", 60) as server:
            asyncio.run(self.stop_in_the_middle(server))
            self.assertEqual(server.process.wait(harness.STOP_SECONDS), 0)

    async def stop_in_the_middle(self, server):
        began, lengths = [], []
        tokens = 40 if IS_SANITIZED else 400  # all of which fit into the timeout
        all_began = asyncio.Event()

        async def one(number):
            is_stream = number % 2 == 1
            connection = await Connection(server.port).open()
            connection.send("POST", "/v1/completions", {
                "prompt": [number + 10] * 8, "max_tokens": tokens, "ignore_eos": True,
                "stream": is_stream})
            status, headers = await connection.head()
            assert status == 200, status

            def on_first():
                began.append(number)
                if len(began) == 30:
                    all_began.set()
            if is_stream:
                lengths.append(await read_stream(connection, on_first) > 0)
                return
            usage = json.loads(await connection.body(headers))["usage"]
            lengths.append(usage["completion_tokens"] == tokens)

        wholes = [asyncio.ensure_future(one(2 * i)) for i in range(30)]
        await asyncio.sleep(0.2)  # the unstreamed ones first: once streams run, these do
        streams = [asyncio.ensure_future(one(2 * i + 1)) for i in range(30)]
        await asyncio.wait_for(all_began.wait(), 60)
        finished = sum(task.done() for task in wholes + streams)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        with contextlib.suppress(OSError, Broken):
            late = await Connection(server.port).open()
            status, _, _ = await late.ask("POST", "/v1/completions", {"prompt": "x"})
            self.assertEqual(status, 503)
        await asyncio.gather(*wholes, *streams)
        say(f"shutdown: SIGTERM with {60 - finished} requests running, {sum(lengths)} of 60 "
            "answered whole")
        self.assertEqual(sum(lengths), 60)


class IdleConnections(unittest.TestCase):

    CONNECTIONS = 1000

    def test_a_thousand_cost_nothing(self):
        """Keep-alive connections that only wait take next to no memory, no CPU, and slow nobody."""
        with harness.serve() as server:
            asyncio.run(self.measure(server))

    async def latency(self, port):
        connection = await Connection(port).open()
        times = []
        for _ in range(60):
            began = time.monotonic()
            await connection.ask("POST", "/v1/completions", {"prompt": "Once", "max_tokens": 8})
            times.append(time.monotonic() - began)
        connection.close()
        return statistics.median(times)

    async def measure(self, server):
        process = Process(server)
        await self.latency(server.port)
        alone = await self.latency(server.port)
        resident = process.resident_bytes()
        connections = [await Connection(server.port).open() for _ in range(self.CONNECTIONS)]
        for connection in connections:
            status, _, _ = await connection.ask("GET", "/health")
            self.assertEqual(status, 200)
        each = (process.resident_bytes() - resident) / self.CONNECTIONS
        cpu = process.cpu_seconds()
        seconds = 3
        await asyncio.sleep(seconds)
        cpu = (process.cpu_seconds() - cpu) / seconds
        among = await self.latency(server.port)
        for connection in connections:
            connection.close()
        say(f"idle: {self.CONNECTIONS} connections take {each / 1024:.1f} KiB each and "
            f"{100 * cpu:.1f} % of a core; 8 tokens in {1000 * among:.2f} ms, without them "
            f"{1000 * alone:.2f} ms")
        if not IS_SANITIZED:
            self.assertLess(each, 32 << 10)
            self.assertLessEqual(cpu, 0.02)
            self.assertLess(among, 2 * alone)


def main():
    global SECONDS
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60,
                        help="of the soak; the other phases scale with it (default: 60)")
    options, rest = parser.parse_known_args()
    SECONDS = options.seconds
    # A thousand connections and their clients.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    result = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False, warnings="ignore").result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(1 if bad or not result.testsRun else 0)


if __name__ == "__main__":
    main()
