#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/quantized_matrix.h"

namespace bitcpm {

class PreparedWeight;

// A weight in one of a backend's layouts, as a file keeps it: a name and some runs of bytes. Only
// the backend knows what they mean; a layout that changes takes another name.
struct ImageInfo {
  std::string layout;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t group = 0;  // in-features per scale; 0: no scales
};

// One run of bytes, by the layout's own name for it.
struct ImageSection {
  std::string_view name;
  std::span<const std::byte> bytes;
};

// A weight's memory, for a file. An empty layout: what this weight holds is not for files.
struct WeightImage {
  ImageInfo info;
  std::vector<ImageSection> sections;
};

struct SectionSize {
  std::string_view name;
  std::size_t bytes;
};

enum class ImageUse : std::uint8_t {
  kLinear,    // adopt() makes what prepare() makes of the same matrix, bit for bit
  kHead,      // the same of prepare_head()
  kTiedHead,  // the same of prepare_head() for a matrix that embeds too
};

// The layouts that a backend can make weights of without looking at the checkpoint.
class WeightImages {
 public:
  virtual ~WeightImages() = default;

  virtual bool serves(const ImageInfo& info, ImageUse use) const = 0;

  // What such an image consists of, in the order that adopt() wants; empty if the
  // layout is none of this backend's or does not suit the shape.
  virtual std::vector<SectionSize> sections(const ImageInfo& info) const = 0;

  // Memory for a section that adopt() is going to own. Out of memory is an empty Buffer.
  virtual Buffer allocate(std::size_t bytes) = 0;

  // Requires: serves(), and buffers at least as large as sections() says.
  virtual std::unique_ptr<PreparedWeight> adopt(const ImageInfo& info,
                                                std::vector<Buffer> sections) = 0;
};

}  // namespace bitcpm
