#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"

namespace bitcpm {

// What the header says of one tensor that is going to be written.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kBf16;
  std::vector<std::int64_t> shape;  // row-major, all >= 0; empty for a scalar
};

// Writes a safetensors file front to back, never holding more than the caller's chunk. The bytes go
// to `path` + ".partial", which finish() renames: `path` never names half a checkpoint. An
// unfinished file is removed. One per file; not thread-safe.
class SafetensorsWriter {
 public:
  // Writes the header; the tensors' data follow in the order of `entries`.
  // Errors: kInvalid (a name twice or "__metadata__", a size that overflows), kIo.
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          std::span<const SafetensorsEntry> entries);
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;
  ~SafetensorsWriter();

  // The next bytes of the data section, cut wherever the caller likes. Errors: kIo, kInvalid (more
  // than the entries announce).
  Status append(std::span<const std::byte> data);

  // Errors: kIo, kInvalid (fewer bytes than the entries announce). Nothing may follow.
  Status finish();

 private:
  struct Impl;
  explicit SafetensorsWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
