"""openai for Python: errors, retries, time-outs, cancellation, many requests at once."""

import asyncio
import signal
import subprocess
import threading
import time
import unittest

import openai

from site_under_test import (BEGINNINGS, MODEL, ClientTest, async_client, client, client_of,
                             harness)

LONG = {"max_tokens": 1900, "extra_body": {"ignore_eos": True}}


class Errors(ClientTest):

    def test_each_mistake_is_the_client_s_typed_error(self):
        """Status, type, parameter and code arrive where the client looks for them."""
        for kind, param, change in (
                (openai.BadRequestError, "temperature", {"temperature": 3}),
                (openai.BadRequestError, "top_p", {"top_p": 0}),
                (openai.BadRequestError, "max_tokens", {"max_tokens": -1}),
                (openai.BadRequestError, "presence_penalty", {"presence_penalty": 2.5}),
                (openai.BadRequestError, "prompt", {"prompt": ""}),
                (openai.BadRequestError, "prompt", {"prompt": []}),
                (openai.BadRequestError, "prompt", {"prompt": [[]]}),
                (openai.BadRequestError, "prompt", {"prompt": "word " * 4000}),
                (openai.BadRequestError, "logprobs", {"logprobs": 21}),
                (openai.BadRequestError, "stop", {"stop": [""]}),
                (openai.BadRequestError, "suffix", {"suffix": "end"}),
                (openai.BadRequestError, "logit_bias", {"logit_bias": {"1000000": 1}}),
                (openai.NotFoundError, "model", {"model": "gpt-4"})):
            with self.subTest(change=str(change)[:60]):
                with self.assertRaises(kind) as caught:
                    self.complete(**{"prompt": "Once", **change})
                error = caught.exception
                self.assertEqual(error.param, param)
                self.assertEqual(str(error.code), str(error.status_code))
                self.assertTrue(error.type.endswith("Error"), error.type)
                self.assertTrue(error.message)
        self.assert_still_serves()

    def test_chat_mistakes(self):
        """The same for messages; raised before a stream begins, too."""
        for messages in ([], [{"role": "wizard", "content": "x"}], [{"role": "user"}],
                         [{"role": "user", "content": [{"type": "image_url",
                                                        "image_url": {"url": "data:,x"}}]}]):
            for stream in (False, True):
                with self.subTest(messages=messages, stream=stream):
                    with self.assertRaises(openai.BadRequestError) as caught:
                        self.openai.chat.completions.create(model=MODEL, messages=messages,
                                                            stream=stream)
                    self.assertEqual(caught.exception.param, "messages")
        self.assert_still_serves()

    def test_an_unknown_route(self):
        """What the server does not have is a 404 that the client types, not a hang."""
        with self.assertRaises(openai.NotFoundError):
            self.openai.embeddings.create(model=MODEL, input="x", encoding_format="float")


class Cancellation(ClientTest):

    def test_closing_a_stream_stops_its_computation(self):
        """Twenty abandoned streams cost far less than the twenty answers would."""
        with harness.serve("--max-num-seqs", 1) as server, client_of(server) as one_at_a_time:
            def create(**more):
                return one_at_a_time.completions.create(model=MODEL, prompt="Once", temperature=0,
                                                        **LONG, **more)
            began = time.monotonic()
            create()
            one_answer = time.monotonic() - began
            began = time.monotonic()
            for _ in range(20):
                with create(stream=True) as stream:
                    next(iter(stream))
            one_at_a_time.completions.create(model=MODEL, prompt="Once", max_tokens=1)
            self.assertLess(time.monotonic() - began, 10 * one_answer)

    def test_client_time_out(self):
        """A client that gives up gets its own error, and the server goes on."""
        with self.assertRaises(openai.APITimeoutError):
            self.complete("Once upon a time", timeout=0.05, **LONG)
        self.assert_still_serves()

    def test_cancelled_tasks(self):
        """asyncio's cancellation, in the middle of whole answers and of streams."""
        async def cancel_some():
            async with async_client() as shared:
                async def run(stream):
                    answer = await shared.completions.create(model=MODEL, prompt="Once",
                                                             stream=stream, **LONG)
                    if stream:
                        async for _ in answer:
                            pass
                tasks = [asyncio.ensure_future(run(i % 2 == 0)) for i in range(8)]
                await asyncio.sleep(0.3)
                for task in tasks:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                self.assertTrue(all(isinstance(end, (asyncio.CancelledError, type(None)))
                                    for end in done), done)
        asyncio.run(cancel_some())
        self.assert_still_serves()


