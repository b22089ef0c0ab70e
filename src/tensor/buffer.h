#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace bitcpm {

// Owned bytes, 64-byte aligned, zero at first. Large ones are separate mappings with huge pages
// asked for: pages nobody has touched cost no memory, and freeing gives them back at once.
class Buffer {
 public:
  // Out of memory is an empty Buffer for size > 0; callers turn it into kExhausted.
  static Buffer allocate(std::size_t size);

  // A part of memory that somebody else owns, and that lives as long as this buffer.
  static Buffer part_of(std::shared_ptr<void> owner, std::byte* data, std::size_t size);

  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::size_t size() const { return size_; }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::span<std::byte> bytes() { return {data_, size_}; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::shared_ptr<void> owner_;  // null: this buffer itself
};

}  // namespace bitcpm
