#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>

#include "base/memory_budget.h"
#include "golden_model.h"
#include "model/loader.h"

namespace bitcpm::golden {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAtOnce = 200;
constexpr std::int32_t kMaxModelLen = 256;

double soak_seconds() {
  const char* seconds = std::getenv("BITCPM_SOAK_SECONDS");
  return seconds == nullptr ? 5 : std::max(1.0, std::atof(seconds));
}

// Keeps requests in flight from one thread while the engine answers on its own.
class Load {
 public:
  Load(Engine& engine, unsigned seed) : engine_(engine), rng_(seed) {}

  // Until `end`; then gives up what is in flight and waits for it to end.
  void run(Clock::time_point end) {
    while (Clock::now() < end) {
      if (in_flight_ >= kAtOnce) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } else {
        submit();
      }
      if (pick(0, 15) == 0) cancel_one();
    }
    for (const RequestId id : recent_) engine_.cancel(id);
    while (in_flight_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::int64_t submitted() const { return submitted_; }
  std::int64_t cancelled() const { return cancelled_; }
  std::int64_t wrong() const { return wrong_; }

 private:
  std::int32_t pick(std::int32_t least, std::int32_t most) {
    return least + static_cast<std::int32_t>(rng_() % static_cast<unsigned>(most - least + 1));
  }

  // A prompt of its own after one of a few beginnings, sometimes several times at once.
  void submit() {
    std::vector<TokenId> prompt;
    for (std::int32_t i = pick(0, 3), n = pick(0, 90); n > 0; --n)
      prompt.push_back(10 + i + n % 40);
    for (std::int32_t n = pick(1, 40); n > 0; --n) prompt.push_back(pick(10, 5000));
    SamplingParams params;
    params.max_tokens = pick(1, 100);
    params.temperature = pick(0, 1) == 0 ? 0.0f : 1.0f;
    params.ignore_eos = pick(0, 3) > 0;
    params.priority = pick(0, 9) == 0 ? pick(-1, 1) : 0;
    params.cache_salt = pick(0, 5) == 0 ? "tenant" : "";
    if (pick(0, 7) == 0) params.logprobs = 2;
    if (pick(0, 15) == 0) params.prompt_logprobs = 0;
    for (std::int32_t samples = pick(0, 7) == 0 ? 4 : 1; samples > 0; --samples) {
      params.seed = static_cast<std::uint64_t>(samples);
      submit_one(prompt, params);
    }
  }

  void submit_one(const std::vector<TokenId>& prompt, const SamplingParams& params) {
    ++in_flight_;
    ++submitted_;
    // What a sink needs to see that it is called once at the end and not after it.
    auto ended = std::make_shared<bool>(false);
    auto tokens = std::make_shared<std::int32_t>(0);
    const std::int32_t most = params.max_tokens;
    const auto sink = [this, ended, tokens, most](EngineEvent&& event) {
      *tokens += event.token ? 1 : 0;
      if (*ended || *tokens > most) ++wrong_;
      if (!event.finish) return;
      *ended = true;
      if (*event.finish == FinishReason::kCancelled) ++cancelled_;
      if (*event.finish == FinishReason::kLength && *tokens != most) ++wrong_;
      --in_flight_;
    };
    const auto id = engine_.submit(prompt, params, sink);
    BITCPM_CHECK(id.ok());
    recent_[submitted_ % kAtOnce] = id.value();
  }

  void cancel_one() {
    if (submitted_ > 0) engine_.cancel(recent_[static_cast<std::size_t>(pick(0, kAtOnce - 1))]);
  }

  Engine& engine_;
  std::mt19937 rng_;
  std::array<RequestId, kAtOnce> recent_{};
  std::int64_t submitted_ = 0;
  std::atomic<std::size_t> in_flight_{0};
  std::atomic<std::int64_t> cancelled_{0};
  std::atomic<std::int64_t> wrong_{0};
};

// Protects: nothing leaks: after two hundred requests at a time, of all kinds, some cancelled, in a
// cache so small that they preempt each other, all blocks are back and memory is what it was after
// a first fifth of the time; each request ended once.
TEST(Soak, NothingLeaks) {
  const GoldenModel golden("auto", 2, Numerics::kFast);
  EngineConfig config;
  config.max_model_len = kMaxModelLen;
  config.max_num_seqs = 64;
  config.kv_cache_bytes = 4096 * kv_bytes_per_token(golden.model().kv_shape());
  config.speculation.num_speculative_tokens = 4;
  config.speculation.prompt_lookup_min = 2;
  config.speculation.disable_by_batch_size = 64;
  config.speculation.gated = false;
  const auto engine = Engine::start(golden.model(), config).value();
  const double seconds = soak_seconds();
  const auto stretch = [&](double share) {
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(share * seconds));
  };
  std::int64_t submitted = 0;
  std::int64_t cancelled = 0;
  std::size_t before = 0;
  for (const auto& [share, seed] : {std::pair(0.2, 1u), std::pair(0.8, 2u)}) {
    Load load(*engine, seed);
    load.run(stretch(share));
    while (engine->stats().running + engine->stats().waiting > 0) std::this_thread::yield();
    EXPECT_EQ(load.wrong(), 0);
    EXPECT_EQ(engine->stats().kv_blocks_used, 0);
    submitted += load.submitted();
    cancelled += load.cancelled();
    if (before == 0) before = resident_bytes();
  }
  const std::size_t after = resident_bytes();
  const EngineStats stats = engine->stats();
  std::printf(
      "%lld requests, %lld cancelled, %lld preemptions, %lld tokens, %lld guesses held; "
      "resident %.1f MB before, %.1f MB after\n",
      static_cast<long long>(submitted), static_cast<long long>(cancelled),
      static_cast<long long>(stats.preemptions_total),
      static_cast<long long>(stats.generation_tokens_total),
      static_cast<long long>(stats.speculation.accepted_tokens), static_cast<double>(before) / 1e6,
      static_cast<double>(after) / 1e6);
  EXPECT_GT(cancelled, 0);
  EXPECT_GT(stats.preemptions_total, 0);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // their memory is no measure
  EXPECT_LT(static_cast<double>(after), 1.05 * static_cast<double>(before) + 4e6);
#endif
}

}  // namespace
}  // namespace bitcpm::golden
