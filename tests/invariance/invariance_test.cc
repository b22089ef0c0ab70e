// The promise of the house (docs/numerics.md) over the whole space of what may differ between two
// runs of a request. Settings are chosen so that every pair of values of two dimensions occurs
// together; BITCPM_INVARIANCE=full runs every combination on the best level and many on each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"
#include "model/loader.h"

namespace bitcpm::golden {
namespace {

bool full() {
  const char* form = std::getenv("BITCPM_INVARIANCE");
  return form != nullptr && std::string(form) == "full";
}

constexpr std::int32_t kMaxModelLen = 224;
constexpr std::int32_t kWhole = 4096;  // more than any prompt

// The dimensions; a setting is one index into each.
enum Dimension { kLevel, kNumerics, kThreads, kBatch, kChunk, kCache, kRoom, kOrder, kGuess, kEnd };
using Setting = std::array<int, kEnd>;

struct Space {
  std::vector<std::string> levels = kernels::runnable_levels(kernels::detect_cpu_features());
  std::vector<Numerics> numerics = {Numerics::kExact, Numerics::kFast};
  std::vector<int> threads = {1, 2};
  std::vector<int> batch = full() ? std::vector{1, 2, 7, 32, 100} : std::vector{1, 2, 8, 16};
  std::vector<std::int32_t> chunk = {16, 64, 512, kWhole};
  std::vector<const char*> cache = {"cold", "cached"};
  std::vector<const char*> room = {"roomy", "crowded"};
  std::vector<const char*> order = {"forward", "backward", "staggered"};
  std::vector<const char*> guess = {"plain", "speculating"};

  std::array<int, kEnd> sizes() const {
    const auto size = [](const auto& values) { return static_cast<int>(values.size()); };
    return {size(levels), size(numerics), size(threads), size(batch), size(chunk),
            size(cache),  size(room),     size(order),   size(guess)};
  }

  std::string name(const Setting& s) const {
    const auto at = [](const auto& values, int i) { return values[static_cast<std::size_t>(i)]; };
    return at(levels, s[kLevel]) + " " + std::string(numerics_name(at(numerics, s[kNumerics]))) +
           ", " + std::to_string(at(threads, s[kThreads])) + " threads, batch " +
           std::to_string(at(batch, s[kBatch])) + ", chunk " +
           std::to_string(at(chunk, s[kChunk])) + ", " + at(cache, s[kCache]) + ", " +
           at(room, s[kRoom]) + ", " + at(order, s[kOrder]) + ", " + at(guess, s[kGuess]);
  }
};

struct Request {
  std::vector<TokenId> prompt;
  SamplingParams params;
};

// Request i of a hundred: beginnings that many share, some under a salt; text that repeats itself;
// greedy and seeded, with penalties, log-probabilities and scored prompts in turn.
Request make_request(std::size_t i, const std::vector<TokenId>& text) {
  Request r;
  const auto from = text.begin() + static_cast<std::ptrdiff_t>(i % 3 * 50);
  const auto shared = static_cast<std::ptrdiff_t>(30 + i % 3 * 35);
  r.prompt.assign(from, from + shared);
  for (std::size_t k = 0; k < 1 + i * 7 % 29; ++k) r.prompt.push_back(text[200 + i * 5 + k]);
  if (i % 4 == 0) r.prompt.insert(r.prompt.end(), from, from + shared / 2);
  SamplingParams& p = r.params;
  p.max_tokens = static_cast<std::int32_t>(5 + i % 7);
  p.ignore_eos = i % 5 != 0;
  p.temperature = i % 2 == 0 ? 0.0f : 0.9f;
  p.seed = i;
  if (i % 4 == 1) p.top_p = 0.9f;
  if (i % 8 == 3) p.top_k = 20;
  if (i % 6 == 1) p.repetition_penalty = 1.1f;
  if (i % 3 == 0) p.logprobs = 2;
  if (i % 7 == 3) p.prompt_logprobs = 1;
  if (i % 5 == 4) p.cache_salt = "tenant";
  return r;
}

std::vector<Request> make_requests(std::size_t count) {
  std::vector<TokenId> text;
  for (const Prompt& prompt : load_prompts()) {
    text.insert(text.end(), prompt.ids.begin(), prompt.ids.end());
    text.insert(text.end(), prompt.greedy_ids.begin(), prompt.greedy_ids.end());
  }
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) requests.push_back(make_request(i, text));
  return requests;
}

// Submits requests in an order, all at once or each when half of those before it have begun to
// answer, and collects what they come to, by their own numbers.
class Run {
 public:
  explicit Run(Engine& engine) : engine_(engine) {}

