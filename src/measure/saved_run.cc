#include "measure/saved_run.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/checksum.h"
#include "io/little_endian.h"

namespace bitcpm {
namespace {

constexpr std::string_view kMagic = "bcpmrun\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kBlockPrefixBytes = 16;  // rows, bytes, checksum

template <class T>
void append_le(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class RecordingSource : public LogitsSource {
 public:
  RecordingSource(LogitsSource& source, RunWriter& writer) : source_(source), writer_(writer) {}

  std::int32_t vocab_size() const override { return source_.vocab_size(); }
  Status begin(const EvalWindow& window) override { return source_.begin(window); }
  Result<TensorView> rows(std::int32_t first, std::int32_t count) override {
    BITCPM_ASSIGN(const TensorView rows, source_.rows(first, count));
    BITCPM_TRY(writer_.add(rows));
    return rows;
  }

 private:
  LogitsSource& source_;
  RunWriter& writer_;
};

}  // namespace

Result<RunWriter> RunWriter::create(const std::filesystem::path& path, const RunHeader& header) {
  const std::string json = run_header_json(header);
  if (json.size() > kMaxRunHeaderBytes) {
    return Error{Errc::kInvalid, path.string() + ": the ids of the texts exceed 64 MiB of JSON"};
  }
  BITCPM_ASSIGN(PartialFile file, PartialFile::create(path));
  std::string head(kMagic);
  append_le(head, kVersion);
  append_le(head, static_cast<std::uint32_t>(json.size()));
  append_le(head, checksum(bytes_of(json)));
  BITCPM_TRY(file.append(bytes_of(head)));
  BITCPM_TRY(file.append(bytes_of(json)));
  return RunWriter(std::move(file));
}

Status RunWriter::add(TensorView rows) {
  BITCPM_CHECK(rows.rows > 0 && rows.rows <= kMaxRunBlockRows);
  const std::string packed = pack_block(rows);
  std::string prefix;
  append_le(prefix, static_cast<std::uint32_t>(rows.rows));
  append_le(prefix, static_cast<std::uint32_t>(packed.size()));
  append_le(prefix, checksum(bytes_of(packed)));
  BITCPM_TRY(file_.append(bytes_of(prefix)));
  return file_.append(bytes_of(packed));
}

Result<std::unique_ptr<RunReader>> RunReader::open(const std::filesystem::path& path) {
  BITCPM_ASSIGN(DataFile file, DataFile::open(path));
  std::unique_ptr<RunReader> reader(new RunReader(path.string(), std::move(file)));
  if (auto read = reader->read_head(); !read.ok()) {
    return reader->within_file(std::move(read).error());
  }
  return reader;
}

Status RunReader::read_head() {
  std::array<std::byte, kRunPrefixBytes> prefix{};
  if (file_.size() < prefix.size()) return Error{Errc::kCorrupt, "is not a saved run"};
  BITCPM_TRY(file_.read(0, prefix));
  if (std::memcmp(prefix.data(), kMagic.data(), kMagic.size()) != 0) {
    return Error{Errc::kCorrupt, "is not a saved run"};
  }
  const auto version = load_le<std::uint32_t>(prefix, 8);
  if (version != kVersion) {
    return Error{Errc::kUnsupported, "is of format " + std::to_string(version) +
                                         "; this program reads " + std::to_string(kVersion)};
  }
  const auto bytes = load_le<std::uint32_t>(prefix, 12);
  if (bytes > kMaxRunHeaderBytes || bytes > file_.size() - kRunPrefixBytes) {
    return Error{Errc::kCorrupt, "the header exceeds the file or 64 MiB"};
  }
  std::string json(bytes, '\0');
  BITCPM_TRY(file_.read(kRunPrefixBytes, std::as_writable_bytes(std::span(json))));
  if (checksum(bytes_of(json)) != load_le<std::uint64_t>(prefix, 16)) {
    return Error{Errc::kCorrupt, "the header does not have its checksum"};
  }
  BITCPM_ASSIGN(header_, parse_run_header(json));
  offset_ = kRunPrefixBytes + bytes;
  return {};
}

Status RunReader::begin(const EvalWindow& window) {
  if (block_first_ + block_rows_ != window_rows_) {
    return within_file({Errc::kInvalid, "a window was left before its last row"});
  }
  window_rows_ = static_cast<std::int32_t>(window.rows());
  block_first_ = block_rows_ = 0;
  return {};
}

Status RunReader::read_block() {
  std::array<std::byte, kBlockPrefixBytes> prefix{};
  BITCPM_TRY(file_.read(offset_, prefix));
  const auto rows = load_le<std::uint32_t>(prefix, 0);
  const auto bytes = load_le<std::uint32_t>(prefix, 4);
  const std::int32_t next = block_first_ + block_rows_;
  const auto most = static_cast<std::uint32_t>(std::min(kMaxRunBlockRows, window_rows_ - next));
  if (rows == 0 || rows > most) {
    return Error{Errc::kCorrupt, "a block of " + std::to_string(rows) + " rows at byte " +
                                     std::to_string(offset_) + " exceeds its window"};
  }
  const std::uint64_t begin = offset_ + kBlockPrefixBytes;
  if (bytes > file_.size() - std::min(begin, file_.size())) {
    return Error{Errc::kCorrupt,
                 "the block at byte " + std::to_string(offset_) + " exceeds the file"};
  }
  std::vector<std::byte> packed(bytes);
  BITCPM_TRY(file_.read(begin, packed));
  if (checksum(packed) != load_le<std::uint64_t>(prefix, 8)) {
    return Error{Errc::kCorrupt,
                 "the block at byte " + std::to_string(offset_) + " does not have its checksum"};
  }
  values_.resize(std::size_t{rows} * static_cast<std::size_t>(header_.vocab_size));
  BITCPM_TRY(unpack_block(packed, TensorView::dense(values_.data(), rows, header_.vocab_size)));
  block_first_ = next;
  block_rows_ = static_cast<std::int32_t>(rows);
  offset_ = begin + bytes;
  return {};
}

Result<TensorView> RunReader::rows(std::int32_t first, std::int32_t count) {
  const auto vocab = static_cast<std::size_t>(header_.vocab_size);
  piece_.resize(static_cast<std::size_t>(count) * vocab);
  for (std::int32_t done = 0; done < count;) {
    const std::int32_t row = first + done;
    if (row >= block_first_ + block_rows_) {
      if (auto read = read_block(); !read.ok()) return within_file(std::move(read).error());
    }
    BITCPM_CHECK(row >= block_first_);  // rows are asked for in order
    const std::int32_t here = std::min(count - done, block_first_ + block_rows_ - row);
    std::memcpy(piece_.data() + static_cast<std::size_t>(done) * vocab,
                values_.data() + static_cast<std::size_t>(row - block_first_) * vocab,
                static_cast<std::size_t>(here) * vocab * sizeof(float));
    done += here;
  }
  return TensorView::dense(piece_.data(), count, header_.vocab_size);
}

std::unique_ptr<LogitsSource> recording(LogitsSource& source, RunWriter& writer) {
  return std::make_unique<RecordingSource>(source, writer);
}

}  // namespace bitcpm
