#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_attention.h"
#include "backend/cpu/cpu_kv_cache.h"
#include "backend/cpu/cpu_limits.h"
#include "backend/cpu/cpu_linear.h"
#include "backend/cpu/cpu_linear_input.h"
#include "backend/cpu/cpu_logits_scan.h"
#include "backend/cpu/cpu_weight_images.h"
#include "backend/cpu/exact_head.h"
#include "backend/cpu/field_weight.h"
#include "backend/cpu/head_screen.h"
#include "backend/cpu/head_weight.h"
#include "backend/cpu/panel_weight.h"
#include "backend/cpu/share_out.h"
#include "backend/cpu/weight_order.h"
#include "base/cpu_budget.h"
#include "kernels/dispatch.h"

namespace bitcpm {
namespace {

using kernels::kKvBlockTokens;

class CpuBackend final : public Backend {
 public:
  CpuBackend(const kernels::KernelTable& table, int threads, Numerics numerics)
      : table_(table), pool_(threads), fast_(numerics == Numerics::kFast) {}

  std::string description() const override {
    return std::string("cpu ") + table_.isa + ", " + std::to_string(pool_.threads()) +
           (pool_.threads() == 1 ? " thread" : " threads");
  }
  std::int32_t kv_block_tokens() const override { return kKvBlockTokens; }
  KvCacheDtype default_kv_cache_dtype() const override {
    return fast_ ? KvCacheDtype::kBfloat16 : KvCacheDtype::kFloat32;
  }
  ThreadPool& pool() override { return pool_; }
  const LogitsScan& logits_scan() const override { return logits_scan_; }
  Result<DeviceLimits> measure_limits() override {
    return measure_cpu_limits(table_, pool_.threads());
  }
  WeightImages& weight_images() override { return images_; }

  Result<std::unique_ptr<PreparedWeight>> prepare(QuantizedMatrix matrix) override {
    if (matrix.form == WeightForm::kTernary) {
      return FieldWeight::pack(matrix, arena_, pool_);
    }
    return PanelWeight::pack(matrix, fast_, arena_, pool_);
  }
  Result<std::unique_ptr<PreparedWeight>> prepare_head(const QuantizedMatrix& matrix,
                                                       bool embeds) override {
    if (!fast_) return ExactHead::make(matrix, arena_, pool_);
    const HeadBits bits = embeds ? HeadBits::kEmbedding : HeadBits::kAll;
    return HeadWeight::quantize(matrix, bits, arena_, pool_);
  }
  Result<std::unique_ptr<LinearInput>> make_linear_input(
      std::int64_t max_rows, std::int64_t run,
      std::span<const PreparedWeight* const> consumers) override {
    CpuLinearInput::Forms forms{.code_group = run};
    bool narrow = fast_;  // codes of 8 bits
    for (const PreparedWeight* consumer : consumers) {
      const auto& weight = *static_cast<const CpuWeight*>(consumer);
      const InputForm form = weight.input_form();
      const bool codes = form == InputForm::kCodes || weight.screens_codes();
      if (codes) forms.code_group = std::gcd(forms.code_group, weight.group());
      narrow |= weight.screens_codes();
      forms.floats |= form == InputForm::kFloats;
      forms.bf16 |= form == InputForm::kBf16;
      forms.codes |= codes;
    }
    forms.code_form = narrow ? kernels::ActForm::kInt8 : kernels::ActForm::kInt16;
    forms.code_group = std::gcd(forms.code_group, std::int64_t{kernels::kMostActGroup});
    return CpuLinearInput::allocate(max_rows, consumers.front()->cols(), forms);
  }
  Result<std::unique_ptr<KvCache>> allocate_kv(const KvShape& shape,
                                               std::int32_t num_blocks) override {
    return CpuKvCache::allocate(shape, num_blocks);
  }
  Result<Buffer> allocate(std::size_t bytes) override {
    Buffer buffer = Buffer::allocate(bytes);
    if (buffer.size() != bytes) {
      return Error{Errc::kExhausted, "no memory for " + std::to_string(bytes) + " bytes"};
    }
    return buffer;
  }
  Result<Buffer> upload(std::span<const float> values) override {
    BITCPM_ASSIGN(Buffer buffer, allocate(values.size_bytes()));
    std::copy(values.begin(), values.end(), buffer.as<float>());
    return buffer;
  }
  void embed(const PreparedWeight& table, std::span<const TokenId> tokens, float scale,
             TensorView h) override {
    const auto& weight = static_cast<const CpuWeight&>(table);
    each_row(tokens.size(), [&](std::int64_t t) {
      weight.copy_row(tokens[static_cast<std::size_t>(t)], scale, h.row(t));
    });
  }

