#!/usr/bin/env python3
"""The command line as a user meets it: help, version, usage errors, the small commands."""

import json
import unittest

import harness

COMMANDS = ("serve", "complete", "chat", "inspect", "synth", "version")


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

    def test_version(self):
        """version names the program; its JSON parses and carries the same version."""
        done = harness.run("version")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"bitcpm \d+\.\d+\.\d+")
        data = json.loads(harness.run("version", "--json").stdout)
        self.assertIn(data["version"], done.stdout)

    def test_usage_errors_exit_with_2(self):
        """A mistyped command line never runs anything, and says on stderr which word is wrong."""
        for args, word in (
            (("frobnicate",), "frobnicate"),
            (("--frobnicate",), "frobnicate"),
            (("complete", "--frobnicate"), "frobnicate"),
            (("complete", "--prompt", "x", "--max-tokens", "many"), "max-tokens"),
            (("serve", "--port", "70000"), "port"),
            (("serve", "--frobnicate", "1"), "frobnicate"),
            (("synth",), ""),
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


if __name__ == "__main__":
    harness.main()
