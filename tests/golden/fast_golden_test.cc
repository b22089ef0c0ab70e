#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"
#include "model/drift.h"
#include "wikitext2.h"

namespace bitcpm::golden {
namespace {

DriftMeter measure(const GoldenModel& exact, const GoldenModel& fast,
                   const std::vector<std::vector<TokenId>>& texts) {
  DriftMeter meter;
  for (const std::vector<TokenId>& ids : texts) {
    const std::vector<float> want = exact.logits(ids, 256);
    const std::vector<float> got = fast.logits(ids, 256);
    const std::size_t vocab = want.size() / ids.size();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto w = std::span(want).subspan(i * vocab, vocab);
      const auto g = std::span(got).subspan(i * vocab, vocab);
      if (i + 1 < ids.size()) {
        meter.add(w, g, ids[i + 1]);
      } else {
        meter.add(w, g);
      }
    }
  }
  return meter;
}

// Protects: what `fast` promises of its distance from `exact`, which equals the f32 reference to
// 1e-5 (model_golden_test). The bound on KL is what bf16 arithmetic itself costs.
TEST(Fast, IsAsCloseAsBf16OnWikiText2) {
  const auto texts = wikitext2_ids();
  if (texts.empty()) GTEST_SKIP() << kNoWikitext2;
  const GoldenModel exact("auto");
  const GoldenModel fast("auto", 2, Numerics::kFast);
  const DriftMeter d = measure(exact, fast, texts);
  std::printf(
      "fast, %zu positions: KL %.3e, PPL %+.4f %%, cosine mean %.7f min %.5f, MSE %.2e, largest "
      "%.3f, same top-1 %.2f %%\n",
      d.positions(), d.mean_kl(), 100 * d.ppl_change(), d.mean_cosine(), d.least_cosine(),
      d.mean_square(), d.largest(), 100 * d.same_top());
  EXPECT_LE(d.mean_kl(), 1.8e-4);
  EXPECT_LE(std::abs(d.ppl_change()), 1e-3);
  EXPECT_GE(d.mean_cosine(), 0.9999);
  // What the log tells users.
  EXPECT_NEAR(d.mean_kl(), kFastDrift.kl, 0.02 * kFastDrift.kl);
  EXPECT_NEAR(d.ppl_change(), kFastDrift.ppl_change, 2e-5);
}

// Protects: the same on the texts of the checkout, so that a machine without WikiText-2 notices
// too.
TEST(Fast, IsCloseOnThePrompts) {
  std::vector<std::vector<TokenId>> texts;
  for (const Prompt& prompt : load_prompts()) texts.push_back(prompt.ids);
  const DriftMeter d = measure(GoldenModel("auto"), GoldenModel("auto", 2, Numerics::kFast), texts);
  std::printf("fast, %zu prompt positions: KL %.3e, cosine mean %.7f\n", d.positions(), d.mean_kl(),
              d.mean_cosine());
  EXPECT_LE(d.mean_kl(), 3e-4);
  EXPECT_GE(d.mean_cosine(), 0.9999);
}

// Protects: fast numerics give the same bits on every CPU level.
TEST(Fast, LevelsAgreeBitForBit) {
  const std::vector<Prompt> prompts = load_prompts();
  const GoldenModel scalar("scalar", 2, Numerics::kFast);
  for (const std::string& isa : kernels::runnable_levels(kernels::detect_cpu_features())) {
    const GoldenModel golden(isa, 2, Numerics::kFast);
    for (const int id : {1, 3, 12, 25}) {
      const auto& ids = prompts[static_cast<std::size_t>(id)].ids;
      const std::vector<float> want = scalar.logits(ids);
      const std::vector<float> got = golden.logits(ids);
      EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0) << isa << " " << id;
    }
  }
}

// Protects: neither the chunks of a prefill nor the number of threads show in a single bit.
TEST(Fast, ChunksAndThreadsDoNotShow) {
  std::vector<TokenId> ids;
  for (const Prompt& prompt : load_prompts()) {
    ids.insert(ids.end(), prompt.ids.begin(), prompt.ids.end());
  }
  ids.resize(200);
  const std::vector<float> want = GoldenModel("auto", 1, Numerics::kFast).logits(ids);
  for (const int threads : {1, 2, 5}) {
    const GoldenModel golden("auto", threads, Numerics::kFast);
    for (const int chunk : {1, 2, 3, 5, 16, 31, 64, 200}) {
      const std::vector<float> got = golden.logits(ids, chunk);
      EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
          << threads << " threads, chunks of " << chunk;
    }
  }
}

}  // namespace
}  // namespace bitcpm::golden
