#include <gtest/gtest.h>

#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "measure/attention_speed.h"
#include "measure/evaluate.h"
#include "measure/greedy_texts.h"
#include "measure/layer_comparison.h"
#include "measure/linear_speed.h"
#include "measure/spread.h"
#include "measure/stream_run.h"
#include "measure/work.h"
#include "model/synthetic.h"
#include "model/synthetic_matrix.h"

namespace bitcpm {
namespace {

constexpr SyntheticShape kShape = {"test", false, 128, 96, 2, 2, 1, 64, 1e-5, true};
constexpr std::int64_t kProjections = 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 96 * 128);
constexpr std::int64_t kHead = std::int64_t{kSyntheticVocabSize} * 128;

struct TestModel {
  explicit TestModel(Numerics numerics)
      : backend(make_cpu_backend({.threads = 2, .numerics = numerics}).value()),
        loaded(load_synthetic_model(kShape, 0, 32, *backend, {}).value()) {}

  std::unique_ptr<Backend> backend;
  LoadedModel loaded;
};

TEST(Spread, OfOddAndEvenCounts) {
  const Spread odd = spread_of({3, 1, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 3);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
  const Spread rate = odd.rate(6);
  EXPECT_EQ(rate.median, 3);
  EXPECT_EQ(rate.min, 2);
  EXPECT_EQ(rate.max, 6);
}

// Protects: what is counted as work, by hand from the shapes, and which arithmetic does it.
TEST(Work, CountsByShape) {
  const TestModel exact(Numerics::kExact);
  const ModelWork exact_work(exact.loaded, Numerics::kExact);
  const Work wide = exact_work.of(1, 8, 5, 10);
  EXPECT_EQ(wide.int8_macs, 0);
  EXPECT_EQ(wide.int16_macs, 8 * kProjections);
  EXPECT_EQ(wide.f32_macs, 5 * kHead);
  // Not the screen of the head: 6 bits, per row and 64 in-features a scale, and three floats per
  // row.
  constexpr std::int64_t kPanels = (kSyntheticVocabSize + 63) / 64;
  constexpr double kScreen = 64 * kPanels * (128 * (0.75 + 2.0 / 64) + 3 * 4);
  EXPECT_EQ(wide.bytes,
            static_cast<double>(exact.loaded.model->weight_bytes()) - kScreen +
                10.0 * static_cast<double>(kv_bytes_per_token(exact.loaded.model->kv_shape())));
  // Logits of few positions are found through a screen of three eighths of the head's two bytes a
  // weight.
  const double spared = wide.bytes - exact_work.of(1, 8, 4, 10).bytes;
  EXPECT_GT(spared, kHead);
  EXPECT_LT(spared, 1.25 * kHead);
  const TestModel fast(Numerics::kFast);
  const Work all_int8 = ModelWork(fast.loaded, Numerics::kFast).of(1, 3, 2, 10);
  EXPECT_EQ(all_int8.f32_macs, 0);
  EXPECT_EQ(all_int8.int8_macs, 3 * kProjections + 2 * kHead);
  EXPECT_LT(all_int8.bytes, wide.bytes);  // a head of 8 bits; the embedding table is not read
}

// Protects: the shares, and which of them binds.
TEST(Work, SharesOfLimits) {
  const DeviceLimits limits{
      .read_bytes_per_s = 10, .int8_macs_per_s = 100, .bf16_macs_per_s = 40, .f32_macs_per_s = 20};
  const Shares read = shares_of({.int8_macs = 50, .f32_macs = 2, .bytes = 16}, 2, limits);
  EXPECT_DOUBLE_EQ(read.bandwidth, 0.8);
  EXPECT_DOUBLE_EQ(read.compute, 0.3);
  EXPECT_EQ(read.binding(), "read");
  EXPECT_EQ(shares_of({.f32_macs = 20, .bytes = 1}, 2, limits).binding(), "compute");
  EXPECT_DOUBLE_EQ(shares_of({.int16_macs = 50}, 2, limits).compute, 0.5);
  EXPECT_DOUBLE_EQ(shares_of({.bf16_macs = 40}, 2, limits).compute, 0.5);
}

// Protects: every stream runs to its length, and the phase of pure decoding lies inside the run.
TEST(StreamRun, TimesLieWithinEachOther) {
  const TestModel model(Numerics::kFast);
  for (const StreamLoad& load : {StreamLoad{1, 5, 6}, StreamLoad{3, 40, 64}}) {
    const auto engine = start_engine_for(*model.loaded.model, load).value();
    const StreamTimes times =
        run_streams(*engine, kSyntheticVocabSize, load, [](std::int64_t) {}).value();
    EXPECT_EQ(engine->stats().generation_tokens_total, load.generated_tokens());
    EXPECT_GT(times.decode_steps, 0);
    EXPECT_LT(times.decode_steps, load.max_tokens);
    EXPECT_GT(times.decode_seconds, 0);
    EXPECT_GT(times.prompt_seconds, 0);
    EXPECT_LE(times.prompt_seconds + times.decode_seconds, times.overall_seconds + 1e-9);
  }
}

// Protects: what cannot run is refused before anything is allocated.
TEST(StreamRun, RefusesWhatDoesNotFit) {
  const TestModel model(Numerics::kExact);
  const auto engine = start_engine_for(*model.loaded.model, {1, kSyntheticMaxPosition, 1});
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().message.find("positions"), std::string::npos);
}

// Protects: attention over a context is counted by hand from the shapes, measured as a part of its
// pass, and refused before anything is allocated if the model has no such positions.
TEST(AttentionProbe, CountsAndMeasures) {
  const TestModel model(Numerics::kFast);
  AttentionProbe probe =
      AttentionProbe::make(*model.loaded.model, {.streams = 2, .tokens = 3, .context = 1100})
          .value();
  const Work work = probe.work();
  EXPECT_EQ(work.bf16_macs, 2 * 2 * 128 * 2 * (1098 + 1099 + 1100));  // scores, values; 2 layers
  EXPECT_EQ(work.bytes, 2.0 * 1100 * 2 * 2 * 64 * 2);                 // K and V of bf16, 2 layers
  const double attention = probe.attention_seconds(3).min;
  EXPECT_GT(attention, 0);
  EXPECT_LT(attention, probe.pass_seconds(3).max);
  const auto wrong = [&](ContextLoad load) {
    return AttentionProbe::make(*model.loaded.model, load).error().message;
  };
  EXPECT_NE(wrong({.context = kSyntheticMaxPosition + 1}).find("positions"), std::string::npos);
  EXPECT_NE(wrong({.tokens = 3, .context = 2}).find("context"), std::string::npos);
  EXPECT_NE(wrong({.streams = 4096, .tokens = 17, .context = 17}).find("65536"), std::string::npos);
}

// Protects: a probe has copies enough, counts the arithmetic its form has, and measures a time.
TEST(LinearProbe, MeasuresEveryForm) {
  const TensorSlot slot{"model.layers.0.mlp.up_proj.weight", SlotKind::kProjection, 96, 128};
  const TensorSlot head{"lm_head.weight", SlotKind::kHead, 100, 128};
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    const auto backend = make_cpu_backend({.threads = 2, .numerics = numerics}).value();
    for (const TensorSlot* which : {&slot, &head}) {
      EncodedMatrix made = make_synthetic_matrix(*which, 0, 32, backend->pool()).value();
      const LinearProbe probe = LinearProbe::make(*backend, numerics, std::move(made.matrix),
                                                  which->kind == SlotKind::kHead, 100'000)
                                    .value();
      EXPECT_GT(probe.copies(), 1u);
      const Work work = probe.work(3);
      const double macs = 3.0 * static_cast<double>(which->rows * 128);
      const bool is_head = which->kind == SlotKind::kHead;
      EXPECT_EQ(numerics == Numerics::kFast ? work.int8_macs
                : is_head                   ? work.f32_macs
                                            : work.int16_macs,
                macs);
      EXPECT_GT(work.bytes, static_cast<double>(which->rows * 128 / 4));
      EXPECT_GT(probe.seconds_per_call(3, 2).value().min, 0);
    }
  }
}

std::vector<EvalWindow> some_windows() {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < 75; ++id) ids.push_back(id * 977 % kSyntheticVocabSize);
  return {{{ids.begin(), ids.begin() + 70}, 1}, {{ids.begin() + 30, ids.end()}, 12}};
}

