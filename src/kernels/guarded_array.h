#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "base/check.h"

namespace bitcpm::kernels {

// A copy of some values that ends where an unreadable page begins: for tests that a kernel reads
// and writes nothing past its operands.
template <class T>
class GuardedArray {
 public:
  explicit GuardedArray(const std::vector<T>& values) : count_(values.size()) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    mapped_ = (count_ * sizeof(T) + page - 1) / page * page + page;
    void* base =
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BITCPM_CHECK(base != MAP_FAILED);
    base_ = static_cast<std::byte*>(base);
    BITCPM_CHECK(::mprotect(base_ + mapped_ - page, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(base_ + mapped_ - page - count_ * sizeof(T));
    for (std::size_t i = 0; i < count_; ++i) data_[i] = values[i];
  }
  ~GuardedArray() { ::munmap(base_, mapped_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  T* data() { return data_; }
  std::vector<T> values() const { return std::vector<T>(data_, data_ + count_); }

 private:
  std::size_t count_;
  std::size_t mapped_ = 0;
  std::byte* base_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace bitcpm::kernels
