#!/usr/bin/env python3
"""`bitcpm bench serve`, `bench latency`, `bench throughput` and `eval endpoint`: against our server,
and against servers that behave as described here, well or badly."""

import contextlib
import http.server
import json
import math
import pathlib
import ssl
import tempfile
import threading
import time
import unittest

import harness


def run_json(*args, code=0, env=None):
    done = harness.run(*args, "--json", env=env)
    assert done.returncode == code, (done.returncode, done.stderr)
    return json.loads(done.stdout)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as `self.server.manner` says; remembers what was asked and how much at once."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(200, {"data": [{"id": "fake"}]})

    def reply(self, status, value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append((time.monotonic(), self.path, body, dict(self.headers)))
            server.running += 1
            server.most = max(server.most, server.running)
            self.running = True
        try:
            server.manner(self, body)
        finally:
            self.done()

    def done(self):
        """To be called before a client can know it: then nobody counts who is only leaving."""
        with self.server.lock:
            self.server.running -= self.running
            self.running = False


def stream(handler, body, first=0.05, gap=0.03, pieces=4, usage=True, end="data: [DONE]\n\n"):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for i in range(pieces):
        time.sleep(gap if i else first)
        choice = ({"delta": {"content": "x"}} if "messages" in body else {"text": "x"})
        event = "data: " + json.dumps({"choices": [{"index": 0, **choice}]}) + "\n\n"
        handler.chunk(event[:7])  # events do not come in one piece
        handler.chunk(event[7:])
    if usage:
        handler.chunk('data: {"choices": [], "usage": {"prompt_tokens": 11, '
                      '"completion_tokens": %d}}\n\n' % (2 * pieces))
    handler.done()
    handler.chunk(end)
    handler.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def fake_server(manner):
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.manner, server.requests, server.lock = manner, [], threading.Lock()
    server.running = server.most = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Serve(unittest.TestCase):

    def test_times_are_those_of_the_server(self):
        """A server that waits 50 ms, then 30 ms between pieces; its own count of tokens wins."""
        with fake_server(stream) as server:
            report = run_json("bench", "serve", "--base-url", server.url, "--num-prompts", 12,
                              "--max-concurrency", 3, "--goodput", "ttft:5000", "e2el:1",
                              "--save-detailed", "--api-key", "sesame")
            self.assertEqual((report["completed"], report["failed"]), (12, 0))
            self.assertEqual(server.most, 3)
            self.assertEqual(report["total_input_tokens"], 12 * 11)
            self.assertEqual(report["total_output_tokens"], 12 * 8)
            self.assertEqual(report["model_id"], "fake")
            self.assertEqual(report["request_goodput"], 0)
            self.assertGreaterEqual(report["median_ttft_ms"], 50)
            self.assertGreaterEqual(report["median_itl_ms"], 28)
            self.assertGreaterEqual(report["mean_e2el_ms"], 140)
            self.assertAlmostEqual(report["mean_tpot_ms"],
                                   (report["mean_e2el_ms"] - report["mean_ttft_ms"]) / 7, delta=1e-6)
            self.assertEqual([len(gaps) for gaps in report["itls"]], [3] * 12)
            for key in ("ttft", "tpot", "itl", "e2el"):
                for kind in ("mean", "median", "std", "p90", "p99"):
                    self.assertIsInstance(report[f"{kind}_{key}_ms"], float)
            for _, path, body, headers in server.requests:
                self.assertEqual(path, "/v1/completions")
                self.assertTrue(body["stream"] and body["stream_options"]["include_usage"])
                self.assertEqual(headers["Authorization"], "Bearer sesame")

    def test_the_open_loop_keeps_its_rate(self):
        """40 requests at 80 a second take about half a second, however slow the answers are."""
        with fake_server(lambda h, b: stream(h, b, first=0.5, pieces=1)) as server:
            report = run_json("bench", "serve", "--base-url", server.url, "--request-rate", 80,
                              "--num-prompts", 40, "--random-input-len", 4, "--seed", 3)
            times = [when for when, *_ in server.requests]
            self.assertTrue(0.2 < max(times) - min(times) < 1.5, max(times) - min(times))
            self.assertGreater(server.most, 10)
            gaps = [b - a for a, b in zip(sorted(times), sorted(times)[1:])]
            self.assertGreater(max(gaps), 3 * sorted(gaps)[len(gaps) // 2])  # Poisson, no metronome
            self.assertEqual(report["request_rate"], 80)

    def test_prompts(self):
        """Shared prefixes, lengths, files, chat: what is sent is what was asked for."""
        with fake_server(lambda h, b: stream(h, b, first=0, gap=0)) as server:
            def sent(*args):
                server.requests.clear()
                run_json("bench", "serve", "--base-url", server.url, *args)
                return [body for _, _, body, _ in server.requests]

            def beginnings(bodies):
                return {body["prompt"][:40] for body in bodies}

            prefix = ("--num-prompts", 10, "--random-prefix-len", 30, "--random-input-len", 5)
            self.assertEqual(len(beginnings(sent(*prefix))), 1)
            self.assertEqual(len(beginnings(sent(*prefix, "--prefix-share", 0))), 10)
            self.assertIn(len(beginnings(sent(*prefix, "--prefix-share", 0.5))), range(2, 10))
            lengths = [len(body["prompt"].split()) for body in
                       sent("--num-prompts", 20, "--random-input-len", 50, "--random-range-ratio",
                            0.5, "--random-output-len", 9)]
            self.assertTrue(25 <= min(lengths) < max(lengths) <= 75, lengths)
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "prompts.jsonl"
                path.write_text('{"prompt": "one", "output_tokens": 5}\n{"prompt": "二"}\n')
                bodies = sent("--dataset-path", path, "--custom-output-len", 6, "--ignore-eos")
                self.assertEqual({(b["prompt"], b["max_tokens"], b["ignore_eos"]) for b in bodies},
                                 {("one", 5, True), ("二", 6, True)})
                bodies = sent("--dataset-path", path, "--endpoint-type", "openai-chat")
                self.assertEqual({b["messages"][0]["content"] for b in bodies}, {"one", "二"})

    def test_what_goes_wrong_is_counted_and_named(self):
        """A server that fails, breaks off, talks nonsense or is not there."""
        cut = '{"text": "x"'

        def breaks_off(handler, body):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.chunk("data: {}\n\n")
            handler.close_connection = True
            handler.connection.shutdown(2)

        for manner, words in (
                (lambda h, b: h.reply(503, {"error": "too busy"}), ("HTTP 503", "too busy")),
                (lambda h, b: stream(h, b, pieces=0, usage=False), ("no text came",)),
                (lambda h, b: stream(h, b, gap=0, end=f"data: {cut}\n\n"), ("no JSON object",)),
                (lambda h, b: stream(h, b, gap=0, end='data: {"error": {"message": "lost"}}\n\n'),
                 ("lost",)),
                (breaks_off, ("closed the connection",))):
            with fake_server(manner) as server:
                done = harness.run("bench", "serve", "--base-url", server.url, "--num-prompts", 2,
                                   "--json")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(json.loads(done.stdout)["failed"], 2)
                self.assertIn("2 of 2 requests failed", done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)
        nowhere = f"http://127.0.0.1:{harness.free_port()}"
        with tempfile.TemporaryDirectory() as folder:
            bad = pathlib.Path(folder) / "bad.jsonl"
            bad.write_text('{"prompt": "a"}\n{"text": "b"}\n')
            for args, code, word in (
                    (("bench", "serve", "--base-url", nowhere), 1, nowhere),
                    (("bench", "serve", "--base-url", "https://h"), 1, "https"),
                    (("bench", "serve", "--base-url", "http://h:x"), 1, "http://h:x"),
                    (("bench", "serve", "--goodput", "speed:3"), 1, "speed:3"),
                    (("bench", "serve", "--dataset-path", bad), 1, "line 2"),
                    (("bench", "serve", "--dataset-name", "custom"), 2, "--dataset-path"),
                    (("bench", "serve", "--request-rate", 0), 2, "--request-rate"),
                    (("eval", "endpoint", nowhere), 1, nowhere)):
                done = harness.run(*args)
                self.assertEqual(done.returncode, code, (args, done.stderr))
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(word, done.stderr)


class OurServer(unittest.TestCase):

    def test_a_load_and_its_scores(self):
        """Open and closed loop over completions and chat; and what the server says of a text is
        what eval ppl says of it."""
        with harness.serve("--numerics", "fast") as server:
            url = f"http://127.0.0.1:{server.port}/v1"
            for args in (("--max-concurrency", 4), ("--request-rate", 50),
                         ("--endpoint-type", "openai-chat")):
                report = run_json("bench", "serve", "--base-url", url, "--num-prompts", 8,
                                  "--random-output-len", 16, "--ignore-eos", *args)
                self.assertEqual((report["completed"], report["failed"]), (8, 0))
                self.assertEqual(report["total_output_tokens"], 8 * 16)
                self.assertGreater(report["total_input_tokens"], 8 * 100)
                self.assertGreater(report["output_throughput"], 0)
            done = harness.run("bench", "serve", "--base-url", url, "--num-prompts", 3)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("3 requests completed, 0 failed", done.stdout)

            text = ("--texts", 5, "--max-length", 200)
            there = run_json("eval", "endpoint", url, *text, "--against", "numerics=fast")
            here = run_json("eval", "ppl", *text, "--numerics", "fast")
            self.assertAlmostEqual(there["perplexity"], here["perplexity"],
                                   delta=1e-5 * here["perplexity"])
            self.assertLess(there["against"]["logprob_max_abs"], 1e-5)
            for a, b in zip(there["losses"], here["losses"], strict=True):
                self.assertEqual((a["tokens"], a["predictions"]), (b["tokens"], b["predictions"]))
                self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-4)
            exact = run_json("eval", "endpoint", url, *text, "--against", "numerics=exact")
            self.assertGreater(exact["against"]["logprob_max_abs"], 1e-4)
            as_text = run_json("eval", "endpoint", url, *text, "--send-text")
            self.assertAlmostEqual(as_text["perplexity"], here["perplexity"],
                                   delta=0.05 * here["perplexity"])
            done = harness.run("eval", "endpoint", url, "--max-length", 3000, "--stride", 3000,
                               "--text", __file__)
            self.assertEqual(done.returncode, 1)
            self.assertIn("HTTP 400", done.stderr)


    def test_https(self):
        """A server with a certificate of its own: not trusted as it stands, trusted by name with
        --cacert, by nobody's word with --insecure; load and scores are those of http."""
        with tempfile.TemporaryDirectory() as directory:
            cert, key = harness.self_signed(directory, "here")
            flags = ("--ssl-certfile", cert, "--ssl-keyfile", key)
            with harness.serve(*flags, tls=ssl.create_default_context(cafile=cert)) as server:
                url = f"https://127.0.0.1:{server.port}/v1"
                for trust in (("--cacert", cert), ("--insecure",)):
                    report = run_json("bench", "serve", "--base-url", url, *trust, "--num-prompts",
                                      6, "--random-output-len", 8, "--max-concurrency", 3)
                    self.assertEqual((report["completed"], report["failed"]), (6, 0))
                there = run_json("eval", "endpoint", url, "--cacert", cert, "--texts", 2,
                                 "--against", "numerics=fast", "--greedy", 2)
                self.assertLess(there["against"]["logprob_max_abs"], 1e-5)
                self.assertEqual(there["against"]["greedy"]["equal"], 2)
                elsewhere = f"https://localhost:{server.port}"
                for args, word in (((url,), "self-signed certificate"),
                                   ((elsewhere, "--cacert", cert), "hostname mismatch"),
                                   ((url, "--cacert", key), "--cacert"),
                                   ((url.replace("https", "http"), "--insecure"), "for https"),
                                   ((url.replace("https", "http"),), "closed the connection")):
                    done = harness.run("eval", "endpoint", *args, "--texts", 1)
                    self.assertEqual((done.returncode, done.stdout), (1, ""), args)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                    self.assertIn(word, done.stderr)

    def test_an_endpoint_that_speaks_texts(self):
        """A server that knows neither token ids nor ids as spellings: tokens are found by their text,
        and greedy texts are compared as texts."""
        words = ["Once", " upon", " a", " time"]

        def plain(handler, body):
            ids = body["prompt"]
            if body.get("echo"):
                pieces = [" upon"] * len(ids) + [" a"]
                handler.reply(200, {"choices": [{"text": "", "logprobs": {
                    "tokens": pieces, "token_logprobs": [None] + [-2.0] * len(ids),
                    "top_logprobs": [None] + [{" upon": -2.0, "no such token": -1.0, " the": -2.5,
                                               " a": -3.0, " and": -3.5}] * len(ids)}}]})
            else:
                handler.reply(200, {"choices": [{"text": "".join(words)}]})

        with fake_server(plain) as server:
            report = run_json("eval", "endpoint", server.url, "--texts", 2, "--max-length", 20,
                              "--against", "numerics=fast", "--greedy", 2)
        self.assertAlmostEqual(report["perplexity"], math.exp(2), delta=1e-9)
        against = report["against"]
        self.assertGreater(against["mean_kl_lower_bound"], 0)
        self.assertEqual(against["same_top1_share"], None)
        self.assertEqual(against["same_top1_positions"], 0)
        self.assertEqual(against["common_top5_positions"], 0)
        self.assertEqual(against["greedy"]["texts"], 2)
        self.assertEqual(len(against["greedy"]["first_divergences"]), 2)


class Offline(unittest.TestCase):

    def test_latency_and_throughput(self):
        """The fields of vllm bench, and figures that follow from each other."""
        report = run_json("bench", "latency", "--output-len", 8, "--num-iters", 3, "--numerics",
                          "fast")
        self.assertEqual(len(report["latencies"]), 3)
        self.assertAlmostEqual(report["avg_latency"], sum(report["latencies"]) / 3)
        self.assertEqual(sorted(report["percentiles"], key=int), "10 25 50 75 90 99".split())
        self.assertAlmostEqual(report["output_tokens_per_second"], 8 / report["avg_latency"])
        report = run_json("bench", "throughput", "--num-prompts", "2,5", "--output-len", 4,
                          "--input-len", 7)
        for result, streams in zip(report["results"], (2, 5), strict=True):
            self.assertEqual(result["num_requests"], streams)
            self.assertEqual(result["total_num_tokens"], streams * 11)
            self.assertAlmostEqual(result["tokens_per_second"],
                                   result["total_num_tokens"] / result["elapsed_time"])
            self.assertAlmostEqual(result["output_tokens_per_second"],
                                   4 * streams / result["elapsed_time"])
        for command in ("latency", "throughput", "serve"):
            done = harness.run("bench", command, "--help")
            self.assertIn(f"bitcpm bench {command}", done.stdout)


if __name__ == "__main__":
    harness.main()