// Protects: a model does not differ from itself, and differs a little from its fast self; rows
// before the scored part do not count.
TEST(CompareLogits, OfAModelWithItself) {
  const TestModel exact(Numerics::kExact);
  const TestModel fast(Numerics::kFast);
  const auto windows = some_windows();
  const auto ignore = [](std::size_t) {};
  const auto want = make_model_source(*exact.loaded.model, 70).value();
  const auto again = make_model_source(*exact.loaded.model, 70).value();
  const LogitsComparison same = compare_logits(*want, *again, windows, ignore).value();
  EXPECT_EQ(same.drift.positions(), 70u + 34u);
  EXPECT_EQ(same.drift.largest(), 0);
  EXPECT_EQ(perplexity_change(same.want, same.got).change, 0);
  EXPECT_EQ(same.want[1].predictions, 33u);
  const auto got = make_model_source(*fast.loaded.model, 70).value();
  const LogitsComparison drift = compare_logits(*want, *got, windows, ignore).value();
  EXPECT_GT(drift.drift.mean_kl(), 0);
  EXPECT_LT(drift.drift.mean_kl(), 1e-2);
  const auto losses = score_windows(*want, windows, ignore).value();
  EXPECT_EQ(losses[1].loss, drift.want[1].loss);
}

// Protects: a longer text than the model has positions is an error, not a fault.
TEST(ModelSource, RefusesTextsBeyondTheModel) {
  const TestModel exact(Numerics::kExact);
  const auto source = make_model_source(*exact.loaded.model, kSyntheticMaxPosition + 1);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.error().message.find("positions"), std::string::npos);
}

