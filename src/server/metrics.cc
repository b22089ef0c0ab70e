#include "server/metrics.h"

#include <utility>

namespace bitcpm {
namespace {

// vLLM's buckets (vllm/v1/metrics/loggers.py).
std::vector<double> latency_buckets() {
  return {0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
          30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
}

std::vector<double> first_token_buckets() {
  return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
          1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
}

std::vector<double> per_token_buckets() {
  return {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
          0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
}

// 1, 2, 5, 10, … up to `most`.
std::vector<double> one_two_five(double most) {
  std::vector<double> bounds;
  for (double power = 1;; power *= 10) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      if (digit * power > most) return bounds;
      bounds.push_back(digit * power);
    }
  }
}

constexpr std::string_view kFinishNames[] = {"stop", "length", "abort"};

// As Python prints it, for labels that vLLM makes of its settings.
std::string_view python_name(bool value) { return value ? "True" : "False"; }

Histogram histogram_of(const BlockResidencyTotals::Spread& spread) {
  const auto& bounds = BlockResidencyTotals::kBounds;
  Histogram histogram({bounds.begin(), bounds.end()});
  histogram.add(spread.counts, spread.sum);
  return histogram;
}

}  // namespace

Metrics::Metrics()
    : prompt_tokens_({}),
      generation_tokens_({}),
      max_tokens_({}),
      n_({1, 2, 5, 10, 20}),
      prefill_computed_({}),
      preemptions_({1, 2, 3, 4, 5, 10, 20}),
      time_to_first_token_(first_token_buckets()),
      inter_token_latency_(per_token_buckets()),
      time_per_output_token_(per_token_buckets()),
      e2e_(latency_buckets()),
      queue_(latency_buckets()),
      inference_(latency_buckets()),
      prefill_(latency_buckets()),
      decode_(latency_buckets()) {}

void Metrics::set_model(std::string name, std::int32_t max_model_len,
                        const KvCacheSettings& kv_cache) {
  model_name_ = std::move(name);
  kv_cache_ = kv_cache;
  prompt_tokens_ = generation_tokens_ = max_tokens_ = prefill_computed_ =
      Histogram(one_two_five(max_model_len));
}

void Metrics::http_request(std::string_view handler, std::string_view method, unsigned status,
                           double seconds) {
  const std::string group = std::string(1, static_cast<char>('0' + status / 100)) + "xx";
  ++http_requests_[{std::string(handler), std::string(method), group}];
  static const std::vector<double> kBounds{0.1, 0.5, 1.0};
  http_durations_.try_emplace({std::string(handler), std::string(method)}, kBounds)
      .first->second.observe(seconds);
}

void Metrics::choice_ended(const ChoiceRecord& record) {
  ++finished_[record.finish];
  const auto observe = [](Histogram& histogram, double seconds) {
    if (seconds >= 0) histogram.observe(seconds);
  };
  prompt_tokens_.observe(static_cast<double>(record.prompt_tokens));
  generation_tokens_.observe(static_cast<double>(record.generation_tokens));
  max_tokens_.observe(static_cast<double>(record.max_tokens));
  n_.observe(static_cast<double>(record.n));
  if (record.cached_tokens >= 0) {
    prefill_computed_.observe(static_cast<double>(record.prompt_tokens - record.cached_tokens));
  }
  if (record.preemptions >= 0) preemptions_.observe(static_cast<double>(record.preemptions));
  observe(e2e_, record.e2e);
  observe(queue_, record.queue);
  observe(prefill_, record.prefill);
  observe(decode_, record.decode);
  if (record.prefill >= 0 && record.decode >= 0) inference_.observe(record.prefill + record.decode);
  if (record.decode >= 0 && record.generation_tokens > 1) {
    time_per_output_token_.observe(record.decode /
                                   static_cast<double>(record.generation_tokens - 1));
  }
}

void Metrics::write_engine(MetricText& out, const EngineStats& engine) const {
  const double usage = engine.kv_cache_usage();
  out.gauge("vllm:num_requests_running", "Number of requests in model execution batches.",
            engine.running);
  out.gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.",
            engine.waiting);
  constexpr std::string_view kByReason = "vllm:num_requests_waiting_by_reason";
  out.family(kByReason, "gauge",
             "Number of waiting requests: for capacity, or deferred for what another computes.");
  out.sample(kByReason, {{"reason", "capacity"}}, engine.waiting - engine.deferred);
  out.sample(kByReason, {{"reason", "deferred"}}, engine.deferred);
  out.gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", usage);
  out.gauge("vllm:gpu_cache_usage_perc", "The old name of vllm:kv_cache_usage_perc.", usage);
  out.counter("vllm:num_preemptions_total", "Cumulative number of preemptions.",
              engine.preemptions_total);
  out.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
              engine.prefix_cache_queries);
  out.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
              engine.prefix_cache_hits);
  out.counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.",
              engine.prompt_tokens_total);
  constexpr std::string_view kBySource = "vllm:prompt_tokens_by_source_total";
  out.family(kBySource, "counter", "Number of prompt tokens, by where their keys came from.");
  out.sample(kBySource, {{"source", "local_compute"}},
             engine.prompt_tokens_total - engine.prefix_cache_hits);
  out.sample(kBySource, {{"source", "local_cache_hit"}}, engine.prefix_cache_hits);
  out.counter("vllm:prompt_tokens_cached_total", "Number of cached prompt tokens.",
              engine.prefix_cache_hits);
  out.counter("vllm:generation_tokens_total", "Number of generation tokens processed.",
              engine.generation_tokens_total);
  if (engine.speculation.drafts > 0) write_speculation(out, engine.speculation);
  const auto& bounds = StepTotals::kTokenBounds;  // the last one stands for more
  Histogram iterations({bounds.begin(), bounds.end() - 1});
  iterations.add(engine.steps.steps_by_tokens, static_cast<double>(engine.steps.tokens));
  out.histogram("vllm:iteration_tokens_total", "Number of tokens per engine step.", iterations);
}

