#include "io/model_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

namespace fs = std::filesystem;

class ModelFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "bitcpm_model_files_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directory(root_ / "model");
    fs::create_directory(root_ / "model" / "subfolder");
    std::ofstream(root_ / "secret") << "s";
    std::ofstream(root_ / "model" / "config.json") << "{}";
    fs::create_symlink("../secret", root_ / "model" / "link");
    fs::create_symlink("nowhere", root_ / "model" / "dangling");
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
};

// Protects: a file is found by its name, mapped once, and its bytes stay where they are when the
// object moves or further files are opened.
TEST_F(ModelFilesTest, OpensEachFileOnce) {
  auto files = ModelFiles::open_directory(root_ / "model");
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->display_name(), (root_ / "model").string());
  EXPECT_TRUE(files->contains("config.json"));
  EXPECT_FALSE(files->contains("model.safetensors"));
  const std::string_view text = *files->open_text("config.json");
  EXPECT_EQ(text, "{}");
  EXPECT_EQ(*files->open_text("link"), "s");  // hub caches keep their files behind links
  ModelFiles moved = std::move(*files);
  EXPECT_EQ(moved.open_text("config.json")->data(), text.data());
}

// Protects: an embedded model answers like a directory, and never reaches for the disk.
TEST_F(ModelFilesTest, ServesMemory) {
  static const std::string kConfig = "{\"a\":1}";
  ModelFiles files = ModelFiles::from_memory("tiny", {{"config.json", as_bytes(kConfig)}});
  EXPECT_EQ(files.display_name(), "tiny");
  EXPECT_TRUE(files.contains("config.json"));
  EXPECT_EQ(*files.open_text("config.json"), kConfig);
  EXPECT_FALSE(files.contains("CMakeLists.txt"));
  EXPECT_EQ(files.open("CMakeLists.txt").error().code, Errc::kNotFound);
}

// Protects: a name from an index can reach nothing but files of the folder itself.
TEST_F(ModelFilesTest, RefusesHostileNames) {
  auto files = ModelFiles::open_directory(root_ / "model");
  ASSERT_TRUE(files.ok());
  struct Case {
    std::string file;
    Errc code;
    const char* reason;
  };
  const Case kCases[] = {
      {"", Errc::kCorrupt, "not a plain file name"},
      {".", Errc::kCorrupt, "not a plain file name"},
      {"..", Errc::kCorrupt, "not a plain file name"},
      {"../secret", Errc::kCorrupt, "../secret: not a plain file name"},
      {"/etc/passwd", Errc::kCorrupt, "/etc/passwd: not a plain file name"},
      {"subfolder/../config.json", Errc::kCorrupt, "not a plain file name"},
      {"./config.json", Errc::kCorrupt, "not a plain file name"},
      {"config.json/", Errc::kCorrupt, "not a plain file name"},
      {"config.json/.", Errc::kCorrupt, "not a plain file name"},
      {"..\\secret", Errc::kCorrupt, "..\\secret: not a plain file name"},
      {"C:\\model.bin", Errc::kCorrupt, "not a plain file name"},
      {std::string("config.json\0.safetensors", 24), Errc::kCorrupt, "config.json\\x00.safe"},
      {std::string(256, 'n'), Errc::kCorrupt, "nnn...: not a plain file name"},
      {std::string(1 << 20, '\n'), Errc::kCorrupt, "\\x0a...: not a plain file name"},
      {"a\nb", Errc::kNotFound, "a\\x0ab: cannot open"},
      {"\x1b[2J", Errc::kNotFound, "\\x1b[2J: cannot open"},
      {"config.jso", Errc::kNotFound, "config.jso: cannot open"},
      {"dangling", Errc::kNotFound, "dangling: cannot open"},
      {"subfolder", Errc::kIo, "subfolder: not a regular file"},
  };
  for (const Case& c : kCases) {
    const auto opened = files->open(c.file);
    expect_refused(opened, c.reason, c.reason);
    EXPECT_EQ(opened.error().code, c.code) << c.reason;
    if (c.code != Errc::kIo) {
      EXPECT_FALSE(files->contains(c.file)) << c.reason;
    }
  }
}

// Protects: a wrong MODEL argument says what is wrong with it.
TEST_F(ModelFilesTest, RefusesWhatIsNoDirectory) {
  const auto missing = ModelFiles::open_directory(root_ / "absent");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  const auto file = ModelFiles::open_directory(root_ / "secret");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, Errc::kInvalid);
  EXPECT_TRUE(file.error().message.ends_with("secret: not a directory"));
}

}  // namespace
}  // namespace bitcpm
