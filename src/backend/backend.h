#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/batch_view.h"
#include "backend/kv_shape.h"
#include "backend/logits_scan.h"
#include "backend/prepared_weight.h"
#include "backend/weight_image.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"
#include "tensor/tensor_view.h"

namespace bitcpm {

// Rows of activations in the form that linear() wants, written by the operation before it.
class LinearInput {
 public:
  virtual ~LinearInput() = default;
  virtual std::size_t bytes() const = 0;
};

// The keys and values of `num_blocks` blocks of kv_block_tokens() positions, all layers.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual std::int32_t num_blocks() const = 0;
  virtual std::size_t bytes() const = 0;
};

struct LinearTarget {
  const PreparedWeight* weight;
  TensorView out;  // [tokens, weight->rows()]
};

// cos and sin of every row's angles, already times the attention factor.
struct RopeAngles {
  TensorView cos;  // [tokens, head_dim / 2]
  TensorView sin;
};

// The ceilings of a device with the threads it was given: nothing computes or reads faster.
struct DeviceLimits {
  double read_bytes_per_s = 0;             // from memory that no cache holds
  double int8_macs_per_s = 0;              // products of int8 pairs, added up in int32
  double bf16_macs_per_s = 0;              // of bf16 pairs, added up in f32
  double f32_macs_per_s = 0;               // in f32
  std::string_view int8_instruction = "";  // which does those of int8
};

// The device seam: memory and a dozen coarse operations, one virtual call each. All tensors are f32
// [tokens, …] in memory of this backend; a result does not depend on the batch around its row.
// Shapes are promises of the caller (checked at load, not per call). Operations report no errors:
// device faults surface in the engine. Thread: one caller at a time.
class Backend {
 public:
  virtual ~Backend() = default;

  // For the log: "cpu avx512vnni, 2 threads".
  virtual std::string description() const = 0;
  virtual std::int32_t kv_block_tokens() const = 0;
  virtual KvCacheDtype default_kv_cache_dtype() const = 0;  // what its numerics are described with

  // The host threads this backend works with; free between operations, as during loading.
  virtual ThreadPool& pool() = 0;

  virtual const LogitsScan& logits_scan() const = 0;

  // Measures them, in about a second. Errors: kExhausted (no memory to read).
  virtual Result<DeviceLimits> measure_limits() = 0;

  // Weights that a file brings as prepare() and prepare_head() would have made them.
  virtual WeightImages& weight_images() = 0;

  // Errors of the next six: kExhausted (no memory).
  virtual Result<std::unique_ptr<PreparedWeight>> prepare(QuantizedMatrix matrix) = 0;
  // The matrix in a form of its own for logits, and if it `embeds`, for embed() too.
  virtual Result<std::unique_ptr<PreparedWeight>> prepare_head(const QuantizedMatrix& matrix,
                                                               bool embeds) = 0;
  // `run`: columns that one step of an operation writes, at the least; a divisor of the width.
  // `consumers`: every weight that linear() or gated_linear() will be given with this input.
  virtual Result<std::unique_ptr<LinearInput>> make_linear_input(
      std::int64_t max_rows, std::int64_t run,
      std::span<const PreparedWeight* const> consumers) = 0;
  virtual Result<std::unique_ptr<KvCache>> allocate_kv(const KvShape& shape,
                                                       std::int32_t num_blocks) = 0;
  virtual Result<Buffer> allocate(std::size_t bytes) = 0;
  virtual Result<Buffer> upload(std::span<const float> values) = 0;

  // h = scale * table[tokens].  table [vocab, hidden], h [tokens, hidden]
  virtual void embed(const PreparedWeight& table, std::span<const TokenId> tokens, float scale,
                     TensorView h) = 0;

  // out = x / rms(x) * weight.  x, out [tokens, hidden]; weight [hidden]
  virtual void rms_norm(TensorView x, const Buffer& weight, float eps, LinearInput& out) = 0;

  // h += scale * delta; out = h / rms(h) * weight.  All [tokens, hidden].
  virtual void add_scaled_rms_norm(TensorView delta, float scale, TensorView h,
                                   const Buffer& weight, float eps, LinearInput& out) = 0;

  // h += scale * delta for the last layer, then out[i] = h[rows[i]] / rms * weight / divisor.
  virtual void final_norm(TensorView delta, float scale, TensorView h,
                          std::span<const std::int32_t> rows, const Buffer& weight, float eps,
                          float divisor, TensorView out) = 0;

  // out = x, for values that come from no operation here.
  virtual void load_input(TensorView x, LinearInput& out) = 0;

  // out_i = x W_i^T for several weights that share their input; as many rows as the outputs have.
  virtual void linear(const LinearInput& x, std::span<const LinearTarget> targets) = 0;

  // Rotates q and k in place (rotate_half form: pairs i, i + head_dim / 2) and writes k and v of
  // every row into the cache at its position.  q [tokens, heads * head_dim], k and v likewise
  virtual void rope_append_kv(TensorView q, TensorView k, TensorView v, const RopeAngles& angles,
                              const BatchView& batch, KvCache& cache, std::int32_t layer) = 0;

  // out = softmax(scale q K^T, causal) V over the cache; query head h reads K/V head
  // h / (heads / kv heads). rope_append_kv() ran for these rows.  q, out [tokens, heads * head_dim]
  virtual void paged_attention(TensorView q, const BatchView& batch, const KvCache& cache,
                               std::int32_t layer, float scale, LinearInput& out) = 0;

  // Up to how many rows top_logits() reads less of this head than linear() does.
  virtual std::int64_t most_screened_rows(const PreparedWeight& head) const = 0;

  // out = x head^T, of which the caller needs the `top` largest of each row, ties included: the
  // others may be minus infinity. top >= 1
  virtual void top_logits(const LinearInput& x, const PreparedWeight& head, std::int32_t top,
                          TensorView out) = 0;

  // out = silu(x gate^T) * (x up^T) for the first `rows` rows.  out [rows, intermediate], kGated
  virtual void gated_linear(const LinearInput& x, std::int64_t rows, const PreparedWeight& gate,
                            const PreparedWeight& up, LinearInput& out) = 0;
};

}  // namespace bitcpm
