#include "base/mmap_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>

namespace bitcpm {
namespace {

class MmapFileTest : public ::testing::Test {
 protected:
  std::filesystem::path path_ =
      std::filesystem::path(::testing::TempDir()) / "bitcpm_mmap_file_test";
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }
};

// Protects: what cannot be mapped is an error that names the file, not a crash or a hang.
TEST_F(MmapFileTest, RefusesWhatIsNotAReadableFile) {
  EXPECT_EQ(MmapFile::open(path_).error().code, Errc::kNotFound);
  EXPECT_EQ(MmapFile::open(::testing::TempDir()).error().code, Errc::kIo);
  EXPECT_EQ(MmapFile::open("/dev/null").error().code, Errc::kIo);
  EXPECT_NE(MmapFile::open(path_).error().message.find(path_.string()), std::string::npos);
}

// Protects: bytes equal the file's, survive a move and a release of their pages.
TEST_F(MmapFileTest, MapsAndReleases) {
  write("");
  EXPECT_EQ(MmapFile::open(path_)->bytes().size(), 0u);
  const std::string text(100000, 'x');
  write(text);
  MmapFile file = MmapFile::open(path_).value();
  const MmapFile moved = std::move(file);
  release_mapped_pages(moved.bytes());
  ASSERT_EQ(moved.bytes().size(), text.size());
  EXPECT_EQ(std::memcmp(moved.bytes().data(), text.data(), text.size()), 0);
}

}  // namespace
}  // namespace bitcpm
