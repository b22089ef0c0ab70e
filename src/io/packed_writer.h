#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"
#include "io/packed_manifest.h"
#include "io/partial_file.h"

namespace bitcpm {

// Writes weights.bcpm front to back, under the name of a PartialFile until finish(). Errors: kIo.
class PackedWriter {
 public:
  static Result<PackedWriter> create(const std::filesystem::path& folder);

  // The next section; its entry for the manifest.
  Result<PackedSection> append(std::string name, std::span<const std::byte> bytes);

  // The file's length so far.
  std::uint64_t bytes() const { return bytes_; }

  // Nothing may follow.
  Status finish();

 private:
  explicit PackedWriter(PartialFile file) : file_(std::move(file)) {}

  PartialFile file_;
  std::uint64_t bytes_ = 0;
};

}  // namespace bitcpm
