// openai for JavaScript: vLLM's own cases of /v1/chat/completions (chat_completion: test_chat,
// test_cache_accounting, test_chat_echo, test_chat_logit_bias_validation, test_tool_choice_null),
// restated.

import assert from "node:assert/strict";
import { test } from "node:test";

import { all, client, model, questions } from "./site.mjs";

const openai = client();
const chat = (content, parameters = {}) =>
  openai.chat.completions.create({
    model,
    messages: [{ role: "user", content }],
    temperature: 0,
    max_completion_tokens: 48,
    ...parameters,
  });

for (const { text, word } of questions) {
  test(`an answer, whole and streamed: ${text}`, async () => {
    const whole = await chat(text);
    assert.match(whole.id, /^chatcmpl-/);
    assert.equal(whole.choices[0].message.role, "assistant");
    assert.match(whole.choices[0].message.content, word);
    assert.equal(whole.choices[0].finish_reason, "stop");
    const chunks = await all(await chat(text, { stream: true }));
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(
      chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""),
      whole.choices[0].message.content,
    );
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason).filter(Boolean), [
      "stop",
    ]);
  });

  test(`the client's stream helper: ${text}`, async () => {
    const runner = openai.chat.completions.stream({
      model,
      messages: [{ role: "user", content: text }],
      temperature: 0,
      max_completion_tokens: 48,
    });
    let pieces = "";
    runner.on("content", (delta) => {
      pieces += delta;
    });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content, pieces);
    assert.match(pieces, word);
  });
}

for (const top_logprobs of [0, 1, 5, 20]) {
  test(`top_logprobs: ${top_logprobs}`, async () => {
    const { logprobs } = (
      await chat("Who are you?", { logprobs: true, top_logprobs, max_completion_tokens: 8 })
    ).choices[0];
    assert.equal(logprobs.content.length, 8);
    for (const entry of logprobs.content) assert.equal(entry.top_logprobs.length, top_logprobs);
  });
}

test("logprobs: false, null, or beyond the limit", async () => {
  for (const logprobs of [undefined, false, null]) {
    assert.equal(
      (await chat("Hi", { logprobs, max_completion_tokens: 2 })).choices[0].logprobs,
      null,
    );
  }
  for (const stream of [false, true]) {
    await assert.rejects(chat("Hi", { logprobs: true, top_logprobs: 21, stream }), {
      status: 400,
      param: "top_logprobs",
    });
  }
  await assert.rejects(chat("Hi", { top_logprobs: 2 }), { status: 400 });
});

test("streamed logprobs are those of the whole", async () => {
  const options = { logprobs: true, top_logprobs: 2, max_completion_tokens: 10 };
  const whole = (await chat("Who are you?", options)).choices[0].logprobs.content;
  const chunks = await all(await chat("Who are you?", { ...options, stream: true }));
  assert.deepEqual(
    chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []),
    whole,
  );
});

test("usage in a stream", async () => {
  const plain = await all(
    await chat("Hi", { stream: true, stream_options: { include_usage: false } }),
  );
  assert.ok(plain.every((chunk) => chunk.usage == null));
  const counted = await all(
    await chat("Hi", { stream: true, stream_options: { include_usage: true } }),
  );
  assert.deepEqual(counted.at(-1).choices, []);
  assert.ok(counted.at(-1).usage.completion_tokens > 0);
});

test("a conversation remembers nothing but its messages", async () => {
  const messages = [
    { role: "system", content: "You are a helpful assistant." },
    { role: "user", content: "What is 1+1?" },
  ];
  const ask = async () =>
    (await openai.chat.completions.create({ model, messages, temperature: 0, max_tokens: 10 }))
      .choices[0].message;
  const first = await ask();
  assert.deepEqual(await ask(), first);
  messages.push(
    { role: "assistant", content: first.content },
    { role: "user", content: "express your result in json" },
  );
  assert.ok((await ask()).content.length >= 0);
});

test("logit_bias: a token id of the model, a finite number", async () => {
  const biased = await chat("Hi", { logit_bias: { 1: -100 }, max_completion_tokens: 4 });
  assert.equal(biased.usage.completion_tokens, 4);
  for (const logit_bias of [{ 6008: 1 }, { "-1": 1 }, { x: 1 }, { 5: "much" }]) {
    await assert.rejects(chat("Hi", { logit_bias }), { status: 400, param: "logit_bias" });
  }
});

test("tool_choice null or absent is no tool choice", async () => {
  assert.ok(
    (await chat("Hi", { tool_choice: null, tools: null, max_completion_tokens: 2 })).choices[0]
      .message,
  );
});

test("response_format text is what there is anyway", async () => {
  const answer = await chat("Hi", { response_format: { type: "text" }, max_completion_tokens: 2 });
  assert.equal(answer.usage.completion_tokens, 2);
});

test("cached tokens are accounted for, whole and streamed", async () => {
  const text = `${"A prompt of more than one block. ".repeat(8)}${Math.random()}`;
  const cached = (usage) => usage.prompt_tokens_details.cached_tokens;
  assert.equal(cached((await chat(text)).usage), 0);
  const again = cached((await chat(text)).usage);
  assert.ok(again > 0);
  const chunks = await all(
    await chat(text, { stream: true, stream_options: { include_usage: true } }),
  );
  assert.equal(cached(chunks.at(-1).usage), again);
});

for (const echo of [true, false]) {
  test(`a continued message, echo: ${echo}`, async () => {
    const saying = "Here is a common saying about apple. An apple a day, keeps";
    const answer = await openai.chat.completions.create({
      model,
      messages: [
        { role: "user", content: "tell me a common saying" },
        { role: "assistant", content: saying },
      ],
      echo,
      continue_final_message: true,
      add_generation_prompt: false,
      max_completion_tokens: 16,
    });
    const { message, finish_reason } = answer.choices[0];
    assert.equal(message.role, "assistant");
    assert.equal(message.content.includes(saying), echo);
    assert.ok(["stop", "length"].includes(finish_reason));
  });
}
