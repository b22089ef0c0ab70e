#include "fuzzing.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = bitcpm::as_file(data, size);
  const auto tensors = bitcpm::read_safetensors(file);
  if (tensors.ok()) {
    bitcpm::check_tensors(*tensors, file);
  } else {
    bitcpm::check_refusal(tensors.error());
  }
  return 0;
}