// A capacity planner's facts, as labels: blocks of memory go by the name of vLLM's GPU blocks.
void Metrics::write_kv_cache(MetricText& out, const EngineStats& engine) const {
  constexpr std::string_view kInfo = "vllm:cache_config_info";
  out.family(kInfo, "gauge", "Settings of the KV cache.");
  out.sample(
      kInfo,
      {{"block_size", std::to_string(engine.kv_block_tokens)},
       {"cache_dtype", kv_cache_.dtype},
       {"enable_prefix_caching", python_name(kv_cache_.enable_prefix_caching)},
       {"kv_cache_memory_bytes", std::to_string(kv_cache_.bytes)},
       {"kv_cache_size_tokens", std::to_string(engine.kv_blocks_total * engine.kv_block_tokens)},
       {"num_gpu_blocks", std::to_string(engine.kv_blocks_total)},
       {"sliding_window", "None"}},
      1);
  if (!kv_cache_.records_residency) return;
  const BlockResidencyTotals& residency = engine.residency;
  out.histogram("vllm:kv_block_lifetime_seconds",
                "Time from a KV block's allocation to its eviction, of a sample of blocks.",
                histogram_of(residency.lifetime));
  out.histogram("vllm:kv_block_idle_before_evict_seconds",
                "Time from a KV block's last use to its eviction, of a sample of blocks.",
                histogram_of(residency.idle_before_evict));
  out.histogram("vllm:kv_block_reuse_gap_seconds",
                "Time between the last uses of a KV block, of a sample of blocks.",
                histogram_of(residency.reuse_gap));
}

