#!/usr/bin/env python3
"""`bitcpm report`: measures once, and makes every form from the same data."""

import html.parser
import json
import math
import pathlib
import tempfile
import unittest

import harness

QUICK = ("--texts", 2, "--max-length", 40, "--batch-size", "10,2", "--output-len", 3,
         "--latency-output-len", 3, "--num-iters", 1)


class Balanced(html.parser.HTMLParser):
    """Fails on a tag that is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_startendtag(self, tag, attrs):
        for name, value in attrs:
            assert name not in ("src", "href"), (tag, name, value)

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag != "meta":  # the only one without an end
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag


def same(a, b):
    """Whether two JSON values are equal, but for the last digits of numbers with a fraction:
    Boost.JSON 1.81 reads those to within the last one."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-14)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


class Report(unittest.TestCase):

    def test_every_form_from_one_measurement(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "out"
            done = harness.run("report", harness.TINY_MODEL, "--like", "reference", *QUICK,
                               "--output", folder)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            self.assertEqual(data["numerics"], "fast")
            self.assertEqual(data["reference"]["latency"]["avg_latency"], 1.75)
            self.assertEqual([row["num_requests"] for row in data["throughput"]], [10, 2])
            self.assertEqual(len(data["accuracy"]["layers"]), 2 + 3 * 8)
            self.assertGreater(data["load"]["seconds"], 0)
            markdown = (folder / "report.md").read_text(encoding="utf-8")
            self.assertEqual(done.stdout, markdown)
            for text in ("| 351.2 | 367.7 |", "1.75 s", "0.999992", "12.8067", "批处理吞吐",
                         data["cpu"], data["date"], "Ascend 910B"):
                self.assertIn(text, markdown)
            page = (folder / "report.html").read_text(encoding="utf-8")
            parser = Balanced()
            parser.feed(page)
            self.assertEqual(parser.open, [])
            self.assertNotIn("http", page)
            for text in ("351.2", "逐层相对误差", data["program"]):
                self.assertIn(text, page)

            again = pathlib.Path(name) / "again"
            done = harness.run("report", "--from", folder / "report.json", "--output", again)
            self.assertEqual(done.returncode, 0, done.stderr)
            for file in ("report.md", "report.html"):
                self.assertEqual((again / file).read_bytes(), (folder / file).read_bytes(), file)
            self.assertTrue(same(*(json.loads((place / "report.json").read_text(encoding="utf-8"))
                                   for place in (again, folder))))
            section = harness.run("report", "--from", folder / "report.json", "--section",
                                  "accuracy", "--language", "zh").stdout
            self.assertIn("精度对比", section)
            self.assertNotIn("Accuracy", section)

            data.pop("accuracy")
            (folder / "broken.json").write_text(json.dumps(data))
            for path, word in ((folder / "broken.json", "accuracy"), (folder / "report.md", "report.md"),
                               (folder / "none.json", "none.json")):
                done = harness.run("report", "--from", path)
                self.assertEqual(done.returncode, 1)
                self.assertIn(word, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    harness.main()
