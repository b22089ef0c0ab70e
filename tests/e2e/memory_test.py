#!/usr/bin/env python3
"""A checkpoint of a real shape keeps the memory it should: packed weights, not the source file."""

import pathlib
import re
import shutil
import tempfile
import unittest

import harness

# MiniCPM4-0.5B at two bits per ternary weight: about 90 MB of codes and scales, 150 MB of bf16
# embeddings, the program, tokenizer and scratch; half of the 867 MB that the file has.
MOST_RESIDENT_BYTES = 450 << 20
DISK_BYTES = 2 << 30


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) << 10


class Memory(unittest.TestCase):

    def test_half_a_billion_parameters_stay_small(self):
        """synth, inspect and serve agree on a 0.5B model, and serving it drops the source file."""
        if shutil.disk_usage(tempfile.gettempdir()).free < DISK_BYTES:
            self.skipTest(f"needs {DISK_BYTES >> 30} GiB in {tempfile.gettempdir()}")
        with tempfile.TemporaryDirectory() as name:
            model = pathlib.Path(name) / "model"
            done = harness.run("synth", model, "--like", "minicpm4-0.5b", "--group-size", 128,
                               "--seed", 0)
            self.assertEqual(done.returncode, 0, done.stderr)
            with harness.serve(model, "--max-model-len", 2048, "--max-num-seqs", 1) as server:
                status, answer = server.request("POST", "/v1/completions", {
                    "model": str(model), "prompt": "Once upon a time", "max_tokens": 4,
                    "temperature": 0, "ignore_eos": True})
                self.assertEqual(status, 200, answer)
                self.assertEqual(answer["usage"]["completion_tokens"], 4)
                resident = resident_bytes(server.process.pid)
                print(f"resident: {resident / 1e6:.0f} MB", flush=True)
                self.assertLess(resident, MOST_RESIDENT_BYTES)


if __name__ == "__main__":
    harness.main()
