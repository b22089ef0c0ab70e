#include "tensor/arena.h"

#include <algorithm>

namespace bitcpm {
namespace {

// Address space, not memory: pages nobody touches cost nothing.
constexpr std::size_t kChunk = std::size_t{256} << 20;
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPage = 4096;  // what a core's prefetcher keeps to

std::size_t round_up(std::size_t size, std::size_t to) { return (size + to - 1) & ~(to - 1); }

}  // namespace

Buffer Arena::take(std::size_t size) {
  if (size == 0) return {};
  if (chunk_ != nullptr && chunk_.use_count() == 1) chunk_.reset();  // all of it came back
  std::size_t begin = round_up(used_, size < kPage ? kAlignment : kPage);
  if (chunk_ == nullptr || begin > chunk_->size() || chunk_->size() - begin < size) {
    auto chunk = std::make_shared<Buffer>(Buffer::allocate(std::max(kChunk, size)));
    if (chunk->size() == 0) return {};
    chunk_ = std::move(chunk);
    begin = 0;
  }
  std::byte* data = chunk_->data() + begin;
  used_ = begin + size;
  return Buffer::part_of(chunk_, data, size);
}

}  // namespace bitcpm