// Protects: every point of the decoder is compared, in order and under its name.
TEST(CompareLayers, NamesEveryPoint) {
  const TestModel exact(Numerics::kExact);
  const TestModel fast(Numerics::kFast);
  const auto windows = some_windows();
  const auto points =
      compare_layers(*exact.loaded.model, *fast.loaded.model, windows, [](std::size_t) {}).value();
  std::vector<std::string> names;
  for (const PointDrift& point : points) names.push_back(point.name(2));
  EXPECT_EQ(names, (std::vector<std::string>{"embedding", "layer 0 attention", "layer 0 mlp",
                                             "layer 0", "layer 1 attention", "layer 1 mlp",
                                             "layer 1", "final norm"}));
  for (const PointDrift& point : points) {
    if (point.stage == 0) continue;
    EXPECT_GT(point.relative_error, 0) << point.name(2);
    EXPECT_LT(point.relative_error, 0.1) << point.name(2);
    EXPECT_LE(point.least_cosine, point.mean_cosine) << point.name(2);
  }
}

// Protects: greedy texts are continuations of the windows' beginnings, and where two part is found.
TEST(GreedyTexts, PartWhereTheyDiffer) {
  const TestModel exact(Numerics::kExact);
  const auto texts =
      greedy_texts(*exact.loaded.model, some_windows(),
                   {.texts = 5, .prompt_tokens = 32, .max_tokens = 7}, [](std::int64_t) {})
          .value();
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].prompt_tokens, 32);
  EXPECT_EQ(texts[1].prompt_tokens, 22);
  EXPECT_EQ(texts[0].ids.size(), 7u);
  auto other = texts;
  other[1].ids[3] ^= 1;
  const GreedyComparison comparison = compare_greedy(texts, other).value();
  EXPECT_EQ(comparison.texts, 2u);
  EXPECT_EQ(comparison.equal, 1u);
  EXPECT_EQ(comparison.divergences, std::vector<std::int32_t>{3});
  other[0].prompt_tokens = 5;
  EXPECT_FALSE(compare_greedy(texts, other).ok());
}

}  // namespace
}  // namespace bitcpm
