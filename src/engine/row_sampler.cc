#include "engine/row_sampler.h"

#include <cstddef>
#include <utility>

#include "model/model.h"

namespace bitcpm {

RowSampler::RowSampler(Backend& backend, std::int32_t vocab_size,
                       const std::vector<TokenId>& eos_token_ids, LogprobsMode mode)
    : pool_(backend.pool()) {
  for (int i = 0; i < pool_.threads(); ++i) {
    samplers_.emplace_back(backend.logits_scan(), vocab_size, eos_token_ids, mode);
  }
  results_.reserve(static_cast<std::size_t>(Model::kMaxLogitsRows));
}

std::span<const RowResult> RowSampler::run(std::span<const LogitsUse> uses, TensorView logits) {
  results_.assign(uses.size(), {});
  const std::size_t share = (uses.size() + samplers_.size() - 1) / samplers_.size();
  pool_.parallel_for(uses.size(), share, [&](std::size_t begin, std::size_t end) {
    Sampler& sampler = samplers_[begin / share];  // ranges and samplers are one to one
    for (std::size_t i = begin; i < end; ++i) {
      results_[i] =
          read(uses[i],
               {logits.row(static_cast<std::int64_t>(i)), static_cast<std::size_t>(logits.cols)},
               sampler);
    }
  });
  return results_;
}

RowResult RowSampler::read(const LogitsUse& use, std::span<const float> logits, Sampler& sampler) {
  Sequence& sequence = *use.sequence;
  if (use.prompt_index >= 0) {
    const TokenId token = sequence.tokens[static_cast<std::size_t>(use.prompt_index)];
    return {std::nullopt,
            sampler.score(logits, token, sequence.params.prompt_logprobs.value_or(0))};
  }
  Sampler::Sample sample = sampler.sample(logits, sequence);
  return {sample.token, std::move(sample.logprobs)};
}

}  // namespace bitcpm