  void rms_norm(TensorView x, const Buffer& weight, float eps, LinearInput& out) override {
    each_normed_row(x.rows, x.cols, [&](std::int64_t t, float* scratch) {
      norm_row(x.row(t), x.cols, weight, eps, t, scratch, cpu_input(out));
    });
  }

  void add_scaled_rms_norm(TensorView delta, float scale, TensorView h, const Buffer& weight,
                           float eps, LinearInput& out) override {
    each_normed_row(h.rows, h.cols, [&](std::int64_t t, float* scratch) {
      add_scaled(delta.row(t), scale, h, t);
      norm_row(h.row(t), h.cols, weight, eps, t, scratch, cpu_input(out));
    });
  }

  void final_norm(TensorView delta, float scale, TensorView h, std::span<const std::int32_t> rows,
                  const Buffer& weight, float eps, float divisor, TensorView out) override {
    each_row(static_cast<std::size_t>(h.rows),
             [&](std::int64_t t) { add_scaled(delta.row(t), scale, h, t); });
    each_row(rows.size(), [&](std::int64_t i) {
      float* o = out.row(i);
      table_.rms_norm(h.row(rows[static_cast<std::size_t>(i)]), weight.as<float>(), eps,
                      static_cast<std::size_t>(h.cols), o);
      for (std::int64_t k = 0; k < h.cols; ++k) o[k] /= divisor;
    });
  }

  void load_input(TensorView x, LinearInput& out) override {
    each_row(static_cast<std::size_t>(x.rows),
             [&](std::int64_t t) { cpu_input(out).put(table_, t, 0, x.row_range(t, 1)); });
  }

  void linear(const LinearInput& x, std::span<const LinearTarget> targets) override {
    read_ahead_of(*targets.front().weight, targets.front().out.rows);
    multiply(table_, pool_, static_cast<const CpuLinearInput&>(x), targets);
  }

  std::int64_t most_screened_rows(const PreparedWeight& head) const override {
    const auto* screened = dynamic_cast<const ScreenedHead*>(&head);
    return screened == nullptr ? 0 : screened->most_screened_rows(table_);
  }

  void top_logits(const LinearInput& x, const PreparedWeight& head, std::int32_t top,
                  TensorView out) override {
    const LinearTarget whole{&head, out};
    if (out.rows > most_screened_rows(head)) return linear(x, {&whole, 1});
    const auto& screened = dynamic_cast<const ScreenedHead&>(head);
    if (!screen_.worth_trying(screened, out.rows, top)) return linear(x, {&whole, 1});
    read_ahead_of(head, out.rows);
    screen_.top_logits(table_, pool_, screened, static_cast<const CpuLinearInput&>(x), top, out);
  }

  void gated_linear(const LinearInput& x, std::int64_t rows, const PreparedWeight& gate,
                    const PreparedWeight& up, LinearInput& out) override {
    read_ahead_of(gate, rows);
    multiply_gated(table_, pool_, static_cast<const CpuLinearInput&>(x), rows,
                   {static_cast<const CpuWeight&>(gate), static_cast<const CpuWeight&>(up)},
                   cpu_input(out));
  }

