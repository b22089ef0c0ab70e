#!/usr/bin/env python3
"""The server as a process: readiness, answers, streams, disconnects, signals."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import harness

STORY = {"model": "bitcpm-tiny", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 64}
# The longest request that the model's context of 2048 takes.
TINY_CONFIG = harness.TINY_MODEL / "config.json"
LONG = {**STORY, "max_tokens": 2000, "ignore_eos": True}


class Answers(unittest.TestCase):
    """One server for every test that leaves it as it was."""

    @classmethod
    def setUpClass(cls):
        cls.context = harness.serve()
        cls.server = cls.context.__enter__()
        cls.addClassCleanup(cls.context.__exit__, None, None, None)

    def completion(self, body):
        status, answer = self.server.request("POST", "/v1/completions", body)
        self.assertEqual(status, 200, answer)
        return answer

    def test_models(self):
        """/v1/models in OpenAI's shape, with the context length vLLM adds."""
        status, answer = self.server.request("GET", "/v1/models")
        self.assertEqual((status, answer["object"]), (200, "list"))
        self.assertEqual(answer["data"][0]["id"], "bitcpm-tiny")
        self.assertEqual(answer["data"][0]["object"], "model")
        self.assertEqual(answer["data"][0]["max_model_len"], 2048)

    def test_health(self):
        """A load balancer's probe."""
        self.assertEqual(self.server.request("GET", "/health")[0], 200)

    def test_completion_equals_the_command_line(self):
        """Two front doors, one engine: the served text is the printed text; usage adds up."""
        answer = self.completion(STORY)
        self.assertEqual(answer["object"], "text_completion")
        self.assertEqual(answer["choices"][0]["text"], harness.complete(STORY["prompt"], 64))
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        usage = answer["usage"]
        self.assertEqual(usage["completion_tokens"], 64)
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + 64)

    def test_stream_equals_the_whole(self):
        """The pieces of a stream, joined, are the unstreamed text, in Chinese too."""
        for prompt in (STORY["prompt"], "从前有一只小白兔"):
            body = {**STORY, "prompt": prompt}
            whole = self.completion(body)["choices"][0]
            connection, response = self.server.open_stream(body)
            with contextlib.closing(connection):
                self.assertEqual(response.headers.get_content_type(), "text/event-stream")
                *chunks, done = harness.events(response)
            self.assertEqual(done, "[DONE]")
            choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
            self.assertGreater(len(choices), 1)
            self.assertEqual("".join(choice["text"] for choice in choices), whole["text"])
            reasons = [choice["finish_reason"] for choice in choices]
            self.assertEqual(reasons[-1], whole["finish_reason"])
            self.assertEqual(set(reasons[:-1]) - {None}, set())

    def test_company_changes_nothing(self):
        """Sixteen requests at once get what each gets alone."""
        prompts = ["Once upon a time", "The capital of France is", "天空是", "从前有一只小白兔"] * 4
        alone = {p: self.completion({**STORY, "prompt": p})["choices"][0]["text"]
                 for p in set(prompts)}
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
            answers = list(pool.map(lambda p: self.completion({**STORY, "prompt": p}), prompts))
        for prompt, answer in zip(prompts, answers):
            self.assertEqual(answer["choices"][0]["text"], alone[prompt])

    def test_bad_requests_are_answered_and_survived(self):
        """Each gets OpenAI's error object with the right status, and the server goes on."""
        for status, method, path, body in (
            (400, "POST", "/v1/completions", "{"),
            (400, "POST", "/v1/completions", "[" * 100000),
            (400, "POST", "/v1/completions", b'{"prompt":"\xff\xfe"}'),
            (400, "POST", "/v1/chat/completions",
             b'{"messages":[{"role":"user","content":"caf\xe9"}]}'),
            (400, "POST", "/v1/chat/completions",
             rb'{"messages":[{"role":"user","content":"\ud800"}]}'),
            (400, "POST", "/v1/completions", {**STORY, "temperature": -1}),
            (400, "POST", "/v1/completions", '{"prompt":"x","temperature":NaN}'),
            (400, "POST", "/v1/completions", '{"prompt":"x","temperature":1e999}'),
            (400, "POST", "/v1/completions", {**STORY, "max_tokens": 0}),
            (400, "POST", "/v1/completions", {**STORY, "max_tokens": 10**30}),
            (400, "POST", "/v1/completions", {**STORY, "max_tokens": 1000000}),
            (400, "POST", "/v1/completions", {**STORY, "prompt": "word " * 5000}),
            (404, "POST", "/v1/completions", {**STORY, "model": "gpt-4"}),
            (404, "GET", "/v1/nothing", None),
            (405, "GET", "/v1/completions", None),
            (413, "POST", "/v1/completions", {**STORY, "prompt": "x" * (8 << 20)}),
        ):
            with self.subTest(method=method, path=path, body=str(body)[:60]):
                try:
                    got, answer = self.server.request(method, path, body)
                except (BrokenPipeError, ConnectionResetError):
                    # An oversized body may be cut off before the client reads the answer.
                    self.assertEqual(status, 413)
                    continue
                self.assertEqual(got, status, answer)
                error = answer["error"]
                self.assertTrue(error["message"])
                self.assertEqual(error["code"], status)
                self.assertIn("type", error)
                self.assertIn("param", error)
        self.assertEqual(self.completion({**STORY, "max_tokens": 1})["usage"]["completion_tokens"], 1)


