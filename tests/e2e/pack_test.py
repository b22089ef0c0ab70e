#!/usr/bin/env python3
"""pack from the outside: what it writes runs as the checkpoint does, and nothing broken runs."""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

PROMPT = "What is quantum computing?"


class Pack(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.packed = cls.folder / "packed"
        done = harness.run("pack", harness.TINY_MODEL, cls.packed)
        assert done.returncode == 0, done.stderr
        cls.line = done.stdout

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def copy(self, name):
        return pathlib.Path(shutil.copytree(self.packed, self.folder / name))

    def test_says_what_it_did(self):
        """Sizes before and after, in a line or as JSON; the folder holds what the page says."""
        self.assertRegex(self.line, r"15\.7 MB of weights packed into \d\.\d MB \(\d+\.\d %\) in ")
        names = {path.name for path in self.packed.iterdir()}
        own = {"packed.json", "weights.bcpm"}
        self.assertLessEqual({"config.json", "generation_config.json", "tokenizer.json",
                              "tokenizer_config.json"} | own, names)
        for name in names - own:
            self.assertEqual((self.packed / name).read_bytes(),
                             (harness.TINY_MODEL / name).read_bytes())
        out = self.folder / "json"
        data = json.loads(harness.run("pack", harness.TINY_MODEL, out, "--json").stdout)
        self.assertEqual(data["packed_bytes"], (out / "weights.bcpm").stat().st_size)
        self.assertEqual(data["ternary_parameters"], 6291456)
        self.assertEqual((out / "weights.bcpm").read_bytes(),
                         (self.packed / "weights.bcpm").read_bytes())
        manifest = json.loads((out / "packed.json").read_text(encoding="utf-8"))
        self.assertEqual((manifest["version"], manifest["model"]), (1, "bitcpm-tiny"))

    def test_runs_as_the_checkpoint_does(self):
        """complete, serve and inspect take the packed folder, with equal results to the last bit."""
        for numerics in ("exact", "fast"):
            args = ("--prompt", PROMPT, "--temperature", 0, "--logprobs", 5, "--json",
                    "--numerics", numerics)
            want = json.loads(harness.run("complete", harness.TINY_MODEL, *args).stdout)
            got = json.loads(harness.run("complete", self.packed, *args).stdout)
            self.assertEqual(got["logprobs"], want["logprobs"])
        plain = json.loads(harness.run("inspect", harness.TINY_MODEL, "--json").stdout)
        packed = json.loads(harness.run("inspect", self.packed, "--json").stdout)
        self.assertEqual(packed.pop("packed")["format_version"], 1)
        for root in (plain, packed):
            root.pop("model")
        self.assertEqual(packed, plain)
        self.assertIn("all checksums right", harness.run("inspect", self.packed).stdout)
        with harness.serve(self.packed, "--numerics", "fast") as server:
            status, answer = server.request("POST", "/v1/completions", {
                "prompt": "The capital of France is", "max_tokens": 9, "temperature": 0})
            self.assertEqual((status, answer["choices"][0]["text"]), (200, " Paris."))

    def test_refusals_leave_everything_as_it_was(self):
        """A folder in use, a packed model, the model itself, a missing argument."""
        before = {path.name: path.read_bytes() for path in self.packed.iterdir()}
        tiny = harness.TINY_MODEL
        for args, code, reason in (
            ((tiny, self.packed), 1, "is not empty; --force"),
            ((self.packed, self.folder / "again"), 1, "is packed already"),
            ((tiny, tiny, "--force"), 1, "is the model itself"),
            ((self.folder / "nowhere", self.folder / "again"), 1, "no such directory"),
            ((tiny,), 2, "OUT"),
            ((tiny, self.folder / "again", "--frobnicate"), 2, "frobnicate"),
        ):
            with self.subTest(args):
                done = harness.run("pack", *args)
                self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                self.assertIn(reason, done.stderr)
        self.assertFalse((self.folder / "again").exists())
        self.assertEqual({path.name: path.read_bytes() for path in self.packed.iterdir()}, before)

    def test_force_replaces(self):
        """What an earlier run left goes away, what is not ours stays."""
        out = self.copy("forced")
        (out / "weights.bcpm").write_bytes(b"old")
        (out / "chat_template.jinja").write_text("old")
        (out / "notes.txt").write_text("mine")
        done = harness.run("pack", harness.TINY_MODEL, out, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse((out / "chat_template.jinja").exists())
        self.assertEqual((out / "notes.txt").read_text(), "mine")
        self.assertEqual(harness.run("inspect", out).returncode, 0)

    def test_broken_files_are_one_clear_line(self):
        """A flipped byte, a cut file, a lost file: exit code 1 and one line that names the file."""
        data = (self.packed / "weights.bcpm").read_bytes()
        text = (self.packed / "packed.json").read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 16
        cases = {
            "flipped": ("weights.bcpm", bytes(flipped), r"weights\.bcpm: 'model\..*: corrupt"),
            "cut": ("weights.bcpm", data[:-1], r"weights\.bcpm: \d+ bytes long where packed\.json"),
            "emptied": ("weights.bcpm", b"", r"weights\.bcpm: 0 bytes long"),
            "renamed": ("weights.bcpm", None, r"weights\.bcpm: "),
            "edited": ("packed.json", text.replace(b"bf16", b"bf61", 1), r"packed\.json: corrupt"),
            "halved": ("packed.json", text[:1000], r"packed\.json: "),
            "no-json": ("packed.json", b"", r"packed\.json: "),
        }
        for name, (file, content, reason) in cases.items():
            with self.subTest(name):
                out = self.copy(name)
                if content is None:
                    (out / file).unlink()
                else:
                    (out / file).write_bytes(content)
                fast = ("--numerics", "fast")  # which reads every section of this model
                for args in (("inspect", out), ("complete", out, "--prompt", "x", *fast),
                             ("serve", out, "--port", harness.free_port(), *fast)):
                    done = harness.run(*args)
                    self.assertEqual((done.returncode, done.stdout), (1, ""), (args, done.stderr))
                    self.assertRegex(done.stderr, r"^bitcpm: error: [^\n]*" + reason + r"[^\n]*\n$")

    def test_an_interrupted_pack_can_be_run_again(self):
        """Ctrl-C leaves nothing of its own behind, neither files nor the folder."""
        model, out = self.folder / "model", self.folder / "out"
        done = harness.run("synth", model, "--like", "minicpm4-0.5b")
        if done.returncode != 0:  # no space for it, say
            self.skipTest(done.stderr)
        process = subprocess.Popen([harness.BINARY, "pack", model, out], stderr=subprocess.PIPE)
        deadline = time.monotonic() + harness.START_SECONDS
        while not (out.is_dir() and any(out.iterdir())):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=harness.COMMAND_SECONDS)
        self.assertEqual((process.returncode, errors), (130, b"bitcpm: interrupted\n"))
        self.assertFalse(out.exists())


if __name__ == "__main__":
    harness.main()
