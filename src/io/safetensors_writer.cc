#include "io/safetensors_writer.h"

#include <string_view>
#include <utility>

#include "base/json.h"
#include "io/partial_file.h"
#include "io/tensor_bytes.h"

namespace bitcpm {
namespace {

std::string_view format_name(DType dtype) {
  switch (dtype) {
    case DType::kBf16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kF32:
      return "F32";
  }
  return "?";
}

struct Header {
  std::string text;  // length prefix and JSON, space-padded so that the data start 8-aligned
  std::size_t data_bytes = 0;
};

Result<Header> make_header(std::span<const SafetensorsEntry> entries) {
  json::object root{{"__metadata__", {{"format", "pt"}}}};
  Header header;
  for (const SafetensorsEntry& entry : entries) {
    const auto bytes = tensor_bytes(entry.shape, dtype_bytes(entry.dtype));
    const std::size_t begin = header.data_bytes;
    if (!bytes || __builtin_add_overflow(begin, *bytes, &header.data_bytes)) {
      return Error{Errc::kInvalid, "tensor " + entry.name + ": size out of range"};
    }
    json::object description{{"dtype", format_name(entry.dtype)},
                             {"shape", json::array(entry.shape.begin(), entry.shape.end())},
                             {"data_offsets", {begin, header.data_bytes}}};
    if (!root.emplace(entry.name, std::move(description)).second) {
      return Error{Errc::kInvalid, "tensor " + entry.name + ": name taken"};
    }
  }
  std::string json_text = json::serialize(root);
  json_text.resize((json_text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = json_text.size();
  for (int i = 0; i < 8; ++i) header.text += static_cast<char>(length >> (8 * i));
  header.text += json_text;
  return header;
}

}  // namespace

struct SafetensorsWriter::Impl {
  PartialFile file;
  std::size_t remaining;  // data bytes still announced
};

SafetensorsWriter::SafetensorsWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter::~SafetensorsWriter() = default;

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                    std::span<const SafetensorsEntry> entries) {
  BITCPM_ASSIGN(const Header header, make_header(entries));
  BITCPM_ASSIGN(PartialFile file, PartialFile::create(path));
  BITCPM_TRY(file.append(std::as_bytes(std::span(header.text))));
  return SafetensorsWriter(std::unique_ptr<Impl>(new Impl{std::move(file), header.data_bytes}));
}

Status SafetensorsWriter::append(std::span<const std::byte> data) {
  if (data.size() > impl_->remaining) {
    return Error{Errc::kInvalid,
                 impl_->file.path().string() + ": more data than its header announces"};
  }
  impl_->remaining -= data.size();
  return impl_->file.append(data);
}

Status SafetensorsWriter::finish() {
  if (impl_->remaining != 0) {
    return Error{Errc::kInvalid, impl_->file.path().string() + ": " +
                                     std::to_string(impl_->remaining) + " bytes of data missing"};
  }
  return impl_->file.finish();
}

}  // namespace bitcpm
