// openai for JavaScript: vLLM's own cases of /v1/completions (tests/entrypoints/openai/completion:
// test_completion, test_token_in_token_out, test_completion_text_offset), restated.

import assert from "node:assert/strict";
import { test } from "node:test";

import { all, beginnings, client, model, tokenize } from "./site.mjs";

const openai = client();
const complete = (prompt, parameters = {}) =>
  openai.completions.create({ model, prompt, temperature: 0, max_tokens: 5, ...parameters });

test("a single completion has every part of OpenAI's object", async () => {
  const answer = await complete("Hello, my name is");
  assert.match(answer.id, /^cmpl-/);
  assert.equal(answer.object, "text_completion");
  assert.equal(answer.choices.length, 1);
  assert.ok(answer.choices[0].text.length >= 1);
  assert.equal(answer.choices[0].finish_reason, "length");
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.equal(completion_tokens, 5);
  assert.equal(total_tokens, prompt_tokens + 5);
});

test("a prompt of token ids", async () => {
  const answer = await complete([1, 0, 0, 0, 0]);
  assert.equal(answer.usage.prompt_tokens, 5); // as given: nothing is added to ids
  assert.equal(answer.usage.completion_tokens, 5);
});

for (const logprobs of [undefined, 0, 1, 5, 20]) {
  test(`logprobs: ${logprobs}`, async () => {
    const { choices } = await complete([1, 0, 0, 0, 0], { logprobs });
    if (logprobs === undefined) return assert.equal(choices[0].logprobs, null);
    const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0].logprobs;
    assert.deepEqual([tokens.length, token_logprobs.length, text_offset.length], [5, 5, 5]);
    for (const top of top_logprobs) {
      const count = Object.keys(top).length;
      assert.ok(count >= Math.max(1, logprobs) && count <= logprobs + 1, `${count} of ${logprobs}`);
    }
    return undefined;
  });
}

test("logprobs beyond --max-logprobs, whole and streamed", async () => {
  for (const stream of [false, true]) {
    await assert.rejects(complete([1, 2], { logprobs: 21, stream }), {
      status: 400,
      param: "logprobs",
    });
  }
  assert.ok((await complete("Hello")).choices[0].text.length > 0); // and the server lives
});

test("offsets are those of the text, echoed or not", async () => {
  for (const prompt of beginnings) {
    for (const echo of [false, true]) {
      const { text, logprobs } = (await complete(prompt, { logprobs: 1, echo, max_tokens: 8 }))
        .choices[0];
      const characters = [...text];
      logprobs.text_offset.forEach((offset, i) => {
        const next = logprobs.text_offset[i + 1] ?? characters.length;
        assert.ok(next >= offset);
        const piece = characters.slice(offset, next).join("");
        if (
          !logprobs.tokens[i].includes("\uFFFD") &&
          piece !== "" &&
          !/^(<|bytes:)/.test(logprobs.tokens[i])
        ) {
          assert.equal(piece.trim(), logprobs.tokens[i].trim());
        }
      });
    }
  }
});

