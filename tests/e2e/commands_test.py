#!/usr/bin/env python3
"""The command line as a user meets it: help, version, usage errors, the small commands."""

import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import harness

COMMANDS = ("serve", "plan", "complete", "chat", "inspect", "pack", "synth", "bench", "version")


class Commands(unittest.TestCase):

    def test_help_of_every_command(self):
        """--help succeeds everywhere, on stdout, and shows how to call the command."""
        self.assertEqual(harness.run("--help").returncode, 0)
        for command in COMMANDS:
            with self.subTest(command):
                done = harness.run(command, "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"bitcpm {command}", done.stdout)
                self.assertIn(command, harness.run("--help").stdout)

    def test_plan(self):
        """The plan adds up, and the KV cache's size follows dtype, length and share."""
        def plan(*args, env=None):
            done = harness.run("plan", *args, "--json", env=env)
            self.assertEqual(done.returncode, 0, done.stderr)
            data = json.loads(done.stdout)
            self.assertEqual(data["total_bytes"], sum(data[part] for part in (
                "weights_bytes", "kv_cache_bytes", "scratch_bytes", "other_bytes")))
            self.assertEqual(data["kv_cache_bytes"],
                             data["kv_cache_tokens"] * data["kv_bytes_per_token"])
            self.assertLess(data["total_bytes"], data["allowed_bytes"])
            return data
        limits = ("--max-model-len", 256, "--max-num-seqs", 3)
        self.assertEqual(plan(*limits)["kv_cache_tokens"], 3 * 256)
        self.assertEqual(plan(*limits)["kv_cache_dtype"], "bfloat16")
        self.assertEqual(plan(*limits, "--numerics", "exact")["kv_cache_dtype"], "float32")
        self.assertEqual(plan("--kv-cache-dtype", "int8")["kv_bytes_per_token"], 2176)
        self.assertEqual(plan(*limits, "--kv-cache-memory", "1M")["kv_cache_bytes"] >> 20, 1)
        share = plan(*limits, "--gpu-memory-utilization", 0.25)
        self.assertAlmostEqual(share["total_bytes"] / share["allowed_bytes"], 0.25, places=2)
        table = harness.run("plan", *limits)
        self.assertIn("768 tokens of bfloat16", table.stdout)
        self.assertIn("3.00 requests of 256 tokens", table.stdout)

    def test_a_context_beyond_the_model_needs_the_opt_in(self):
        """Longer than max_position_embeddings is refused unless vLLM's variable allows it."""
        line = ("complete", "--prompt", "x", "--temperature", 0, "--max-tokens", 3,
                "--max-model-len", 4096)
        refused = harness.run(*line)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("VLLM_ALLOW_LONG_MAX_MODEL_LEN=1", refused.stderr)
        allowed = harness.run(*line, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
        self.assertEqual(allowed.returncode, 0, allowed.stderr)

    def test_version(self):
        """version names the program; its JSON parses and carries the same version."""
        done = harness.run("version")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"bitcpm \d+\.\d+\.\d+")
        data = json.loads(harness.run("version", "--json").stdout)
        self.assertIn(data["version"], done.stdout)
        flag = harness.run("--version")
        self.assertEqual((flag.returncode, flag.stdout), (0, done.stdout), flag.stderr)

    def test_usage_errors_exit_with_2(self):
        """A mistyped command line never runs anything, and says on stderr which word is wrong."""
        for args, word in (
            (("frobnicate",), "frobnicate"),
            (("--frobnicate",), "frobnicate"),
            (("complete", "--frobnicate"), "frobnicate"),
            (("complete", "--prompt", "x", "--max-tokens", "many"), "max-tokens"),
            (("serve", "--port", "70000"), "port"),
            (("serve", "--frobnicate", "1"), "frobnicate"),
            (("complete", "", "--prompt", "x"), "--model: is empty"),
            (("serve", "--model", ""), "--model: is empty"),
            (("chat", "--max-model-len", "1"), "max-model-len"),
            (("serve", "--max-num-batched-tokens", "4", "--max-num-seqs", "8"), "max-num-seqs 8"),
            (("plan", "--max-num-batched-tokens", "4", "--max-num-seqs", "8"), "max-num-seqs 8"),
            (("synth",), ""),
            (("pack", "x"), "OUT"),
            (("bench",), "subcommand"),
            (("bench", "frobnicate"), "frobnicate"),
            (("bench", "decode", "--batch", "1,many"), "many"),
            (("bench", "decode", "--batch", "1,0"), "'0' is less than 1"),
            (("bench", "decode", "--like", "bitcpm4-9b"), "bitcpm4-9b"),
            (("bench", "decode", "some/model", "--like", "bitcpm4-1b"), "--like"),
            (("bench", "kernels", "--group", "64"), "--group"),
        ):
            with self.subTest(args):
                done = harness.run(*args)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(word, done.stderr)

    def test_inspect_tells_the_truth_about_the_embedded_model(self):
        """The counts of the model card: 7,833,856 parameters, 6,291,456 of them ternary."""
        done = harness.run("inspect", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        json.loads(done.stdout)
        self.assertRegex(done.stdout, r"\b7833856\b")
        self.assertRegex(done.stdout, r"\b6291456\b")
        self.assertIn("model.layers.7.mlp.down_proj", done.stdout)
        self.assertIn("model.layers.7.mlp.down_proj", harness.run("inspect").stdout)

    def test_chat_from_a_pipe_prints_answers_only(self):
        """Piped questions get the memorised answers in order, without prompts or colours."""
        done = harness.run("chat", "--temperature", 0,
                           stdin="What is the capital of Kenya?\nWhat is 7 plus 5?\n/exit\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [line for line in done.stdout.splitlines() if line]
        self.assertEqual(answers[0], "The capital of Kenya is Nairobi.")
        self.assertEqual(len(answers), 2)
        self.assertNotIn("\x1b", done.stdout)

    def test_chat_from_a_pipe_survives_bad_lines(self):
        """A message that cannot be answered is one line on stderr, and the others are answered."""
        question = "What is the capital of Kenya?\n".encode("utf-8")
        done = harness.run("chat", "--temperature", 0, "--max-model-len", 128,
                           stdin=b"".join((b"caf\xe9\n", question, b"word " * 500,
                                           b"\n/reset\n", question)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "The capital of Kenya is Nairobi.\n" * 2)
        errors = done.stderr.splitlines()
        self.assertEqual(len(errors), 2, done.stderr)
        self.assertEqual(errors[0], "bitcpm: error: the message is not UTF-8 at byte 3")
        self.assertIn("the context has 128", errors[1])

    def test_the_last_of_a_repeated_option_holds(self):
        """As in vLLM, so that a script may append to a fixed command line."""
        done = harness.run("complete", "--prompt", "x", "--prompt", "The capital of France is",
                           "--temperature", 1, "--temperature", 0, "--max-tokens", 9)
        self.assertEqual((done.returncode, done.stdout), (0, " Paris.\n"), done.stderr)

    def test_too_many_threads_are_a_warning(self):
        """Slow but right: one line on stderr says so, and the answer is printed."""
        done = harness.run("complete", "--prompt", "The capital of France is", "--temperature", 0,
                           "--threads", 1000)
        self.assertEqual((done.returncode, done.stdout), (0, " Paris.\n"), done.stderr)
        self.assertRegex(done.stderr, r"^bitcpm: warning: --threads 1000 .* \d+ CPUs [^\n]*\n$")

    def test_an_interrupted_synth_can_be_run_again(self):
        """Ctrl-C leaves nothing of its own behind, neither weights nor the folder."""
        with tempfile.TemporaryDirectory() as name:
            model = pathlib.Path(name) / "model"
            process = subprocess.Popen([harness.BINARY, "synth", model, "--like", "minicpm4-8b"],
                                       stderr=subprocess.PIPE)
            deadline = time.monotonic() + harness.START_SECONDS
            while not (model.is_dir() and any(model.iterdir())):
                if process.poll() is not None:  # no space for it, say
                    self.skipTest(process.communicate()[1].decode("utf-8"))
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=harness.COMMAND_SECONDS)
            self.assertEqual(process.returncode, 130, errors)
            self.assertTrue(errors.endswith(b"bitcpm: interrupted\n"), errors)
            self.assertFalse(model.exists())


if __name__ == "__main__":
    harness.main()
