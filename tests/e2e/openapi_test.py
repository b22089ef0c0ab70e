#!/usr/bin/env python3
"""/openapi.json against the server that serves it: every route, every shape."""

import contextlib
import json
import unittest

import harness

try:
    import jsonschema
except ImportError:
    jsonschema = None

STORY = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 5}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 5}

COMPLETIONS = "/v1/completions"
CHATS = "/v1/chat/completions"

# path, body
GOOD = [
    (COMPLETIONS, STORY),
    (COMPLETIONS, {**STORY, "logprobs": 3, "prompt_logprobs": 2, "echo": True}),
    (COMPLETIONS, {**STORY, "max_tokens": 0, "echo": True, "logprobs": 1}),
    (COMPLETIONS, {**STORY, "n": 2, "temperature": 1, "seed": 1, "return_token_ids": True}),
    (COMPLETIONS, {**STORY, "prompt": ["a", "b"], "stop": "e", "stop_token_ids": [5]}),
    (COMPLETIONS, {**STORY, "prompt": [[5, 6], [7]], "logit_bias": {"9": 100}}),
    (COMPLETIONS, {**STORY, "logprobs": 0, "logprob_token_ids": [5, 6], "bad_words": ["there"]}),
    (COMPLETIONS, {**STORY, "priority": -1, "cache_salt": "mine", "request_id": "r"}),
    (CHATS, CHAT),
    (CHATS, {**CHAT, "logprobs": True, "top_logprobs": 2, "prompt_logprobs": 1}),
    (CHATS, {**CHAT, "return_token_ids": True, "n": 2, "temperature": 1}),
    (CHATS, {**CHAT, "messages": CHAT["messages"] + [{"role": "assistant", "content": "I am"}],
             "continue_final_message": True, "echo": True}),
    ("/tokenize", {"prompt": "hello"}),
    ("/tokenize", {"messages": CHAT["messages"], "return_token_strs": True}),
    ("/detokenize", {"tokens": [5, 6]}),
]

# status, method, path, body
BAD = [
    (400, "POST", COMPLETIONS, {**STORY, "temperature": -1}),
    (400, "POST", COMPLETIONS, "{"),
    (400, "POST", CHATS, {"messages": []}),
    (400, "POST", "/tokenize", {}),
    (400, "POST", "/detokenize", {}),
    (404, "POST", COMPLETIONS, {**STORY, "model": "gpt-4"}),
    (404, "GET", "/v1/models/gpt-4", None),
    (405, "DELETE", "/v1/models", None),
]


@unittest.skipIf(jsonschema is None, "needs jsonschema (Debian package python3-jsonschema)")
class OpenApi(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.context = harness.serve()
        cls.server = cls.context.__enter__()
        cls.addClassCleanup(cls.context.__exit__, None, None, None)
        cls.document = cls.server.request("GET", "/openapi.json")[1]

    def resolved(self, node):
        while "$ref" in node:
            at = self.document
            for key in node["$ref"].removeprefix("#/").split("/"):
                at = at[key]
            node = at
        return node

    def check(self, schema, value):
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    def check_answer(self, method, path, status, answer):
        """An answer has a documented status and the documented shape."""
        route = "/v1/models/{id}" if path.startswith("/v1/models/") else path
        operations = self.document["paths"][route]
        operation = operations.get(method.lower()) or next(iter(operations.values()))
        response = self.resolved(operation["responses"][str(status)])
        for media in response.get("content", {}).values():
            return self.check(media["schema"], answer)
        return self.assertEqual(answer, "")

    def test_it_is_openapi(self):
        """Every schema is one, every reference leads somewhere, and it names this version."""
        self.assertEqual(self.document["openapi"], "3.1.0")
        self.assertEqual(self.document["info"]["version"],
                         self.server.request("GET", "/version")[1]["version"])
        for schema in self.document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        references = [word for word in json.dumps(self.document).split('"')
                      if word.startswith("#/")]
        for reference in references:
            self.assertTrue(self.resolved({"$ref": reference}), reference)

    def test_every_get(self):
        """All documented GET routes are there and answer as documented."""
        for path, operations in self.document["paths"].items():
            if "get" in operations:
                with self.subTest(path):
                    real = path.replace("{id}", "bitcpm-tiny")
                    status, answer = self.server.request("GET", real)
                    self.assertEqual(status, 200)
                    self.check_answer("GET", real, status, answer)

    def test_good_requests(self):
        """Requests that the schema takes get answers that the schema describes, streamed too."""
        chunks = {COMPLETIONS: "CompletionChunk", CHATS: "ChatCompletionChunk"}
        schemas = self.document["components"]["schemas"]
        for path, body in GOOD:
            with self.subTest(path=path, body=body):
                content = self.document["paths"][path]["post"]["requestBody"]["content"]
                self.check(content["application/json"]["schema"], body)
                status, answer = self.server.request("POST", path, body)
                self.assertEqual(status, 200, answer)
                self.check_answer("POST", path, status, answer)
                if path not in chunks or "prompt_logprobs" in body:
                    continue
                streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
                with contextlib.closing(self.server.connect()) as connection:
                    connection.request("POST", path, harness.encode(streamed), self.server.headers)
                    *events, done = harness.events(connection.getresponse())
                self.assertEqual(done, "[DONE]")
                for event in events:
                    self.check(schemas[chunks[path]], json.loads(event))

    def test_bad_requests(self):
        """Errors have the one shape that is documented for them."""
        for status, method, path, body in BAD:
            with self.subTest(path=path, body=body):
                got, answer = self.server.request(method, path, body)
                self.assertEqual(got, status, answer)
                self.check_answer(method, path, got, answer)


if __name__ == "__main__":
    harness.main()
