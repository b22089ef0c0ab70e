#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/result.h"
#include "io/tensor_map.h"

// What the fuzz targets demand of a reader, beyond that it survives.
namespace bitcpm {

// A refusal is one short line of printable text.
inline void check_refusal(const Error& error) {
  BITCPM_CHECK(!error.message.empty() && error.message.size() < 500);
  for (const char c : error.message) BITCPM_CHECK(c >= 0x20 && c < 0x7f);
}

// Every accepted tensor keeps the promises of TensorMap, within the file.
inline void check_tensors(const TensorMap& tensors, std::span<const std::byte> file) {
  for (const auto& [name, tensor] : tensors) {
    BITCPM_CHECK(tensor.bytes.data() >= file.data());
    BITCPM_CHECK(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    std::size_t bytes = tensor.dtype ? dtype_bytes(*tensor.dtype) : 1;
    for (const std::int64_t dim : tensor.shape) bytes *= static_cast<std::size_t>(dim);
    BITCPM_CHECK(tensor.dtype ? bytes == tensor.bytes.size()
                              : bytes == 0 || tensor.bytes.size() % bytes == 0);
  }
}

inline std::span<const std::byte> as_file(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

}  // namespace bitcpm
