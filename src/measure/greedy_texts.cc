#include "measure/greedy_texts.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/engine.h"

namespace bitcpm {
namespace {

// Shared with the sinks, which may still be inside add() when the last event has been seen here.
class Continuations {
 public:
  explicit Continuations(std::size_t count) : ids_(count) {}

  void add(std::size_t index, const EngineEvent& event) {
    const std::scoped_lock lock(mutex_);
    if (event.token) {
      ids_[index].push_back(*event.token);
      ++tokens_;
    }
    if (!event.finish) return;
    ++finished_;
    changed_.notify_one();
  }

  void wait_for(std::size_t count, TokenProgress progress) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(100),
                              [&] { return finished_ >= count; })) {
      const std::int64_t tokens = tokens_;
      lock.unlock();
      progress(tokens);
      lock.lock();
    }
  }

  std::vector<TokenId> take(std::size_t index) { return std::move(ids_[index]); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<TokenId>> ids_;
  std::int64_t tokens_ = 0;
  std::size_t finished_ = 0;
};

std::int32_t prompt_length(const EvalWindow& window, const GreedyLoad& load) {
  const auto half = static_cast<std::int32_t>(window.ids.size() / 2);
  return std::min(load.prompt_tokens, half);
}

}  // namespace

Result<std::vector<GreedyText>> greedy_texts(const Model& model,
                                             std::span<const EvalWindow> windows,
                                             const GreedyLoad& load, TokenProgress progress) {
  const std::size_t count = std::min(windows.size(), static_cast<std::size_t>(load.texts));
  std::vector<GreedyText> texts(count);
  if (count == 0) return texts;
  std::int32_t longest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    texts[i].prompt_tokens = prompt_length(windows[i], load);
    longest = std::max(longest, texts[i].prompt_tokens);
  }
  BITCPM_ASSIGN(const std::unique_ptr<Engine> engine,
                start_engine_for(model, {.streams = static_cast<std::int32_t>(count),
                                         .prompt_tokens = longest,
                                         .max_tokens = load.max_tokens,
                                         .kv_cache_dtype = load.kv_cache_dtype}));
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = load.max_tokens;
  const auto made = std::make_shared<Continuations>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& ids = windows[i].ids;
    const auto submitted =
        engine->submit({ids.begin(), ids.begin() + texts[i].prompt_tokens}, params,
                       [made, i](EngineEvent&& event) { made->add(i, event); });
    if (!submitted.ok()) {
      made->wait_for(i, progress);
      return submitted.error();
    }
  }
  made->wait_for(count, progress);
  for (std::size_t i = 0; i < count; ++i) texts[i].ids = made->take(i);
  return texts;
}

Result<GreedyComparison> compare_greedy(std::span<const GreedyText> want,
                                        std::span<const GreedyText> got) {
  GreedyComparison comparison;
  comparison.texts = std::min(want.size(), got.size());
  for (std::size_t i = 0; i < comparison.texts; ++i) {
    if (want[i].prompt_tokens != got[i].prompt_tokens) {
      return Error{Errc::kInvalid, "the greedy texts continue prompts of different lengths: " +
                                       std::to_string(want[i].prompt_tokens) + " and " +
                                       std::to_string(got[i].prompt_tokens) + " tokens"};
    }
    const auto& w = want[i].ids;
    const auto& g = got[i].ids;
    const auto parted = std::mismatch(w.begin(), w.end(), g.begin(), g.end());
    // What one side did not generate is no difference.
    if (parted.first == w.end() || parted.second == g.end()) {
      ++comparison.equal;
    } else {
      comparison.divergences.push_back(static_cast<std::int32_t>(parted.first - w.begin()));
    }
  }
  return comparison;
}

}  // namespace bitcpm
