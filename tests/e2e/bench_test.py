#!/usr/bin/env python3
"""`bitcpm bench` on the built-in model: what it prints adds up, whatever the machine's speed."""

import json
import unittest

import harness

BENCH_COMMANDS = ("kernels", "decode", "prefill", "attention")


def bench(*args, env=None):
    """The report of one `bench ... --json`."""
    done = harness.run("bench", *args, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Bench(unittest.TestCase):

    def check_spread(self, spread):
        self.assertGreater(spread["min"], 0)
        self.assertLessEqual(spread["min"], spread["median"])
        self.assertLessEqual(spread["median"], spread["max"])

    def check_rates(self, report, result):
        """Positive rates, and shares that follow from them and the limits."""
        limits = report["limits"]
        for key in ("read_bytes_per_s", "int8_macs_per_s", "bf16_macs_per_s", "f32_macs_per_s"):
            self.assertGreater(limits[key], 0)
        self.assertAlmostEqual(result["bandwidth_share"],
                               result["bytes_per_s"] / limits["read_bytes_per_s"], places=6)
        int8 = result["macs_per_s"] / limits["int8_macs_per_s"]
        if report["numerics"] == "fast":
            self.assertAlmostEqual(result["compute_share"], int8, places=6)
        else:  # two products of bytes each, and the head in f32
            f32 = result["macs_per_s"] / limits["f32_macs_per_s"]
            self.assertLessEqual(min(2 * int8, f32) - 1e-6, result["compute_share"])
            self.assertLessEqual(result["compute_share"], max(2 * int8, f32) + 1e-6)
        self.assertIn(result["bound_by"], ("read", "compute"))

    def test_help_of_every_command(self):
        """Each shows how to call it."""
        for command in BENCH_COMMANDS:
            done = harness.run("bench", command, "--help")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"bitcpm bench {command}", done.stdout)

    def test_decode(self):
        """A row per batch size, in the order asked for."""
        for numerics in ("exact", "fast"):
            report = bench("decode", "--batch", "2,1", "--prompt-tokens", 3, "--max-tokens", 64,
                           "--repeat", 2, "--numerics", numerics, "--threads", 1)
            self.assertEqual((report["command"], report["numerics"], report["threads"]),
                             ("decode", numerics, 1))
            self.assertEqual([result["streams"] for result in report["results"]], [2, 1])
            for result in report["results"]:
                self.check_spread(result["overall_tokens_per_s"])
                if result["decode_tokens_per_s"] is None:  # one stream ended before the other began
                    self.assertEqual(result["streams"], 2)
                    continue
                self.check_spread(result["decode_tokens_per_s"])
                self.check_spread(result["step_s"])
                self.check_rates(report, result)

    def test_decode_as_requests_ask(self):
        """With log-probabilities, and with guesses, which change no token but the time."""
        config = '{"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_min": 1}'
        report = bench("decode", "--batch", 1, "--max-tokens", 64, "--repeat", 1, "--logprobs", 2,
                       "--temperature", 0.5, "--speculative-config", config)
        result = report["results"][0]
        self.assertGreater(result["guessed_tokens"], 0)
        self.assertLessEqual(result["accepted_tokens"], result["guessed_tokens"])
        self.check_spread(result["sampling_share"])

    def test_prefill(self):
        """A prompt longer than a pass, and one of a single token."""
        report = bench("prefill", "--prompt-tokens", "600,1", "--repeat", 1)
        self.assertEqual([result["prompt_tokens"] for result in report["results"]], [600, 1])
        for result in report["results"]:
            self.check_spread(result["prefill_tokens_per_s"])
            self.check_spread(result["prefill_s"])
            self.check_rates(report, result)

    def test_attention(self):
        """A row per batch size and context; attention is a part of its pass."""
        report = bench("attention", "--context", "64,1.5k", "--batch", "1,2", "--repeat", 1)
        self.assertEqual([(r["streams"], r["context"]) for r in report["results"]],
                         [(1, 64), (1, 1500), (2, 64), (2, 1500)])
        for result in report["results"]:
            self.check_spread(result["pass_s"])
            self.check_spread(result["attention_s"])
            self.assertEqual(result["attention_share"],
                             result["attention_s"]["median"] / result["pass_s"]["median"])
            self.assertAlmostEqual(  # the default cache is of bf16
                result["compute_share"],
                result["macs_per_s"] / report["limits"]["bf16_macs_per_s"], places=6)

    def test_kernels(self):
        """Every linear of the model is in it once, with four numbers of tokens."""
        report = bench("kernels", "--repeat", 1)
        names = [name for result in report["results"] if result["tokens"] == 1
                 for name in result["linears"]]
        self.assertEqual(sorted(names), ["down_proj", "gate_proj", "k_proj", "lm_head", "o_proj",
                                         "q_proj", "up_proj", "v_proj"])
        self.assertEqual({result["tokens"] for result in report["results"]}, {1, 8, 64, 512})
        for result in report["results"]:
            self.check_spread(result["call_s"])
            self.check_rates(report, result)

    def test_tables(self):
        """Without --json: the setting, the limits, and a table whose lines are equally long."""
        done = harness.run("bench", "decode", "--batch", "1,3", "--max-tokens", 6, "--repeat", 1)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^decode: bitcpm-tiny; numerics fast; cpu .*; median of 1$")
        self.assertRegex(lines[1], r"^limits: reads [\d.]+ GB/s, int8 [\d.]+ GMAC/s \([\w ]+\), "
                                   r"bf16 [\d.]+, f32 [\d.]+$")
        self.assertEqual(len({len(line) for line in lines[3:]}), 1)
        self.assertEqual(len(lines), 6)

    def test_what_cannot_run_says_why(self):
        """A model that is not there, and more tokens than it has positions."""
        for args, word in ((("decode", "/no/such/model"), "/no/such/model"),
                           (("prefill", "--prompt-tokens", "1M"), "positions"),
                           (("attention", "--context", "1M"), "positions")):
            done = harness.run("bench", *args)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(word, done.stderr)

    def test_a_published_shape_leaves_no_files(self):
        """--like makes its weights in memory, and the report says that they are random."""
        report = bench("prefill", "--like", "bitcpm-cann-0.5b", "--group", 64, "--numerics", "fast",
                       "--prompt-tokens", 8, "--repeat", 1)
        self.assertEqual(report["model"], "bitcpm-cann-0.5b (random weights, groups of 64)")
        self.check_rates(report, report["results"][0])


if __name__ == "__main__":
    harness.main()
