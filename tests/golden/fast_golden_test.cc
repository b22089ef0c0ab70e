#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "golden_data.h"
#include "golden_model.h"
#include "measure/evaluate.h"
#include "wikitext2.h"

namespace bitcpm::golden {
namespace {

LogitsComparison measure(const GoldenModel& exact, const GoldenModel& fast,
                         const std::vector<std::vector<TokenId>>& texts) {
  std::vector<EvalWindow> windows;
  std::size_t longest = 0;
  for (const std::vector<TokenId>& ids : texts) {
    windows.push_back({ids, 1});
    longest = std::max(longest, ids.size());
  }
  const auto want = make_model_source(exact.model(), longest, exact.kv_cache_dtype()).value();
  const auto got = make_model_source(fast.model(), longest, fast.kv_cache_dtype()).value();
  return compare_logits(*want, *got, windows, [](std::size_t) {}).value();
}

// Protects: what `fast` promises of its distance from `exact`, which equals the f32 reference to
// 1e-5 (model_golden_test). The bound on KL is what bf16 arithmetic itself costs.
TEST(Fast, IsAsCloseAsBf16OnWikiText2) {
  const auto texts = wikitext2_ids();
  if (texts.empty()) GTEST_SKIP() << kNoWikitext2;
  const GoldenModel exact("auto");
  const GoldenModel fast("auto", 2, Numerics::kFast);
  const LogitsComparison comparison = measure(exact, fast, texts);
  const DriftMeter& d = comparison.drift;
  const double ppl_change = perplexity_change(comparison.want, comparison.got).change;
  std::printf(
      "fast, %zu positions: KL %.3e, PPL %+.4f %%, cosine mean %.7f min %.5f, MSE %.2e, largest "
      "%.3f, same top-1 %.2f %%\n",
      d.positions(), d.mean_kl(), 100 * ppl_change, d.mean_cosine(), d.least_cosine(),
      d.mean_square(), d.largest(), 100 * d.same_top());
  EXPECT_LE(d.mean_kl(), 1.8e-4);
  EXPECT_LE(std::abs(ppl_change), 1e-3);
  EXPECT_GE(d.mean_cosine(), 0.9999);
  // What the log tells users.
  EXPECT_NEAR(d.mean_kl(), kFastDrift.kl, 0.02 * kFastDrift.kl);
  EXPECT_NEAR(ppl_change, kFastDrift.ppl_change, 2e-5);
}

// Protects: the same on the texts of the checkout, so that a machine without WikiText-2 notices
// too.
TEST(Fast, IsCloseOnThePrompts) {
  std::vector<std::vector<TokenId>> texts;
  for (const Prompt& prompt : load_prompts()) texts.push_back(prompt.ids);
  const DriftMeter d =
      measure(GoldenModel("auto"), GoldenModel("auto", 2, Numerics::kFast), texts).drift;
  std::printf("fast, %zu prompt positions: KL %.3e, cosine mean %.7f\n", d.positions(), d.mean_kl(),
              d.mean_cosine());
  EXPECT_LE(d.mean_kl(), 3e-4);
  EXPECT_GE(d.mean_cosine(), 0.9999);
}

// Protects: what each element type of the KV cache costs, by itself and in `fast` (docs/numerics.md
// quotes the lines printed here). On WikiText-2 where it is, else on the prompts.
TEST(KvCache, CostsWhatTheDocsSay) {
  std::vector<std::vector<TokenId>> texts = wikitext2_ids();
  const bool wikitext = !texts.empty();
  if (!wikitext) {
    for (const Prompt& prompt : load_prompts()) texts.push_back(prompt.ids);
  }
  const GoldenModel reference("auto");
  GoldenModel exact("auto");
  GoldenModel fast("auto", 2, Numerics::kFast);
  struct Case {
    GoldenModel& model;
    KvCacheDtype dtype;
    double most_kl;
  };
  const Case kCases[] = {
      {exact, KvCacheDtype::kBfloat16, 1e-5}, {exact, KvCacheDtype::kInt8, 1e-4},
      {fast, KvCacheDtype::kFloat32, 3e-4},   {fast, KvCacheDtype::kBfloat16, 3e-4},
      {fast, KvCacheDtype::kInt8, 4e-4},
  };
  for (const Case& c : kCases) {
    c.model.use_kv(c.dtype);
    const LogitsComparison comparison = measure(reference, c.model, texts);
    const DriftMeter& d = comparison.drift;
    const double ppl_change = perplexity_change(comparison.want, comparison.got).change;
    std::printf("%s, %s KV, %s: KL %.3e, PPL %+.4f %%, cosine mean %.7f, same top-1 %.2f %%\n",
                &c.model == &fast ? "fast" : "exact",
                std::string(kv_cache_dtype_name(c.dtype)).c_str(),
                wikitext ? "WikiText-2" : "prompts", d.mean_kl(), 100 * ppl_change, d.mean_cosine(),
                100 * d.same_top());
    EXPECT_LE(d.mean_kl(), c.most_kl);
    EXPECT_GT(d.mean_kl(), 0);
  }
}

// Protects: neither the chunks of a prefill nor the number of threads show in a single bit.
TEST(Fast, ChunksAndThreadsDoNotShow) {
  std::vector<TokenId> ids;
  for (const Prompt& prompt : load_prompts()) {
    ids.insert(ids.end(), prompt.ids.begin(), prompt.ids.end());
  }
  ids.resize(200);
  for (const KvCacheDtype kv : {KvCacheDtype::kBfloat16, KvCacheDtype::kInt8}) {
    const std::vector<float> want = GoldenModel("auto", 1, Numerics::kFast).use_kv(kv).logits(ids);
    for (const int threads : {1, 2, 5}) {
      GoldenModel golden("auto", threads, Numerics::kFast);
      golden.use_kv(kv);
      for (const int chunk : {1, 3, 16, 31, 64, 200}) {
        const std::vector<float> got = golden.logits(ids, chunk);
        EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
            << threads << " threads, chunks of " << chunk << ", " << kv_cache_dtype_name(kv);
      }
    }
  }
}

// Protects: on real hidden states, one to four at a time, of which a level screens the fewer, the
// screened head gives the bits of the full one for every logit that ranks among the k largest, and
// minus infinity or the same bits for the others. Prints how much of the head the screen spared.
TEST(Fast, ScreenedHeadEqualsTheFullOne) {
  const GoldenModel golden("auto", 2, Numerics::kFast);
  for (const int top : {1, 5, 20}) {
    std::size_t spared = 0;
    std::size_t all = 0;
    int chunk = 0;
    for (const Prompt& prompt : load_prompts()) {
      chunk = chunk % 4 + 1;
      const std::vector<float> full = golden.logits(prompt.ids);
      const std::vector<float> screened = golden.logits(prompt.ids, chunk, top);
      const std::size_t vocab = full.size() / prompt.ids.size();
      for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
        const auto want = std::span(full).subspan(i * vocab, vocab);
        const auto got = std::span(screened).subspan(i * vocab, vocab);
        std::vector<float> sorted(want.begin(), want.end());
        std::nth_element(sorted.begin(), sorted.begin() + top - 1, sorted.end(), std::greater<>());
        const float least = sorted[static_cast<std::size_t>(top) - 1];
        for (std::size_t v = 0; v < vocab; ++v) {
          const bool left_out = got[v] == -INFINITY;
          if (left_out) {
            ASSERT_LT(want[v], least) << "top " << top << ", prompt " << prompt.id;
          } else {
            ASSERT_EQ(std::memcmp(&want[v], &got[v], 4), 0);
          }
          spared += left_out ? 1 : 0;
        }
        all += vocab;
      }
    }
    std::printf("top %d: the screen spared %.1f %% of the rows\n", top,
                100 * static_cast<double>(spared) / static_cast<double>(all));
    EXPECT_GT(spared, 0u);
  }
}

}  // namespace
}  // namespace bitcpm::golden
