// openai for JavaScript: errors, aborts, many at once (vLLM's test_completion_error,
// test_prompt_validation, test_empty_prompt_list, test_chat_error, test_non_object_body_validation).

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { beginnings, client, model, rootURL, tokenize } from "./site.mjs";

const openai = client();
const endless = { model, prompt: "Once", temperature: 0, max_tokens: 1900, ignore_eos: true };

async function assertStillServes() {
  const answer = await openai.completions.create({
    model,
    prompt: "Once",
    max_tokens: 2,
    ignore_eos: true,
  });
  assert.equal(answer.usage.completion_tokens, 2);
}

for (const [param, change] of [
  ["prompt", { prompt: "" }],
  ["prompt", { prompt: [] }],
  ["prompt", { prompt: [[]] }],
  ["prompt", { prompt: [[], []] }],
  ["prompt", { prompt: ["a", [1]] }],
  ["prompt", { prompt: [1, "a"] }],
  ["prompt", { prompt: [1.5] }],
  ["prompt", { prompt: [-1] }],
  ["prompt", { prompt: { text: "a" } }],
  ["prompt", { prompt: "word ".repeat(4000) }],
  ["temperature", { temperature: -0.1 }],
  ["temperature", { temperature: "hot" }],
  ["top_p", { top_p: 1.1 }],
  ["n", { n: 0 }],
  ["n", { n: 2, temperature: 0 }],
  ["n", { n: 1e9, temperature: 1 }],
  ["min_tokens", { min_tokens: 9 }],
  ["best_of", { best_of: 3 }],
  ["stop", { stop: [1] }],
  ["seed", { seed: 1.5 }],
  ["max_tokens", { max_tokens: 1e12 }],
  ["stream", { stream: "yes" }],
  ["top_k", { top_k: -2 }],
  ["logit_bias", { logit_bias: [1] }],
]) {
  test(`400 names ${param}: ${JSON.stringify(change).slice(0, 60)}`, async () => {
    await assert.rejects(
      openai.completions.create({
        model,
        prompt: "Once",
        max_tokens: 4,
        temperature: 1,
        ...change,
      }),
      (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError, error);
        assert.deepEqual([error.status, error.code, error.param], [400, 400, param]);
        return true;
      },
    );
    await assertStillServes();
  });
}

test("ids beyond the vocabulary", async () => {
  for (const prompt of [[6008], [1, 2 ** 31 - 1], [[1, 99999]]]) {
    await assert.rejects(openai.completions.create({ model, prompt }), { status: 400 });
  }
  await assertStillServes();
});

test("a body that is no object", async () => {
  for (const body of ["", "null", "[]", "3", '"text"', "{", '{"prompt":"x"} trailing', "\u0000"]) {
    for (const path of ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"]) {
      const answer = await fetch(rootURL + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
      });
      assert.equal(answer.status, 400, `${path}: ${body}`);
      const { error } = await answer.json();
      assert.equal(error.code, 400);
      assert.ok(error.message.length > 0);
    }
  }
});

test("a model that is not served", async () => {
  await assert.rejects(
    openai.completions.create({ model: "gpt-4", prompt: "x" }),
    OpenAI.NotFoundError,
  );
  await assert.rejects(openai.models.retrieve("gpt-4"), OpenAI.NotFoundError);
});

test("an aborted request, whole and streamed", async () => {
  for (const stream of [false, true]) {
    const controller = new AbortController();
    const pending = openai.completions.create(
      { ...endless, stream },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 60);
    await assert.rejects(async () => {
      const answer = await pending;
      if (!stream) return;
      for await (const chunk of answer) assert.ok(chunk.id);
      controller.signal.throwIfAborted(); // the client ends an aborted iteration quietly
    });
  }
  await assertStillServes();
});

test("leaving a stream early", async () => {
  for (let i = 0; i < 8; ++i) {
    for await (const chunk of await openai.completions.create({ ...endless, stream: true })) {
      assert.ok(chunk.choices[0].text !== undefined);
      break;
    }
  }
  await assertStillServes();
});

test("a time-out of the client's", async () => {
  await assert.rejects(
    openai.completions.create(endless, { timeout: 40 }),
    OpenAI.APIConnectionTimeoutError,
  );
  await assertStillServes();
});

test("many at once get what each gets alone", async () => {
  const ids = await tokenize(beginnings[1]);
  const requests = [beginnings[0], beginnings[1], ids].flatMap((prompt) =>
    [0, 1, 2, 3].map((seed) => ({
      model,
      prompt,
      seed,
      temperature: seed % 2,
      max_tokens: 16,
      logprobs: 1,
    })),
  );
  const run = async (request) => (await openai.completions.create(request)).choices[0];
  const alone = [];
  for (const request of requests) alone.push(await run(request));
  assert.deepEqual(await Promise.all(requests.map(run)), alone);
});
