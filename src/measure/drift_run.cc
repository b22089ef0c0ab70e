#include "measure/drift_run.h"

#include <algorithm>
#include <numeric>

#include "backend/backend.h"

namespace bitcpm {
namespace {

// One text through one model; its logits are read afterwards, a few positions at a time.
class TextPass {
 public:
  static Result<TextPass> run(const Model& model, std::span<const TokenId> ids,
                              std::optional<KvCacheDtype> kv_cache_dtype) {
    const auto count = static_cast<std::int32_t>(ids.size());
    BITCPM_ASSIGN(Workspace workspace, model.make_workspace(count, count));
    TextPass pass(model, std::move(workspace));
    const std::int32_t block_tokens = model.backend().kv_block_tokens();
    std::vector<std::int32_t> blocks(
        static_cast<std::size_t>((count + block_tokens - 1) / block_tokens));
    std::iota(blocks.begin(), blocks.end(), 0);
    BITCPM_ASSIGN(const std::unique_ptr<KvCache> cache,
                  model.backend().allocate_kv(model.kv_shape(kv_cache_dtype),
                                              static_cast<std::int32_t>(blocks.size())));
    std::vector<std::int32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const SequenceSlice slice{0, count, 0, blocks};
    model.forward({ids, {&slice, 1}, rows}, *cache, pass.workspace_);
    return pass;
  }

  TensorView logits(std::int32_t first, std::int32_t count) {
    return model_->logits(first, count, workspace_);
  }

 private:
  TextPass(const Model& model, Workspace workspace)
      : model_(&model), workspace_(std::move(workspace)) {}

  const Model* model_;
  Workspace workspace_;
};

}  // namespace

Result<DriftMeter> measure_drift(const Model& want, const Model& got,
                                 std::span<const std::vector<TokenId>> texts,
                                 FunctionRef<void(std::size_t positions)> progress,
                                 std::optional<KvCacheDtype> kv_cache_dtype) {
  DriftMeter meter;
  const auto vocab = static_cast<std::size_t>(want.config().vocab_size);
  for (const std::vector<TokenId>& ids : texts) {
    BITCPM_ASSIGN(TextPass want_pass, TextPass::run(want, ids, std::nullopt));
    BITCPM_ASSIGN(TextPass got_pass, TextPass::run(got, ids, kv_cache_dtype));
    const auto total = static_cast<std::int32_t>(ids.size());
    for (std::int32_t first = 0; first < total; first += Model::kMaxLogitsRows) {
      const std::int32_t count = std::min(Model::kMaxLogitsRows, total - first);
      const TensorView w = want_pass.logits(first, count);
      const TensorView g = got_pass.logits(first, count);
      for (std::int32_t i = 0; i < count; ++i) {
        const std::span<const float> w_row(w.row(i), vocab);
        const std::span<const float> g_row(g.row(i), vocab);
        const auto next = static_cast<std::size_t>(first + i + 1);
        if (next < ids.size()) {
          meter.add(w_row, g_row, ids[next]);
        } else {
          meter.add(w_row, g_row);
        }
      }
      progress(meter.positions());
    }
  }
  return meter;
}

std::vector<std::vector<TokenId>> cut_text(std::span<const TokenId> ids, std::size_t length) {
  std::vector<std::vector<TokenId>> pieces;
  for (std::size_t begin = 0; begin + 1 < ids.size(); begin += length) {
    const auto piece = ids.subspan(begin, std::min(length, ids.size() - begin));
    pieces.emplace_back(piece.begin(), piece.end());
  }
  return pieces;
}

}  // namespace bitcpm
