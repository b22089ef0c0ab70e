#include "model/packed_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "backend/cpu/cpu_backend.h"
#include "io/packed_data.h"
#include "model/loader_testing.h"
#include "model/packer.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A packed model as bytes that a case may change.
struct Packed {
  std::string config;
  std::string manifest;
  std::string data;

  ModelFiles files() const {
    return ModelFiles::from_memory("packed", {{"config.json", std::as_bytes(std::span(config))},
                                              {"packed.json", std::as_bytes(std::span(manifest))},
                                              {"weights.bcpm", std::as_bytes(std::span(data))}});
  }
};

class PackedLoader : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bitcpm_packed_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  Packed pack(TinyCheckpoint& checkpoint) {
    ModelFiles files = checkpoint.files();
    PackedWriter writer = PackedWriter::create(folder_).value();
    const auto go_on = [](std::size_t, std::size_t, std::string_view) { return true; };
    PackedModel packed = pack_weights(files, checkpoint.config, *fast_, writer, go_on).value();
    EXPECT_TRUE(writer.finish().ok());
    return {checkpoint.config_json, manifest_text(packed.manifest),
            read_file(folder_ / kPackedDataFile)};
  }

  static Result<LoadedModel> load(const Packed& packed, Backend& backend) {
    ModelFiles files = packed.files();
    return load_model(files, read_model_config(files).value(), backend, {});
  }
  Result<ModelReport> inspect(const Packed& packed) {
    ModelFiles files = packed.files();
    return inspect_weights(files, read_model_config(files).value(), exact_->pool(), {});
  }

  // Refused by everything that would read what is broken, for the same reason.
  void expect_refused(const Packed& packed, std::string_view reason, const std::string& name) {
    const auto inspected = inspect(packed);
    ASSERT_FALSE(inspected.ok()) << name;
    EXPECT_NE(inspected.error().message.find(reason), std::string::npos)
        << name << ": " << inspected.error().message;
    EXPECT_FALSE(load(packed, *fast_).ok()) << name;
  }

  fs::path folder_;
  std::unique_ptr<Backend> exact_ =
      make_cpu_backend({.threads = 2, .numerics = Numerics::kExact}).value();
  std::unique_ptr<Backend> fast_ =
      make_cpu_backend({.threads = 2, .numerics = Numerics::kFast}).value();
};

// Protects losslessness: whatever mixture of forms a checkpoint has, packed it gives the same bits
// in both numerics, and the same report.
TEST_F(PackedLoader, SameBitsAsTheCheckpoint) {
  struct Case {
    const char* name;
    std::function<void(TinyCheckpoint&)> change;
  };
  const std::string table = "model.embed_tokens.weight";
  const std::string down = "model.layers.0.mlp.down_proj.weight";
  const Case kCases[] = {
      {"tied", [](auto&) {}},
      {"a head of its own",
       [&](auto& c) {
         c.tensors["lm_head.weight"] = c.tensors[table];
         c.tensors["lm_head.weight"].values[5 * 64] += 1;
       }},
      {"a dense projection", [&](auto& c) { c.tensors[down].values[7 * 96 + 3] = 0.5f; }},
      {"beyond bf16",
       [&](auto& c) {
         for (const std::string& name : {table, down, std::string("model.norm.weight")}) {
           c.tensors[name].dtype = "F32";
           c.tensors[name].values[33] = 1.0000001f;
         }
       }},
  };
  for (const Case& c : kCases) {
    TinyCheckpoint checkpoint;
    c.change(checkpoint);
    const Packed packed = pack(checkpoint);
    for (Backend* backend : {exact_.get(), fast_.get()}) {
      ModelFiles files = checkpoint.files();
      const LoadedModel want = load_model(files, checkpoint.config, *backend, {}).value();
      Result<LoadedModel> got = load(packed, *backend);
      ASSERT_TRUE(got.ok()) << c.name << ": " << got.error().message;
      EXPECT_EQ(tiny_logits(*got->model, *backend), tiny_logits(*want.model, *backend)) << c.name;
      EXPECT_EQ(got->report.resident_bytes, want.report.resident_bytes) << c.name;
      EXPECT_EQ(got->report.ternary_parameters, want.report.ternary_parameters) << c.name;
      EXPECT_EQ(got->report.head_tied, want.report.head_tied) << c.name;
      ASSERT_EQ(got->report.tensors.size(), want.report.tensors.size()) << c.name;
      for (std::size_t i = 0; i < want.report.tensors.size(); ++i) {
        EXPECT_EQ(got->report.tensors[i].name, want.report.tensors[i].name) << c.name;
        EXPECT_EQ(got->report.tensors[i].note, want.report.tensors[i].note) << c.name;
        EXPECT_EQ(got->report.tensors[i].group, want.report.tensors[i].group) << c.name;
      }
    }
  }
}

// Protects: one wrong byte anywhere in the data is found, and the message says where to look.
TEST_F(PackedLoader, EveryByteOfTheDataCounts) {
  TinyCheckpoint checkpoint;
  const Packed packed = pack(checkpoint);
  for (std::size_t i = 0; i < packed.data.size(); i += i < 128 ? 1 : 41) {
    Packed broken = packed;
    broken.data[i] = static_cast<char>(broken.data[i] ^ (1 << i % 8));
    const auto inspected = inspect(broken);
    ASSERT_FALSE(inspected.ok()) << i;
    const std::string& message = inspected.error().message;
    EXPECT_TRUE(message.starts_with("weights.bcpm: ")) << message;
    if (i >= kPackedHeaderBytes) {
      EXPECT_NE(message.find(": section "), std::string::npos) << message;
      EXPECT_TRUE(message.starts_with("weights.bcpm: 'model.")) << message;
    }
    if (i % 3 == 0) {
      // Whichever numerics read that section.
      EXPECT_FALSE(load(broken, *fast_).ok() && load(broken, *exact_).ok()) << i;
    }
  }
}

