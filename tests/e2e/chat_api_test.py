#!/usr/bin/env python3
"""vLLM's own cases of its chat API that need a prefix cache or a whole vocabulary, restated
(tests/entrypoints/openai/chat_completion: test_cache_accounting, test_chat_echo)."""

import contextlib
import json
import unittest

import harness

CHAT = "/v1/chat/completions"
SAYING = "Here is a common saying about apple. An apple a day, keeps"
# Longer than a block of the KV cache, of which whole ones alone are found again.
QUESTION = "You are a helpful assistant. " * 8 + "What is the capital of "


def messages(text):
    return [{"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": text}]


class Chat(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.context = harness.serve("--max-logprobs", -1)
        cls.server = cls.context.__enter__()
        cls.addClassCleanup(cls.context.__exit__, None, None, None)
        cls.vocabulary = json.loads((harness.TINY_MODEL / "config.json").read_text())["vocab_size"]

    def chat(self, body, path=CHAT):
        status, answer = self.server.request(
            "POST", path, {"temperature": 0, "max_tokens": 5, **body})
        self.assertEqual(status, 200, answer)
        return answer

    def stream(self, body):
        with contextlib.closing(self.server.connect()) as connection:
            connection.request("POST", CHAT, harness.encode(
                {"temperature": 0, "max_tokens": 5, "stream": True, **body}), self.server.headers)
            *chunks, done = harness.events(connection.getresponse())
        self.assertEqual(done, "[DONE]")
        return [json.loads(chunk) for chunk in chunks]

    def test_cache_accounting(self):
        """Nothing is cached of a first prompt; all full blocks but the last token's of the same one
        again, whole or streamed; nothing under another salt. The text is the same every time."""
        for country in ("France", "Germany"):
            body = {"messages": messages(QUESTION + country + "?"), "cache_salt": country}
            first = self.chat(body)
            prompt = first["usage"]["prompt_tokens"]
            self.assertEqual(first["usage"]["prompt_tokens_details"], {"cached_tokens": 0})
            second = self.chat(body)
            cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
            self.assertTrue(prompt - 64 < cached < prompt, (cached, prompt))
            self.assertEqual(second["choices"], first["choices"])
            self.assertEqual(second["usage"]["prompt_tokens"], prompt)
            chunks = self.stream({**body, "stream_options": {"include_usage": True}})
            self.assertEqual(chunks[-1]["choices"], [])
            self.assertEqual(chunks[-1]["usage"]["prompt_tokens_details"],
                             {"cached_tokens": cached})
            self.assertTrue(all(chunk.get("usage") is None for chunk in chunks[:-1]))
            text = "".join(chunk["choices"][0]["delta"].get("content", "")
                           for chunk in chunks[:-1])
            self.assertEqual(text, first["choices"][0]["message"]["content"])
            every = self.stream({**body, "stream_options": {"include_usage": True,
                                                            "continuous_usage_stats": True}})
            self.assertEqual({chunk["usage"]["prompt_tokens_details"]["cached_tokens"]
                              for chunk in every[1:]}, {cached})
            other = self.chat({**body, "cache_salt": "not " + country})
            self.assertEqual(other["usage"]["prompt_tokens_details"], {"cached_tokens": 0})

    def test_cache_accounting_of_completions(self):
        """A list of prompts adds up; samples of one prompt count its cached tokens once."""
        prompts = [[1, *range(start, start + 100)] for start in (200, 400)]
        body = {"prompt": prompts, "n": 3, "temperature": 1, "seed": 1}
        cached = [self.chat(body, "/v1/completions")["usage"]["prompt_tokens_details"]["cached_tokens"]
                  for _ in range(2)]
        self.assertEqual(cached[0], 0)
        self.assertTrue(2 * (101 - 64) < cached[1] < 2 * 101, cached)

    def test_echo_and_continue_final_message(self):
        """The message that is continued comes first in the answer, or not at all; streamed as well.
        What is generated is the same."""
        body = {"messages": [{"role": "user", "content": "tell me a common saying"},
                             {"role": "assistant", "content": SAYING}],
                "continue_final_message": True, "add_generation_prompt": False, "max_tokens": 12,
                "ignore_eos": True}
        texts = {}
        for echo in (False, True):
            answer = self.chat({**body, "echo": echo})
            self.assertEqual(len(answer["choices"]), 1)
            message = answer["choices"][0]["message"]
            self.assertEqual(message["role"], "assistant")
            self.assertEqual(SAYING in message["content"], echo)
            texts[echo] = message["content"]
            chunks = self.stream({**body, "echo": echo})
            self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
            self.assertEqual("".join(chunk["choices"][0]["delta"].get("content", "")
                                     for chunk in chunks), texts[echo])
            self.assertEqual(answer["usage"]["completion_tokens"], 12)
        self.assertEqual(texts[True], SAYING + texts[False])

    def test_echo_of_another_role_is_none(self):
        """Without continue_final_message the last message is the user's, which no answer repeats."""
        for echo in (False, True):
            answer = self.chat({"messages": messages("Who are you?"), "echo": echo})
            self.assertNotIn("Who are you?", answer["choices"][0]["message"]["content"])

    def test_whole_vocabulary(self):
        """prompt_logprobs -1 and top_logprobs -1 give every token's."""
        body = {"messages": messages("Beijing is the capital of which country?"), "max_tokens": 1}
        prompt = self.chat({**body, "prompt_logprobs": -1})["prompt_logprobs"]
        self.assertIsNone(prompt[0])
        self.assertEqual({len(position) for position in prompt[1:]}, {self.vocabulary})
        content = self.chat({**body, "logprobs": True, "top_logprobs": -1})
        content = content["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(content), 1)
        self.assertEqual(len(content[0]["top_logprobs"]), self.vocabulary)


if __name__ == "__main__":
    harness.main()
