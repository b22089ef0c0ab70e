#!/usr/bin/env python3
"""A broken model directory ends with exit code 1 and one line that names file and reason."""

import json
import pathlib
import shutil
import tempfile
import unittest

import harness


def rewrite_config(directory, **changes):
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.update(changes)
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def truncate(directory, name, size):
    with open(directory / name, "r+b") as file:
        file.truncate(size)


def write(directory, name, data):
    (directory / name).write_bytes(data)


def edit_tensor_name(directory):
    """Renames one tensor inside the header, same length: a tensor missing, another unknown."""
    path = directory / "model.safetensors"
    data = path.read_bytes()
    old, new = b'"model.layers.3.mlp.up_proj.weight"', b'"model.layers.3.mlp.uq_proj.weight"'
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def huge_header(directory):
    """A header length that says 2^63 bytes."""
    with open(directory / "model.safetensors", "r+b") as file:
        file.write((1 << 63).to_bytes(8, "little"))


# (what is broken, how, parts of the line)
BROKEN = [
    ("no config", lambda d: (d / "config.json").unlink(), ["config.json"]),
    ("config is not JSON", lambda d: write(d, "config.json", b"{oops"), ["config.json"]),
    ("config nests deeply", lambda d: write(d, "config.json", b"[" * 100000), ["config.json"]),
    ("unknown architecture", lambda d: rewrite_config(d, architectures=["GPT2LMHeadModel"]),
     ["config.json", "GPT2LMHeadModel"]),
    ("field missing", lambda d: rewrite_config(d, hidden_size=None), ["config.json", "hidden_size"]),
    ("lying shape", lambda d: rewrite_config(d, intermediate_size=1024), ["mlp."]),
    ("absurd size", lambda d: rewrite_config(d, num_hidden_layers=2**31 - 1),
     ["config.json", "num_hidden_layers"]),
    ("sparse attention", lambda d: rewrite_config(d, sparse_config={"kernel_size": 32}),
     ["sparse_config"]),
    ("no weights", lambda d: (d / "model.safetensors").unlink(), ["safetensors"]),
    ("weights truncated", lambda d: truncate(d, "model.safetensors", 1 << 20),
     ["model.safetensors"]),
    ("weights empty", lambda d: truncate(d, "model.safetensors", 0), ["model.safetensors"]),
    ("header too large", huge_header, ["model.safetensors"]),
    ("tensor missing", edit_tensor_name, ["model.layers.3.mlp.up_proj.weight"]),
    ("tokenizer is not JSON", lambda d: write(d, "tokenizer.json", b"[1,"), ["tokenizer.json"]),
    ("no tokenizer", lambda d: (d / "tokenizer.json").unlink(), ["tokenizer.json"]),
]


class MalformedModels(unittest.TestCase):

    def assert_one_line(self, done, *parts):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("bitcpm: error: "), lines[0])
        for part in parts:
            self.assertIn(part, lines[0])

    def test_each_defect_is_one_line(self):
        """Whatever is broken: no crash, no stack of messages, a name to look for."""
        for what, damage, parts in BROKEN:
            with self.subTest(what), tempfile.TemporaryDirectory() as name:
                directory = pathlib.Path(name) / "model"
                shutil.copytree(harness.TINY_MODEL, directory)
                damage(directory)
                self.assert_one_line(
                    harness.run("complete", directory, "--prompt", "x", "--max-tokens", 1),
                    f"error: {directory}: ", *parts)

    def test_inspect_names_the_directory_too(self):
        """Among several checkpoints, config.json alone says little."""
        with tempfile.TemporaryDirectory() as directory:
            self.assert_one_line(harness.run("inspect", directory),
                                 f"error: {directory}: config.json: ")

    def test_the_undamaged_copy_runs(self):
        """The table above tests its defects, not the copying."""
        self.assertEqual(harness.complete("天空是", 16, harness.TINY_MODEL), "蓝色的。")

    def test_every_command_refuses_a_missing_directory(self):
        """The same manners in every command that takes a model."""
        for command, more in (("complete", ("--prompt", "x")), ("serve", ("--port", "0")),
                              ("chat", ()), ("inspect", ())):
            with self.subTest(command):
                self.assert_one_line(harness.run(command, "/nonexistent/model", *more),
                                     "/nonexistent/model")

    def test_a_name_with_control_characters_stays_one_line(self):
        """Names from outside cannot forge lines or colours in the terminal."""
        done = harness.run("inspect", "/nonexistent\n\x1b[31m/model")
        self.assert_one_line(done, "nonexistent")
        self.assertNotIn("\x1b", done.stderr)


if __name__ == "__main__":
    harness.main()
