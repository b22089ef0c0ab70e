#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace bitcpm {

// A regular file mapped read-only and private. The bytes live as long as the object.
// A file that another process truncates while mapped raises SIGBUS on access: documented in
// SECURITY.md, and the reason why weights are copied into our own layout at load.
class MmapFile {
 public:
  // Errors: kNotFound (no such file), kIo (not a regular file, no permission, mmap failed).
  static Result<MmapFile> open(const std::filesystem::path& path);

  MmapFile(MmapFile&& other) noexcept;
  MmapFile& operator=(MmapFile&& other) noexcept;
  ~MmapFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MmapFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Tells the kernel that the whole pages inside `bytes`, part of some file mapping, are not needed
// for now: they leave the resident set and come back from the file when touched again. Not for
// bytes of anonymous memory, which would be lost.
void release_mapped_pages(std::span<const std::byte> bytes);

}  // namespace bitcpm
