"""Holds what was said against /openapi.json: every answer, every accepted request."""

import collections
import json
import re

import jsonschema

_SHOWN_FAILURES = 20


class Description:
    """An OpenAPI 3.1 document: finds operations and validates bodies."""

    def __init__(self, document):
        self._document = document
        self._validators = {}
        # The template with the fewest parameters first: /v1/models before /v1/models/{id}.
        self._paths = [(re.compile(re.sub(r"\\{[^/]*?\\}", ".+", re.escape(path)) + "$"), path)
                       for path in sorted(document["paths"], key=lambda path: path.count("{"))]

    def resolve(self, node):
        """What a $ref within the document stands for; other nodes as they are."""
        while "$ref" in node:
            found = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def operation(self, method, path):
        """(path's template, operation), the latter None if the description has none."""
        for pattern, template in self._paths:
            if pattern.match(path):
                operations = self._document["paths"][template]
                return template, operations.get("get" if method == "HEAD" else method.lower())
        return path, None

    def problems(self, schema, value):
        """What is wrong with a value, as texts."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            self._validators[key] = jsonschema.Draft202012Validator(
                {**schema, "components": self._document.get("components", {})})
        return [f"{'/'.join(map(str, error.absolute_path)) or '(whole)'}: {error.message[:300]}"
                for error in self._validators[key].iter_errors(value)]


def _answer_problems(description, operation, exchange):
    responses = operation["responses"]
    status = str(exchange.status)
    answer = responses.get(status) or responses.get(f"{status[0]}XX") or responses.get("default")
    if answer is None:
        return [f"status {status} is not described"]
    contents = description.resolve(answer).get("content", {})
    if not exchange.body or exchange.method == "HEAD":
        return []
    content = contents.get(exchange.content_type)
    if content is None:
        return [f"content type '{exchange.content_type}' is not described"]
    if exchange.content_type == "text/event-stream":
        # An event is a chunk or, if the answer must end early, an error.
        error = {"$ref": "#/components/schemas/Error"}
        events = (json.loads(event) for event in exchange.events() if event != "[DONE]")
        return [f"event: {problem}" for event in events for problem in
                description.problems(error if "error" in event else content["x-event-schema"],
                                     event)]
    if exchange.content_type != "application/json" or not exchange.complete:
        return []
    return description.problems(content.get("schema", {}), exchange.json())


def _request_problems(description, operation, exchange):
    """A request that was accepted must be one that the description allows."""
    body = description.resolve(operation.get("requestBody", {}))
    content = body.get("content", {}).get("application/json")
    if content is None or exchange.status >= 300 or not exchange.request_body:
        return []
    return [f"accepted request: {problem}" for problem in
            description.problems(content["schema"], json.loads(exchange.request_body))]


def check(document, exchanges, said=print):
    """(kinds of answers that hold, kinds that do not); a kind is method, path, status and type."""
    description = Description(document)
    kinds = collections.defaultdict(list)
    shown = 0
    for exchange in exchanges:
        template, operation = description.operation(exchange.method, exchange.path)
        is_page = exchange.path == "/" or exchange.path.startswith("/page/")
        if is_page or (operation is None and exchange.status in (404, 405)):
            continue  # not of the API, or refused as such
        kind = f"{exchange.method} {template} {exchange.status} {exchange.content_type}"
        problems = (["no such operation"] if operation is None else
                    _answer_problems(description, operation, exchange)
                    + _request_problems(description, operation, exchange))
        kinds[kind].append(not problems)
        for problem in problems[:2]:
            if shown < _SHOWN_FAILURES:
                said(f"schema: {kind}: {problem}\n  request {exchange.request_body[:200]!r}")
                shown += 1
    for kind, outcomes in sorted(kinds.items()):
        said(f"schema: {kind}: {sum(outcomes)} of {len(outcomes)} as described")
    good = sum(all(outcomes) for outcomes in kinds.values())
    return good, len(kinds) - good
