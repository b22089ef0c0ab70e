#!/usr/bin/env python3
"""What `bitcpm eval compare` prints equals a computation by NumPy on the two saved runs."""

import json
import os
import pathlib
import struct
import sys
import tempfile
import unittest
import zlib

import harness

try:
    import numpy as np
except ImportError:
    DEBIAN = "/usr/bin/python3"  # where the package python3-numpy is
    if os.path.exists(DEBIAN) and not os.environ.get("BITCPM_NUMPY_TRIED"):
        os.environ["BITCPM_NUMPY_TRIED"] = "1"
        os.execv(DEBIAN, [DEBIAN, "-B", *sys.argv])
    print("SKIPPED: no NumPy here; scripts/setup.sh test installs Debian's python3-numpy")
    sys.exit(77)


def read_run(path):
    """The header, and the logits of every window as float64 [rows, vocab] (docs/formats/run.md)."""
    data = path.read_bytes()
    assert data[:8] == b"bcpmrun\n"
    version, size = struct.unpack_from("<II", data, 8)
    assert version == 1
    header = json.loads(data[24:24 + size])
    vocab, offset, windows = header["vocab_size"], 24 + size, []
    for window in header["windows"]:
        rows = []
        wanted = len(window["ids"]) - window["first_scored"] + 1
        while sum(len(block) for block in rows) < wanted:
            count, length, _ = struct.unpack_from("<IIQ", data, offset)
            planes = np.frombuffer(zlib.decompress(data[offset + 16:offset + 16 + length]), np.uint8)
            values = np.ascontiguousarray(planes.reshape(4, -1).T).view("<f4")
            rows.append(values.reshape(count, vocab).astype(np.float64))
            offset += 16 + length
        windows.append(np.concatenate(rows))
    assert offset == len(data)
    return header, windows


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def oracle(a_path, b_path):
    header, a_windows = read_run(a_path)
    _, b_windows = read_run(b_path)
    a, b = np.concatenate(a_windows), np.concatenate(b_windows)
    log_a, log_b = log_softmax(a), log_softmax(b)
    cosines = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    top_a, top_b = (np.argsort(-x, axis=1, kind="stable")[:, :5] for x in (a, b))
    result = {
        "positions": len(a),
        "mean_kl": (np.exp(log_a) * (log_a - log_b)).sum(1).mean(),
        "cosine_mean": cosines.mean(),
        "cosine_min": cosines.min(),
        "mse": ((a - b) ** 2).mean(),
        "max_abs": np.abs(a - b).max(),
        "same_top1_share": (top_a[:, 0] == top_b[:, 0]).mean(),
        "common_top5_share": np.mean([len(set(x) & set(y)) / 5 for x, y in zip(top_a, top_b)]),
    }
    for side, windows in (("a", a_windows), ("b", b_windows)):
        losses, weights = [], []
        for window, logits in zip(header["windows"], windows):
            first = window["first_scored"]
            ids = window["ids"][first:]
            losses.append(-log_softmax(logits)[np.arange(len(ids)), ids])
            weights.append(len(window["ids"]))
        result["perplexity_" + side] = np.exp(np.concatenate(losses).mean())
        result["by_tokens_" + side] = np.exp(
            np.average([loss.mean() for loss in losses], weights=weights))
    result["perplexity_change"] = result["perplexity_b"] / result["perplexity_a"] - 1
    return result


class Oracle(unittest.TestCase):

    def test_every_figure(self):
        """To 1e-6 of each, for whole texts and for a sliding window."""
        texts = os.environ.get("BITCPM_WIKITEXT2")
        for how in (("--texts", 6, "--max-length", 200),
                    ("--stride", 100, "--max-length", 150),
                    *([("--text", texts, "--texts", 10)] if texts else [])):
            with tempfile.TemporaryDirectory() as name:
                a, b = pathlib.Path(name) / "a.run", pathlib.Path(name) / "b.run"
                for path, numerics in ((a, "exact"), (b, "fast")):
                    done = harness.run("eval", "ppl", *how, "--numerics", numerics, "--save", path,
                                       "--greedy", 0)
                    self.assertEqual(done.returncode, 0, done.stderr)
                done = harness.run("eval", "compare", a, b, "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                got = json.loads(done.stdout)
                for side in ("a", "b"):
                    ppl = got["perplexity_" + side]
                    got["by_tokens_" + side] = ppl["perplexity_by_tokens"]
                    got["perplexity_" + side] = ppl["perplexity"]
                for key, want in oracle(a, b).items():
                    scale = max(1.0, abs(want))
                    self.assertLess(abs(got[key] - want), 1e-6 * scale, (how, key, want))
                    if key in ("mean_kl", "mse"):  # small ones, relatively too
                        self.assertLess(abs(got[key] / want - 1), 1e-6, (how, key))


if __name__ == "__main__":
    harness.main()
