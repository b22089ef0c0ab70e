// The promise of the house (docs/numerics.md) over the whole space of what may differ between two
// runs of a request. Settings are chosen so that every pair of values of two dimensions occurs
// together; BITCPM_INVARIANCE=full runs every combination on the best level and many on each other,
// with BITCPM_INVARIANCE_PART=2/4 the second quarter of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
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

// {n, k}: every n-th setting from the k-th on is to run.
std::pair<std::size_t, std::size_t> part() {
  unsigned number = 1;
  unsigned parts = 1;
  const char* text = std::getenv("BITCPM_INVARIANCE_PART");
  if (text != nullptr &&
      (std::sscanf(text, "%u/%u", &number, &parts) != 2 || number < 1 || number > parts)) {
    ADD_FAILURE() << "BITCPM_INVARIANCE_PART is 1/n to n/n, not " << text;
    return {1, 0};
  }
  return {parts, number - 1};
}

constexpr std::int32_t kMaxModelLen = 224;
constexpr std::int32_t kWhole = 4096;  // more than any prompt
// Of a crowded cache, for each place among those that run: nearly as many prompts get in, but what
// they grow to does not fit.
constexpr std::int32_t kCrowdedTokens = 56;
// The plain C++ level takes fifty times as long as the others.
constexpr std::size_t kMostOnScalar = 4;

// The dimensions; a setting is one index into each.
enum Dimension { kLevel, kNumerics, kThreads, kBatch, kChunk, kCache, kRoom, kOrder, kGuess, kEnd };
using Setting = std::array<int, kEnd>;

struct Space {
  std::vector<std::string> levels = kernels::runnable_levels(kernels::detect_cpu_features());
  std::vector<Numerics> numerics = {Numerics::kExact, Numerics::kFast};
  std::vector<int> threads = {1, 2};
  std::vector<int> batch = full() ? std::vector{1, 2, 7, 32, 100} : std::vector{1, 2, 8, 16, 32};
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

// Request i of a hundred: beginnings that many share, some under a salt; text that repeats itself,
// which is what guesses live on; answers of up to three blocks, for which a crowded cache has no
// room. Greedy and seeded, with penalties, log-probabilities and scored prompts in turn.
Request make_request(std::size_t i, const std::vector<TokenId>& text) {
  Request r;
  const auto from = text.begin() + static_cast<std::ptrdiff_t>(i % 3 * 50);
  const auto shared = static_cast<std::ptrdiff_t>(8 + i % 3 * 29);
  r.prompt.assign(from, from + shared);
  for (std::size_t k = 0; k < 1 + i * 7 % 29; ++k) r.prompt.push_back(text[200 + i * 5 + k]);
  if (i % 4 < 2) r.prompt.insert(r.prompt.end(), from, from + shared / 2);
  SamplingParams& p = r.params;
  p.max_tokens = static_cast<std::int32_t>(20 + i * 11 % 49);
  p.ignore_eos = i % 5 != 0;
  p.temperature = i % 2 == 0 ? 0.0f : i % 4 == 1 ? 0.2f : 0.9f;
  p.seed = i;
  if (i % 4 == 1) p.top_p = 0.9f;
  if (i % 8 == 3) p.top_k = 20;
  if (i % 6 == 1) p.repetition_penalty = 1.1f;
  if (i % 9 == 4) p.frequency_penalty = 0.2f;
  if (i % 3 != 1) p.logprobs = 2;
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
  const std::int32_t tokens =
      std::max(kMaxModelLen, space.batch[static_cast<std::size_t>(s[kBatch])] *
                                 (s[kRoom] == 0 ? kMaxModelLen : kCrowdedTokens));
  config.kv_cache_bytes = static_cast<std::size_t>(tokens) * kv_bytes_per_token(model.kv_shape());
  return config;
}

// What the runs as a whole must have come across, or they would prove little.
struct Seen {
  std::int64_t preemptions = 0;
  std::int64_t greedy_preempted = 0;  // requests
  std::int64_t seeded_preempted = 0;
  std::int64_t prefix_hits = 0;
  std::int64_t accepted = 0;
  std::int64_t rejected = 0;

  void add(const EngineStats& stats) {
    preemptions += stats.preemptions_total;
    prefix_hits += stats.prefix_cache_hits;
    accepted += stats.speculation.accepted_tokens;
    rejected += stats.speculation.draft_tokens - stats.speculation.accepted_tokens;
  }
  void add(const Request& request, const Completion& completion) {
    if (completion.times.preemptions == 0) return;
    ++(request.params.temperature == 0 ? greedy_preempted : seeded_preempted);
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
    auto count = static_cast<std::size_t>(space_.batch[static_cast<std::size_t>(s[kBatch])]);
    if (space_.levels[static_cast<std::size_t>(s[kLevel])] == "scalar") {
      count = std::min(count, kMostOnScalar);
    }
    const std::span<const Request> requests = std::span(requests_).first(count);
    for (int round = 0; round <= s[kCache]; ++round) {
      const auto got = Run(*engine)(requests, space_.order[static_cast<std::size_t>(s[kOrder])]);
      const auto& want = references_[static_cast<std::size_t>(s[kNumerics])];
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(difference(want[i], got[i]), "")
            << "request " << i << ", round " << round << ": " << space_.name(s);
        seen_.add(requests[i], got[i]);
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

// The best level with the most requests in a crowded cache, in every other way: where requests
// preempt each other all the time.
std::vector<Setting> crowds(const std::array<int, kEnd>& sizes) {
  std::vector<Setting> settings;
  for (int i = 0; i < 8; ++i) {
    Setting& s = settings.emplace_back();
    s[kLevel] = sizes[kLevel] - 1;
    s[kNumerics] = i % 2;
    s[kThreads] = i / 2 % 2;
    s[kBatch] = sizes[kBatch] - 1;
    s[kChunk] = 1 + i % 3;
    s[kCache] = i / 4 % 2;
    s[kRoom] = 1;
    s[kOrder] = i % 3;
    s[kGuess] = (i + i / 2) % 2;
  }
  return settings;
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
  const auto more =
      full() ? all_of_the_best_level(matrix.space().sizes()) : crowds(matrix.space().sizes());
  settings.insert(settings.end(), more.begin(), more.end());
  const auto [parts, chosen] = part();
  for (std::size_t i = chosen; i < settings.size(); i += parts) {
    matrix.check(settings[i]);
    if (HasFatalFailure()) return;
    if (full() && i / parts % 20 == 19) {
      std::printf("%zu of %zu settings\n", i + 1, settings.size());
      std::fflush(stdout);
    }
  }
  const Seen& seen = matrix.seen();
  const auto number = [](std::int64_t n) { return static_cast<long long>(n); };
  std::printf(
      "%zu settings, %lld preemptions (of %lld greedy and %lld seeded requests), %lld prefix hits, "
      "%lld guessed tokens held and %lld did not\n",
      settings.size(), number(seen.preemptions), number(seen.greedy_preempted),
      number(seen.seeded_preempted), number(seen.prefix_hits), number(seen.accepted),
      number(seen.rejected));
  // About half of what the covering part comes to; staggered arrivals make it vary.
  if (parts > 1) return;
  EXPECT_GT(seen.preemptions, 60);
  EXPECT_GT(seen.greedy_preempted, 25);
  EXPECT_GT(seen.seeded_preempted, 25);
  EXPECT_GT(seen.prefix_hits, 8000);
  EXPECT_GT(seen.accepted, 1200);
  EXPECT_GT(seen.rejected, 4000);
}

}  // namespace
}  // namespace bitcpm::golden
