#include "io/safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/mmap_file.h"
#include "io/safetensors.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> counting_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bitcpm_writer_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  bool folder_is_empty() const { return fs::is_empty(folder_); }

  fs::path folder_;
};

const SafetensorsEntry kEntries[] = {
    {"b.weight", DType::kBf16, {3, 5}},
    {"a \"quoted\" 名", DType::kF32, {2}},
    {"scalar", DType::kF16, {}},
    {"empty", DType::kF32, {4, 0}},
};
constexpr std::size_t kDataBytes = 30 + 8 + 2;

// Protects the format: what is written in uneven chunks is what our own strict reader sees.
TEST_F(SafetensorsWriterTest, ReaderSeesWhatWasWritten) {
  const fs::path path = folder_ / "model.safetensors";
  const auto data = counting_bytes(kDataBytes);
  auto writer = SafetensorsWriter::create(path, kEntries);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  for (std::size_t begin = 0; begin < kDataBytes; begin += 7) {
    const std::size_t size = std::min<std::size_t>(7, kDataBytes - begin);
    ASSERT_TRUE(writer->append(std::span(data).subspan(begin, size)).ok());
  }
  EXPECT_FALSE(fs::exists(path)) << "the name must not exist before finish()";
  ASSERT_TRUE(writer->finish().ok());

  const auto file = MmapFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto tensors = read_safetensors(file->bytes());
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  ASSERT_EQ(tensors->size(), std::size(kEntries));
  std::size_t offset = 0;
  for (const SafetensorsEntry& entry : kEntries) {
    const auto found = tensors->find(entry.name);
    ASSERT_NE(found, tensors->end()) << entry.name;
    EXPECT_EQ(found->second.dtype, entry.dtype) << entry.name;
    EXPECT_EQ(found->second.shape, entry.shape) << entry.name;
    const std::span<const std::byte> bytes = found->second.bytes;
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), data.begin() + offset)) << entry.name;
    offset += bytes.size();
  }
  EXPECT_EQ(offset, kDataBytes);
}

// Protects readers that map f32 data directly: the data section starts 8-aligned.
TEST_F(SafetensorsWriterTest, DataSectionIsAligned) {
  const fs::path path = folder_ / "x.safetensors";
  auto writer = SafetensorsWriter::create(path, std::span(kEntries).first(1));
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->append(counting_bytes(30)).ok());
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ((fs::file_size(path) - 30) % 8, 0u);
}

// Protects the promise that a failed run leaves no file that looks like a checkpoint, nor litter.
TEST_F(SafetensorsWriterTest, WrongAmountOfDataLeavesNoFile) {
  {
    auto writer = SafetensorsWriter::create(folder_ / "short.safetensors", kEntries);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->append(counting_bytes(kDataBytes - 1)).ok());
    const Status finished = writer->finish();
    ASSERT_FALSE(finished.ok());
    EXPECT_NE(finished.error().message.find("1 bytes of data missing"), std::string::npos);
  }
  EXPECT_TRUE(folder_is_empty());
  {
    auto writer = SafetensorsWriter::create(folder_ / "long.safetensors", kEntries);
    ASSERT_TRUE(writer.ok());
    EXPECT_FALSE(writer->append(counting_bytes(kDataBytes + 1)).ok());
  }
  EXPECT_TRUE(folder_is_empty());
}

// Protects against headers that no reader would accept: refused before a file exists.
TEST_F(SafetensorsWriterTest, RefusesBadEntries) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  struct Case {
    const char* name;
    std::vector<SafetensorsEntry> entries;
  };
  const Case kCases[] = {
      {"same name twice", {{"x", DType::kBf16, {1}}, {"x", DType::kBf16, {1}}}},
      {"reserved name", {{"__metadata__", DType::kBf16, {1}}}},
      {"negative extent", {{"x", DType::kBf16, {-1}}}},
      {"overflowing shape", {{"x", DType::kBf16, {kHuge, kHuge}}}},
      {"overflowing sum",
       {{"x", DType::kF32, {kHuge, 1 << 21}}, {"y", DType::kF32, {kHuge, 1 << 21}}}},
  };
  for (const Case& c : kCases) {
    const auto writer = SafetensorsWriter::create(folder_ / "bad.safetensors", c.entries);
    ASSERT_FALSE(writer.ok()) << c.name;
    EXPECT_EQ(writer.error().code, Errc::kInvalid) << c.name;
    EXPECT_TRUE(folder_is_empty()) << c.name;
  }
}

// Protects the error path a user meets first: a folder that is not there.
TEST_F(SafetensorsWriterTest, NamesTheFileItCannotCreate) {
  const auto writer = SafetensorsWriter::create(folder_ / "missing" / "x.safetensors", kEntries);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Errc::kIo);
  EXPECT_NE(writer.error().message.find("x.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace bitcpm
