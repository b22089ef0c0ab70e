#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "base/dtype.h"
#include "model/loader.h"
#include "model/model.h"
#include "model/synthetic.h"
#include "model/synthetic_matrix.h"

namespace bitcpm {
namespace {

// Small enough for a test; the published ones take seconds.
constexpr SyntheticShape kShape = {"test", false, 128, 96, 2, 2, 1, 64, 1e-5, true};

// Protects: a model made in memory loads like one from files, in every form of its weights, and its
// logits are numbers.
TEST(SyntheticModel, LoadsAndComputes) {
  struct Case {
    std::int64_t group;
    bool tied;
    Numerics numerics;
  };
  constexpr Case kCases[] = {{32, true, Numerics::kExact},
                             {32, false, Numerics::kFast},
                             {kSyntheticGroupRow, true, Numerics::kFast},
                             {kSyntheticPlain, true, Numerics::kExact},
                             {kSyntheticPlain, false, Numerics::kFast}};
  for (const Case& c : kCases) {
    SyntheticShape shape = kShape;
    shape.tie_word_embeddings = c.tied;
    const auto backend = make_cpu_backend({.threads = 2, .numerics = c.numerics}).value();
    const LoadedModel loaded = load_synthetic_model(shape, 1, c.group, *backend, {}).value();
    const bool ternary = c.group != kSyntheticPlain;
    EXPECT_EQ(loaded.report.ternary_parameters > 0, ternary);
    EXPECT_EQ(loaded.report.head_tied, c.tied);
    EXPECT_EQ(loaded.report.tensors.size(), synthetic_tensors(shape).size());
    EXPECT_LE(loaded.model->pass_bytes(1), loaded.model->weight_bytes());

    const std::vector<TokenId> ids = {1, 5, 39, kSyntheticVocabSize - 1};
    const std::vector<std::int32_t> rows = {3};
    const std::vector<std::int32_t> blocks = {0};
    const SequenceSlice slice{0, 4, 0, blocks};
    auto cache = backend->allocate_kv(loaded.model->kv_shape(), 1).value();
    Workspace workspace = loaded.model->make_workspace(4, 64).value();
    loaded.model->forward({ids, {&slice, 1}, rows}, *cache, workspace);
    const TensorView logits = loaded.model->logits(0, 1, workspace);
    ASSERT_EQ(logits.cols, kSyntheticVocabSize);
    for (std::int64_t i = 0; i < logits.cols; ++i) ASSERT_TRUE(std::isfinite(logits.data[i])) << i;
  }
}

// Protects: the packed matrix holds the very values that `bitcpm synth` would write.
TEST(SyntheticModel, MatrixIsWhatSynthWrites) {
  ThreadPool pool(2);
  for (const TensorSlot& slot : synthetic_tensors(kShape)) {
    if (slot.rows > 1000) continue;  // the embedding is as the norms
    const EncodedMatrix made = make_synthetic_matrix(slot, 7, 32, pool).value();
    std::vector<std::uint16_t> row(static_cast<std::size_t>(slot.cols));
    std::vector<float> got(row.size());
    fill_synthetic(slot, 7, 32, slot.rows - 1, row);
    decode_row(made.matrix, slot.rows - 1, got);
    for (std::size_t i = 0; i < row.size(); ++i) {
      ASSERT_EQ(got[i], bf16_to_f32(row[i])) << slot.name << " " << i;  // -0 equals 0
    }
  }
}

}  // namespace
}  // namespace bitcpm
