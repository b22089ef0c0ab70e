#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

// A safetensors file of one-byte tensors.
std::string shard_of(std::initializer_list<const char*> names) {
  std::string header = "{";
  std::size_t at = 0;
  for (const char* name : names) {
    header += (at ? ",\"" : "\"") + std::string(name) +
              R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(at) + "," +
              std::to_string(at + 1) + "]}";
    ++at;
  }
  header += "}";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size() & 0xff);
  file[1] = static_cast<char>(header.size() >> 8);
  return file + header + std::string(at, '\1');
}

using Folder = std::map<std::string, std::string>;

Result<TensorMap> read(const Folder& folder) {
  std::map<std::string, std::span<const std::byte>, std::less<>> files;
  for (const auto& [name, text] : folder) files.emplace(name, as_bytes(text));
  ModelFiles model = ModelFiles::from_memory("test", std::move(files));
  return read_checkpoint(model);
}

constexpr char kIndexFile[] = "model.safetensors.index.json";

Folder sharded(const std::string& index) {
  return {{kIndexFile, index}, {"a.st", shard_of({"x", "y"})}, {"b.st", shard_of({"z"})}};
}

std::string index_of(const std::string& weight_map) {
  return R"({"metadata":{"total_size":"a lie"},"weight_map":)" + weight_map + "}";
}

// Protects: the order in which weights are looked for, and that a lone .bin is enough.
TEST(Checkpoint, TakesThePreferredFile) {
  const std::string bin = read_source_file("src/io/testdata/module.bin");
  Folder folder = {{"pytorch_model.bin.index.json", R"({"weight_map":{"weight":"p.bin"}})"},
                   {"p.bin", bin},
                   {"consolidated.safetensors", "rubbish"}};
  EXPECT_EQ(read(folder)->at("weight").dtype_name, "BFloat16Storage");
  folder["pytorch_model.bin"] = read_source_file("src/io/testdata/wrapped.bin");
  EXPECT_TRUE(read(folder)->contains("f32"));
  folder.merge(sharded(index_of(R"({"x":"a.st","z":"b.st"})")));
  EXPECT_EQ(read(folder)->size(), 3u);
  folder["model.safetensors"] = shard_of({"only"});
  EXPECT_TRUE(read(folder)->contains("only"));
}

// Protects: a shard index that lies, points elsewhere or floods is refused by file and reason.
TEST(Checkpoint, RefusesHostileIndexes) {
  std::string many_files = "{";
  for (int i = 0; i <= 10000; ++i) {
    const std::string n = std::to_string(i);
    many_files += (i ? ",\"t" : "\"t") + n + "\":\"f" + n + "\"";
  }
  many_files += "}";
  const std::string long_name(5000, 'n');
  struct Case {
    const char* name;
    Folder folder;
    const char* reason;
  };
  const Case kCases[] = {
      {"nothing there", {}, "no weights: none of model.safetensors, "},
      {"only other files", {{"consolidated.00.pth", "x"}}, "no weights"},
      {"empty index", sharded(""), "model.safetensors.index.json: invalid JSON"},
      {"index is a list", sharded("[]"), "index.json: no weight_map object"},
      {"no weight_map", sharded("{}"), "no weight_map object"},
      {"weight_map is a list", sharded(index_of("[]")), "no weight_map object"},
      {"empty weight_map", sharded(index_of("{}")), "weight_map is empty"},
      {"file is a number", sharded(index_of(R"({"x":1})")), "'x' is not in a file name"},
      {"tensor listed twice", sharded(index_of(R"({"x":"a.st","x":"b.st"})")), "'x' twice"},
      {"parent folder", sharded(index_of(R"({"x":"../a.st"})")), "../a.st: not a plain file name"},
      {"absolute path", sharded(index_of(R"({"x":"/etc/passwd"})")), "/etc/passwd: not a plain"},
      {"backslashes", sharded(index_of(R"({"x":"..\\a.st"})")), "..\\a.st: not a plain"},
      {"NUL", sharded(index_of(R"({"x":"a.st\u0000"})")), "a.st\\x00: not a plain"},
      {"empty file name", sharded(index_of(R"({"x":""})")), "not a plain file name"},
      {"huge file name", sharded(index_of("{\"x\":\"" + long_name + "\"}")), "nnn...: not a plain"},
      {"missing shard", sharded(index_of(R"({"x":"c.st"})")), "c.st: no such file"},
      {"tensor absent", sharded(index_of(R"({"w":"a.st"})")), "a.st: lacks the tensor 'w'"},
      {"tensor in the other shard", sharded(index_of(R"({"x":"a.st","y":"b.st"})")),
       "b.st: lacks the tensor 'y'"},
      {"huge absent tensor", sharded(index_of("{\"" + long_name + "\":\"a.st\"}")),
       "a.st: lacks the tensor 'nnn"},
      {"tensor in two shards",
       {{kIndexFile, index_of(R"({"x":"a.st","z":"b.st"})")},
        {"a.st", shard_of({"x"})},
        {"b.st", shard_of({"x", "z"})}},
       "b.st: tensor 'x' is in another shard too"},
      {"index names itself", sharded(index_of("{\"x\":\"" + std::string(kIndexFile) + "\"}")),
       "model.safetensors.index.json: header of"},
      {"too many shards", sharded(index_of(many_files)), "more than 10000 files"},
      {"broken shard",
       {{kIndexFile, index_of(R"({"x":"a.st"})")}, {"a.st", "123"}},
       "a.st: truncated: 3 bytes"},
      {"broken single file", {{"model.safetensors", "123"}}, "model.safetensors: truncated"},
      {"broken .bin", {{"pytorch_model.bin", "123"}}, "pytorch_model.bin: not a zip archive"},
  };
  for (const Case& c : kCases) expect_refused(read(c.folder), c.reason, c.name);
}

// Protects: a missing shard is the checkpoint's fault, a missing checkpoint is the caller's.
TEST(Checkpoint, TellsMissingFromCorrupt) {
  EXPECT_EQ(read({}).error().code, Errc::kNotFound);
  EXPECT_EQ(read(sharded(index_of(R"({"x":"c.st"})"))).error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace bitcpm
