// One streamed chat completion.

// Resolves, never rejects, to {text, tokens, finishReason, stopped, error, beganAt, firstAt, lastAt}:
// whatever arrived, and how it ended. `error` is {status, message}; status 0: the connection, and
// message is a key of words.js. `onText` gets the whole text so far.
export async function streamChat(request, headers, signal, onText) {
  const result = {
    text: "",
    tokens: 0,
    finishReason: null,
    stopped: false,
    error: null,
    beganAt: performance.now(),
    firstAt: 0,
    lastAt: 0,
  };
  try {
    const answer = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({
        ...request,
        stream: true,
        stream_options: { include_usage: true, continuous_usage_stats: true },
      }),
      signal,
    });
    if (!answer.ok) result.error = { status: answer.status, message: await errorText(answer) };
    else await readEvents(answer.body, (event) => take(event, result, onText));
    if (answer.ok && !result.error && result.finishReason === null)
      result.error = { status: 0, message: "broken" };
  } catch {
    if (signal.aborted) result.stopped = true;
    else result.error = { status: 0, message: result.text ? "broken" : "unreachable" };
  }
  return result;
}

function take(event, result, onText) {
  if (event.error) {
    result.error = { status: event.error.code ?? 500, message: event.error.message };
    return;
  }
  if (event.usage) result.tokens = event.usage.completion_tokens;
  const choice = event.choices?.[0];
  if (!choice) return;
  if (choice.finish_reason) result.finishReason = choice.finish_reason;
  if (!choice.delta?.content) return;
  result.lastAt = performance.now();
  if (!result.text) result.firstAt = result.lastAt;
  result.text += choice.delta.content;
  onText(result.text);
}

// Server-sent events of one `data:` line each, cut anywhere by the network.
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data && data !== "[DONE]") onEvent(JSON.parse(data));
    }
  }
}

async function errorText(answer) {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text);
    return error.message ?? String(error);
  } catch {
    return `${answer.status} ${text.slice(0, 200)}`;
  }
}
