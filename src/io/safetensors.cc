#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/quote.h"
#include "io/little_endian.h"
#include "io/tensor_bytes.h"

namespace bitcpm {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr std::size_t kMaxHeaderDepth = 4;              // {tensor: {shape: [..]}} is 3

struct ElementType {
  std::string_view name;
  std::size_t bytes;
  std::optional<DType> dtype;
};

constexpr ElementType kElementTypes[] = {
    {"BF16", 2, DType::kBf16},
    {"F16", 2, DType::kF16},
    {"F32", 4, DType::kF32},
    {"BOOL", 1, {}},
    {"U8", 1, {}},
    {"I8", 1, {}},
    {"F8_E4M3", 1, {}},
    {"F8_E5M2", 1, {}},
    {"F8_E8M0", 1, {}},
    {"I16", 2, {}},
    {"U16", 2, {}},
    {"I32", 4, {}},
    {"U32", 4, {}},
    {"I64", 8, {}},
    {"U64", 8, {}},
    {"F64", 8, {}},
    {"C64", 8, {}},
};

constexpr std::string_view kSubByteTypes[] = {"F4", "F6_E2M3", "F6_E3M2"};

// Where a tensor lies in the data section.
struct Extent {
  std::uint64_t begin, end;
  std::string_view name;
};

Error corrupt(std::string message) { return Error{Errc::kCorrupt, std::move(message)}; }

Error bad_tensor(std::string_view name, const std::string& what) {
  return corrupt("tensor " + quote_name(name) + ": " + what);
}

Result<std::string_view> header_text(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return corrupt("truncated: " + std::to_string(file.size()) + " bytes, no room for a header");
  }
  const auto length = load_le<std::uint64_t>(file, 0);
  if (length > kMaxHeaderBytes) {
    return corrupt("header of " + std::to_string(length) + " bytes exceeds the limit of " +
                   std::to_string(kMaxHeaderBytes));
  }
  if (length > file.size() - kLengthBytes) {
    return corrupt("truncated: header of " + std::to_string(length) + " bytes in a file of " +
                   std::to_string(file.size()));
  }
  const auto* text = reinterpret_cast<const char*>(file.data() + kLengthBytes);
  if (length == 0 || text[0] != '{') return corrupt("the header does not begin with '{'");
  return std::string_view(text, static_cast<std::size_t>(length));
}

Result<json::object> parse_header(std::string_view text) {
  Result<json::value> parsed =
      parse_json(text, {.max_bytes = text.size(), .max_depth = kMaxHeaderDepth});
  if (!parsed.ok()) return corrupt("header: " + escaped(parsed.error().message, 200));
  return std::move(parsed.value().as_object());  // it begins with '{'
}

Result<ElementType> element_type(std::string_view tensor, const json::object& entry) {
  const json::value* dtype = entry.if_contains("dtype");
  if (dtype == nullptr || !dtype->is_string()) return bad_tensor(tensor, "no dtype");
  const std::string_view name(dtype->as_string().data(), dtype->as_string().size());
  for (const ElementType& type : kElementTypes) {
    if (type.name == name) return type;
  }
  const bool sub_byte = std::ranges::find(kSubByteTypes, name) != std::end(kSubByteTypes);
  return Error{Errc::kUnsupported, "tensor " + quote_name(tensor) + ": " +
                                       (sub_byte ? "sub-byte" : "unknown") + " dtype " +
                                       quote_name(name, 40) + " is not supported"};
}

Result<std::vector<std::int64_t>> read_shape(std::string_view tensor, const json::object& entry) {
  const json::value* shape = entry.if_contains("shape");
  if (shape == nullptr || !shape->is_array()) return bad_tensor(tensor, "no shape");
  std::vector<std::int64_t> dims;
  for (const json::value& dim : shape->as_array()) {
    if (!dim.is_int64() || dim.as_int64() < 0) {
      return bad_tensor(tensor, "a dimension is not an integer >= 0");
    }
    dims.push_back(dim.as_int64());
  }
  return dims;
}

