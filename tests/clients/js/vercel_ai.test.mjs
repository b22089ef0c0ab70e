// Vercel's AI SDK with @ai-sdk/openai-compatible.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

import { all, baseURL, beginnings, model, questions } from "./site.mjs";

const provider = createOpenAICompatible({
  name: "bitcpm",
  baseURL,
  apiKey: "none",
  includeUsage: true,
});
const chat = provider.chatModel(model);
const completion = provider.completionModel(model);
const short = { temperature: 0, maxOutputTokens: 48, maxRetries: 0 };

for (const { text, word } of questions) {
  test(`generateText and streamText agree: ${text}`, async () => {
    const whole = await generateText({ model: chat, prompt: text, ...short });
    assert.match(whole.text, word);
    assert.equal(whole.finishReason, "stop");
    assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
    const stream = streamText({ model: chat, prompt: text, ...short });
    assert.equal((await all(stream.textStream)).join(""), whole.text);
    assert.equal(await stream.finishReason, "stop");
    assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
  });
}

test("completions, whole and streamed", async () => {
  for (const prompt of beginnings) {
    const whole = await generateText({ model: completion, prompt, ...short });
    assert.ok(whole.text.length > 10);
    const stream = streamText({ model: completion, prompt, ...short });
    assert.equal((await all(stream.textStream)).join(""), whole.text);
  }
});

test("system message, stop sequences, seed", async () => {
  const options = {
    model: chat,
    system: "You tell stories.",
    prompt: "Why is the moon so far away?",
    ...short,
    temperature: 2,
    seed: 4,
  };
  const first = await generateText(options);
  assert.equal((await generateText(options)).text, first.text);
  assert.notEqual((await generateText({ ...options, seed: 5 })).text, first.text);
  const stop = first.text.slice(10, 12);
  const stopped = await generateText({ ...options, stopSequences: [stop] });
  assert.equal(stopped.text, first.text.slice(0, first.text.indexOf(stop)));
  assert.equal(stopped.finishReason, "stop");
});

test("length as the reason", async () => {
  const answer = await generateText({
    model: chat,
    prompt: "Tell me a story.",
    ...short,
    maxOutputTokens: 3,
  });
  assert.equal(answer.finishReason, "length");
});

test("an error carries status and message", async () => {
  await assert.rejects(
    generateText({ model: chat, prompt: "x", ...short, temperature: 5 }),
    (error) => {
      assert.equal(error.statusCode, 400);
      assert.equal(error.isRetryable, false);
      assert.match(error.message, /temperature/);
      return true;
    },
  );
  await assert.rejects(
    generateText({ model: provider.chatModel("gpt-4"), prompt: "x", ...short }),
    { statusCode: 404 },
  );
});

test("an aborted stream", async () => {
  const controller = new AbortController();
  let pieces = 0;
  const stream = streamText({
    model: completion,
    prompt: "Once upon a time",
    temperature: 0,
    maxOutputTokens: 1900,
    maxRetries: 0,
    providerOptions: { bitcpm: { ignore_eos: true } },
    abortSignal: controller.signal,
  });
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta" && ++pieces === 3) controller.abort();
    if (part.type === "abort") break;
  }
  assert.ok(controller.signal.aborted && pieces < 1000, `${pieces} pieces`);
});