class Lifecycle(unittest.TestCase):

    def test_the_printed_curl_line_works(self):
        """What `serve` invites the user to paste gets an answer."""
        if shutil.which("curl") is None:
            self.skipTest("needs curl")
        with harness.serve() as server:
            server.wait_for_log("\ncurl ")
            self.assertIn(f"http://127.0.0.1:{server.port}", server.log())
            lines = re.findall(r"^.*?\b(curl .*)$", server.log(), re.MULTILINE)
            self.assertEqual(len(lines), 1, server.log())
            done = subprocess.run(["sh", "-c", lines[0]], capture_output=True, encoding="utf-8",
                                  timeout=harness.COMMAND_SECONDS, check=True)
            self.assertIn('"choices"', done.stdout)

    def test_start_up_log_is_short(self):
        """About a dozen lines: what runs, and nothing else."""
        with harness.serve() as server:
            lines = server.log().splitlines()
            self.assertLessEqual(len(lines), 20, server.log())
            self.assertGreaterEqual(len(lines), 6, server.log())
            self.assertIn("bitcpm-tiny", server.log())

    def test_a_disconnect_frees_the_engine(self):
        """With room for one request at a time, twenty abandoned ones must not be computed."""
        with harness.serve("--max-num-seqs", 1) as server:
            began = time.monotonic()
            self.assertEqual(server.request("POST", "/v1/completions", LONG)[0], 200)
            one_long = time.monotonic() - began
            # Each waits for its predecessor's end: twenty whole answers if none were cancelled.
            began = time.monotonic()
            for _ in range(20):
                connection, response = server.open_stream(LONG)
                next(harness.events(response))
                response.close()
                connection.close()
            self.assertEqual(server.request("POST", "/v1/completions", STORY)[0], 200)
            self.assertLess(time.monotonic() - began, 10 * one_long)

    def test_signals_end_it_with_0(self):
        """SIGTERM and SIGINT, idle and in the middle of a stream: exit code 0 within seconds."""
        for how in (signal.SIGTERM, signal.SIGINT):
            for busy in (False, True):
                with self.subTest(how=how.name, busy=busy), \
                        harness.serve("--shutdown-timeout", 0) as server:
                    if busy:
                        connection, response = server.open_stream(LONG)
                        stream = harness.events(response)
                        next(stream)
                        self.assertEqual(server.stop(how), 0)
                        with contextlib.suppress(http.client.HTTPException, OSError):
                            list(stream)  # ends: neither hangs nor continues
                        connection.close()
                    else:
                        self.assertEqual(server.stop(how), 0)

    def test_sigterm_loses_no_accepted_answer(self):
        """What had been accepted, waiting or running, streamed or not, is answered whole."""
        body = {**STORY, "max_tokens": 800, "ignore_eos": True}
        with harness.serve("--max-num-seqs", 2, "--shutdown-timeout", 600) as server, \
                concurrent.futures.ThreadPoolExecutor(16) as pool:
            connection, response = server.open_stream(body)
            stream = harness.events(response)
            next(stream)
            answers = [pool.submit(server.request, "POST", "/v1/completions", body)
                       for _ in range(16)]
            deadline = time.monotonic() + harness.COMMAND_SECONDS
            while server.request("GET", "/load")[1]["server_load"] < 17:
                self.assertLess(time.monotonic(), deadline)
            server.process.send_signal(signal.SIGTERM)
            *_, last, done = stream
            self.assertEqual(done, "[DONE]")
            self.assertEqual(json.loads(last)["choices"][0]["finish_reason"], "length")
            connection.close()
            for answer in answers:
                status, text = answer.result()
                self.assertEqual(status, 200, text)
                self.assertEqual(text["usage"]["completion_tokens"], 800)
            self.assertEqual(server.process.wait(harness.COMMAND_SECONDS), 0)

    def test_https(self):
        """--ssl-certfile serves HTTPS, streams included; a client certificate is asked for on
        demand; a bad file is one line."""
        with tempfile.TemporaryDirectory() as directory:
            cert, key = harness.self_signed(directory, "localhost")
            context = ssl.create_default_context(cafile=cert)
            flags = ("--ssl-certfile", cert, "--ssl-keyfile", key)
            with harness.serve(*flags, tls=context) as server:
                status, answer = server.request("POST", "/v1/completions", STORY)
                self.assertEqual(status, 200, answer)
                connection, response = server.open_stream(STORY)
                text = "".join(json.loads(event)["choices"][0]["text"]
                               for event in harness.events(response) if event != "[DONE]")
                connection.close()
                self.assertEqual(text, answer["choices"][0]["text"])
                with contextlib.suppress(ConnectionResetError), \
                        socket.create_connection(("127.0.0.1", server.port)) as plain:
                    plain.sendall(b"GET /health HTTP/1.1\r\n\r\n")
                    self.assertNotIn(b"200", plain.recv(100))
                self.assertEqual(server.request("GET", "/health")[0], 200)
                self.assertEqual(server.stop(), 0)
            client = ssl.create_default_context(cafile=cert)
            client.load_cert_chain(cert, key)
            with harness.serve(*flags, "--ssl-ca-certs", cert, "--ssl-cert-reqs", 2,
                               tls=client) as server:
                self.assertEqual(server.request("GET", "/health")[0], 200)
                server.tls = context
                with self.assertRaises(OSError):
                    server.request("GET", "/health")
            done = harness.run("serve", "--port", harness.free_port(), "--ssl-certfile",
                               TINY_CONFIG, timeout=harness.START_SECONDS)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("--ssl-certfile", done.stderr)

    def test_metrics_of_the_kv_cache(self):
        """What a capacity planner and vLLM's dashboards read: the cache's size, blocks evicted and used
        again, tokens by where they came from, whole histograms also of what a stop string ended."""
        flags = ("--kv-cache-memory-bytes", "9m", "--kv-cache-metrics",
                 "--kv-cache-metrics-sample", "1")
        with harness.serve(*flags) as server:
            for i in range(6):
                body = {**STORY, "prompt": [1, *range(20 + i, 420 + i)], "max_tokens": 2}
                for _ in range(2):  # the second time from the prefix cache
                    self.assertEqual(server.request("POST", "/v1/completions", body)[0], 200)
            body = {**STORY, "stop": [" "], "min_tokens": 4}
            self.assertEqual(server.request("POST", "/v1/completions", body)[0], 200)
            text = server.request("GET", "/metrics")[1]
        values = {}
        for line in text.splitlines():
            found = re.match(r"(vllm:\w+)(\{.*\}) (\S+)", line)
            if found:
                values.setdefault(found[1], []).append((found[2], float(found[3])))
        (labels, one), = values["vllm:cache_config_info"]
        labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        blocks, block_size = int(labels["num_gpu_blocks"]), int(labels["block_size"])
        self.assertEqual(one, 1)
        self.assertEqual(blocks * block_size, int(labels["kv_cache_size_tokens"]))
        self.assertEqual((labels["cache_dtype"], labels["enable_prefix_caching"]),
                         ("bfloat16", "True"))
        self.assertTrue(8_000_000 < int(labels["kv_cache_memory_bytes"]) <= 9_000_000)
        count = {name: sum(value for _, value in samples) for name, samples in values.items()}
        self.assertGreater(count["vllm:kv_block_lifetime_seconds_count"], 0)
        self.assertEqual(count["vllm:kv_block_idle_before_evict_seconds_count"],
                         count["vllm:kv_block_lifetime_seconds_count"])
        self.assertIn("vllm:kv_block_reuse_gap_seconds_count", count)
        self.assertEqual(count["vllm:request_num_preemptions_count"], 13)
        self.assertEqual(count["vllm:request_queue_time_seconds_count"], 13)
        computed = count["vllm:request_prefill_kv_computed_tokens_sum"]
        cached = count["vllm:prompt_tokens_cached_total"]
        self.assertGreater(cached, 6 * 300)
        self.assertEqual(computed + cached, count["vllm:prompt_tokens_total"])
        self.assertEqual(count["vllm:prompt_tokens_by_source_total"], computed + cached)

    def test_json_log(self):
        """--log-format json: every line an object; one per request, with its numbers and its id,
        and none for probes."""
        with harness.serve("--log-format", "json") as server:
            server.headers["X-Request-Id"] = "mine-1"
            self.assertEqual(server.request("POST", "/v1/completions", STORY)[0], 200)
            self.assertEqual(server.request("GET", "/health")[0], 200)
            self.assertEqual(server.stop(), 0)
            lines = [json.loads(line) for line in server.log().splitlines()
                     if not line.startswith("curl")]
        mine = [line for line in lines if line.get("request_id") == "mine-1"]
        self.assertEqual(len(mine), 1, lines)
        self.assertEqual(mine[0]["message"], "access")
        self.assertEqual((mine[0]["status"], mine[0]["completion_tokens"]), (200, 64))
        self.assertTrue(all({"time", "level", "message"} <= line.keys() for line in lines))

    def test_a_taken_port_is_one_line(self):
        """The most frequent mistake at start: exit code 1 and the address in the message."""
        with harness.serve() as server:
            done = harness.run("serve", "--port", server.port, timeout=harness.START_SECONDS)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(str(server.port), done.stderr)

    def test_values_that_cannot_be_honoured_are_refused(self):
        """A flag of vLLM's that would change the result is an error at start, not ignored."""
        for args, word in (
            (("--tensor-parallel-size", "2"), "tensor-parallel-size"),
            (("--dtype", "float16"), "float16"),
            (("--max-model-len", "4096"), "2048"),
            (("--kv-cache-memory-bytes", "1000t"), "1000000000000000"),
            (("--kv-cache-dtype", "fp8"), "fp8"),
            (("--quantization", "awq"), "awq"),
            (("--numerics", "quick"), "numerics"),
        ):
            with self.subTest(args):
                done = harness.run("serve", "--port", harness.free_port(), *args,
                                   timeout=harness.START_SECONDS)
                self.assertIn(done.returncode, (1, 2), done.stderr)
                self.assertIn(word, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    harness.main()
