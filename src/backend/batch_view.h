#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"

namespace bitcpm {

// One sequence's share of a batch: rows [first_row, first_row + num_rows) are its tokens at
// positions first_position, first_position + 1, …; everything before is in the KV cache already.
struct SequenceSlice {
  std::int32_t first_row = 0;
  std::int32_t num_rows = 0;
  std::int32_t first_position = 0;
  std::span<const std::int32_t> block_ids;  // of the whole sequence, enough for its last position
};

// One forward pass: the new tokens of several sequences, prefill and decode alike.
struct BatchView {
  std::span<const TokenId> tokens;            // [rows]
  std::span<const SequenceSlice> sequences;   // tile [0, rows) in order
  std::span<const std::int32_t> logits_rows;  // ascending; rows whose logits are wanted
};

}  // namespace bitcpm
