"""What the tests of the official Python client share: clients of the server that run.py started."""

import os
import pathlib
import sys
import unittest

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import harness  # noqa: E402  the built binary, servers of a test's own

BASE_URL = os.environ.get("BITCPM_BASE_URL", "http://127.0.0.1:8000/v1")
MODEL = "bitcpm-tiny"

# Two languages, answers that the built-in model knows by heart (greedy).
QUESTIONS = (("What is the capital of France?", "Paris"), ("中国的首都是哪里?", "北京"))
BEGINNINGS = ("Once upon a time", "从前有一只小白兔")


def client(**options):
    """The official client; no retries unless asked for, so that a failure shows itself."""
    return openai.OpenAI(**{"base_url": BASE_URL, "api_key": "none", "max_retries": 0,
                            "timeout": 60, **options})


def async_client(**options):
    return openai.AsyncOpenAI(**{"base_url": BASE_URL, "api_key": "none", "max_retries": 0,
                                 "timeout": 120, **options})


def client_of(server, **options):
    """A client of a server that the test itself started."""
    return client(base_url=f"http://127.0.0.1:{server.port}/v1", **options)


class ClientTest(unittest.TestCase):
    """A test with one client of the shared server, self.openai."""

    @classmethod
    def setUpClass(cls):
        cls.openai = client()
        cls.addClassCleanup(cls.openai.close)

    def complete(self, prompt, **parameters):
        return self.openai.completions.create(
            **{"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 16, **parameters})

    def chat(self, text, **parameters):
        return self.openai.chat.completions.create(
            **{"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0,
               "max_tokens": 48, **parameters})

    def assert_still_serves(self):
        """A good request right after whatever the test did."""
        self.assertEqual(self.complete("Once upon a time", max_tokens=2).usage.completion_tokens, 2)
