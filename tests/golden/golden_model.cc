#include "golden_model.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <numeric>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "golden_data.h"
#include "model/loader.h"

namespace bitcpm::golden {

GoldenModel::GoldenModel(const std::string& isa, int threads, Numerics numerics) {
  backend_ = make_cpu_backend({.threads = threads, .isa = isa, .numerics = numerics}).value();
  load(embedded_model_files());
}

GoldenModel::GoldenModel(ModelFiles files, const std::string& isa, Numerics numerics) {
  backend_ = make_cpu_backend({.threads = 2, .isa = isa, .numerics = numerics}).value();
  load(std::move(files));
}

void GoldenModel::load(ModelFiles files) {
  const ModelConfig config = read_model_config(files).value();
  model_ = load_model(files, config, *backend_, {}).value().model;
}

template <class PerChunk>
void GoldenModel::run(std::span<const TokenId> ids, int chunk, const HiddenObserver* observer,
                      const PerChunk& per_chunk) const {
  const auto total = static_cast<std::int32_t>(ids.size());
  const std::int32_t block_tokens = backend_->kv_block_tokens();
  std::vector<std::int32_t> blocks(static_cast<std::size_t>(total / block_tokens + 1));
  std::iota(blocks.rbegin(), blocks.rend(), 0);  // descending: a block's id is not its index
  auto cache =
      backend_
          ->allocate_kv(model_->kv_shape(kv_cache_dtype_), static_cast<std::int32_t>(blocks.size()))
          .value();
  Workspace workspace = model_->make_workspace(std::min(chunk, total), 2048).value();
  for (std::int32_t begin = 0; begin < total; begin += chunk) {
    const std::int32_t count = std::min(chunk, total - begin);
    std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), 0);
    const SequenceSlice slice{0, count, begin, blocks};
    const BatchView batch{
        ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
        {&slice, 1},
        rows};
    model_->forward(batch, *cache, workspace, observer);
    per_chunk(count, workspace);
  }
}

std::vector<float> GoldenModel::logits(std::span<const TokenId> ids, int chunk, int top) const {
  std::vector<float> all;
  run(ids, chunk, nullptr, [&](std::int32_t count, Workspace& workspace) {
    for (std::int32_t first = 0; first < count; first += Model::kMaxLogitsRows) {
      const TensorView view =
          model_->logits(first, std::min(Model::kMaxLogitsRows, count - first), workspace, top);
      const std::vector<float> values = dense_values(view);
      all.insert(all.end(), values.begin(), values.end());
    }
  });
  return all;
}

std::vector<std::vector<float>> GoldenModel::hidden_states(std::span<const TokenId> ids) const {
  std::vector<std::vector<float>> stages(
      static_cast<std::size_t>(model_->config().num_hidden_layers) + 2);
  const auto keep = [&](HiddenPoint point, std::int32_t stage, TensorView h) {
    if (point != HiddenPoint::kResidual) return;
    stages[static_cast<std::size_t>(stage)] = dense_values(h);
  };
  const HiddenObserver observer(keep);
  run(ids, 4096, &observer, [](std::int32_t, Workspace&) {});
  return stages;
}

void Completion::add(EngineEvent&& event) {
  if (event.token) tokens.push_back(*event.token);
  if (event.logprobs) logprobs.push_back(std::move(*event.logprobs));
  for (auto& scored : event.prompt_logprobs) prompt_logprobs.push_back(std::move(scored));
  cached_tokens = event.cached_tokens;
  if (!event.finish) return;
  ++finish_events;
  finish = *event.finish;
  times = *event.times;
}

namespace {

std::string difference_of_scores(const std::vector<TokenLogprobs>& want,
                                 const std::vector<TokenLogprobs>& got) {
  if (want.size() != got.size()) return "as many as positions";
  for (std::size_t i = 0; i < want.size(); ++i) {
    const TokenLogprobs& a = want[i];
    const TokenLogprobs& b = got[i];
    const bool same =
        std::memcmp(&a.chosen, &b.chosen, sizeof(a.chosen)) == 0 && a.rank == b.rank &&
        a.top.size() == b.top.size() &&
        std::memcmp(a.top.data(), b.top.data(), a.top.size() * sizeof(TokenLogprobs::Entry)) == 0;
    if (!same) return "position " + std::to_string(i);
  }
  return {};
}

}  // namespace

std::string difference(const Completion& want, const Completion& got) {
  if (want.tokens != got.tokens) return "token ids";
  if (want.finish != got.finish) return "finish reason";
  if (got.finish_events != 1) return "terminal events";
  if (const auto where = difference_of_scores(want.logprobs, got.logprobs); !where.empty()) {
    return "log-probabilities: " + where;
  }
  if (const auto where = difference_of_scores(want.prompt_logprobs, got.prompt_logprobs);
      !where.empty()) {
    return "prompt log-probabilities: " + where;
  }
  return {};
}

std::vector<Completion> complete_all(Engine& engine,
                                     const std::vector<std::vector<TokenId>>& prompts,
                                     const std::vector<SamplingParams>& params) {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t finished = 0;
  std::vector<Completion> completions(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto sink = [&, i](EngineEvent&& event) {
      const std::lock_guard lock(mutex);
      finished += event.finish ? 1 : 0;
      completions[i].add(std::move(event));
      changed.notify_one();
    };
    const auto id = engine.submit(prompts[i], params[i], sink);
    BITCPM_CHECK(id.ok());
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return finished == prompts.size(); });
  return completions;
}

}  // namespace bitcpm::golden
