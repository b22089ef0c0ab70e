// What the JavaScript tests share: clients of the server that run.py started.

import OpenAI from "openai";

export const baseURL = process.env.BITCPM_BASE_URL ?? "http://127.0.0.1:8000/v1";
export const rootURL = baseURL.replace(/\/v1$/, "");
export const model = "bitcpm-tiny";

// Two languages, answers that the built-in model knows by heart (greedy).
export const questions = [
  { text: "What is the capital of France?", word: /Paris/ },
  { text: "中国的首都是哪里?", word: /北京/ },
];
export const beginnings = ["Once upon a time", "从前有一只小白兔"];

// No retries unless asked for, so that a failure shows itself.
export function client(options = {}) {
  return new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 60_000, ...options });
}

export async function tokenize(prompt) {
  const answer = await fetch(`${rootURL}/tokenize`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt }),
  });
  return (await answer.json()).tokens;
}

export async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}
