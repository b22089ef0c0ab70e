#include <string>
#include <string_view>

#include "fuzzing.h"
#include "io/packed_data.h"
#include "io/packed_manifest.h"

namespace {

void check(std::string_view text) {
  const auto manifest = bitcpm::parse_manifest(text);
  if (!manifest.ok()) return bitcpm::check_refusal(manifest.error());
  std::uint64_t end = 0;  // of all sections, which lie side by side
  for (const bitcpm::PackedTensor& tensor : manifest->tensors) {
    for (const bitcpm::PackedImage& image : tensor.images) {
      for (const bitcpm::PackedSection& section : image.sections) end += section.length;
    }
  }
  BITCPM_CHECK(end + bitcpm::kPackedHeaderBytes == manifest->data_bytes);
  BITCPM_CHECK(bitcpm::parse_manifest(bitcpm::manifest_text(*manifest)).ok());
}

}  // namespace

// The input as packed.json: as it stands, and closed by the checksum that fits it, since no
// mutation would find that by itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(bitcpm::with_manifest_checksum(text));
  return 0;
}
