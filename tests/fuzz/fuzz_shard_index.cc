#include "fuzzing.h"
#include "io/checkpoint.h"

namespace {

// {"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}, padded to 56 bytes, and its byte.
constexpr char kShard[] =
    "\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   \1";

}  // namespace

// The input as the index of a folder that holds one shard, "a".
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto shard = std::as_bytes(std::span(kShard, sizeof(kShard) - 1));
  auto files = bitcpm::ModelFiles::from_memory(
      "fuzz", {{"model.safetensors.index.json", bitcpm::as_file(data, size)}, {"a", shard}});
  const auto tensors = bitcpm::read_checkpoint(files);
  if (tensors.ok()) {
    bitcpm::check_tensors(*tensors, shard);
  } else {
    bitcpm::check_refusal(tensors.error());
  }
  return 0;
}
