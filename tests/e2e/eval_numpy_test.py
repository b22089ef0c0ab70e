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


def asked(server, window, top):
    """Echoed log-probabilities of a window, and per row the most likely tokens, as id -> logprob."""
    status, answer = server.request("POST", "/v1/completions", {
        "prompt": window["ids"], "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": top,
        "return_tokens_as_token_ids": True})
    assert status == 200, answer
    scored = answer["choices"][0]["logprobs"]
    first = window["first_scored"]
    tops = [{int(name.split(":")[1]): value for name, value in top.items()}
            for top in scored["top_logprobs"][first:]]
    return np.array(scored["token_logprobs"][first:len(window["ids"])]), tops


def endpoint_oracle(header, windows, server, top):
    """What `eval endpoint --against` must say: from the logits of a run and a server's answers."""
    bounds, distances, firsts, fives, here, there, weights = [], [], [], [], [], [], []
    for window, logits in zip(header["windows"], windows):
        got, tops = asked(server, window, top)
        log_p = log_softmax(logits)
        ids = window["ids"][window["first_scored"]:]
        here.append(log_p[np.arange(len(ids)), ids])
        there.append(got)
        weights.append(len(window["ids"]))
        assert len(tops) == len(log_p)
        for row, returned in zip(log_p, tops):
            keys = sorted(returned, key=lambda key: -returned[key])
            p, q = row[keys], np.array([returned[key] for key in keys])
            distances.append(np.abs(p - q))
            rest_p, rest_q = 1 - np.exp(p).sum(), max(1 - np.exp(q).sum(), 1e-6)
            bound = (np.exp(p) * (p - q)).sum()
            bounds.append(max(0, bound + (rest_p * np.log(rest_p / rest_q) if rest_p > 0 else 0)))
            best = np.argsort(-row, kind="stable")[:5]
            firsts.append(best[0] == keys[0])
            fives.append(len(set(best) & set(keys[:5])) / 5)
    differences = np.abs(np.concatenate(here) - np.concatenate(there))
    ppl = [np.exp(-np.concatenate(losses).mean()) for losses in (here, there)]
    return {
        "there": ppl[1],
        "there_by_tokens": np.exp(-np.average([loss.mean() for loss in there], weights=weights)),
        "perplexity": ppl[0],
        "perplexity_by_tokens": np.exp(-np.average([x.mean() for x in here], weights=weights)),
        "perplexity_change": ppl[1] / ppl[0] - 1,
        "logprob_mean_abs": differences.mean(),
        "logprob_max_abs": differences.max(),
        "positions": len(bounds),
        "mean_kl_lower_bound": np.mean(bounds),
        "top_logprob_mean_abs": np.concatenate(distances).mean(),
        "top_logprob_max_abs": np.concatenate(distances).max(),
        "same_top1_share": np.mean(firsts),
        "common_top5_share": np.mean(fives),
    }


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

    def test_every_figure_of_an_endpoint(self):
        """The same for what a server lets one know, with 5 and with 20 tokens a position: to 1e-6;
        and beside `eval compare` of the same pair: the KL is a lower bound, near with 20 tokens, and
        texts, tops and perplexities are the same."""
        with tempfile.TemporaryDirectory() as name:
            run = pathlib.Path(name) / "exact.run"
            how = ("--texts", 4, "--max-length", 120)
            done = harness.run("eval", "ppl", *how, "--numerics", "exact", "--save", run,
                               "--greedy", 4, "--greedy-tokens", 40)
            self.assertEqual(done.returncode, 0, done.stderr)
            done = harness.run("eval", "compare", run, "numerics=fast", "--json", "--greedy", 4,
                               "--greedy-tokens", 40)
            self.assertEqual(done.returncode, 0, done.stderr)
            compared = json.loads(done.stdout)
            header, windows = read_run(run)
            bounds = []
            with harness.serve("--numerics", "fast") as server:
                for top in (5, 20):
                    done = harness.run("eval", "endpoint", f"127.0.0.1:{server.port}", "--against",
                                       run, "--top-logprobs", top, "--json", "--max-kl", 1e-9,
                                       "--min-top1", 0.5)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn("--max-kl", done.stderr)
                    answer = json.loads(done.stdout)
                    self.assertEqual([bound["passed"] for bound in answer["bounds"]], [False, True])
                    got = answer["against"]
                    got["there"] = answer["perplexity"]
                    got["there_by_tokens"] = answer["perplexity_by_tokens"]
                    for key, want in endpoint_oracle(header, windows, server, top).items():
                        self.assertLess(abs(got[key] - want), 1e-6 * max(1.0, abs(want)),
                                        (top, key, want))
                        if key in ("mean_kl_lower_bound", "top_logprob_mean_abs"):
                            self.assertLess(abs(got[key] / want - 1), 1e-6, (top, key))
                    bounds.append(got["mean_kl_lower_bound"])
                    for key in ("positions", "same_top1_share", "common_top5_share", "greedy"):
                        self.assertEqual(got[key], compared[key], key)
                    for key in ("same_top1_positions", "common_top5_positions"):
                        self.assertEqual(got[key], got["positions"], key)
                    low, high = got["perplexity_change_interval"]
                    self.assertTrue(low <= got["perplexity_change"] <= high)
                    self.assertAlmostEqual(got["perplexity_change"], compared["perplexity_change"],
                                           delta=1e-6)
            self.assertTrue(0 < bounds[0] < bounds[1] <= compared["mean_kl"], (bounds, compared))


if __name__ == "__main__":
    harness.main()
