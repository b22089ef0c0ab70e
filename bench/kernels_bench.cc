// Every entry of KernelTable on every CPU level that this machine runs, one thread, operands of one
// layer of a model of half a billion parameters. items_per_second counts multiply-adds for products
// and attention, else values; --benchmark_filter=avx512vnni/ternary picks some.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <string>

#include "base/check.h"
#include "kernels/dispatch.h"
#include "kernels/table.h"
#include "tensor/buffer.h"

namespace bitcpm::kernels {
namespace {

constexpr std::size_t kRows = 1024;
constexpr std::size_t kCols = 1024;
constexpr std::size_t kGroup = 128;
constexpr std::size_t kMostTokens = 64;
constexpr std::size_t kHeads = 8;  // query heads of one K/V head
constexpr std::size_t kHeadDim = 64;
constexpr std::size_t kContext = 512;
constexpr std::size_t kReadBytes = std::size_t{64} << 20;
constexpr std::size_t kPeakRounds = 1000;

Buffer take(std::size_t bytes) {
  Buffer buffer = Buffer::allocate(bytes);
  BITCPM_CHECK(buffer.size() == bytes);
  return buffer;
}

// 1.0 in bf16 for every scale.
Buffer make_scales(std::size_t count) {
  Buffer buffer = take(2 * count);
  std::fill_n(buffer.as<std::uint16_t>(), count, std::uint16_t{0x3f80});
  return buffer;
}

// Ternary codes and 8-bit weights take any bits but code 3, floats must be finite: bytes of 0, 1
// and 2 in each pair of bits suit them all.
Buffer make_codes(std::size_t bytes) {
  Buffer buffer = take(bytes);
  std::mt19937 rng(1);
  for (std::size_t i = 0; i < bytes; ++i) {
    unsigned byte = 0;
    for (int pair = 0; pair < 4; ++pair) byte = byte << 2 | rng() % 3;
    buffer.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(byte);
  }
  return buffer;
}

Buffer make_floats(std::size_t count) {
  Buffer buffer = take(4 * count);
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < count; ++i) buffer.as<float>()[i] = normal(rng);
  return buffer;
}

// Operands of all benchmarks, made once.
struct Operands {
  Buffer codes = make_codes(kRows * kCols);
  Buffer scales = make_scales(kRows * (kCols / kGroup));
  Buffer weights = make_floats(kRows * kCols);
  Buffer x = make_floats(kMostTokens * kCols);
  Buffer x_bf16 = take(2 * kMostTokens * kCols);
  Buffer y = take(4 * kMostTokens * kRows);
  Buffer act_codes = take(2 * kMostTokens * 2 * kCols);  // of 8 bits, then of 16
  Buffer act_scales = take(4 * kMostTokens * (kCols / kGroup));
  Buffer act_sums = take(4 * kMostTokens * (kCols / kGroup));
  Buffer act_lines = take(kMostTokens * (kCols / kQuadEvery));
  Buffer kv = make_floats(2 * kContext * kHeadDim);
  Buffer block_ids = take(4 * kContext / kKvBlockTokens);
  Buffer memory = take(kReadBytes);

  Operands() {
    for (std::size_t i = 0; i < kContext / kKvBlockTokens; ++i) {
      block_ids.as<std::int32_t>()[i] = static_cast<std::int32_t>(i);
    }
    std::fill_n(memory.data(), kReadBytes, std::byte{1});
  }

  LinearIo io(std::size_t tokens) { return {x.as<float>(), kCols, y.as<float>(), kRows, tokens}; }
  QuantizedRows rows(ActForm form) {
    return {act_codes.as<std::int8_t>() + (form == ActForm::kInt8 ? 0 : 2 * kMostTokens * kCols),
            act_scales.as<float>(),
            act_sums.as<std::int32_t>(),
            act_lines.as<std::uint8_t>(),
            2 * kCols,
            kGroup,
            kCols / kGroup,
            form};
  }
  QuantizedIo quantized_io(const KernelTable& table, std::size_t tokens, ActForm form) {
    table.quantize({x.as<float>(), tokens, kCols, kCols}, rows(form));
    return {rows(form), tokens, y.as<float>(), kRows};
  }
  AttentionArgs attention(KvType type) {
    const std::size_t elements = kKvBlockTokens * kHeadDim;
    const std::size_t half = type == KvType::kFloat32    ? 4 * elements
                             : type == KvType::kBfloat16 ? 2 * elements
                                                         : elements + elements / 16;
    return {.q = x.as<float>(),
            .ldq = kHeads * kHeadDim,
            .tokens = 1,
            .heads = kHeads,
            .head_dim = kHeadDim,
            .k_blocks = kv.as<std::byte>(),
            .v_blocks = kv.as<std::byte>() + half,
            .block_stride = 2 * half,
            .head_bytes = half,
            .block_ids = block_ids.as<std::int32_t>(),
            .context = kContext,
            .scale = 0.125f};
  }
};

template <class Call>
void loop(benchmark::State& state, std::size_t items, const Call& call) {
  for (auto _ : state) {
    call();
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items));
}

