#include <string_view>

#include "fuzzing.h"
#include "io/pickle.h"
#include "io/torch_bin.h"

namespace {

constexpr std::string_view kGlobals[] = {"collections.OrderedDict",
                                         "torch._utils._rebuild_tensor_v2", "torch.FloatStorage"};

// Every id of a document is that of one of its values, whatever the pickle did.
void check_pickle(std::span<const std::byte> bytes) {
  const auto document = bitcpm::parse_pickle(bytes, kGlobals);
  if (!document.ok()) return bitcpm::check_refusal(document.error());
  BITCPM_CHECK(document->root < document->values.size());
  for (const bitcpm::PickleValue& value : document->values) {
    for (const bitcpm::PickleId id : value.items) BITCPM_CHECK(id < document->values.size());
  }
}

}  // namespace

// The whole input as a file, and again as a bare pickle: an archive's directory is hard to keep
// consistent while its pickle changes length.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = bitcpm::as_file(data, size);
  const auto tensors = bitcpm::read_torch_bin(file);
  if (tensors.ok()) {
    bitcpm::check_tensors(*tensors, file);
  } else {
    bitcpm::check_refusal(tensors.error());
  }
  check_pickle(file);
  return 0;
}
