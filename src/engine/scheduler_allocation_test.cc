#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "engine/batch_builder.h"
#include "engine/scheduler.h"

namespace {
bool counting = false;
long allocations = 0;

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

namespace bitcpm {
namespace {

// Protects: planning and booking a steady decode allocate nothing: their time does not hang on the
// heap, and nothing can grow. Blocks fill up, are named and shared on the way; drafts are made.
TEST(SchedulerAllocation, SteadyDecodeAllocatesNothing) {
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
    BatchBuilder batch;
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
    EXPECT_EQ(std::exchange(allocations, 0), 0) << guesses << " guesses";
    EXPECT_EQ(scheduler.counters().speculation.accepted_tokens > 0, guesses > 0);
    EXPECT_EQ(scheduler.running(), kStreams);
  }
}

}  // namespace
}  // namespace bitcpm
