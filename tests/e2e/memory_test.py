#!/usr/bin/env python3
"""A checkpoint of a real shape keeps the memory it should: packed weights, not the source file, and
at full load what `bitcpm plan` says."""

import concurrent.futures
import json
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

# Full load: four prompts that fill the KV cache but for the tokens they generate.
FULL_LOAD = ("--numerics", "fast", "--max-model-len", 2048, "--max-num-seqs", 4,
             "--kv-cache-memory-bytes", "100M")
PROMPT_TOKENS = 2000
PLAN_TOLERANCE = 0.05


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) << 10


class Memory(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        if shutil.disk_usage(tempfile.gettempdir()).free < DISK_BYTES:
            raise unittest.SkipTest(f"needs {DISK_BYTES >> 30} GiB in {tempfile.gettempdir()}")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.model = pathlib.Path(cls.folder.name) / "model"
        done = harness.run("synth", cls.model, "--like", "minicpm4-0.5b", "--group-size", 128,
                           "--seed", 0)
        assert done.returncode == 0, done.stderr

    def complete(self, server, prompt, **parameters):
        status, answer = server.request("POST", "/v1/completions", {
            "model": str(self.model), "prompt": prompt, "max_tokens": 4, "temperature": 0,
            "ignore_eos": True, **parameters})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["usage"]["completion_tokens"], 4)

    def test_half_a_billion_parameters_stay_small(self):
        """synth and serve agree on a 0.5B model, and serving it drops the source file."""
        with harness.serve(self.model, "--max-model-len", 2048, "--max-num-seqs", 1) as server:
            self.complete(server, "Once upon a time")
            resident = resident_bytes(server.process.pid)
            print(f"resident: {resident / 1e6:.0f} MB", flush=True)
            self.assertLess(resident, MOST_RESIDENT_BYTES)

    def test_a_full_cache_takes_what_the_plan_says(self):
        """With every KV block in use, resident memory is within 5 % of the plan."""
        done = harness.run("plan", self.model, *FULL_LOAD, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        plan = json.loads(done.stdout)
        self.assertEqual(plan["total_bytes"], sum(plan[part] for part in (
            "weights_bytes", "kv_cache_bytes", "scratch_bytes", "other_bytes")))
        self.assertEqual(plan["kv_cache_dtype"], "bfloat16")
        with harness.serve(self.model, *FULL_LOAD) as server:
            self.assertIn(f"{plan['kv_cache_tokens']:,} tokens of bfloat16", server.log())
            prompts = [[100 + seed] * PROMPT_TOKENS for seed in range(4)]
            with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
                list(pool.map(lambda prompt: self.complete(server, prompt), prompts))
            # Logits of many rows at once, and a draw from the whole vocabulary.
            self.complete(server, [7] * 128, prompt_logprobs=1, temperature=1, seed=1, top_p=0.9)
            resident = resident_bytes(server.process.pid)
        print(f"planned {plan['total_bytes'] / 1e6:.0f} MB, resident {resident / 1e6:.0f} MB",
              flush=True)
        self.assertLess(abs(resident - plan["total_bytes"]), PLAN_TOLERANCE * plan["total_bytes"])

    def test_what_cannot_fit_is_refused_in_one_line(self):
        """A KV cache larger than the memory, and a share that the weights alone exceed."""
        for args in (("--kv-cache-memory-bytes", "900G"), ("--gpu-memory-utilization", "0.001")):
            for command in ("plan", "serve"):
                with self.subTest(args=args, command=command):
                    done = harness.run(command, self.model, *args, timeout=harness.START_SECONDS)
                    self.assertEqual(done.returncode, 1)
                    lines = done.stderr.splitlines()
                    self.assertEqual(len([line for line in lines if "error: " in line]), 1, lines)
                    self.assertIn(args[0], lines[-1])
                    self.assertIn("weights", lines[-1])


if __name__ == "__main__":
    harness.main()
