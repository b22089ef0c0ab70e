#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "io/data_file.h"
#include "io/partial_file.h"
#include "measure/eval_texts.h"
#include "measure/logits_source.h"

namespace bitcpm {

// A greedy continuation of the first `prompt_tokens` ids of a window.
struct GreedyText {
  std::int32_t prompt_tokens = 0;
  std::vector<TokenId> ids;
};

// What a run was: the head of a file of logits (docs/formats/run.md).
struct RunHeader {
  std::string model;        // as its user names it
  std::string fingerprint;  // model_fingerprint(); empty if whoever wrote the file cannot tell
  std::int32_t vocab_size = 0;
  std::string numerics;  // the next five are for people
  std::string kv_cache_dtype;
  std::string device;
  std::string written_by;
  std::string text;
  std::vector<EvalWindow> windows;
  std::vector<GreedyText> greedy;  // of the first windows
};

inline constexpr std::size_t kRunPrefixBytes = 24;
inline constexpr std::size_t kMaxRunHeaderBytes = std::size_t{64} << 20;
inline constexpr std::int32_t kMaxRunVocab = 1 << 21;
inline constexpr std::int32_t kMaxRunBlockRows = 64;

// The JSON of a header, and back. Errors: kCorrupt (not such a header, or ids that are not in the
// vocabulary), kUnsupported.
std::string run_header_json(const RunHeader& header);
Result<RunHeader> parse_run_header(std::string_view json);

// Compresses the rows of one block, and back into `rows` [rows, vocab]. Errors: kCorrupt (not a
// stream of exactly that many finite floats).
std::string pack_block(TensorView rows);
Status unpack_block(std::span<const std::byte> packed, TensorView rows);

// Writes a run, row after row. Errors: kIo.
class RunWriter {
 public:
  static Result<RunWriter> create(const std::filesystem::path& path, const RunHeader& header);

  // The next rows, at most kMaxRunBlockRows, all of one window.
  Status add(TensorView rows);

  // All rows have been added.
  Status finish() { return file_.finish(); }

 private:
  explicit RunWriter(PartialFile file) : file_(std::move(file)) {}
  PartialFile file_;
};

// Reads one; its rows as a source. Every error names the file.
class RunReader : public LogitsSource {
 public:
  // Reads and checks the head. Errors: kNotFound, kIo, kCorrupt, kUnsupported (another version).
  static Result<std::unique_ptr<RunReader>> open(const std::filesystem::path& path);

  const RunHeader& header() const { return header_; }
  std::int32_t vocab_size() const override { return header_.vocab_size; }
  Status begin(const EvalWindow& window) override;
  Result<TensorView> rows(std::int32_t first, std::int32_t count) override;

 private:
  RunReader(std::string name, DataFile file) : name_(std::move(name)), file_(std::move(file)) {}
  Status read_head();
  Status read_block();
  Error within_file(Error error) const { return std::move(error).within(name_); }

  std::string name_;
  DataFile file_;
  RunHeader header_;
  std::uint64_t offset_ = 0;      // of the next block
  std::int32_t block_first_ = 0;  // the block at hand: its first row in the window, and how many
  std::int32_t block_rows_ = 0;
  std::int32_t window_rows_ = 0;
  std::vector<float> values_;  // of the block at hand
  std::vector<float> piece_;   // rows that lie in several blocks
};

// `source`, whose rows go into `writer` on the way; both must outlive the result.
std::unique_ptr<LogitsSource> recording(LogitsSource& source, RunWriter& writer);

}  // namespace bitcpm