TEST_F(PackedLoader, RefusesOtherLengths) {
  TinyCheckpoint checkpoint;
  const Packed packed = pack(checkpoint);
  const std::size_t whole = packed.data.size();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{64}, whole / 2, whole - 1, whole + 1}) {
    Packed broken = packed;
    broken.data.resize(size);
    expect_refused(broken, std::to_string(size) + " bytes long where packed.json says",
                   std::to_string(size));
  }
  Packed other = packed;
  other.data[8] = 2;
  expect_refused(other, "weights.bcpm: the format is of version 2; this program reads version 1",
                 "version");
}

// Protects the process: a manifest that is intact and well-formed but does not fit the model or its
// own layouts is one error, whatever reads it.
TEST_F(PackedLoader, RefusesWhatDoesNotFit) {
  TinyCheckpoint checkpoint;
  const Packed packed = pack(checkpoint);
  const PackedManifest manifest = parse_manifest(packed.manifest).value();
  const std::size_t q = 3;  // after the embedding and two norms
  ASSERT_EQ(manifest.tensors[q].name, "model.layers.0.self_attn.q_proj.weight");
  struct Case {
    const char* reason;
    std::function<void(PackedManifest&)> change;
  };
  const Case kCases[] = {
      {"no tensor model.layers.0.self_attn.q_proj.weight",
       [&](auto& m) { m.tensors[q].name = "other"; }},
      {"its shape is not",
       [&](auto& m) {
         m.tensors[q].shape = {32, 64};
       }},
      {"its shape is not",
       [&](auto& m) {
         m.tensors[q].shape = {64};
         m.tensors[q].form = WeightForm::kBf16;
         m.tensors[q].group = 0;
       }},
      {"do not suit its shape", [&](auto& m) { m.tensors[q].images[0].group = 32; }},
      {"do not suit its shape", [&](auto& m) { m.tensors[q].images[0].group = 0; }},
      {"do not suit its shape", [&](auto& m) { m.tensors[q].images[0].group = 1 << 20; }},
      {"do not suit its shape",
       [&](auto& m) { m.tensors[q].images[0].sections[0].name = "other"; }},
      {"do not suit its shape", [&](auto& m) { m.tensors[q].images[0].layout = "rows"; }},
      {"no layout of it is known here (newer)",
       [&](auto& m) { m.tensors[q].images[0].layout = "newer"; }},
      {"no layout of it is known here (int8-fields)",
       [&](auto& m) { m.tensors[q].images[0].layout = "int8-fields"; }},
      {"only projections may be ternary",
       [&](auto& m) {
         m.tensors[0].form = WeightForm::kTernary;
         m.tensors[0].group = 64;
       }},
      {"no tensor lm_head.weight", [&](auto& m) { m.head_tied = false; }},
  };
  for (const Case& c : kCases) {
    PackedManifest changed = manifest;
    c.change(changed);
    Packed broken = packed;
    broken.manifest = manifest_text(changed);
    for (Backend* backend : {exact_.get(), fast_.get()}) {
      const auto loaded = load(broken, *backend);
      ASSERT_FALSE(loaded.ok()) << c.reason;
      EXPECT_NE(loaded.error().message.find(c.reason), std::string::npos)
          << c.reason << ": " << loaded.error().message;
    }
  }
}

// Protects the kernels' preconditions: an embedding restored from a ternary layout would reach a
// head that takes dense matrices only.
TEST_F(PackedLoader, RefusesATernaryImageOfADenseTensor) {
  TinyCheckpoint checkpoint;
  const Packed packed = pack(checkpoint);
  PackedManifest manifest = parse_manifest(packed.manifest).value();
  PackedTensor& table = manifest.tensors[0];
  const PackedSection rows = table.images.at(0).sections.at(0);
  const auto part = [&](const char* name, std::uint64_t begin, std::uint64_t length) {
    const auto bytes = std::as_bytes(std::span(packed.data)).subspan(rows.offset + begin, length);
    return PackedSection{name, rows.offset + begin, length, section_checksum(bytes)};
  };
  // 40 rows as 64 of 64 weights: a quarter of a byte each, and one scale for every 32.
  table.images[0] = {"ternary-fields", 32, {part("lines", 0, 1024), part("scales", 1024, 256)}};
  table.images[1].layout = "of-no-use";
  table.images.push_back({"of-no-use", 0, {part("rest", 1280, rows.length - 1280)}});
  Packed broken = packed;
  broken.manifest = manifest_text(manifest);
  for (Backend* backend : {exact_.get(), fast_.get()}) {
    const auto loaded = load(broken, *backend);
    ASSERT_FALSE(loaded.ok());
    EXPECT_NE(loaded.error().message.find("no layout of it is known here"), std::string::npos)
        << loaded.error().message;
  }
}

// Protects Ctrl-C: a stopped run leaves no file.
TEST_F(PackedLoader, StoppingLeavesNoFile) {
  TinyCheckpoint checkpoint;
  ModelFiles files = checkpoint.files();
  {
    PackedWriter writer = PackedWriter::create(folder_).value();
    const auto stop = [](std::size_t, std::size_t, std::string_view) { return false; };
    EXPECT_FALSE(pack_weights(files, checkpoint.config, *fast_, writer, stop).ok());
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace bitcpm