  std::vector<Completion> operator()(std::span<const Request> requests, const std::string& order) {
    completions_.assign(requests.size(), {});
    begun_ = finished_ = 0;
    std::vector<std::size_t> numbers(requests.size());
    std::iota(numbers.begin(), numbers.end(), 0);
    if (order == "backward") std::reverse(numbers.begin(), numbers.end());
    std::size_t submitted = 0;
    for (const std::size_t i : numbers) {
      SamplingParams params = requests[i].params;
      if (order == "staggered") {
        params.priority = static_cast<std::int32_t>(i * 5 % 3);
        wait_for([&] { return 2 * begun_ >= submitted; });
      }
      const auto sink = [this, i](EngineEvent&& event) { record(i, std::move(event)); };
      BITCPM_CHECK(engine_.submit(requests[i].prompt, std::move(params), sink).ok());
      ++submitted;
    }
    wait_for([&] { return finished_ == requests.size(); });
    return std::move(completions_);
  }

 private:
  template <class Condition>
  void wait_for(const Condition& condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

  void record(std::size_t i, EngineEvent&& event) {
    const std::lock_guard lock(mutex_);
    Completion& completion = completions_[i];
    begun_ += completion.tokens.empty() ? 1 : 0;
    finished_ += event.finish ? 1 : 0;
    completion.add(std::move(event));
    changed_.notify_one();
  }

  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Completion> completions_;
  std::size_t begun_ = 0;
  std::size_t finished_ = 0;
};

EngineConfig config_of(const Space& space, const Setting& s, const Model& model) {
  EngineConfig config;
  const auto chunk = space.chunk[static_cast<std::size_t>(s[kChunk])];
  config.max_model_len = kMaxModelLen;
  config.max_num_seqs = std::min(space.batch[static_cast<std::size_t>(s[kBatch])], chunk);
  config.max_num_batched_tokens = chunk;
  config.enable_prefix_caching = s[kCache] == 1;
  if (s[kGuess] == 1) {
    config.speculation = {.num_speculative_tokens = 4,
                          .prompt_lookup_min = 1,
                          .prompt_lookup_max = 4,
                          .disable_by_batch_size = 200,
                          .gated = false};
  }
  const std::size_t tokens = s[kRoom] == 0 ? 100 * kMaxModelLen : kMaxModelLen;
  config.kv_cache_bytes = tokens * kv_bytes_per_token(model.kv_shape());
  return config;
}

// What the runs as a whole must have come across, or they would prove little.
struct Seen {
  std::int64_t preemptions = 0;
  std::int64_t prefix_hits = 0;
  std::int64_t accepted = 0;

  void add(const EngineStats& stats) {
    preemptions += stats.preemptions_total;
    prefix_hits += stats.prefix_cache_hits;
    accepted += stats.speculation.accepted_tokens;
  }
};

class Matrix {
 public:
  Matrix() : requests_(make_requests(static_cast<std::size_t>(space_.batch.back()))) {
    for (int i = 0; i < space_.sizes()[kNumerics]; ++i) references_.push_back(reference(i));
  }

  const Space& space() const { return space_; }
  const Seen& seen() const { return seen_; }

  void check(const Setting& s) {
    const GoldenModel golden(space_.levels[static_cast<std::size_t>(s[kLevel])],
                             space_.threads[static_cast<std::size_t>(s[kThreads])],
                             space_.numerics[static_cast<std::size_t>(s[kNumerics])]);
    const auto engine = Engine::start(golden.model(), config_of(space_, s, golden.model())).value();
    const auto count = static_cast<std::size_t>(space_.batch[static_cast<std::size_t>(s[kBatch])]);
    const std::span<const Request> requests = std::span(requests_).first(count);
    for (int round = 0; round <= s[kCache]; ++round) {
      const auto got = Run(*engine)(requests, space_.order[static_cast<std::size_t>(s[kOrder])]);
      const auto& want = references_[static_cast<std::size_t>(s[kNumerics])];
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(difference(want[i], got[i]), "")
            << "request " << i << ", round " << round << ": " << space_.name(s);
      }
    }
    seen_.add(engine->stats());
  }

