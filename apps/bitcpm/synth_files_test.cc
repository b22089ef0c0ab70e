#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint_writer.h"
#include "embedded_model.h"
#include "io/checkpoint.h"
#include "synthetic_tokenizer.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

class SynthFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bitcpm_synth_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(std::span<const Shard> shards, const fs::path& folder, int threads) {
    fs::create_directories(folder);
    ThreadPool pool(threads);
    for (const Shard& shard : shards) {
      const Status written = write_shard(shard, {3, 32}, folder, pool,
                                         [](std::size_t, std::string_view) { return true; });
      ASSERT_TRUE(written.ok()) << written.error().message;
    }
    if (shards.size() == 1) return;
    std::FILE* file = std::fopen((folder / "model.safetensors.index.json").c_str(), "wb");
    ASSERT_NE(file, nullptr);
    const std::string text = shard_index_json(shards);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }

  fs::path folder_;
};

const std::vector<TensorSlot> kTensors = {
    {"model.embed_tokens.weight", SlotKind::kEmbedding, 300, 64},
    {"model.norm.weight", SlotKind::kNorm, 1, 64},
    {"model.layers.0.mlp.up_proj.weight", SlotKind::kProjection, 100, 64},
};

// Protects determinism and sharding: 1 or 3 threads, one file or several, our reader sees the same
// tensors with the same bytes.
TEST_F(SynthFilesTest, ShardsAndThreadsDoNotMatter) {
  const auto one_file = plan_shards(kTensors, 1 << 30);
  const auto shards = plan_shards(kTensors, 39'000);
  ASSERT_EQ(one_file.size(), 1u);
  ASSERT_EQ(shards.size(), 2u);
  EXPECT_EQ(shards[0].file_name, "model-00001-of-00002.safetensors");
  write(one_file, folder_ / "one", 1);
  write(shards, folder_ / "many", 3);

  auto one = ModelFiles::open_directory(folder_ / "one");
  auto many = ModelFiles::open_directory(folder_ / "many");
  ASSERT_TRUE(one.ok() && many.ok());
  const auto expected = read_checkpoint(*one);
  const auto found = read_checkpoint(*many);
  ASSERT_TRUE(expected.ok()) << expected.error().message;
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_EQ(found->size(), kTensors.size());
  for (const auto& [name, tensor] : *expected) {
    const StoredTensor& other = found->at(name);
    EXPECT_EQ(tensor.shape, other.shape) << name;
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other.bytes.begin(),
                           other.bytes.end()))
        << name;
  }
}

// Protects Ctrl-C: a stopped write leaves nothing behind.
TEST_F(SynthFilesTest, StoppingLeavesNoFile) {
  ThreadPool pool(1);
  const auto shards = plan_shards(kTensors, 1 << 30);
  const Status written = write_shard(shards.front(), {3, 32}, folder_, pool,
                                     [](std::size_t, std::string_view) { return false; });
  EXPECT_FALSE(written.ok());
  EXPECT_TRUE(fs::is_empty(folder_));
}

// Protects generation with a synthetic model: text encodes as before, every id decodes, and the
// control tokens have the ids that config.json names.
TEST(GrowTokenizer, EveryIdDecodes) {
  ModelFiles tiny = open_embedded_model();
  const auto tokenizer_json = tiny.open_text("tokenizer.json");
  const auto config_json = tiny.open_text("tokenizer_config.json");
  ASSERT_TRUE(tokenizer_json.ok() && config_json.ok());
  const auto files = grow_tokenizer(*tokenizer_json, *config_json, kSyntheticFirstAddedToken,
                                    kSyntheticMaxPosition);
  ASSERT_TRUE(files.ok()) << files.error().message;
  const auto small = Tokenizer::load(*tokenizer_json, *config_json);
  const auto grown = Tokenizer::load(files->tokenizer_json, files->tokenizer_config_json);
  ASSERT_TRUE(small.ok()) << small.error().message;
  ASSERT_TRUE(grown.ok()) << grown.error().message;

  EXPECT_EQ(grown->vocab_size(), kSyntheticVocabSize);
  for (const char* text : {"Once upon a time, 3 cats", "你好,请介绍一下你自己", "<unused_7000>"}) {
    EXPECT_EQ(*grown->encode(text, true), *small->encode(text, true)) << text;
  }
  const auto end = grown->encode("<|im_end|>", false);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->back(), kSyntheticFirstAddedToken);
  EXPECT_TRUE(grown->is_special(kSyntheticFirstAddedToken));
  for (TokenId id = 0; id < kSyntheticVocabSize; ++id) {
    ASSERT_NE(grown->piece(id), "") << id;
  }
}

}  // namespace
}  // namespace bitcpm