class ManyAtOnce(ClientTest):

    def test_company_changes_nothing(self):
        """Thirty-two at once get what each got alone, to the last bit of its log-probabilities."""
        def key(choice):
            return choice.text, choice.logprobs.token_logprobs
        requests = [{"prompt": prompt, "seed": seed, "temperature": temperature, "logprobs": 1,
                     "max_tokens": 24}
                    for prompt in BEGINNINGS for seed in range(8) for temperature in (0, 1.0)]
        alone = [key(self.complete(**request).choices[0]) for request in requests]

        async def together():
            async with async_client() as shared:
                answers = await asyncio.gather(*(
                    shared.completions.create(model=MODEL, **request) for request in requests))
            return [key(answer.choices[0]) for answer in answers]
        self.assertEqual(asyncio.run(together()), alone)


class Keys(unittest.TestCase):

    def test_a_server_with_keys(self):
        """Each of its keys opens it; without one the client raises its authentication error."""
        with harness.serve("--api-key", "first", "--api-key", "second",
                           key="first") as server:
            for key in ("first", "second"):
                with client_of(server, api_key=key) as known:
                    self.assertEqual(known.models.list().data[0].id, MODEL)
            with client_of(server, api_key="third") as stranger:
                for ask in (stranger.models.list,
                            lambda: stranger.completions.create(model=MODEL, prompt="x"),
                            lambda: stranger.chat.completions.create(
                                model=MODEL, messages=[{"role": "user", "content": "x"}],
                                stream=True)):
                    with self.assertRaises(openai.AuthenticationError):
                        ask()
            self.assertEqual(server.request("GET", "/health")[0], 200)


class Retries(unittest.TestCase):

    def test_a_client_that_is_early(self):
        """The client's own retries bridge the time until the server listens."""
        port = harness.free_port()
        started = []

        def start_later():
            time.sleep(0.7)
            started.append(subprocess.Popen(
                [harness.BINARY, "serve", "--port", str(port)], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        starter = threading.Thread(target=start_later)
        starter.start()
        try:
            with client(base_url=f"http://127.0.0.1:{port}/v1", max_retries=10) as patient:
                answer = patient.completions.create(model=MODEL, prompt="Once", max_tokens=1)
            self.assertEqual(answer.usage.completion_tokens, 1)
        finally:
            starter.join()
            for process in started:
                process.kill()
                process.wait()

    def test_a_busy_server(self):
        """A refusal says when to come back, and the client's own retries then succeed."""
        with harness.serve("--max-num-queued-reqs", 1) as server, client_of(server) as impatient:
            with impatient.completions.create(model=MODEL, prompt="Once", stream=True,
                                              **LONG) as stream:
                next(iter(stream))
                with self.assertRaises(openai.InternalServerError) as caught:
                    impatient.completions.create(model=MODEL, prompt="Once", max_tokens=1)
                self.assertEqual(caught.exception.status_code, 503)
                self.assertGreaterEqual(int(caught.exception.response.headers["retry-after"]), 1)
                patient = impatient.with_options(max_retries=8)
                answer = patient.completions.create(model=MODEL, prompt="Once", max_tokens=1)
                self.assertEqual(answer.usage.completion_tokens, 1)

    def test_a_server_that_drains(self):
        """Stopped by SIGTERM, it first finishes what it has accepted."""
        with harness.serve() as server, client_of(server) as accepted:
            stream = accepted.completions.create(model=MODEL, prompt="Once", stream=True, **LONG)
            first = next(iter(stream))
            server.process.send_signal(signal.SIGTERM)
            reasons = [chunk.choices[0].finish_reason for chunk in (first, *stream)]
            self.assertEqual((set(reasons[:-1]), reasons[-1]), ({None}, "length"))
            self.assertEqual(server.process.wait(harness.STOP_SECONDS), 0)

    def test_a_server_that_stops(self):
        """Whoever is cut off by a shutdown is told: an error, in a stream too."""
        with harness.serve("--shutdown-timeout", 0) as server, client_of(server) as cut_off:
            stream = cut_off.completions.create(model=MODEL, prompt="Once", stream=True, **LONG)
            next(iter(stream))
            self.assertEqual(server.stop(), 0)
            with self.assertRaises(openai.APIError):
                for _ in stream:
                    pass
            with self.assertRaises(openai.APIConnectionError):
                cut_off.models.list()


if __name__ == "__main__":
    unittest.main()
