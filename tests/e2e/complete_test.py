#!/usr/bin/env python3
"""`bitcpm complete` with the embedded model: what it prints is what the reference computes."""

import json
import signal
import subprocess
import unittest

import harness

GOLDENS = sorted((harness.ROOT / "tests/golden/prompts").glob("*.json"))
ENGLISH = ("The capital of France is", " Paris.")
CHINESE = ("天空是", "蓝色的。")


class Complete(unittest.TestCase):

    def test_greedy_in_both_languages(self):
        """The smallest whole path, text to text, in English and Chinese."""
        for prompt, want in (ENGLISH, CHINESE):
            self.assertEqual(harness.complete(prompt, 16), want)

    def test_greedy_equals_every_golden(self):
        """Text, stop ids and special tokens through the real program, all golden prompts."""
        if not GOLDENS:
            self.skipTest("tests/golden/prompts holds no goldens")
        for path in GOLDENS:
            golden = json.loads(path.read_text(encoding="utf-8"))
            with self.subTest(path.name):
                got = harness.complete(golden["prompt"], len(golden["greedy_ids"]),
                                       "--numerics", "exact")
                self.assertEqual(got, golden["greedy_text"])

    def test_every_cpu_level_prints_the_same(self):
        """BITCPM_ISA forces a level, and no level changes the answer; an unknown one is refused."""
        ran = 0
        for level in ("scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "dotprod", "i8mm"):
            done = harness.run("complete", "--prompt", CHINESE[0], "--temperature", 0,
                               env={"BITCPM_ISA": level})
            if done.returncode != 0 and level != "scalar":
                self.assertIn(level, done.stderr)
                print(f"skipped: {done.stderr.strip()}", flush=True)
                continue
            self.assertEqual(done.stdout, CHINESE[1] + "\n", level)
            ran += 1
        self.assertGreaterEqual(ran, 1)
        done = harness.run("complete", "--prompt", "x", env={"BITCPM_ISA": "mmx"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("mmx", done.stderr)

    def test_thread_count_changes_nothing(self):
        """The same bits from one thread and from three."""
        texts = {harness.complete("Once upon a time", 64, "--threads", n) for n in (1, 3)}
        self.assertEqual(len(texts), 1)

    def test_a_seed_decides_the_draw(self):
        """Equal seeds give equal text; eight different seeds do not all give the same."""
        def draw(seed):
            done = harness.run("complete", "--prompt", "Once upon a time", "--max-tokens", 24,
                               "--temperature", 1.5, "--seed", seed)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout
        self.assertEqual(draw(7), draw(7))
        self.assertGreater(len({draw(seed) for seed in range(8)}), 1)

    def test_prompt_from_stdin(self):
        """`--prompt -` reads the prompt from stdin."""
        done = harness.run("complete", "--prompt", "-", "--temperature", 0, stdin=ENGLISH[0])
        self.assertEqual(done.stdout, ENGLISH[1] + "\n", done.stderr)

    def test_json_is_one_object(self):
        """--json puts exactly one object on stdout, with what a script wants to know."""
        done = harness.run("complete", "--prompt", ENGLISH[0], "--temperature", 0, "--json",
                           "--logprobs", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        data = json.loads(done.stdout)
        self.assertEqual(data["text"], ENGLISH[1])
        self.assertEqual(data["finish_reason"], "stop")
        self.assertEqual(data["usage"]["completion_tokens"], 4)
        self.assertTrue(data["logprobs"])
        short = json.loads(harness.run("complete", "--prompt", ENGLISH[0], "--temperature", 0,
                                       "--json", "--max-tokens", 1).stdout)
        self.assertEqual(short["finish_reason"], "length")
        self.assertEqual(short["usage"]["completion_tokens"], 1)

    def test_logprobs_follow_the_text(self):
        """--logprobs prints the text first and unchanged, then a table."""
        done = harness.run("complete", "--prompt", ENGLISH[0], "--temperature", 0, "--logprobs", 3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(ENGLISH[1] + "\n"), done.stdout)
        self.assertGreater(len(done.stdout.splitlines()), 4)

    def test_ctrl_c_prints_what_there_is(self):
        """Exit code 130 as a shell expects it, the text so far, and a word about it on stderr."""
        process = subprocess.Popen([harness.BINARY, "complete", "--prompt", "Once upon a time",
                                    "--temperature", "0", "--max-tokens", "2000", "--ignore-eos"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=harness.COMMAND_SECONDS)
        self.assertEqual(process.returncode, 130, errors)
        self.assertEqual(errors, b"bitcpm: interrupted\n")
        whole = harness.complete("Once upon a time", 2000, "--ignore-eos")
        got = (first + rest).decode("utf-8")
        self.assertTrue(got.endswith("\n"), got)
        # An unfinished character shows as U+FFFD.
        self.assertTrue(whole.startswith(got[:-1].rstrip("\ufffd")), got[-20:])
        self.assertLess(len(got), len(whole))

    def test_lengths_beyond_the_model_are_refused(self):
        """The number in the message is the one that was typed."""
        for args, message in (
            (("--max-model-len", 9999999),
             "--max-model-len 9999999 is more than the model's max_position_embeddings 2048"),
            (("--max-tokens", 5000), "--max-tokens 5000 exceed the context of 2048"),
            (("--max-model-len", 2), "and an answer exceed the context of 2"),
        ):
            with self.subTest(args):
                done = harness.run("complete", "--prompt", ENGLISH[0], *args)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(message, done.stderr)


if __name__ == "__main__":
    harness.main()
