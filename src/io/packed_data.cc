#include "io/packed_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "base/checksum.h"
#include "base/quote.h"
#include "io/little_endian.h"

namespace bitcpm {
namespace {

static_assert(std::endian::native == std::endian::little, "sections are read as they stand");

// In the manner of PNG: not text, and altered by whatever converts line ends.
constexpr unsigned char kMagic[8] = {0x89, 'B', 'C', 'P', 'M', '\r', '\n', 0x1a};

// So much is read between two calls of the progress function.
constexpr std::size_t kPiecesPerStep = 128;

template <class T>
void store_le(std::span<std::byte> out, std::size_t offset, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[offset + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

std::uint64_t piece_count(std::uint64_t length) { return (length + kPieceBytes - 1) / kPieceBytes; }

struct Piece {
  const SectionRead* read;
  std::uint64_t begin;  // in the section
};

class FirstError {
 public:
  void set(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  Status take() {
    if (error_) return std::move(*error_);
    return {};
  }

 private:
  std::mutex mutex_;
  std::optional<Error> error_;
};

std::string scope_of(const SectionRead& read) {
  return fmt::format("{}: {}: section {}", kPackedDataFile, quote_name(read.tensor->name),
                     read.section->name);
}

Error wrong_checksum(const SectionRead& read, std::uint64_t found) {
  return Error{Errc::kCorrupt, fmt::format("{}: corrupt: its checksum is {}, {} says {}",
                                           scope_of(read), checksum_text(found), kManifestFile,
                                           checksum_text(read.section->checksum))};
}

// Reads one piece and returns its checksum.
Result<std::uint64_t> read_piece(const DataFile& file, const Piece& piece) {
  const SectionRead& read = *piece.read;
  const auto bytes =
      static_cast<std::size_t>(std::min(kPieceBytes, read.section->length - piece.begin));
  std::vector<std::byte> scratch(read.out.empty() ? bytes : 0);
  const std::span<std::byte> out =
      read.out.empty() ? std::span(scratch)
                       : read.out.subspan(static_cast<std::size_t>(piece.begin), bytes);
  const Status done = file.read(read.section->offset + piece.begin, out);
  if (!done.ok()) return Error(done.error()).within(scope_of(read));
  return checksum(out);
}

}  // namespace

std::array<std::byte, kPackedHeaderBytes> packed_header(std::uint64_t file_bytes) {
  std::array<std::byte, kPackedHeaderBytes> header{};
  std::memcpy(header.data(), kMagic, sizeof kMagic);
  store_le(std::span(header), 8, static_cast<std::uint32_t>(kPackedVersion));
  store_le(std::span(header), 16, file_bytes);
  return header;
}

Result<PackedData> PackedData::open(const ModelFiles& files, const PackedManifest& manifest) {
  BITCPM_ASSIGN(DataFile file, files.open_data(kPackedDataFile));
  const auto refuse = [](Errc code, const std::string& what) {
    return Error{code, fmt::format("{}: {}", kPackedDataFile, what)};
  };
  if (file.size() != manifest.data_bytes) {
    return refuse(Errc::kCorrupt, fmt::format("{} bytes long where {} says {}", file.size(),
                                              kManifestFile, manifest.data_bytes));
  }
  std::array<std::byte, kPackedHeaderBytes> header{};  // data_bytes >= its size: parse_manifest
  const Status read = file.read(0, header);
  if (!read.ok()) return Error(read.error()).within(kPackedDataFile);
  if (std::memcmp(header.data(), kMagic, sizeof kMagic) != 0) {
    return refuse(Errc::kCorrupt, "does not begin as a file of packed weights");
  }
  const auto version = load_le<std::uint32_t>(header, 8);
  if (version != kPackedVersion) {
    return refuse(Errc::kUnsupported,
                  fmt::format("the format is of version {}; this program reads version {}", version,
                              kPackedVersion));
  }
  if (header != packed_header(manifest.data_bytes)) {
    return refuse(Errc::kCorrupt, "its header is corrupt");
  }
  return PackedData(std::move(file));
}

Status PackedData::read(std::span<const SectionRead> reads, ThreadPool& pool,
                        const Progress& progress) const {
  std::vector<Piece> pieces;
  for (const SectionRead& read : reads) {
    BITCPM_CHECK(read.out.empty() || read.out.size() == read.section->length);
    for (std::uint64_t begin = 0; begin < read.section->length; begin += kPieceBytes) {
      pieces.push_back({&read, begin});
    }
  }
  std::vector<std::uint64_t> sums(pieces.size());
  FirstError error;
  for (std::size_t first = 0; first < pieces.size(); first += kPiecesPerStep) {
    const std::size_t count = std::min(kPiecesPerStep, pieces.size() - first);
    pool.parallel_for(count, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = first + begin; i < first + end; ++i) {
        Result<std::uint64_t> sum = read_piece(file_, pieces[i]);
        if (sum.ok()) {
          sums[i] = *sum;
        } else {
          error.set(std::move(sum).error());
        }
      }
    });
    BITCPM_TRY(error.take());
    if (!progress) continue;
    std::uint64_t bytes = 0;
    for (const Piece& piece : std::span(pieces).subspan(first, count)) {
      bytes += std::min(kPieceBytes, piece.read->section->length - piece.begin);
    }
    progress(bytes, pieces[first + count - 1].read->tensor->name);
  }
  std::size_t at = 0;
  for (const SectionRead& read : reads) {
    const auto count = static_cast<std::size_t>(piece_count(read.section->length));
    const std::uint64_t found = checksum(std::as_bytes(std::span(sums).subspan(at, count)));
    if (found != read.section->checksum) return wrong_checksum(read, found);
    at += count;
  }
  return {};
}

std::uint64_t section_checksum(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> sums;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
    const std::size_t count = std::min<std::size_t>(kPieceBytes, bytes.size() - begin);
    sums.push_back(checksum(bytes.subspan(begin, count)));
  }
  return checksum(std::as_bytes(std::span(sums)));
}

}  // namespace bitcpm
