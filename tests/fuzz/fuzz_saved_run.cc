#include <string_view>
#include <vector>

#include "fuzzing.h"
#include "measure/saved_run.h"

namespace {

void check_header(std::string_view text) {
  const auto header = bitcpm::parse_run_header(text);
  if (!header.ok()) return bitcpm::check_refusal(header.error());
  for (const bitcpm::EvalWindow& window : header->windows) {
    BITCPM_CHECK(window.first_scored >= 1 && window.first_scored < window.ids.size());
    for (const bitcpm::TokenId id : window.ids) BITCPM_CHECK(id >= 0 && id < header->vocab_size);
  }
  BITCPM_CHECK(header->greedy.size() <= header->windows.size());
  BITCPM_CHECK(bitcpm::parse_run_header(bitcpm::run_header_json(*header)).ok());
}

}  // namespace

// The input as the header of a saved run, and as one of its blocks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_header({reinterpret_cast<const char*>(data), size});
  std::vector<float> values(64);
  const auto rows = bitcpm::TensorView::dense(values.data(), 4, 16);
  if (const auto unpacked = bitcpm::unpack_block(bitcpm::as_file(data, size), rows);
      !unpacked.ok()) {
    bitcpm::check_refusal(unpacked.error());
  }
  return 0;
}
