#include "bench_report.h"

#include <gtest/gtest.h>

namespace bitcpm {
namespace {

// Protects: columns line up, text to the left and numbers to the right, and no line ends in spaces.
TEST(BenchReport, TableLinesUp) {
  EXPECT_EQ(format_table({{"linear", "tokens", "GB/s", "note"},
                          {"q_proj", "1", "10.25", "x"},
                          {"gate_proj,up_proj", "512", "0.5"},
                          {"o", "8", "1", ""}},
                         1),
            "linear             tokens   GB/s  note\n"
            "q_proj                  1  10.25     x\n"
            "gate_proj,up_proj     512    0.5\n"
            "o                       8      1\n");
  EXPECT_EQ(format_table({}, 1), "");
}

// Protects: every table has a cell per title, and the nearer limit is named.
TEST(BenchReport, RatesAndShares) {
  const DeviceLimits limits{.read_bytes_per_s = 40e9,
                            .int8_macs_per_s = 400e9,
                            .bf16_macs_per_s = 100e9,
                            .f32_macs_per_s = 100e9};
  const Work work{.int8_macs = 100e9, .bytes = 5e9};
  EXPECT_EQ(rate_cells(work, 0.5, limits),
            (TableRow{"10.00", "200.0", "25.0 %", "50.0 %", "compute"}));
  EXPECT_EQ(rate_cells(work, 0.5, limits).size(), rate_titles().size());
  json::object result;
  add_rates(work, 0.5, limits, result);
  EXPECT_DOUBLE_EQ(result["compute_share"].as_double(), 0.5);
  EXPECT_EQ(result["bound_by"], "compute");
}

}  // namespace
}  // namespace bitcpm
