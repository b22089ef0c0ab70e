#include "measure/model_pass.h"

#include <numeric>
#include <string>

#include "backend/backend.h"

namespace bitcpm {

Result<ModelPass> ModelPass::make(const Model& model, std::size_t longest,
                                  std::optional<KvCacheDtype> kv_cache_dtype) {
  const std::int32_t positions = model.config().max_position_embeddings;
  if (longest > static_cast<std::size_t>(positions)) {
    return Error{Errc::kInvalid, "a text of " + std::to_string(longest) +
                                     " tokens exceeds the model's " + std::to_string(positions) +
                                     " positions"};
  }
  const auto length = static_cast<std::int32_t>(longest);
  BITCPM_ASSIGN(Workspace workspace, model.make_workspace(length, length));
  ModelPass pass(model, std::move(workspace));
  const std::int32_t block_tokens = model.backend().kv_block_tokens();
  pass.blocks_.resize((longest + static_cast<std::size_t>(block_tokens) - 1) /
                      static_cast<std::size_t>(block_tokens));
  std::iota(pass.blocks_.begin(), pass.blocks_.end(), 0);
  BITCPM_ASSIGN(pass.cache_,
                model.backend().allocate_kv(model.kv_shape(kv_cache_dtype),
                                            static_cast<std::int32_t>(pass.blocks_.size())));
  return pass;
}

void ModelPass::run(std::span<const TokenId> ids, std::size_t first_row,
                    const HiddenObserver* observer) {
  rows_.resize(ids.size() - first_row);
  std::iota(rows_.begin(), rows_.end(), static_cast<std::int32_t>(first_row));
  const SequenceSlice slice{0, static_cast<std::int32_t>(ids.size()), 0, blocks_};
  model_->forward({ids, {&slice, 1}, rows_}, *cache_, workspace_, observer);
}

}  // namespace bitcpm
