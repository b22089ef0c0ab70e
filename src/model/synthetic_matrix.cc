#include "model/synthetic_matrix.h"

#include <span>
#include <utility>

#include "model/synthetic.h"

namespace bitcpm {
namespace {

constexpr std::size_t kRowsPerTask = 8;

}  // namespace

Result<EncodedMatrix> make_synthetic_matrix(const TensorSlot& slot, std::uint64_t seed,
                                            std::int64_t group, ThreadPool& pool) {
  Buffer values = Buffer::allocate(slot.bf16_bytes());
  if (values.size() == 0) {
    return Error{Errc::kExhausted,
                 slot.name + ": no memory for " + std::to_string(slot.bf16_bytes()) + " bytes"};
  }
  const auto rows = static_cast<std::size_t>(slot.rows);
  const auto cols = static_cast<std::size_t>(slot.cols);
  const std::span<std::uint16_t> all(values.as<std::uint16_t>(), rows * cols);
  pool.parallel_for(rows, kRowsPerTask, [&](std::size_t begin, std::size_t end) {
    fill_synthetic(slot, seed, group, static_cast<std::int64_t>(begin),
                   all.subspan(begin * cols, (end - begin) * cols));
  });
  if (slot.kind == SlotKind::kProjection && group != kSyntheticPlain) {
    return encode_ternary({DType::kBf16, slot.rows, slot.cols, std::as_bytes(all)}, pool);
  }
  // bf16 values are the dense form already: no second copy of what may be the largest tensor.
  EncodedMatrix made;
  made.matrix.form = WeightForm::kBf16;
  made.matrix.rows = slot.rows;
  made.matrix.cols = slot.cols;
  made.matrix.codes = std::move(values);
  if (slot.kind == SlotKind::kProjection) made.not_ternary_because = "plain random values";
  return made;
}

}  // namespace bitcpm
