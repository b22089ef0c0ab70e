#include "model/synthetic.h"

#include <array>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/dtype.h"
#include "base/json.h"
#include "base/mix64.h"

namespace bitcpm {
namespace {

constexpr SyntheticShape kShapes[] = {
    // name, llama, hidden, intermediate, layers, heads, kv heads, head_dim, eps, tied
    {"minicpm4-0.5b", false, 1024, 4096, 24, 16, 2, 64, 1e-5, true},
    {"minicpm4-8b", false, 4096, 16384, 32, 32, 2, 128, 1e-6, false},
    {"bitcpm4-0.5b", false, 1024, 4096, 24, 16, 2, 64, 1e-5, true},
    {"bitcpm4-1b", false, 1536, 3840, 52, 24, 8, 64, 1e-5, true},
    {"bitcpm-cann-0.5b", false, 1024, 4096, 24, 16, 2, 64, 1e-5, true},
    {"bitcpm-cann-1b", true, 2048, 6144, 28, 16, 2, 128, 1e-6, false},
    {"bitcpm-cann-3b", true, 2560, 10240, 32, 32, 2, 128, 1e-6, false},
    {"bitcpm-cann-8b", false, 4096, 16384, 32, 32, 2, 128, 1e-6, false},
};

// LongRoPE factors of the models with head_dim 64, short and long alike.
constexpr std::array<double, 32> kFactors64 = {
    1.0004360675811768, 1.0668443441390991, 1.1631425619125366, 1.3025742769241333,
    1.5040205717086792, 1.7941505908966064, 2.2101221084594727, 2.802666664123535,
    3.6389970779418945, 4.804192543029785,  6.39855432510376,   8.527148246765137,
    11.277542114257812, 14.684998512268066, 18.69317054748535,  23.13019371032715,
    27.72362518310547,  32.1606559753418,   36.168827056884766, 39.57627868652344,
    42.32667541503906,  44.45526885986328,  46.04962921142578,  47.21482849121094,
    48.05115509033203,  48.64370346069336,  49.05967712402344,  49.34980392456055,
    49.551246643066406, 49.69068145751953,  49.78697967529297,  49.85338592529297};

// Those of the models with head_dim 128 are a logistic curve; these constants give the published
// 64 numbers to 1e-14.
json::array rope_factors(std::int32_t head_dim) {
  if (head_dim == 64) return json::array(kFactors64.begin(), kFactors64.end());
  constexpr double kSteepness = 0.18747656542932117;
  constexpr double kLow = 0.9157734670477357;
  constexpr double kSum = 32.02172279924175;  // factor i + factor (63 - i)
  json::array factors;
  for (int i = 0; i < 64; ++i) {
    factors.emplace_back(kLow + (kSum - 2 * kLow) / (1 + std::exp(-kSteepness * (i - 31.5))));
  }
  return factors;
}

// Of draws by mix64(): any row can be made without the rows before it.
std::uint64_t row_key(std::string_view tensor, std::uint64_t seed, std::int64_t row) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same on every machine
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix64(mix64(hash + seed * kMixStep) + static_cast<std::uint64_t>(row) * kMixStep);
}

// A bell curve of mean 0 and the given deviation: the sum of four 16-bit uniforms, whose deviation
// is 65536 / sqrt(3). Integers up to the last multiplication, hence the same bits everywhere, which
// log() and cos() do not promise; the tails end at 3.46 deviations.
void fill_bell(std::uint64_t key, float mean, float deviation, std::span<std::uint16_t> out) {
  const float unit = deviation * 1.7320508f / 65536.0f;
  for (std::uint16_t& value : out) {
    const std::uint64_t bits = mix64(key += kMixStep);
    const auto sum = static_cast<std::int32_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                               ((bits >> 32) & 0xffff) + (bits >> 48));
    value = bf16_from_f32(mean + static_cast<float>(sum - 2 * 65535) * unit);
  }
}

// One group of -s, zero or +s: a random byte gives the sign and, 42 times in 128, the zero; that is
// the 32.8 % of zeros that absolute-mean quantisation leaves of a bell curve.
void fill_group(std::uint64_t& key, std::uint16_t scale, std::span<std::uint16_t> out) {
  for (std::size_t i = 0; i < out.size(); i += 8) {
    const std::uint64_t bits = mix64(key += kMixStep);
    for (std::size_t j = 0; j < 8; ++j) {
      const auto byte = static_cast<std::uint32_t>(bits >> (8 * j)) & 0xff;
      const std::uint32_t magnitude = (byte & 0x7f) < 42 ? 0 : scale;
      out[i + j] = static_cast<std::uint16_t>(((byte & 0x80) << 8) | magnitude);
    }
  }
}

// Root mean square that a projection's output has for an input of root mean square 1. Near 1, so
// that attention scores and gates work in their usual range.
constexpr double kGain = 1.15;

