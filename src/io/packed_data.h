#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/thread_pool.h"
#include "io/data_file.h"
#include "io/packed_manifest.h"

namespace bitcpm {

// The first bytes of weights.bcpm: magic, version, its own length.
std::array<std::byte, kPackedHeaderBytes> packed_header(std::uint64_t file_bytes);

// One section on its way into memory.
struct SectionRead {
  const PackedTensor* tensor;  // for messages
  const PackedSection* section;
  std::span<std::byte> out;  // section->length bytes; empty: only check it
};

// weights.bcpm, its header checked against the manifest.
class PackedData {
 public:
  // Errors: kNotFound, kIo, kCorrupt (no such file, another length), kUnsupported (another
  // version).
  static Result<PackedData> open(const ModelFiles& files, const PackedManifest& manifest);

  // Called from the caller's thread with the bytes read since the last time.
  using Progress = std::function<void(std::uint64_t bytes, std::string_view tensor)>;

  // Reads all of them in parallel pieces and compares their checksums.
  // Errors: kIo, kCorrupt; the message names file, tensor and section.
  Status read(std::span<const SectionRead> reads, ThreadPool& pool, const Progress& progress) const;

 private:
  explicit PackedData(DataFile file) : file_(std::move(file)) {}

  DataFile file_;
};

// What PackedSection::checksum says of these bytes: XXH3 of the XXH3s of all pieces, eight bytes
// each, little-endian.
std::uint64_t section_checksum(std::span<const std::byte> bytes);

}  // namespace bitcpm
