#include "tensor/arena.h"

#include <algorithm>

namespace bitcpm {
namespace {

// Address space, not memory: pages nobody touches cost nothing.
constexpr std::size_t kChunk = std::size_t{256} << 20;
constexpr std::size_t kAlignment = 64;

}  // namespace

Buffer Arena::take(std::size_t size) {
  if (size == 0) return {};
  if (chunk_ != nullptr && chunk_.use_count() == 1) chunk_.reset();  // all of it came back
  const std::size_t rounded = (size + kAlignment - 1) & ~(kAlignment - 1);
  if (chunk_ == nullptr || chunk_->size() - used_ < rounded) {
    auto chunk = std::make_shared<Buffer>(Buffer::allocate(std::max(kChunk, rounded)));
    if (chunk->size() == 0) return {};
    chunk_ = std::move(chunk);
    used_ = 0;
  }
  std::byte* data = chunk_->data() + used_;
  used_ += rounded;
  return Buffer::part_of(chunk_, data, size);
}

}  // namespace bitcpm