void fill_projection_row(std::uint64_t key, std::int64_t group, std::span<std::uint16_t> row) {
  const double deviation = kGain / std::sqrt(static_cast<double>(row.size()));
  if (group == kSyntheticPlain) return fill_bell(key, 0, static_cast<float>(deviation), row);
  const std::size_t width =
      group == kSyntheticGroupRow ? row.size() : static_cast<std::size_t>(group);
  BITCPM_CHECK(width % 8 == 0 && row.size() % width == 0);
  const auto mean_scale = static_cast<float>(deviation / std::sqrt(1 - 42.0 / 128));
  for (std::size_t begin = 0; begin < row.size(); begin += width) {
    const auto jitter = static_cast<float>(mix64(key += kMixStep) >> 40) * 0x1p-24f;  // [0, 1)
    const std::uint16_t scale = bf16_from_f32(mean_scale * (0.75f + 0.5f * jitter));
    fill_group(key, scale, row.subspan(begin, width));
  }
}

json::object rope_scaling(const SyntheticShape& shape) {
  return {{"rope_type", "longrope"},
          {"long_factor", rope_factors(shape.head_dim)},
          {"short_factor", rope_factors(shape.head_dim)},
          {"original_max_position_embeddings", kSyntheticMaxPosition}};
}

}  // namespace

std::span<const SyntheticShape> synthetic_shapes() { return kShapes; }

const SyntheticShape* find_synthetic_shape(std::string_view name) {
  for (const SyntheticShape& shape : kShapes) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

std::vector<TensorSlot> synthetic_tensors(const SyntheticShape& shape) {
  ModelConfig config;
  config.vocab_size = kSyntheticVocabSize;
  config.hidden_size = shape.hidden_size;
  config.intermediate_size = shape.intermediate_size;
  config.num_hidden_layers = shape.num_hidden_layers;
  config.num_attention_heads = shape.num_attention_heads;
  config.num_key_value_heads = shape.num_key_value_heads;
  config.head_dim = shape.head_dim;
  std::vector<TensorSlot> tensors = tensor_slots(config);
  if (shape.tie_word_embeddings) tensors.pop_back();  // the head comes last
  return tensors;
}

void fill_synthetic(const TensorSlot& tensor, std::uint64_t seed, std::int64_t group,
                    std::int64_t row_begin, std::span<std::uint16_t> out) {
  const auto cols = static_cast<std::size_t>(tensor.cols);
  const auto rows = static_cast<std::int64_t>(out.size() / cols);
  BITCPM_CHECK(out.size() % cols == 0 && row_begin >= 0 && row_begin + rows <= tensor.rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::uint64_t key = row_key(tensor.name, seed, row_begin + i);
    const auto row = out.subspan(static_cast<std::size_t>(i) * cols, cols);
    switch (tensor.kind) {
      case SlotKind::kEmbedding:
        // Small beside what the layers add: otherwise a tied head only repeats the last token.
        fill_bell(key, 0, 0.005f, row);
        break;
      case SlotKind::kNorm:
        fill_bell(key, 1, 0.05f, row);
        break;
      case SlotKind::kProjection:
        fill_projection_row(key, group, row);
        break;
      case SlotKind::kHead:
        fill_bell(key, 0, 0.02f, row);
        break;
    }
  }
}

std::string synthetic_config_json(const SyntheticShape& shape) {
  json::object config{{"architectures", {shape.llama ? "LlamaForCausalLM" : "MiniCPMForCausalLM"}},
                      {"attention_bias", false},
                      {"attention_dropout", 0.0},
                      {"bos_token_id", 1},
                      {"eos_token_id", {2, kSyntheticFirstAddedToken}},
                      {"pad_token_id", 2},
                      {"hidden_act", "silu"},
                      {"hidden_size", shape.hidden_size},
                      {"initializer_range", 0.1},
                      {"intermediate_size", shape.intermediate_size},
                      {"max_position_embeddings", kSyntheticMaxPosition},
                      {"model_type", shape.llama ? "llama" : "minicpm"},
                      {"num_attention_heads", shape.num_attention_heads},
                      {"num_hidden_layers", shape.num_hidden_layers},
                      {"num_key_value_heads", shape.num_key_value_heads},
                      {"pretraining_tp", 1},
                      {"rms_norm_eps", shape.rms_norm_eps},
                      {"rope_scaling", rope_scaling(shape)},
                      {"rope_theta", 10000.0},
                      {"tie_word_embeddings", shape.tie_word_embeddings},
                      {"torch_dtype", "bfloat16"},
                      {"transformers_version", "4.46.3"},
                      {"use_cache", true},
                      {"vocab_size", kSyntheticVocabSize}};
  if (shape.llama) {
    config["head_dim"] = shape.head_dim;
    config["mlp_bias"] = false;
  } else {
    config["scale_emb"] = 12;
    config["dim_model_base"] = 256;
    config["scale_depth"] = 1.4;
    config["mup_denominator"] = 32;
  }
  return json::serialize(config);
}

std::string synthetic_generation_config_json() {
  return json::serialize(json::object{{"bos_token_id", 1},
                                      {"do_sample", true},
                                      {"eos_token_id", {2, kSyntheticFirstAddedToken}},
                                      {"pad_token_id", 2},
                                      {"temperature", 0.8},
                                      {"top_p", 0.8},
                                      {"transformers_version", "4.46.3"}});
}

}  // namespace bitcpm