void add_products(const std::string& level, const KernelTable& table, Operands& ops) {
  for (const std::size_t tokens : {std::size_t{1}, std::size_t{8}, kMostTokens}) {
    const std::size_t macs = kRows * kCols * tokens;
    const auto add = [&](const char* name, auto call) {
      benchmark::RegisterBenchmark((level + "/" + name + "/" + std::to_string(tokens)).c_str(),
                                   [macs, call](benchmark::State& s) { loop(s, macs, call); });
    };
    const std::size_t panels = kRows / kPanelRows;
    const std::size_t field_panels = kRows / kFieldRows;
    add("bf16_linear", [&table, &ops, tokens, panels] {
      table.bf16_linear({ops.weights.as<std::uint32_t>(), kRows, kCols}, 0, panels, ops.io(tokens));
    });
    table.round_to_bf16(ops.x.as<float>(), tokens * kCols, ops.x_bf16.as<std::uint16_t>());
    add("bf16_products", [&table, &ops, tokens, panels] {
      table.bf16_products(
          {ops.weights.as<std::uint32_t>(), kRows, kCols}, 0, panels,
          {ops.x_bf16.as<std::uint16_t>(), kCols, ops.y.as<float>(), kRows, tokens});
    });
    add("f32_linear", [&table, &ops, tokens, panels] {
      table.f32_linear({ops.weights.as<float>(), kRows, kCols}, 0, panels, ops.io(tokens));
    });
    const QuantizedIo io16 = ops.quantized_io(table, tokens, ActForm::kInt16);
    const QuantizedIo io = ops.quantized_io(table, tokens, ActForm::kInt8);
    const TernaryFields ternary{ops.codes.as<std::uint8_t>(), ops.scales.as<std::uint16_t>(), kRows,
                                kCols, kGroup};
    add("ternary_fields_int16", [&table, ternary, io16, field_panels] {
      table.ternary_fields(ternary, 0, field_panels, io16);
    });
    add("ternary_fields", [&table, ternary, io, field_panels] {
      table.ternary_fields(ternary, 0, field_panels, io);
    });
    const Int8Fields head{ops.codes.as<std::uint8_t>(),
                          ops.codes.as<std::uint8_t>() + kRows * kCols / 2,
                          ops.codes.as<std::uint8_t>() + kRows * kCols / 4 * 3,
                          ops.scales.as<std::uint16_t>(),
                          kRows,
                          kCols,
                          kGroup};
    add("int8_fields",
        [&table, head, io, field_panels] { table.int8_fields(head, 0, field_panels, io); });
    add("screen_fields",
        [&table, head, io, field_panels] { table.screen_fields(head, 0, field_panels, io); });
  }
}

void add_others(const std::string& level, const KernelTable& table, Operands& ops) {
  const auto add = [&](const char* name, std::size_t items, auto call) {
    benchmark::RegisterBenchmark((level + "/" + name).c_str(),
                                 [items, call](benchmark::State& s) { loop(s, items, call); });
  };
  add("rms_norm", kCols, [&table, &ops] {
    table.rms_norm(ops.x.as<float>(), ops.weights.as<float>(), 1e-5f, kCols, ops.y.as<float>());
  });
  add("silu_mul", kCols, [&table, &ops] {
    table.silu_mul(ops.x.as<float>(), ops.weights.as<float>(), kCols, ops.y.as<float>());
  });
  constexpr std::pair<const char*, KvType> kTypes[] = {{"attention/float32", KvType::kFloat32},
                                                       {"attention/bfloat16", KvType::kBfloat16},
                                                       {"attention/int8", KvType::kInt8}};
  for (const auto& [name, type] : kTypes) {
    add(name, 2 * kHeads * kHeadDim * kContext, [&table, &ops, type = type] {
      float* y = ops.y.as<float>();
      table.attention[static_cast<std::size_t>(type)](
          ops.attention(type), 0, {y, y + kHeads * kHeadDim, y + kHeads * kHeadDim + kHeads});
    });
  }
  add("quantize", kCols, [&table, &ops] {
    table.quantize({ops.x.as<float>(), 1, kCols, kCols}, ops.rows(ActForm::kInt8));
  });
  add("quantize/64", kMostTokens * kCols, [&table, &ops] {
    table.quantize({ops.x.as<float>(), kMostTokens, kCols, kCols}, ops.rows(ActForm::kInt8));
  });
  add("int8_peak", kPeakRounds * kInt8PeakMacs, [&table] { table.int8_peak(kPeakRounds); });
  add("round_to_bf16", kCols, [&table, &ops] {
    table.round_to_bf16(ops.x.as<float>(), kCols, ops.x_bf16.as<std::uint16_t>());
  });
  add("bf16_peak", kPeakRounds * kF32PeakMacs, [&table] { table.bf16_peak(kPeakRounds); });
  add("f32_peak", kPeakRounds * kF32PeakMacs, [&table] { table.f32_peak(kPeakRounds); });
  add("read_bytes", kReadBytes,
      [&table, &ops] { table.read_bytes(ops.memory.data(), kReadBytes); });
}

}  // namespace
}  // namespace bitcpm::kernels

int main(int argc, char** argv) {
  using namespace bitcpm::kernels;
  Operands operands;
  std::vector<KernelTable> tables;
  const CpuFeatures cpu = detect_cpu_features();
  for (const std::string& level : runnable_levels(cpu)) {
    tables.push_back(make_kernel_table(cpu, level).value());
  }
  for (const KernelTable& table : tables) {
    add_products(table.isa, table, operands);
    add_others(table.isa, table, operands);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
