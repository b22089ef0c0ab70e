"""openai for Python: /v1/chat/completions and /v1/models."""

import math
import unittest

import openai

from site_under_test import MODEL, QUESTIONS, ClientTest


class Chat(ClientTest):

    def test_answers_in_both_languages(self):
        """The template is applied, the answer is the one the model knows, and it ends by itself."""
        for question, word in QUESTIONS:
            answer = self.chat(question)
            self.assertEqual((answer.object, answer.model), ("chat.completion", MODEL))
            self.assertEqual(answer.choices[0].message.role, "assistant")
            self.assertIn(word, answer.choices[0].message.content)
            self.assertEqual(answer.choices[0].finish_reason, "stop")

    def test_streamed_equals_whole(self):
        """First the role, then the text; the last chunk alone has a reason."""
        for question, _ in QUESTIONS:
            whole = self.chat(question).choices[0].message.content
            chunks = list(self.chat(question, stream=True))
            self.assertEqual(chunks[0].object, "chat.completion.chunk")
            self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
            texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
            self.assertEqual("".join(texts), whole)
            reasons = [chunk.choices[0].finish_reason for chunk in chunks]
            self.assertEqual((set(reasons[:-1]), reasons[-1]), ({None}, "stop"))

    def test_the_stream_helper(self):
        """The client's own accumulator ends with the object that an unstreamed request returns."""
        question = QUESTIONS[1][0]
        messages = [{"role": "user", "content": question}]
        with self.openai.chat.completions.stream(model=MODEL, messages=messages, temperature=0,
                                                 max_tokens=48) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            final = stream.get_final_completion()
        whole = self.chat(question).choices[0]
        self.assertEqual(final.choices[0].message.content, whole.message.content)
        self.assertEqual("".join(deltas), whole.message.content)
        self.assertEqual(final.choices[0].finish_reason, whole.finish_reason)

    def test_conversation(self):
        """System and developer messages, text in parts, earlier turns: all reach the template."""
        def prompt_tokens(*messages):
            answer = self.openai.chat.completions.create(model=MODEL, messages=list(messages),
                                                         max_completion_tokens=1, temperature=0)
            self.assertEqual(answer.usage.completion_tokens, 1)
            return answer.usage.prompt_tokens
        user = {"role": "user", "content": "Hello there"}
        alone = prompt_tokens(user)
        parts = {"role": "user", "content": [{"type": "text", "text": "Hello there"}]}
        self.assertEqual(prompt_tokens(parts), alone)
        system = prompt_tokens({"role": "system", "content": "Be brief."}, user)
        self.assertGreater(system, alone)
        self.assertEqual(prompt_tokens({"role": "developer", "content": "Be brief."}, user), system)
        answered = {"role": "assistant", "content": "Hi!"}
        self.assertGreater(prompt_tokens(user, answered, user), alone)

    def test_logprobs(self):
        """Per token its text, its bytes, and as many alternatives as asked for."""
        choice = self.chat(QUESTIONS[1][0], logprobs=True, top_logprobs=3).choices[0]
        content = choice.logprobs.content
        data = b"".join(bytes(entry.bytes) for entry in content)
        self.assertTrue(data.decode("utf-8").startswith(choice.message.content))
        for entry in content:
            self.assertEqual(len(entry.top_logprobs), 3)
            self.assertEqual(entry.top_logprobs[0].logprob, entry.logprob)
            self.assertLessEqual(sum(math.exp(top.logprob) for top in entry.top_logprobs), 1 + 1e-5)
        bare = self.chat(QUESTIONS[1][0], logprobs=True).choices[0].logprobs.content
        self.assertEqual([entry.logprob for entry in bare], [entry.logprob for entry in content])
        self.assertEqual(bare[0].top_logprobs, [])

    def test_choices_and_seed(self):
        """n chats of one seed differ and come again; greedy with n is refused as vLLM does."""
        def draw():
            answer = self.chat("Why is the moon so far away?", temperature=2, n=3, seed=11,
                               max_tokens=24)
            return [choice.message.content for choice in answer.choices]
        self.assertEqual(len(set(draw())), 3)
        self.assertEqual(draw(), draw())
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat("Tell me a story.", n=2)
        self.assertEqual(caught.exception.param, "n")

    def test_stop(self):
        """A stop string inside a Chinese answer."""
        whole = self.chat("你是谁?", max_tokens=64).choices[0].message.content
        choice = self.chat("你是谁?", max_tokens=64, stop=["。"]).choices[0]
        self.assertEqual(choice.message.content, whole.split("。")[0])
        self.assertEqual(choice.finish_reason, "stop")


class Models(ClientTest):

    def test_list_and_retrieve(self):
        """The list names the model, and each entry can be fetched by its name."""
        names = [model.id for model in self.openai.models.list()]
        self.assertEqual(names[0], MODEL)
        for name in names:
            self.assertEqual(self.openai.models.retrieve(name).id, name)
        with self.assertRaises(openai.NotFoundError):
            self.openai.models.retrieve("no-such-model")


if __name__ == "__main__":
    unittest.main()