void Metrics::write_speculation(MetricText& out, const SpeculationTotals& totals) {
  out.counter("vllm:spec_decode_num_drafts_total", "Number of drafts.", totals.drafts);
  out.counter("vllm:spec_decode_num_draft_tokens_total", "Number of drafted tokens.",
              totals.draft_tokens);
  out.counter("vllm:spec_decode_num_accepted_tokens_total", "Number of drafted tokens that held.",
              totals.accepted_tokens);
  constexpr std::string_view kByPosition = "vllm:spec_decode_num_accepted_tokens_per_pos_total";
  out.family(kByPosition, "counter", "Drafted tokens that held, by their place in the draft.");
  for (std::size_t i = 0; i < totals.accepted_by_position.size(); ++i) {
    out.sample(kByPosition, {{"position", std::to_string(i)}}, totals.accepted_by_position[i]);
  }
}

void Metrics::write_requests(MetricText& out) const {
  out.family("vllm:request_success_total", "counter", "Count of finished requests, by reason.");
  for (std::size_t i = 0; i < finished_.size(); ++i) {
    out.sample("vllm:request_success_total", {{"finished_reason", kFinishNames[i]}}, finished_[i]);
  }
  constexpr std::string_view kRejections = "vllm:admission_rejections_total";
  out.family(kRejections, "counter", "Requests refused because the queue was full.");
  out.sample(kRejections, {{"reason", "max_num_queued_reqs"}}, rejections_);
  out.histogram("vllm:request_prompt_tokens", "Number of prefill tokens of a request.",
                prompt_tokens_);
  out.histogram("vllm:request_generation_tokens", "Number of generation tokens of a request.",
                generation_tokens_);
  out.histogram("vllm:request_max_num_generation_tokens",
                "Most generation tokens that a request could have had.", max_tokens_);
  out.histogram("vllm:request_params_max_tokens", "The max_tokens request parameter.", max_tokens_);
  out.histogram("vllm:request_params_n", "The n request parameter.", n_);
  out.histogram("vllm:request_prefill_kv_computed_tokens",
                "Prefill tokens of a request that were not found in the prefix cache.",
                prefill_computed_);
  out.histogram("vllm:request_num_preemptions", "Number of preemptions of a request.",
                preemptions_);
}

void Metrics::write_times(MetricText& out) const {
  out.histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.",
                time_to_first_token_);
  out.histogram("vllm:inter_token_latency_seconds", "Time between two tokens in seconds.",
                inter_token_latency_);
  out.histogram("vllm:time_per_output_token_seconds",
                "The old name of vllm:inter_token_latency_seconds.", inter_token_latency_);
  out.histogram("vllm:request_time_per_output_token_seconds",
                "Mean time between two tokens of a request in seconds.", time_per_output_token_);
  out.histogram("vllm:e2e_request_latency_seconds", "Whole time of a request in seconds.", e2e_);
  out.histogram("vllm:request_queue_time_seconds", "Time in the WAITING phase in seconds.", queue_);
  out.histogram("vllm:request_inference_time_seconds", "Time in the RUNNING phase in seconds.",
                inference_);
  out.histogram("vllm:request_prefill_time_seconds", "Time in the PREFILL phase in seconds.",
                prefill_);
  out.histogram("vllm:request_decode_time_seconds", "Time in the DECODE phase in seconds.",
                decode_);
}

std::string Metrics::http_text() const {
  MetricText out({});
  out.family("http_requests_total", "counter", "HTTP requests by handler, method and status.");
  for (const auto& [key, count] : http_requests_) {
    const auto& [handler, method, status] = key;
    out.sample("http_requests_total",
               {{"handler", handler}, {"method", method}, {"status", status}}, count);
  }
  out.family("http_request_duration_seconds", "histogram", "Duration of HTTP requests in seconds.");
  for (const auto& [key, durations] : http_durations_) {
    out.histogram("http_request_duration_seconds", {{"handler", key.first}, {"method", key.second}},
                  durations);
  }
  return out.take();
}

std::string Metrics::text(const EngineStats& engine) const {
  std::string text;
  if (!model_name_.empty()) {
    MetricText out({{"engine", "0"}, {"model_name", model_name_}});
    write_engine(out, engine);
    write_kv_cache(out, engine);
    write_requests(out);
    write_times(out);
    text = out.take();
  }
  return text + http_text() + process_metrics();
}

}  // namespace bitcpm