test("streamed equals whole", async () => {
  for (const prompt of beginnings) {
    const whole = await complete(prompt, { max_tokens: 40 });
    const chunks = await all(await complete(prompt, { max_tokens: 40, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), whole.choices[0].text);
    const reasons = chunks.map((chunk) => chunk.choices[0].finish_reason).filter(Boolean);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
  }
});

test("n streamed in parallel: every choice complete, in its place", async () => {
  const chunks = await all(
    await complete("What is an LLM?", {
      max_tokens: 12,
      n: 3,
      temperature: 1,
      seed: 5,
      stream: true,
    }),
  );
  const texts = ["", "", ""];
  let ends = 0;
  for (const { choices } of chunks) {
    for (const choice of choices) {
      texts[choice.index] += choice.text;
      ends += choice.finish_reason === null ? 0 : 1;
    }
  }
  assert.equal(ends, 3);
  const whole = await complete("What is an LLM?", {
    max_tokens: 12,
    n: 3,
    temperature: 1,
    seed: 5,
  });
  assert.deepEqual(
    texts,
    whole.choices.map((choice) => choice.text),
  );
  assert.equal(new Set(texts).size, 3);
});

test("stream_options", async () => {
  const stream = (options) =>
    complete("What is the capital of France?", { stream: true, stream_options: options });
  for (const options of [
    { include_usage: false },
    { include_usage: false, continuous_usage_stats: false },
    { include_usage: false, continuous_usage_stats: true },
  ]) {
    for (const chunk of await all(await stream(options))) assert.ok(chunk.usage == null);
  }
  for (const continuous of [false, true]) {
    const chunks = await all(
      await stream({ include_usage: true, continuous_usage_stats: continuous }),
    );
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
    for (const chunk of chunks) assert.equal(chunk.usage != null, continuous);
    if (continuous) {
      const counts = chunks.map((chunk) => chunk.usage.completion_tokens);
      assert.deepEqual(
        counts,
        counts.toSorted((a, b) => a - b),
      );
    }
  }
  for (const stream_options of [{ include_usage: true }, { include_usage: false }, {}]) {
    await assert.rejects(complete("x", { stream_options }), {
      status: 400,
      param: "stream_options",
    });
  }
});

test("batches: texts, ids, streamed, with n", async () => {
  const ids = await tokenize(beginnings[0]);
  const single = (await complete(beginnings[0])).choices[0].text;
  for (const prompts of [
    [beginnings[0], beginnings[0]],
    [ids, ids],
  ]) {
    const whole = await complete(prompts);
    assert.deepEqual(
      whole.choices.map((choice) => [choice.index, choice.text]),
      [
        [0, single],
        [1, single],
      ],
    );
    const texts = ["", ""];
    for await (const { choices } of await complete(prompts, { stream: true }))
      texts[choices[0].index] += choices[0].text;
    assert.deepEqual(texts, [single, single]);
  }
  const many = await complete(beginnings, { n: 2, temperature: 1, seed: 1 });
  assert.deepEqual(
    many.choices.map((choice) => choice.index),
    [0, 1, 2, 3],
  );
});

test("truncate_prompt_tokens keeps the side that truncation_side leaves", async () => {
  const ids = await tokenize("one two three four five six seven eight");
  const kept = async (extra) =>
    (await complete(ids, { return_token_ids: true, ...extra })).choices[0].prompt_token_ids;
  assert.deepEqual(await kept({ truncate_prompt_tokens: 3 }), ids.slice(-3));
  assert.deepEqual(
    await kept({ truncate_prompt_tokens: 3, truncation_side: "left" }),
    ids.slice(-3),
  );
  assert.deepEqual(
    await kept({ truncate_prompt_tokens: 3, truncation_side: "right" }),
    ids.slice(0, 3),
  );
  assert.deepEqual(await kept({ truncate_prompt_tokens: -1 }), ids);
  for (const bad of [
    { truncate_prompt_tokens: -2 },
    { truncate_prompt_tokens: 3, truncation_side: "top" },
  ]) {
    await assert.rejects(complete(ids, bad), { status: 400 });
  }
});

test("token in, token out: the ids of an answer continue it", async () => {
  for (const prompt of beginnings) {
    const whole = (await complete(prompt, { max_tokens: 16, return_token_ids: true })).choices[0];
    const ids = [...whole.prompt_token_ids, ...whole.token_ids.slice(0, 8)];
    const rest = (await complete(ids, { max_tokens: 8, return_token_ids: true })).choices[0];
    assert.deepEqual(rest.token_ids, whole.token_ids.slice(8));
    const streamed = await all(
      await complete(prompt, { max_tokens: 16, return_token_ids: true, stream: true }),
    );
    assert.deepEqual(
      streamed.flatMap((chunk) => chunk.choices[0].token_ids),
      whole.token_ids,
    );
    assert.deepEqual(streamed[0].choices[0].prompt_token_ids, whole.prompt_token_ids);
  }
});

test("return_tokens_as_token_ids spells tokens that have no text", async () => {
  const { logprobs } = (
    await complete("Hello", {
      logprobs: 2,
      return_tokens_as_token_ids: true,
      return_token_ids: true,
    })
  ).choices[0];
  assert.ok(
    logprobs.tokens.every((token) => /^token_id:\d+$/.test(token)),
    logprobs.tokens.join(),
  );
});

test("echo, with and without an answer", async () => {
  for (const prompt of beginnings) {
    const echoed = (await complete(prompt, { echo: true, logprobs: 1 })).choices[0];
    assert.ok(echoed.text.startsWith(prompt));
    assert.equal(echoed.logprobs.token_logprobs[0], null);
    const only = (await complete(prompt, { echo: true, max_tokens: 0 })).choices[0];
    assert.equal(only.text, prompt);
  }
});

test("prompt_logprobs", async () => {
  const ids = await tokenize("The capital of France is");
  const { prompt_logprobs } = (await complete(ids, { prompt_logprobs: 1 })).choices[0];
  assert.equal(prompt_logprobs.length, ids.length);
  assert.equal(prompt_logprobs[0], null);
  prompt_logprobs.slice(1).forEach((position, i) => {
    const own = position[ids[i + 1]];
    assert.ok(own.logprob <= 0 && own.rank >= 1 && typeof own.decoded_token === "string");
  });
  await assert.rejects(complete(ids, { prompt_logprobs: 1, stream: true }), { status: 400 });
});

test("logit_bias allows exactly one token", async () => {
  const { token_ids } = (
    await complete("Hello", { logit_bias: { 100: 100 }, return_token_ids: true, ignore_eos: true })
  ).choices[0];
  assert.deepEqual(token_ids, [100, 100, 100, 100, 100]);
});

test("seeds: the same again, another one different, none different each time", async () => {
  const draw = async (seed) =>
    (await complete("Once upon a time", { temperature: 1.2, seed, max_tokens: 20 })).choices[0]
      .text;
  const [first, second, other] = [await draw(1), await draw(1), await draw(2)];
  assert.equal(first, second);
  assert.notEqual(first, other);
  assert.equal(new Set([await draw(), await draw(), await draw(), await draw()]).size > 1, true);
});