Result<Extent> read_extent(std::string_view tensor, const json::object& entry,
                           std::size_t data_bytes) {
  const json::value* offsets = entry.if_contains("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->as_array().size() != 2) {
    return bad_tensor(tensor, "data_offsets is not a pair");
  }
  std::array<std::uint64_t, 2> ends{};
  for (std::size_t i = 0; i < 2; ++i) {
    const json::value& offset = offsets->as_array()[i];
    if (!offset.is_int64() || offset.as_int64() < 0) {
      return bad_tensor(tensor, "a data offset is not an integer >= 0");
    }
    ends[i] = static_cast<std::uint64_t>(offset.as_int64());
  }
  if (ends[0] > ends[1]) return bad_tensor(tensor, "its data ends before it begins");
  if (ends[1] > data_bytes) {
    return bad_tensor(tensor, "truncated: its data ends at byte " + std::to_string(ends[1]) +
                                  " of a data section of " + std::to_string(data_bytes));
  }
  return Extent{ends[0], ends[1], tensor};
}

Result<StoredTensor> read_tensor(std::string_view name, const json::value& value,
                                 std::span<const std::byte> data, std::vector<Extent>& extents) {
  const json::object* entry = value.if_object();
  if (entry == nullptr) return bad_tensor(name, "its entry is not an object");
  BITCPM_ASSIGN(const ElementType type, element_type(name, *entry));
  StoredTensor tensor{
      .dtype_name = std::string(type.name), .dtype = type.dtype, .shape = {}, .bytes = {}};
  BITCPM_ASSIGN(tensor.shape, read_shape(name, *entry));
  BITCPM_ASSIGN(const Extent extent, read_extent(name, *entry, data.size()));
  const std::optional<std::size_t> want = tensor_bytes(tensor.shape, type.bytes);
  if (!want) return bad_tensor(name, "the product of its shape overflows");
  if (*want != extent.end - extent.begin) {
    return bad_tensor(name, "its shape needs " + std::to_string(*want) + " bytes, its data has " +
                                std::to_string(extent.end - extent.begin));
  }
  tensor.bytes = data.subspan(extent.begin, *want);
  extents.push_back(extent);
  return tensor;
}

Status check_metadata(const json::value& metadata) {
  const json::object* object = metadata.if_object();
  if (object == nullptr) return corrupt("__metadata__ is not an object");
  for (const json::key_value_pair& item : *object) {
    if (!item.value().is_string()) return corrupt("__metadata__ holds something else than strings");
  }
  return {};
}

// Sorted by offset, each tensor begins where the one before it ends; the last ends the file.
Status check_tiling(std::vector<Extent> extents, std::size_t data_bytes) {
  std::ranges::sort(extents, [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t reached = 0;
  for (const Extent& extent : extents) {
    if (extent.begin < reached)
      return bad_tensor(extent.name, "its data overlaps another tensor's");
    if (extent.begin > reached) return bad_tensor(extent.name, "unused bytes before its data");
    reached = extent.end;
  }
  if (reached != data_bytes) {
    return corrupt(std::to_string(data_bytes - reached) + " bytes after the last tensor");
  }
  return {};
}

}  // namespace

Result<TensorMap> read_safetensors(std::span<const std::byte> file) {
  BITCPM_ASSIGN(const std::string_view text, header_text(file));
  BITCPM_ASSIGN(const json::object header, parse_header(text));
  const std::span<const std::byte> data = file.subspan(kLengthBytes + text.size());
  TensorMap tensors;
  std::vector<Extent> extents;
  for (const json::key_value_pair& item : header) {
    const std::string_view name(item.key().data(), item.key().size());
    if (name == "__metadata__") {
      BITCPM_TRY(check_metadata(item.value()));
      continue;
    }
    BITCPM_ASSIGN(StoredTensor tensor, read_tensor(name, item.value(), data, extents));
    tensors.emplace(name, std::move(tensor));
  }
  BITCPM_TRY(check_tiling(std::move(extents), data.size()));
  return tensors;
}

}  // namespace bitcpm
