#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace bitcpm {

// A file of raw data that is read at positions into the caller's memory, by any number of threads
// at once: unlike a mapping, it cannot fault when somebody truncates it.
class DataFile {
 public:
  // Errors: kNotFound, kIo (also: not a regular file).
  static Result<DataFile> open(const std::filesystem::path& path);

  // `bytes` must outlive the result.
  static DataFile from_memory(std::span<const std::byte> bytes);

  DataFile(DataFile&& other) noexcept;
  DataFile& operator=(DataFile&& other) noexcept;
  ~DataFile();

  // When it was opened.
  std::uint64_t size() const { return size_; }

  // Fills all of `out`. Errors: kCorrupt (the file ends before), kIo; without the file's name.
  Status read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  DataFile() = default;

  int fd_ = -1;  // or
  const std::byte* memory_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace bitcpm
