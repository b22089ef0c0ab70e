#include "model/loader.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "model/loader_testing.h"
#include "model/model.h"
#include "model/tensor_slots.h"

namespace bitcpm {
namespace {

class Loader : public ::testing::Test {
 protected:
  Result<LoadedModel> load(TinyCheckpoint& checkpoint) {
    ModelFiles files = checkpoint.files();
    return load_model(files, checkpoint.config, *backend_, {});
  }

  std::vector<float> logits(const Model& model) { return tiny_logits(model, *backend_); }

  std::unique_ptr<Backend> backend_ =
      make_cpu_backend({.threads = 2, .numerics = Numerics::kExact}).value();
};

// Protects: whatever does not fit the architecture is refused by the tensor's name.
TEST_F(Loader, RefusesForeignCheckpoints) {
  struct Case {
    const char* reason;
    std::function<void(TinyCheckpoint&)> change;
  };
  const std::string up = "model.layers.1.mlp.up_proj.weight";
  const Case kCases[] = {
      {"no tensor model.layers.1.mlp.up_proj.weight", [&](auto& c) { c.tensors.erase(up); }},
      {"no tensor model.embed_tokens.weight",
       [&](auto& c) { c.tensors.erase("model.embed_tokens.weight"); }},
      {"no tensor model.norm.weight", [&](auto& c) { c.tensors.erase("model.norm.weight"); }},
      {"shape [64, 96] where config.json asks for [96, 64]",
       [&](auto& c) {
         c.tensors[up].shape = {64, 96};
       }},
      {"shape [6144]", [&](auto& c) { c.tensors[up].shape = {6144}; }},
      {"element type 'I32'",
       [&](auto& c) {
         c.tensors[up].dtype = "I32";  // four bytes each, as half as many pairs of bf16
         c.tensors[up].shape = {96, 32};
       }},
      {"'model.layers.2.mlp.up_proj.weight' is not part",
       [&](auto& c) { c.tensors["model.layers.2.mlp.up_proj.weight"] = c.tensors[up]; }},
      {"'model.layers.0.self_attn.q_proj.bias' is not part",
       [&](auto& c) {
         c.tensors["model.layers.0.self_attn.q_proj.bias"] = {"BF16", {1}, {0.5f}};
       }},
  };
  for (const Case& c : kCases) {
    TinyCheckpoint checkpoint;
    c.change(checkpoint);
    const auto loaded = load(checkpoint);
    ASSERT_FALSE(loaded.ok()) << c.reason;
    EXPECT_NE(loaded.error().message.find(c.reason), std::string::npos) << loaded.error().message;
  }
}

// Protects: widths that the kernels cannot take are refused by name; heads of keys and values whose
// queries are not whole groups would leave activations unwritten.
TEST_F(Loader, RefusesWidthsThatKernelsCannotTake) {
  struct Case {
    const char* reason;  // null: taken
    std::int32_t heads, kv_heads, head_dim;
  };
  const Case kCases[] = {
      {"head_dim 24 is not a multiple of 16", 4, 1, 24},
      {"num_attention_heads * head_dim 48 is not a multiple of 32", 3, 1, 16},
      {"num_attention_heads / num_key_value_heads * head_dim 16 is not", 2, 2, 16},
      {"head_dim 272 is above 256", 2, 1, 272},
      {nullptr, 4, 2, 16},
      {nullptr, 2, 2, 32},
      {nullptr, 2, 1, 256},
  };
  for (const Case& c : kCases) {
    ModelConfig config = TinyCheckpoint().config;
    config.num_attention_heads = c.heads;
    config.num_key_value_heads = c.kv_heads;
    config.head_dim = c.head_dim;
    const Status status = check_widths(config);
    EXPECT_EQ(status.ok(), c.reason == nullptr) << c.heads << " " << c.head_dim;
    if (c.reason == nullptr || status.ok()) continue;
    EXPECT_NE(status.error().message.find(c.reason), std::string::npos) << status.error().message;
  }
}

// Protects: the head: a real lm_head.weight wins, equal bytes or none mean tied, whatever the
// config says; a contradiction is told.
TEST_F(Loader, TiesTheHeadByWhatIsThere) {
  struct Case {
    const char* name;
    const char* tie;  // in config.json
    enum { kNone, kCopy, kOther } head;
    bool tied;
    bool warns;
  };
  const Case kCases[] = {
      {"tied, no head", "true", Case::kNone, true, false},
      {"untied, no head", "false", Case::kNone, true, true},
      {"tied, the same matrix twice", "true", Case::kCopy, true, false},
      {"tied, a real head", "true", Case::kOther, false, true},
      {"untied, a real head", "false", Case::kOther, false, false},
  };
  TinyCheckpoint plain;
  const std::vector<float> tied_logits = logits(*load(plain).value().model);
  for (const Case& c : kCases) {
    TinyCheckpoint checkpoint(std::string(R"(,"tie_word_embeddings":)") + c.tie);
    if (c.head != Case::kNone) {
      auto head = checkpoint.tensors["model.embed_tokens.weight"];
      if (c.head == Case::kOther) head.values[5 * 64] += 1;  // token 5, feature 0
      checkpoint.tensors["lm_head.weight"] = head;
    }
    const LoadedModel loaded = load(checkpoint).value();
    EXPECT_EQ(loaded.report.head_tied, c.tied) << c.name;
    EXPECT_EQ(!loaded.report.warnings.empty(), c.warns) << c.name;
    const std::vector<float> got = logits(*loaded.model);
    EXPECT_EQ(got == tied_logits, c.tied) << c.name;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (i % 40 == 5) continue;  // the one token whose head row may differ
      EXPECT_EQ(got[i], tied_logits[i]) << c.name;
    }
  }
}

// Protects: the report counts what is there; a projection that is not ternary stays dense, is named
// with the place, and nothing else changes.
TEST_F(Loader, ReportsEveryTensor) {
  TinyCheckpoint checkpoint;
  const std::string down = "model.layers.0.mlp.down_proj.weight";
  checkpoint.tensors[down].values[7 * 96 + 3] = 0.5f;
  const LoadedModel loaded = load(checkpoint).value();
  std::int64_t ternary = 0;
  std::int64_t all = 0;
  for (const TensorReport& tensor : loaded.report.tensors) {
    const std::int64_t values = std::accumulate(tensor.shape.begin(), tensor.shape.end(),
                                                std::int64_t{1}, std::multiplies<>());
    all += values;
    if (tensor.form == WeightForm::kTernary) {
      ternary += values;
      EXPECT_EQ(tensor.group, tensor.shape[1]) << tensor.name;  // one scale everywhere
      EXPECT_EQ(tensor.note, "");
    }
    const bool is_down = tensor.name == down;
    EXPECT_EQ(tensor.note.find("row 7") != std::string::npos, is_down) << tensor.name;
    if (is_down) {
      EXPECT_EQ(tensor.form, WeightForm::kBf16);
    }
  }
  EXPECT_EQ(loaded.report.parameters, all);
  EXPECT_EQ(loaded.report.ternary_parameters, ternary);
  EXPECT_EQ(loaded.report.tensors.size(), 2 * kSlotsPerLayer + 2);
  ModelFiles files = checkpoint.files();
  const ModelReport inspected =
      inspect_weights(files, checkpoint.config, backend_->pool(), {}).value();
  EXPECT_EQ(inspected.ternary_parameters, ternary);
  EXPECT_EQ(inspected.resident_bytes, loaded.report.resident_bytes);
}

// Protects: the storage type is not the model: an f32 file of the same values gives the same bits,
// packed or dense, and values beyond bf16 are kept whole.
TEST_F(Loader, StorageTypeDoesNotShow) {
  TinyCheckpoint narrow;
  const std::vector<float> want = logits(*load(narrow).value().model);
  TinyCheckpoint wide;
  for (auto& [name, tensor] : wide.tensors) tensor.dtype = "F32";
  EXPECT_EQ(logits(*load(wide).value().model), want);
  wide.tensors["model.embed_tokens.weight"].values[3 * 64 + 1] += 1e-6f;
  const LoadedModel kept = load(wide).value();
  EXPECT_EQ(kept.report.tensors.front().form, WeightForm::kF32);
}

// Protects: a tensor outside the decoder is named, not silently dropped; old buffers are ignored.
TEST_F(Loader, NamesUnusedTensors) {
  TinyCheckpoint checkpoint;
  checkpoint.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {"F32", {1}, {1.0f}};
  EXPECT_TRUE(load(checkpoint).value().report.warnings.empty());
  checkpoint.tensors["visual.proj.weight"] = {"BF16", {1}, {1.0f}};
  const LoadedModel loaded = load(checkpoint).value();
  ASSERT_EQ(loaded.report.warnings.size(), 1u);
  EXPECT_NE(loaded.report.warnings[0].find("'visual.proj.weight'"), std::string::npos);
}

}  // namespace
}  // namespace bitcpm