  void rope_append_kv(TensorView q, TensorView k, TensorView v, const RopeAngles& angles,
                      const BatchView& batch, KvCache& cache, std::int32_t layer) override {
    auto& kv = static_cast<CpuKvCache&>(cache);
    const auto head_dim = static_cast<std::size_t>(kv.shape().head_dim);
    each_row(static_cast<std::size_t>(q.rows), [&](std::int64_t t) {
      for (const TensorView& x : {q, k}) {
        table_.rotate(angles.cos.row(t), angles.sin.row(t),
                      static_cast<std::size_t>(x.cols) / head_dim, head_dim, x.row(t));
      }
      const SequenceSlice& sequence = sequence_of(batch, t);
      const auto position =
          static_cast<std::size_t>(sequence.first_position + t - sequence.first_row);
      const std::int32_t block = sequence.block_ids[position / kKvBlockTokens];
      kv.write(layer, block, position % kKvBlockTokens, k.row(t), v.row(t));
    });
  }

  void paged_attention(TensorView q, const BatchView& batch, const KvCache& cache,
                       std::int32_t layer, float scale, LinearInput& out) override {
    attention_.attend({q, batch, static_cast<const CpuKvCache&>(cache), layer, scale},
                      cpu_input(out));
  }

 private:
  // To be called before a product: threads that wait for its end, and through the short steps until
  // the next one, ask for the weights of that one. A few tokens spend their time on memory.
  void read_ahead_of(const PreparedWeight& weight, std::int64_t tokens) {
    constexpr std::int64_t kFewTokens = 16;
    const auto next = order_.next_after(static_cast<const CpuWeight&>(weight));
    read_ahead(pool_, tokens <= kFewTokens ? next : std::span<const std::byte>());
  }

  static CpuLinearInput& cpu_input(LinearInput& input) {
    return static_cast<CpuLinearInput&>(input);
  }

  void add_scaled(const float* delta, float scale, const TensorView& h, std::int64_t t) const {
    table_.add_scaled(delta, scale, static_cast<std::size_t>(h.cols), h.row(t));
  }

  void norm_row(const float* x, std::int64_t cols, const Buffer& weight, float eps, std::int64_t t,
                float* scratch, CpuLinearInput& out) const {
    table_.rms_norm(x, weight.as<float>(), eps, static_cast<std::size_t>(cols), scratch);
    out.put(table_, t, 0, TensorView::dense(scratch, 1, cols));
  }

  // body(t, scratch): scratch has room for a row.
  template <class Body>
  void each_normed_row(std::int64_t rows, std::int64_t cols, const Body& body) {
    const auto width = static_cast<std::size_t>(cols);
    const std::size_t needed = static_cast<std::size_t>(pool_.threads()) * width;
    if (norm_scratch_.size() < needed) norm_scratch_.resize(needed);
    share_out(pool_, static_cast<std::size_t>(rows), [&](std::size_t thread, std::size_t t) {
      body(static_cast<std::int64_t>(t), norm_scratch_.data() + thread * width);
    });
  }

  template <class Body>
  void each_row(std::size_t rows, const Body& body) {
    pool_.parallel_for(rows, 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) body(static_cast<std::int64_t>(t));
    });
  }

  kernels::KernelTable table_;
  CpuLogitsScan logits_scan_{table_};
  ThreadPool pool_;
  CpuAttention attention_{table_, pool_};
  Arena arena_;  // of all weights
  HeadScreen screen_;
  WeightOrder order_;
  std::vector<float> norm_scratch_;  // a row per thread
  bool fast_;
  CpuWeightImages images_{fast_, arena_};
};

Result<kernels::KernelTable> kernels_of(const std::string& isa) {
  const kernels::CpuFeatures cpu = kernels::detect_cpu_features();
  const char* forced = std::getenv("BITCPM_ISA");
  if (isa != "auto" || forced == nullptr || *forced == '\0') {
    return kernels::make_kernel_table(cpu, isa);
  }
  auto table = kernels::make_kernel_table(cpu, forced);
  if (!table.ok()) return std::move(table).error().within("BITCPM_ISA");
  return table;
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options) {
  BITCPM_ASSIGN(const kernels::KernelTable table, kernels_of(options.isa));
  if (options.threads < 0 || options.threads > 1024) {
    return Error{Errc::kInvalid,
                 "threads must be 0 to 1024, not " + std::to_string(options.threads)};
  }
  const int threads = options.threads == 0 ? usable_cpus() : options.threads;
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(table, threads, options.numerics));
}

}  // namespace bitcpm
