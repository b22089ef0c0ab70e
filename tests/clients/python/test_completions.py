"""openai for Python: /v1/completions."""

import unittest

import openai

from site_under_test import BEGINNINGS, MODEL, ClientTest


class Completions(ClientTest):

    def test_an_answer_in_each_language(self):
        """The typed object has all its parts, and the text is the model's."""
        answer = self.complete("The capital of France is", max_tokens=2)
        self.assertEqual((answer.object, answer.model), ("text_completion", MODEL))
        self.assertEqual(answer.choices[0].text, " Paris")
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 2)
        chinese = self.complete("从前有一只小白兔", max_tokens=24).choices[0].text
        self.assertRegex(chinese, "[\u4e00-\u9fff]{6}")

    def test_streamed_equals_whole(self):
        """The pieces joined are the whole text: characters of several bytes are never cut."""
        for prompt in BEGINNINGS:
            whole = self.complete(prompt, max_tokens=64)
            chunks = list(self.complete(prompt, max_tokens=64, stream=True))
            texts = [chunk.choices[0].text for chunk in chunks]
            self.assertGreater(len(texts), 8)
            self.assertEqual("".join(texts), whole.choices[0].text)
            reasons = [chunk.choices[0].finish_reason for chunk in chunks]
            self.assertEqual(reasons[-1], whole.choices[0].finish_reason)
            self.assertEqual(set(reasons[:-1]), {None})
            self.assertEqual({chunk.id for chunk in chunks}, {chunks[0].id})
            self.assertTrue(all(chunk.usage is None for chunk in chunks))

    def test_stream_options(self):
        """Usage comes last and without choices, or with every chunk if asked for, or never."""
        for options, with_usage in (
                ({"include_usage": False}, "none"),
                ({"include_usage": True}, "last"),
                ({"include_usage": True, "continuous_usage_stats": False}, "last"),
                ({"include_usage": True, "continuous_usage_stats": True}, "all"),
                ({"continuous_usage_stats": True}, "none")):
            with self.subTest(options):
                chunks = list(self.complete("Once", max_tokens=5, stream=True,
                                            stream_options=options))
                shown = [chunk.usage is not None for chunk in chunks]
                if with_usage == "none":
                    self.assertFalse(any(shown))
                    continue
                self.assertEqual(chunks[-1].choices, [])
                self.assertEqual(chunks[-1].usage.completion_tokens, 5)
                self.assertEqual(any(shown[:-1]), with_usage == "all")
        with self.assertRaises(openai.BadRequestError):
            self.complete("Once", stream_options={"include_usage": True})

    def test_seeded_choices(self):
        """n answers of one seed differ from each other and come again, streamed or not."""
        def draw(seed, **more):
            return self.complete("Once upon a time", temperature=1.0, n=3, seed=seed, **more)
        texts = [choice.text for choice in draw(7).choices]
        self.assertEqual(len(set(texts)), 3)
        self.assertEqual([choice.text for choice in draw(7).choices], texts)
        self.assertNotEqual([choice.text for choice in draw(8).choices], texts)
        streamed = ["", "", ""]
        for chunk in draw(7, stream=True):
            for choice in chunk.choices:
                streamed[choice.index] += choice.text
        self.assertEqual(streamed, texts)

    def test_stop(self):
        """A stop string ends the text before it, wherever tokens or chunks were cut."""
        whole = self.complete("Once upon a time", max_tokens=48).choices[0].text
        stop = whole[20:23]
        expected = whole[:whole.index(stop)]
        for given in (stop, ["#never#", stop]):
            choice = self.complete("Once upon a time", max_tokens=48, stop=given).choices[0]
            self.assertEqual((choice.text, choice.finish_reason), (expected, "stop"))
            streamed = self.complete("Once upon a time", max_tokens=48, stop=given, stream=True)
            self.assertEqual("".join(chunk.choices[0].text for chunk in streamed), expected)
        kept = self.complete("Once upon a time", max_tokens=48, stop=stop,
                             extra_body={"include_stop_str_in_output": True}).choices[0]
        self.assertEqual(kept.text, expected + stop)
        self.assertEqual(kept.model_extra["stop_reason"], stop)

    def test_logprobs(self):
        """Parallel lists of one length; offsets walk through the text; streams say the same."""
        whole = self.complete("Once upon a time", max_tokens=8, logprobs=5).choices[0]
        logprobs = whole.logprobs
        self.assertEqual("".join(logprobs.tokens), whole.text)
        self.assertEqual([len(logprobs.tokens)] * 3, [len(logprobs.token_logprobs),
                                                      len(logprobs.top_logprobs),
                                                      len(logprobs.text_offset)])
        for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs,
                                       logprobs.top_logprobs):
            self.assertLessEqual(logprob, 0)
            self.assertEqual(max(top.values()), top[token])  # greedy takes the most likely
            self.assertIn(len(top), (5, 6))
        streamed = [value for chunk in self.complete("Once upon a time", max_tokens=8, logprobs=5,
                                                     stream=True)
                    for value in chunk.choices[0].logprobs.token_logprobs]
        self.assertEqual(streamed, logprobs.token_logprobs)  # every bit of them
        none = self.complete("Once upon a time", max_tokens=4, logprobs=0).choices[0].logprobs
        self.assertEqual([len(top) for top in none.top_logprobs], [1] * 4)
        self.assertIsNone(self.complete("Once", max_tokens=1).choices[0].logprobs)

    def test_prompts_as_token_ids(self):
        """Ids from /tokenize mean what the text means, alone and in lists."""
        for prompt in BEGINNINGS:
            ids = self.openai.post("../tokenize", cast_to=object, body={"prompt": prompt})["tokens"]
            text = self.complete(prompt).choices[0].text
            self.assertEqual(self.complete(ids).choices[0].text, text)
            both = self.complete([ids, ids]).choices
            self.assertEqual([(choice.index, choice.text) for choice in both],
                             [(0, text), (1, text)])

    def test_list_of_prompts(self):
        """Each prompt gets what it gets alone, in its place; usage is the sum."""
        alone = [self.complete(prompt) for prompt in BEGINNINGS]
        together = self.complete(list(BEGINNINGS))
        self.assertEqual([choice.text for choice in together.choices],
                         [answer.choices[0].text for answer in alone])
        self.assertEqual(together.usage.prompt_tokens,
                         sum(answer.usage.prompt_tokens for answer in alone))

    def test_echo(self):
        """The prompt comes back before the answer, with its log-probabilities if asked for."""
        answer = self.complete("The capital of France is", max_tokens=2, echo=True, logprobs=1)
        choice = answer.choices[0]
        self.assertEqual(choice.text, "The capital of France is Paris")
        self.assertIsNone(choice.logprobs.token_logprobs[0])
        self.assertTrue(all(value <= 0 for value in choice.logprobs.token_logprobs[1:]))
        only = self.complete("The capital of France is", max_tokens=0, echo=True, logprobs=1)
        self.assertEqual(only.choices[0].text, "The capital of France is")
        self.assertEqual(only.choices[0].logprobs.token_logprobs,
                         choice.logprobs.token_logprobs[:-2])
        self.assertEqual(only.usage.completion_tokens, 0)

    def test_parameters_of_vllm(self):
        """What extra_body carries has its effect."""
        def ids(**extra):
            choice = self.complete("Once upon a time", max_tokens=12,
                                   extra_body={"return_token_ids": True, **extra}).choices[0]
            return choice.model_extra["token_ids"], choice.finish_reason
        plain, reason = ids(ignore_eos=True)
        self.assertEqual((len(plain), reason), (12, "length"))
        self.assertEqual(ids(stop_token_ids=[plain[4]])[1], "stop")
        self.assertNotIn(plain[0], ids(logit_bias={str(plain[0]): -100})[0][:1])
        self.assertNotEqual(ids(repetition_penalty=2.0)[0], plain)
        chosen = self.complete("Once upon a time", max_tokens=12, temperature=2.0, seed=3,
                               extra_body={"top_k": 1, "return_token_ids": True}).choices[0]
        self.assertEqual(chosen.model_extra["token_ids"], plain)  # one candidate: greedy


if __name__ == "__main__":
    unittest.main()
