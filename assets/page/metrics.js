// The live strip: vLLM's gauges and counters from /metrics, once a second while the page is seen.

const kPeriod = 1000; // ms
const kHistory = 60; // values in the curve
const kPatience = 30; // periods until a server without metrics is asked again

// Sums of the samples of each `vllm:` name over their labels.
function parse(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    const found = /^(vllm:\w+)(?:\{.*\})? (\S+)/.exec(line);
    if (found) sums.set(found[1], (sums.get(found[1]) ?? 0) + Number(found[2]));
  }
  return sums;
}

// Calls show({tokensPerSecond, kvUsage, running, waiting, history}), or show(null) while there are
// no metrics to be had.
export function watchMetrics(headers, show) {
  let last = null;
  let history = [];
  let pause = 0;

  async function look() {
    if (document.hidden || pause-- > 0) return;
    pause = 0;
    const answer = await fetch("/metrics", { headers: headers() });
    const sums = answer.ok ? parse(await answer.text()) : new Map();
    if (!sums.has("vllm:generation_tokens_total")) {
      pause = kPatience;
      last = null;
      show(null);
      return;
    }
    const now = { at: performance.now(), tokens: sums.get("vllm:generation_tokens_total") };
    const grown = last ? (1000 * Math.max(0, now.tokens - last.tokens)) / (now.at - last.at) : 0;
    last = now;
    history = [...history, grown].slice(-kHistory);
    show({
      tokensPerSecond: grown,
      history,
      kvUsage: sums.get("vllm:kv_cache_usage_perc") ?? 0,
      running: sums.get("vllm:num_requests_running") ?? 0,
      waiting: sums.get("vllm:num_requests_waiting") ?? 0,
    });
  }

  async function loop() {
    try {
      await look();
    } catch {
      show(null);
    }
    setTimeout(loop, kPeriod);
  }
  loop();
}
