#pragma once

#include <cstddef>
#include <memory>

#include "tensor/buffer.h"

namespace bitcpm {

// Memory for the weights of one model, handed out front to back: what is read one after the other
// lies one after the other, on huge pages, which small matrices alone would not get. Nothing comes
// back before the last buffer is gone. One thread at a time.
class Arena {
 public:
  // Zero. Aligned to 64 bytes, and from a page on to pages: weights off them were read up to a
  // tenth more slowly (docs/adr/0039). Out of memory is an empty Buffer for size > 0.
  Buffer take(std::size_t size);

 private:
  std::shared_ptr<Buffer> chunk_;
  std::size_t used_ = 0;  // of the chunk
};

}  // namespace bitcpm
