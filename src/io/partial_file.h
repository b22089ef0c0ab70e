#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace bitcpm {

// A file being written as `path` + ".partial", which finish() renames: `path` never names half of
// one. An unfinished file is removed. Not thread-safe. Errors: kIo, naming the partial file.
class PartialFile {
 public:
  static Result<PartialFile> create(const std::filesystem::path& path);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) noexcept;
  ~PartialFile();

  const std::filesystem::path& path() const { return path_; }  // the final one

  Status append(std::span<const std::byte> data);

  // Over what has been written before.
  Status overwrite(std::uint64_t offset, std::span<const std::byte> data);

  // Nothing may follow.
  Status finish();

 private:
  explicit PartialFile(const std::filesystem::path& path);
  Error failure(std::string_view what, int error) const;
  Error abandon(std::string_view what, int error);

  std::filesystem::path path_;
  std::filesystem::path partial_;
  int fd_ = -1;
};

}  // namespace bitcpm
