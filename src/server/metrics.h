#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "engine/engine.h"
#include "server/engine_port.h"
#include "server/metric_text.h"

namespace bitcpm {

// How a request to the engine went, for the histograms. Seconds; negative: did not happen or is not
// known.
struct ChoiceRecord {
  enum Finish : std::uint8_t { kStop, kLength, kAbort };
  Finish finish = kAbort;
  std::int64_t prompt_tokens = 0;
  std::int64_t generation_tokens = 0;
  std::int64_t max_tokens = 0;
  std::int64_t n = 1;
  std::int64_t cached_tokens = -1;  // of the prompt
  std::int64_t preemptions = -1;
  double e2e = 0;     // from its arrival at the server
  double queue = -1;  // waiting in the engine
  double prefill = -1;
  double decode = -1;
};

// What /metrics shows: vLLM's names, labels and buckets, so that its dashboards work unchanged, and
// those of its HTTP front end and of Python's process collector. The server's thread.
class Metrics {
 public:
  Metrics();

  // The label of every vllm: metric, and the size of its buckets.
  void set_model(std::string name, std::int32_t max_model_len, const KvCacheSettings& kv_cache);

  void http_request(std::string_view handler, std::string_view method, unsigned status,
                    double seconds);
  void rejected() { ++rejections_; }
  void first_token(double seconds) { time_to_first_token_.observe(seconds); }
  void next_token(double seconds) { inter_token_latency_.observe(seconds); }
  void choice_ended(const ChoiceRecord& record);

  std::string text(const EngineStats& engine) const;

 private:
  void write_engine(MetricText& out, const EngineStats& engine) const;
  void write_kv_cache(MetricText& out, const EngineStats& engine) const;
  static void write_speculation(MetricText& out, const SpeculationTotals& totals);
  void write_requests(MetricText& out) const;
  void write_times(MetricText& out) const;
  std::string http_text() const;

  std::string model_name_;
  KvCacheSettings kv_cache_;
  std::map<std::tuple<std::string, std::string, std::string>, std::int64_t> http_requests_;
  std::map<std::pair<std::string, std::string>, Histogram> http_durations_;
  std::int64_t rejections_ = 0;
  std::array<std::int64_t, 3> finished_{};  // by ChoiceRecord::Finish
  Histogram prompt_tokens_, generation_tokens_, max_tokens_, n_;
  Histogram prefill_computed_, preemptions_;
  Histogram time_to_first_token_, inter_token_latency_, time_per_output_token_;
  Histogram e2e_, queue_, inference_, prefill_, decode_;
};

// process_* of this process. Errors: values that cannot be read are left out.
std::string process_metrics();

}  // namespace bitcpm
