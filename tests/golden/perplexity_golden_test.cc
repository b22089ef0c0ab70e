#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "golden_data.h"
#include "golden_model.h"
#include "measure/drift.h"
#include "wikitext2.h"

namespace bitcpm::golden {
namespace {

// Protects: perplexity on WikiText-2 by the reference deployment's method (cut to 512 tokens, mean
// loss per text, weighted by its tokens) equals the f32 reference to four digits after the point,
// and so does the weighting by predicted tokens.
TEST(Perplexity, WikiText2) {
  const auto texts = wikitext2_ids();
  if (texts.empty()) GTEST_SKIP() << kNoWikitext2;
  const json::value want =
      parse_json(read_text(std::string(BITCPM_SOURCE_DIR) + "/tests/golden/ppl.json")).value();
  const GoldenModel golden("auto");
  double by_tokens = 0;
  double by_predictions = 0;
  std::size_t tokens = 0;
  std::size_t index = 0;
  ASSERT_EQ(texts.size(), 50u);
  for (const std::vector<TokenId>& ids : texts) {
    const json::value& reference = want.at("texts").at(index++);
    ASSERT_EQ(ids.size(), reference.at("n_tokens").to_number<std::size_t>());
    const std::vector<float> logits = golden.logits(ids, 256);
    const std::size_t vocab = logits.size() / ids.size();
    double loss = 0;
    for (std::size_t i = 1; i < ids.size(); ++i) {
      loss -= log_probability(std::span(logits).subspan((i - 1) * vocab, vocab), ids[i]);
    }
    const auto predictions = static_cast<double>(ids.size() - 1);
    // Activations of 16 bits move single log-probabilities by some 1e-4, either way.
    EXPECT_NEAR(loss / predictions, reference.at("loss_fp32").to_number<double>(), 1e-4);
    by_tokens += loss / predictions * static_cast<double>(ids.size());
    by_predictions += loss;
    tokens += ids.size();
  }
  ASSERT_EQ(tokens, 9228u);
  const double ppl = std::exp(by_tokens / static_cast<double>(tokens));
  const double ppl1 = std::exp(by_predictions / static_cast<double>(tokens - 50));
  std::printf("WikiText-2 perplexity %.6f (weighted by tokens), %.6f (by predictions)\n", ppl,
              ppl1);
  const json::value& f32 = want.at("fp32");
  EXPECT_NEAR(ppl, f32.at("ppl_N_weighted").to_number<double>(), 5e-4);
  EXPECT_NEAR(ppl1, f32.at("ppl_N1_weighted").to_number<double>(), 5e-4);
}

}  // namespace
}  // namespace bitcpm::golden
