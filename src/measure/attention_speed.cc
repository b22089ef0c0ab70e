#include "measure/attention_speed.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>
#include <string>

#include "base/memory_budget.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMeasureSeconds = 0.2;
constexpr std::int32_t kFillRows = 512;  // positions written at a time
constexpr std::int64_t kMostRows = 65536;

template <class Call>
Spread seconds_per_call(int repeat, const Call& call) {
  const auto time_calls = [&](std::size_t calls) {
    const Clock::time_point start = Clock::now();
    for (std::size_t i = 0; i < calls; ++i) call();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  time_calls(1);  // the memory it touches
  const double once = time_calls(1);
  const auto calls = std::max<std::size_t>(1, static_cast<std::size_t>(kMeasureSeconds / once));
  std::vector<double> seconds;
  for (int i = 0; i < repeat; ++i)
    seconds.push_back(time_calls(calls) / static_cast<double>(calls));
  return spread_of(std::move(seconds));
}

Status check(const Model& model, const ContextLoad& load, std::size_t cache_bytes) {
  const std::int32_t positions = model.config().max_position_embeddings;
  if (load.context > positions || load.tokens > load.context) {
    return Error{Errc::kInvalid, std::to_string(load.tokens) + " tokens in a context of " +
                                     std::to_string(load.context) +
                                     ": the context must hold them and have at most " +
                                     std::to_string(positions) + " positions, as the model"};
  }
  const std::int64_t rows = std::int64_t{load.streams} * load.tokens;
  if (rows > kMostRows) {
    return Error{Errc::kInvalid, std::to_string(rows) + " tokens in a pass are more than " +
                                     std::to_string(kMostRows)};
  }
  if (cache_bytes > usable_memory_bytes()) {
    return Error{Errc::kExhausted, std::to_string(load.streams) + " contexts of " +
                                       std::to_string(load.context) +
                                       " tokens need a KV cache of " + std::to_string(cache_bytes) +
                                       " bytes, more memory than there is"};
  }
  return {};
}

}  // namespace

Result<AttentionProbe> AttentionProbe::make(const Model& model, const ContextLoad& load) {
  Backend& backend = model.backend();
  const std::int32_t block = backend.kv_block_tokens();
  const std::int32_t blocks = (load.context - 1) / block + 1;
  const KvShape shape = model.kv_shape(load.kv_cache_dtype);
  const auto all_blocks = static_cast<std::size_t>(load.streams) * static_cast<std::size_t>(blocks);
  BITCPM_TRY(
      check(model, load, all_blocks * static_cast<std::size_t>(block) * kv_bytes_per_token(shape)));
  BITCPM_ASSIGN(Workspace workspace,
                model.make_workspace(load.streams * load.tokens, load.context));
  AttentionProbe probe(model, load, std::move(workspace));
  BITCPM_ASSIGN(probe.cache_, backend.allocate_kv(shape, static_cast<std::int32_t>(all_blocks)));
  probe.blocks_.resize(all_blocks);
  std::iota(probe.blocks_.begin(), probe.blocks_.end(), 0);
  for (std::int32_t i = 0; i < load.streams; ++i) {
    probe.slices_.push_back(
        {i * load.tokens, load.tokens, load.context - load.tokens,
         std::span(probe.blocks_)
             .subspan(static_cast<std::size_t>(i) * static_cast<std::size_t>(blocks),
                      static_cast<std::size_t>(blocks))});
    probe.logits_rows_.push_back((i + 1) * load.tokens - 1);
  }
  std::mt19937 rng(1);
  probe.tokens_.resize(static_cast<std::size_t>(load.streams * load.tokens));
  const auto vocab = static_cast<unsigned>(model.config().vocab_size);
  for (TokenId& token : probe.tokens_) token = static_cast<TokenId>(rng() % vocab);
  BITCPM_TRY(probe.fill_cache());
  return probe;
}

Status AttentionProbe::fill_cache() {
  const ModelConfig& config = model_->config();
  Backend& backend = model_->backend();
  const std::int64_t kv_width = std::int64_t{config.num_key_value_heads} * config.head_dim;
  const auto buffer = [&](std::int64_t width, float value, bool random) -> Result<Buffer> {
    std::mt19937 rng(2);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(kFillRows * width), value);
    if (random) {
      for (float& v : values) v = normal(rng);
    }
    return backend.upload(values);
  };
  BITCPM_ASSIGN(Buffer keys, buffer(kv_width, 0, true));
  BITCPM_ASSIGN(Buffer values, buffer(kv_width, 0, true));
  BITCPM_ASSIGN(Buffer queries, buffer(config.head_dim, 0, false));
  BITCPM_ASSIGN(Buffer cos, buffer(config.head_dim / 2, 1, false));  // turned by nothing
  BITCPM_ASSIGN(Buffer sin, buffer(config.head_dim / 2, 0, false));
  for (const SequenceSlice& slice : slices_) {
    for (std::int32_t begin = 0; begin < load_.context; begin += kFillRows) {
      const std::int32_t rows = std::min(kFillRows, load_.context - begin);
      const auto view = [rows](Buffer& from, std::int64_t width) {
        return TensorView::dense(from.as<float>(), rows, width);
      };
      const SequenceSlice part{0, rows, begin, slice.block_ids};
      const BatchView batch{{}, {&part, 1}, {}};
      const RopeAngles angles{view(cos, config.head_dim / 2), view(sin, config.head_dim / 2)};
      for (std::int32_t layer = 0; layer < config.num_hidden_layers; ++layer) {
        backend.rope_append_kv(view(queries, config.head_dim), view(keys, kv_width),
                               view(values, kv_width), angles, batch, *cache_, layer);
      }
    }
  }
  return {};
}

Spread AttentionProbe::pass_seconds(int repeat) {
  return seconds_per_call(repeat, [&] {
    model_->forward(batch(), *cache_, workspace_);
    for (std::int32_t first = 0; first < load_.streams; first += Model::kMaxLogitsRows) {
      const std::int32_t count = std::min(load_.streams - first, Model::kMaxLogitsRows);
      (void)model_->logits(first, count, workspace_, 1);
    }
  });
}

Spread AttentionProbe::attention_seconds(int repeat) {
  return seconds_per_call(repeat, [&] {
    for (std::int32_t layer = 0; layer < model_->config().num_hidden_layers; ++layer) {
      model_->attend(layer, batch(), *cache_, workspace_);
    }
  });
}

Work AttentionProbe::work() const {
  const ModelConfig& config = model_->config();
  const double positions =  // of all rows of a stream: their contexts end with context
      load_.tokens * (load_.context - (load_.tokens - 1) / 2.0);
  const KvShape kv = model_->kv_shape(load_.kv_cache_dtype);
  Work work;
  double& macs = kv.dtype == KvCacheDtype::kBfloat16 ? work.bf16_macs : work.f32_macs;
  macs = 2.0 * config.num_attention_heads * config.head_dim * config.num_hidden_layers *
         load_.streams * positions;
  work.bytes = static_cast<double>(kv_bytes_per_token(kv)) * load_.streams * load_.context;
  return work;
}

}  // namespace bitcpm
