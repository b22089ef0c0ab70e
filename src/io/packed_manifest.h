#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/model_files.h"
#include "tensor/quantized_matrix.h"

namespace bitcpm {

// packed.json: what stands where in weights.bcpm (docs/formats/packed.md). Knows bytes and names,
// no layout: what a section means is between the loader and a backend.

inline constexpr std::string_view kManifestFile = "packed.json";
inline constexpr std::string_view kPackedDataFile = "weights.bcpm";
inline constexpr int kPackedVersion = 1;
inline constexpr std::uint64_t kPackedHeaderBytes = 64;  // of weights.bcpm
inline constexpr std::uint64_t kSectionAlignment = 64;   // a cache line, and the widest vector

// A section's checksum is over the checksums of its pieces, so that threads can share out one
// section. 1 MiB stays in the second-level cache between reading and checking.
inline constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;

constexpr std::uint64_t padded_section(std::uint64_t bytes) {
  return (bytes + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

// One run of bytes in the data file.
struct PackedSection {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // a multiple of 64, zeros at the end where the content is shorter
  std::uint64_t checksum = 0;
};

// A tensor in one layout; a tensor may be there in several.
struct PackedImage {
  std::string layout;
  std::int64_t group = 0;  // in-features per scale in this layout; 0: no scales
  std::vector<PackedSection> sections;
};

struct PackedTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // one or two extents, all positive
  WeightForm form = WeightForm::kBf16;
  std::int64_t group = 0;    // kTernary: in-features per scale, a divisor of the last extent
  std::string stored_dtype;  // of the checkpoint, with its bytes and why it is not ternary
  std::uint64_t stored_bytes = 0;
  std::string note;
  std::vector<PackedImage> images;  // at least one
};

struct PackedManifest {
  std::string written_by;  // "bitcpm 0.1.0"
  std::string model;       // the name of the checkpoint's folder
  bool head_tied = false;
  std::uint64_t data_bytes = 0;  // the whole data file
  std::vector<std::string> warnings;
  std::vector<PackedTensor> tensors;
};

// The file's text, its checksum in the last line.
std::string manifest_text(const PackedManifest& manifest);

// The text with the checksum line that closes `object_text`, a JSON object up to its last brace.
std::string with_manifest_checksum(std::string_view open_object_text);

// Promises, besides the ranges above: names are unique, and the sections follow each other without
// gap or overlap from the header to the end of the data file.
// Errors: kUnsupported (another version, both named), kCorrupt; "packed.json: …".
Result<PackedManifest> parse_manifest(std::string_view text);

// Whether the directory is one that `bitcpm pack` wrote.
bool is_packed(const ModelFiles& files);

// parse_manifest() of the directory's.
Result<PackedManifest> read_manifest(ModelFiles& files);

}  // namespace bitcpm
