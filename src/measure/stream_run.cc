#include "measure/stream_run.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/memory_budget.h"
#include "model/loader.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLookEvery = std::chrono::milliseconds(100);

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// When each token of each stream came. Shared with the sinks, which may still be inside add() when
// the last event has been seen here.
class Arrivals {
 public:
  explicit Arrivals(const StreamLoad& load) : times_(static_cast<std::size_t>(load.streams)) {
    for (auto& times : times_) times.reserve(static_cast<std::size_t>(load.max_tokens));
  }

  void add(std::size_t stream, bool has_token, bool finished) {
    const Clock::time_point now = Clock::now();
    const std::scoped_lock lock(mutex_);
    if (has_token) {
      times_[stream].push_back(now);
      ++tokens_;
    }
    if (!finished) return;
    ++finished_;
    changed_.notify_one();
  }

  void wait_for(std::size_t streams, TokenProgress progress) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kLookEvery, [&] { return finished_ >= streams; })) {
      const std::int64_t tokens = tokens_;
      lock.unlock();
      progress(tokens);
      lock.lock();
    }
  }

  // After all streams have finished.
  StreamTimes summary(Clock::time_point start) const {
    const auto* first_done = &times_.front();
    Clock::time_point all_begun = start;
    Clock::time_point all_done = start;
    for (const auto& times : times_) {
      all_begun = std::max(all_begun, times.front());
      all_done = std::max(all_done, times.back());
      if (times.back() < first_done->back()) first_done = &times;
    }
    StreamTimes summary;
    summary.overall_seconds = seconds_between(start, all_done);
    summary.prompt_seconds = seconds_between(start, all_begun);
    // Steps rather than tokens: the last step's tokens come one after the other.
    for (const Clock::time_point time : *first_done) summary.decode_steps += time > all_begun;
    if (summary.decode_steps > 0) {
      summary.decode_seconds = seconds_between(all_begun, first_done->back());
    }
    return summary;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<Clock::time_point>> times_;
  std::int64_t tokens_ = 0;
  std::size_t finished_ = 0;
};

std::vector<TokenId> random_prompt(std::int32_t tokens, std::int32_t vocab_size, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<TokenId> ids(static_cast<std::size_t>(tokens));
  for (TokenId& id : ids) id = static_cast<TokenId>(rng() % static_cast<unsigned>(vocab_size));
  return ids;
}

}  // namespace

Result<std::unique_ptr<Engine>> start_engine_for(const Model& model, const StreamLoad& load) {
  EngineConfig config;
  const std::int64_t length = std::int64_t{load.prompt_tokens} + load.max_tokens;
  const std::int32_t positions = model.config().max_position_embeddings;
  if (length > positions) {
    return Error{Errc::kInvalid, std::to_string(load.prompt_tokens) + " prompt tokens and " +
                                     std::to_string(load.max_tokens) + " generated ones exceed " +
                                     "the model's " + std::to_string(positions) + " positions"};
  }
  config.max_model_len = static_cast<std::int32_t>(length);
  config.max_num_seqs = load.streams;
  config.max_num_batched_tokens = std::max(config.max_num_batched_tokens, load.streams);
  config.max_waiting_requests = load.streams;  // a run may begin while the last one's ends go out
  config.enable_prefix_caching = false;        // each run must compute its prompts
  const std::int64_t block = model.backend().kv_block_tokens();
  const std::int64_t kv_tokens = load.streams * ((length + block - 1) / block * block);
  config.kv_cache_dtype = load.kv_cache_dtype;
  config.speculation = load.speculation;
  config.max_logprobs = std::max(config.max_logprobs, load.sampling.logprobs.value_or(0));
  config.kv_cache_bytes =
      static_cast<std::size_t>(kv_tokens) * kv_bytes_per_token(model.kv_shape(load.kv_cache_dtype));
  if (config.kv_cache_bytes > usable_memory_bytes()) {
    return Error{Errc::kExhausted, std::to_string(load.streams) + " streams of " +
                                       std::to_string(length) + " tokens need a KV cache of " +
                                       std::to_string(config.kv_cache_bytes) +
                                       " bytes, more memory than there is"};
  }
  return Engine::start(model, config);
}

Result<StreamTimes> run_streams(Engine& engine, std::int32_t vocab_size, const StreamLoad& load,
                                TokenProgress progress) {
  const EngineStats before = engine.stats();
  SamplingParams params = load.sampling;
  params.ignore_eos = true;
  params.max_tokens = load.max_tokens;
  const auto arrivals = std::make_shared<Arrivals>(load);
  std::vector<std::vector<TokenId>> prompts;
  for (std::int32_t i = 0; i < load.streams; ++i) {
    prompts.push_back(random_prompt(load.prompt_tokens, vocab_size, static_cast<unsigned>(i)));
  }
  const Clock::time_point start = Clock::now();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto sink = [arrivals, i](EngineEvent&& event) {
      arrivals->add(i, event.token.has_value(), event.finish.has_value());
    };
    params.seed = i;
    const auto submitted = engine.submit(std::move(prompts[i]), params, sink);
    if (!submitted.ok()) {
      arrivals->wait_for(i, progress);
      return submitted.error();
    }
  }
  arrivals->wait_for(prompts.size(), progress);
  StreamTimes times = arrivals->summary(start);
  const EngineStats after = engine.stats();
  times.steps = after.steps - before.steps;
  times.guessed_tokens = after.speculation.draft_tokens - before.speculation.draft_tokens;
  times.accepted_tokens = after.speculation.accepted_tokens - before.speculation.accepted_tokens;
  return times;
}

}  // namespace bitcpm