 private:
  // Every request alone: one thread, whole prompts, nothing cached or guessed.
  std::vector<Completion> reference(int numerics) const {
    Setting s{};
    s[kNumerics] = numerics;
    s[kChunk] = static_cast<int>(space_.chunk.size()) - 1;
    const GoldenModel golden(space_.levels.back(), 1,
                             space_.numerics[static_cast<std::size_t>(numerics)]);
    const auto engine = Engine::start(golden.model(), config_of(space_, s, golden.model())).value();
    std::vector<Completion> completions;
    for (const Request& request : requests_) {
      completions.push_back(Run(*engine)({&request, 1}, "forward")[0]);
    }
    return completions;
  }

  Space space_;
  std::vector<Request> requests_;
  std::vector<std::vector<Completion>> references_;  // by numerics
  Seen seen_;
};

// Settings such that each pair of values of two dimensions is in one of them.
std::vector<Setting> pairwise(const std::array<int, kEnd>& sizes) {
  using Pair = std::tuple<int, int, int, int>;
  const auto pairs_of = [](const Setting& s) {
    std::vector<Pair> pairs;
    for (int a = 0; a < kEnd; ++a) {
      for (int b = a + 1; b < kEnd; ++b) {
        pairs.emplace_back(a, s[static_cast<std::size_t>(a)], b, s[static_cast<std::size_t>(b)]);
      }
    }
    return pairs;
  };
  std::mt19937 rng(4);
  const auto any = [&] {
    Setting s{};
    for (std::size_t d = 0; d < kEnd; ++d) {
      s[d] = static_cast<int>(rng() % static_cast<unsigned>(sizes[d]));
    }
    return s;
  };
  std::size_t left = 0;
  for (std::size_t a = 0; a < kEnd; ++a) {
    for (std::size_t b = a + 1; b < kEnd; ++b) {
      left += static_cast<std::size_t>(sizes[a] * sizes[b]);
    }
  }
  std::set<Pair> covered;
  std::vector<Setting> chosen;
  while (covered.size() < left) {
    Setting best{};
    std::size_t most = 0;
    for (int i = 0; i < 200; ++i) {
      const Setting s = any();
      std::size_t fresh = 0;
      for (const Pair& pair : pairs_of(s)) fresh += covered.contains(pair) ? 0 : 1;
      if (fresh > most) {
        most = fresh;
        best = s;
      }
    }
    if (most == 0) continue;
    for (const Pair& pair : pairs_of(best)) covered.insert(pair);
    chosen.push_back(best);
  }
  return chosen;
}

// Every setting of the best level; the order of arrival goes round.
std::vector<Setting> all_of_the_best_level(const std::array<int, kEnd>& sizes) {
  std::vector<Setting> settings = {{}};
  settings[0][kLevel] = sizes[kLevel] - 1;
  for (std::size_t d = kLevel + 1; d < kEnd; ++d) {
    if (d == kOrder) continue;
    std::vector<Setting> longer;
    for (const Setting& setting : settings) {
      for (int i = 0; i < sizes[d]; ++i) {
        longer.push_back(setting);
        longer.back()[d] = i;
      }
    }
    settings = std::move(longer);
  }
  for (std::size_t i = 0; i < settings.size(); ++i) {
    settings[i][kOrder] = static_cast<int>(i % static_cast<std::size_t>(sizes[kOrder]));
  }
  return settings;
}

// Protects: token ids and every bit of every log-probability are those of the request alone, on
// every CPU level, whatever runs beside it, however it is cut, cached, preempted, ordered, guessed.
TEST(Invariance, BitsAreThoseOfTheRequestAlone) {
  Matrix matrix;
  std::vector<Setting> settings = pairwise(matrix.space().sizes());
  if (full()) {
    const auto all = all_of_the_best_level(matrix.space().sizes());
    settings.insert(settings.end(), all.begin(), all.end());
  }
  for (std::size_t i = 0; i < settings.size(); ++i) {
    matrix.check(settings[i]);
    if (HasFatalFailure()) return;
    if (full() && i % 20 == 19) std::printf("%zu of %zu settings\n", i + 1, settings.size());
  }
  std::printf("%zu settings, %lld preemptions, %lld prefix hits, %lld guessed tokens held\n",
              settings.size(), static_cast<long long>(matrix.seen().preemptions),
              static_cast<long long>(matrix.seen().prefix_hits),
              static_cast<long long>(matrix.seen().accepted));
  EXPECT_GT(matrix.seen().preemptions, 0);
  EXPECT_GT(matrix.seen().prefix_hits, 2000);
  EXPECT_GT(matrix.seen().accepted, 0);
}

}  // namespace
}  // namespace bitcpm::golden
