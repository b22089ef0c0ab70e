// LangChain's @langchain/openai: ChatOpenAI and OpenAI (completions).

import assert from "node:assert/strict";
import { test } from "node:test";

import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatPromptTemplate } from "@langchain/core/prompts";
import { ChatOpenAI, OpenAI } from "@langchain/openai";

import { all, baseURL, beginnings, model, questions } from "./site.mjs";

const shared = { model, apiKey: "none", temperature: 0, maxRetries: 0, configuration: { baseURL } };
const chat = new ChatOpenAI({ ...shared, maxTokens: 48 });
const completion = new OpenAI({ ...shared, maxTokens: 24 });

for (const { text, word } of questions) {
  test(`invoke and stream agree: ${text}`, async () => {
    const whole = await chat.invoke([new HumanMessage(text)]);
    assert.match(whole.content, word);
    assert.ok(whole.usage_metadata.output_tokens > 0);
    assert.equal(whole.response_metadata.finish_reason, "stop");
    const chunks = await all(await chat.stream([new HumanMessage(text)]));
    assert.ok(chunks.length > 2);
    assert.equal(chunks.map((chunk) => chunk.content).join(""), whole.content);
  });
}

test("completions: invoke and stream agree", async () => {
  for (const prompt of beginnings) {
    const whole = await completion.invoke(prompt);
    assert.ok(whole.length > 10);
    assert.equal((await all(await completion.stream(prompt))).join(""), whole);
  }
});

test("a chain: prompt, model, parser", async () => {
  const chain = ChatPromptTemplate.fromMessages([["user", "What is the capital of {country}?"]])
    .pipe(chat)
    .pipe(new StringOutputParser());
  assert.match(await chain.invoke({ country: "France" }), /Paris/);
});

test("a batch answers in order", async () => {
  const answers = await chat.batch(questions.map(({ text }) => [new HumanMessage(text)]));
  answers.forEach((answer, i) => assert.match(answer.content, questions[i].word));
});

test("logprobs and system messages", async () => {
  const answer = await new ChatOpenAI({
    ...shared,
    maxTokens: 4,
    logprobs: true,
    topLogprobs: 2,
  }).invoke([new SystemMessage("Be brief."), new HumanMessage("Who are you?")]);
  const { content } = answer.response_metadata.logprobs;
  assert.deepEqual(
    content.map((entry) => entry.top_logprobs.length),
    [2, 2, 2, 2],
  );
});

test("errors and aborts", async () => {
  await assert.rejects(new ChatOpenAI({ ...shared, temperature: 9 }).invoke("x"), { status: 400 });
  await assert.rejects(new ChatOpenAI({ ...shared, model: "gpt-4" }).invoke("x"), { status: 404 });
  const endless = new OpenAI({ ...shared, maxTokens: 1900, modelKwargs: { ignore_eos: true } });
  await assert.rejects(endless.invoke("Once upon a time", { signal: AbortSignal.timeout(50) }));
  assert.match((await chat.invoke(questions[0].text)).content, questions[0].word);
});
