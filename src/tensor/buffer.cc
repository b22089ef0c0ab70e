#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <utility>

namespace bitcpm {
namespace {

// From here on a buffer is a mapping of its own: 2 MiB is the huge page of x86-64 and, at 4 KiB
// base pages, of 64-bit Arm.
constexpr std::size_t kMapFrom = std::size_t{2} << 20;
constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

std::size_t round_up(std::size_t size) { return (size + kAlignment - 1) & ~(kAlignment - 1); }

}  // namespace

Buffer Buffer::allocate(std::size_t size) {
  Buffer buffer;
  if (size == 0) return buffer;
  if (size >= kMapFrom) {
    void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return buffer;
    ::madvise(data, size, MADV_HUGEPAGE);  // advice: a kernel without it is only slower
    buffer.data_ = static_cast<std::byte*>(data);
  } else {
    void* data = std::aligned_alloc(kAlignment, round_up(size));
    if (data == nullptr) return buffer;
    std::memset(data, 0, round_up(size));
    buffer.data_ = static_cast<std::byte*>(data);
  }
  buffer.size_ = size;
  return buffer;
}

Buffer Buffer::part_of(std::shared_ptr<void> owner, std::byte* data, std::size_t size) {
  Buffer buffer;
  buffer.data_ = data;
  buffer.size_ = size;
  buffer.owner_ = std::move(owner);
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      owner_(std::move(other.owner_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(owner_, other.owner_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ == nullptr || owner_ != nullptr) return;
  if (size_ >= kMapFrom) {
    ::munmap(data_, size_);
  } else {
    std::free(data_);
  }
}

}  // namespace bitcpm
