#include "measure/saved_run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "io/reader_testing.h"

namespace bitcpm {
namespace {

constexpr std::int32_t kVocab = 37;

class SavedRun : public ::testing::Test {
 protected:
  SavedRun()
      : path_(std::filesystem::temp_directory_path() /
              ("bitcpm_run_test." + std::to_string(::getpid()))) {
    header_.model = "m\xc3\xa4";
    header_.fingerprint = "0123456789abcdef";
    header_.vocab_size = kVocab;
    header_.numerics = "fast";
    header_.text = "a text";
    header_.windows = {{{1, 2, 3, 4}, 1}, {std::vector<TokenId>(80, 5), 3}};
    header_.greedy = {{2, {7, 8}}};
  }
  ~SavedRun() override { std::filesystem::remove(path_); }

  static float logit(std::size_t window, std::int32_t row, std::int32_t id) {
    return static_cast<float>(window) * 100 - static_cast<float>(row * id) / 7;
  }

  // The file of header_, its rows in blocks of `block`.
  std::string write(std::int32_t block) {
    RunWriter writer = RunWriter::create(path_, header_).value();
    for (std::size_t w = 0; w < header_.windows.size(); ++w) {
      const auto rows = static_cast<std::int32_t>(header_.windows[w].rows());
      for (std::int32_t first = 0; first < rows; first += block) {
        std::vector<float> values;
        const std::int32_t count = std::min(block, rows - first);
        for (std::int32_t row = first; row < first + count; ++row) {
          for (std::int32_t id = 0; id < kVocab; ++id) values.push_back(logit(w, row, id));
        }
        EXPECT_TRUE(writer.add(TensorView::dense(values.data(), count, kVocab)).ok());
      }
    }
    EXPECT_TRUE(writer.finish().ok());
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  void put(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  // Reads everything there is.
  Status read(std::int32_t piece) {
    auto opened = RunReader::open(path_);
    if (!opened.ok()) return std::move(opened).error();
    RunReader& reader = **opened;
    for (std::size_t w = 0; w < reader.header().windows.size(); ++w) {
      const EvalWindow& window = reader.header().windows[w];
      BITCPM_TRY(reader.begin(window));
      const auto rows = static_cast<std::int32_t>(window.rows());
      for (std::int32_t first = 0; first < rows; first += piece) {
        BITCPM_ASSIGN(const TensorView view, reader.rows(first, std::min(piece, rows - first)));
        for (std::int32_t i = 0; i < view.rows; ++i) {
          for (std::int32_t id = 0; id < kVocab; ++id) {
            EXPECT_EQ(view.row(i)[id], logit(w, first + i, id)) << w << " " << first + i;
          }
        }
      }
    }
    return {};
  }

  std::filesystem::path path_;
  RunHeader header_;
};

// Protects: the bits come back, however they were cut into blocks, and so does the header.
TEST_F(SavedRun, ComesBackAsItWas) {
  for (const std::int32_t block : {1, 5, 64}) {
    write(block);
    for (const std::int32_t piece : {1, 7, 64}) EXPECT_TRUE(read(piece).ok()) << block;
  }
  const auto reader = RunReader::open(path_).value();
  EXPECT_EQ(reader->header().model, header_.model);
  EXPECT_EQ(reader->header().windows[1].ids, header_.windows[1].ids);
  EXPECT_EQ(reader->header().windows[1].first_scored, 3u);
  ASSERT_EQ(reader->header().greedy.size(), 1u);
  EXPECT_EQ(reader->header().greedy[0].ids, header_.greedy[0].ids);
}

std::string with_u32(std::string bytes, std::size_t at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i)
    bytes[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * i));
  return bytes;
}

// Protects: a file that is damaged anywhere is refused in one line that names it.
TEST_F(SavedRun, RefusesWhatIsDamaged) {
  const std::string good = write(64);
  const std::size_t blocks = kRunPrefixBytes + run_header_json(header_).size();
  struct Case {
    const char* name;
    std::string bytes;
    const char* reason;
  };
  std::string flipped_header = good;
  flipped_header[kRunPrefixBytes + 9] ^= 1;
  std::string flipped_block = good;
  flipped_block[blocks + 20] ^= 1;
  const Case kCases[] = {
      {"empty", "", "is not a saved run"},
      {"another file", std::string(100, 'x'), "is not a saved run"},
      {"another version", with_u32(good, 8, 2), "is of format 2"},
      {"header beyond the file", with_u32(good, 12, 60u << 20), "header exceeds the file"},
      {"huge header", with_u32(good, 12, 0xffffffff), "header exceeds the file or 64 MiB"},
      {"damaged header", flipped_header, "header does not have its checksum"},
      {"damaged block", flipped_block, "does not have its checksum"},
      {"no rows", with_u32(good, blocks, 0), "a block of 0 rows"},
      {"too many rows", with_u32(good, blocks, 5), "a block of 5 rows"},
      {"block beyond the file", with_u32(good, blocks + 4, 0xfffffff0), "exceeds the file"},
      {"cut off", good.substr(0, good.size() - 1), "exceeds the file"},
      {"a block is missing", good.substr(0, blocks), "ends"}};
  for (const Case& c : kCases) {
    put(c.bytes);
    expect_refused(read(64), c.reason, c.name);
  }
}

// Protects: a header that lies is refused, with a path to the field, before anything is allocated.
TEST(RunHeaderJson, RefusesWhatItMustNotHold) {
  RunHeader header;
  header.vocab_size = 10;
  header.windows = {{{1, 2, 3}, 1}};
  header.greedy = {{1, {4}}};
  const std::string good = run_header_json(header);
  ASSERT_TRUE(parse_run_header(good).ok());
  struct Case {
    const char* part;
    const char* instead;
    const char* reason;
  };
  const Case kCases[] = {
      {"bitcpm run", "other", "format"},
      {"\"vocab_size\":10", "\"vocab_size\":1", "vocab_size"},
      {"\"vocab_size\":10", "\"vocab_size\":4294967296", "vocab_size"},
      {"\"first_scored\":1", "\"first_scored\":0", "first_scored"},
      {"\"first_scored\":1", "\"first_scored\":3", "first_scored"},
      {"[1,2,3]", "[1]", "ids"},
      {"[1,2,3]", "[1,10]", "ids"},
      {"[1,2,3]", "[1,-1]", "ids"},
      {"[1,2,3]", "7", "ids"},
      {"\"prompt_tokens\":1", "\"prompt_tokens\":4", "prompt_tokens"},
      {"[4]", "[10]", "ids"},
      {"\"windows\":[", "\"windows\":[3,", "windows"},
      {"\"windows\"", "\"window\"", "windows"},
      {"\"greedy\":[", "\"greedy\":[{\"prompt_tokens\":1,\"ids\":[]},", "continuations"}};
  for (const Case& c : kCases) {
    expect_refused(parse_run_header(replaced(good, c.part, c.instead)), c.reason, c.instead);
  }
}

// Protects: a block of another size, of garbage, or with a number that is none, is refused.
TEST(RunBlock, RefusesWhatIsNotItsRows) {
  std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const TensorView rows = TensorView::dense(values.data(), 2, 3);
  const std::string good = pack_block(rows);
  ASSERT_TRUE(unpack_block(as_bytes(good), rows).ok());
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  for (const std::string& bad :
       {std::string("junk"), std::string(), good + "x", good.substr(0, good.size() - 1)}) {
    EXPECT_FALSE(unpack_block(as_bytes(bad), rows).ok());
  }
  EXPECT_FALSE(unpack_block(as_bytes(good), TensorView::dense(values.data(), 1, 3)).ok());
  values[4] = std::numeric_limits<float>::quiet_NaN();
  const std::string not_a_number = pack_block(rows);
  expect_refused(unpack_block(as_bytes(not_a_number), rows), "finite", "NaN");
}

}  // namespace
}  // namespace bitcpm
