// What a step of the engine allocates: nothing, once it has run for a while.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

#include "engine/batch_builder.h"
#include "engine/scheduler.h"
#include "golden_model.h"

namespace {
std::atomic<bool> counting = false;
std::atomic<long> allocations = 0;

void* counted(std::size_t bytes) {
  if (counting) ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace bitcpm::golden {
namespace {

// Protects: planning and booking a steady decode allocate nothing: their time does not hang on the
// heap, and nothing can grow. Blocks fill up, are named and shared on the way; drafts are made.
TEST(Allocation, PlanningADecodeStep) {
  constexpr int kStreams = 16;
  for (const std::int32_t guesses : {0, 4}) {
    SchedulerConfig config;
    config.max_model_len = 2048;
    config.max_num_seqs = kStreams;
    config.max_num_batched_tokens = 512;
    config.speculation.num_speculative_tokens = guesses;
    config.speculation.prompt_lookup_min = 2;
    config.speculation.disable_by_batch_size = kStreams;
    config.speculation.gated = false;
    Scheduler scheduler(config, {2}, BlockPool(2048, 32));
    BatchBuilder batch(config.max_num_batched_tokens, kStreams);
    for (RequestId id = 0; id < kStreams; ++id) {
      SamplingParams params;
      params.max_tokens = 1500;
      scheduler.add(std::make_unique<Sequence>(
          id, std::vector<TokenId>{1, static_cast<TokenId>(10 + id), 5, 6, 7, 5, 6}, params));
    }
    std::vector<TokenId> sampled;
    sampled.reserve(1024);
    for (int step = 0; step < 200; ++step) {
      counting = step >= 20;
      (void)batch.build(scheduler.plan());
      sampled.clear();
      bool holds = true;
      for (const LogitsUse& use : batch.uses()) {
        // A loop of three, which drafts foresee once it has gone round.
        const auto length = use.sequence->tokens.size() + static_cast<std::size_t>(use.drafted);
        const auto next = static_cast<TokenId>(5 + (length - 4) % 3);
        const auto draft = use.sequence->draft();
        holds = use.drafted == 0 ||
                (holds && sampled.back() == draft[static_cast<std::size_t>(use.drafted) - 1]);
        if (holds) sampled.push_back(next);
      }
      (void)scheduler.commit(sampled);
      counting = false;
    }
    EXPECT_EQ(allocations.exchange(0), 0) << guesses << " guesses";
    EXPECT_EQ(scheduler.counters().speculation.accepted_tokens > 0, guesses > 0);
    EXPECT_EQ(scheduler.running(), kStreams);
  }
}

SamplingParams params_of(int stream, bool greedy) {
  SamplingParams params;
  params.max_tokens = 120;
  params.ignore_eos = true;
  params.seed = static_cast<std::uint64_t>(stream);
  params.temperature = greedy ? 0.0f : 0.8f;
  if (greedy) return params;
  if (stream % 2 == 0) params.top_p = 0.95f;
  if (stream % 3 == 0) params.top_k = 50;
  if (stream % 3 == 1) params.min_p = 0.02f;
  if (stream % 4 == 1) params.repetition_penalty = 1.1f;
  if (stream % 4 == 2) params.frequency_penalty = 0.3f;
  return params;
}

// Counts what all threads allocate while stream 0 goes from its 20th token to its 100th.
long allocations_of(Engine& engine, int streams, bool greedy) {
  std::atomic<int> running = streams;
  allocations = 0;
  for (int i = 0; i < streams; ++i) {
    std::vector<TokenId> prompt = {1};
    for (int k = 0; k < 24; ++k) prompt.push_back(10 + k % 6 + i);
    const auto sink = [&running, i, tokens = 0](EngineEvent&& event) mutable {
      tokens += event.token ? 1 : 0;
      if (i == 0) counting = tokens >= 20 && tokens < 100;
      if (event.finish && --running == 0) running.notify_one();
    };
    BITCPM_CHECK(engine.submit(std::move(prompt), params_of(i, greedy), sink).ok());
  }
  for (int left = running; left > 0; left = running) running.wait(left);
  return allocations;
}

// Protects: the same of whole steps: forward pass with attention over blocks, the screened head and
// the whole one, filters, penalties, guesses and the delivery of tokens. (Log-probabilities are
// handed over in memory of their own.)
TEST(Allocation, WholeDecodeStep) {
  struct Case {
    const char* name;
    Numerics numerics;
    int threads, streams, guesses;
    bool greedy;
  };
  constexpr Case kCases[] = {
      {"one greedy stream", Numerics::kFast, 2, 1, 0, true},
      {"one that guesses", Numerics::kFast, 2, 1, 4, true},
      {"twelve by seeds", Numerics::kFast, 2, 12, 0, false},
      {"four that guess", Numerics::kExact, 2, 4, 4, false},
      {"exact, one thread", Numerics::kExact, 1, 12, 0, false},
  };
  for (const Case& c : kCases) {
    const GoldenModel golden("auto", c.threads, c.numerics);
    EngineConfig config;
    config.max_model_len = 256;
    config.max_num_seqs = 16;
    config.kv_cache_bytes = 16 * 256 * kv_bytes_per_token(golden.model().kv_shape());
    config.speculation.num_speculative_tokens = c.guesses;
    config.speculation.prompt_lookup_min = 2;
    config.speculation.gated = false;
    const auto engine = Engine::start(golden.model(), config).value();
    EXPECT_EQ(allocations_of(*engine, c.streams, c.greedy), 0) << c.name;
    EXPECT_EQ(engine->stats().speculation.draft_tokens > 0, c.guesses > 0) << c.name;
  }
}

}  // namespace
}  // namespace bitcpm::golden
