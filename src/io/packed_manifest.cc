#include "io/packed_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/checksum.h"
#include "base/json.h"
#include "base/quote.h"
#include "io/json_fields.h"

namespace bitcpm {
namespace {

constexpr std::string_view kFormat = "bitcpm-packed";
constexpr std::string_view kTailBegin = ",\n\"checksum\": \"";
constexpr std::string_view kTailEnd = "\"\n}\n";
constexpr std::size_t kTailBytes = kTailBegin.size() + 16 + kTailEnd.size();

constexpr std::size_t kMaxText = 4096;  // a name, a note
constexpr std::size_t kMaxWord = 64;    // a layout's or a section's name
constexpr std::size_t kMaxImages = 8;
constexpr std::size_t kMaxSections = 16;
constexpr std::int64_t kMaxExtent = std::int64_t{1} << 31;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 50;  // one pebibyte: sums stay far from 2^63

Error corrupt(std::string_view scope, std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("{}: {}", scope, what)};
}

Result<std::int64_t> need_number(const JsonFields& fields, std::string_view field,
                                 std::int64_t least, std::int64_t most) {
  const json::value* value = fields.find(field);
  if (value == nullptr || !value->is_int64() || value->as_int64() < least ||
      value->as_int64() > most) {
    return fields.corrupt(field, fmt::format("expected an integer from {} to {}", least, most));
  }
  return value->as_int64();
}

Result<std::string> need_text(const JsonFields& fields, std::string_view field) {
  BITCPM_ASSIGN(const std::optional<std::string_view> text, fields.find_text(field));
  if (!text || text->size() > kMaxText) {
    return fields.corrupt(field, fmt::format("expected at most {} bytes of text", kMaxText));
  }
  return std::string(*text);
}

// A name that this program gave: lower case, digits and '-'.
Result<std::string> need_word(const JsonFields& fields, std::string_view field) {
  BITCPM_ASSIGN(std::string word, need_text(fields, field));
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (word.empty() || word.size() > kMaxWord || !std::all_of(word.begin(), word.end(), fits)) {
    return fields.corrupt(field, "expected a name of letters, digits and '-'");
  }
  return word;
}

Result<const json::array*> need_list(const JsonFields& fields, std::string_view field,
                                     std::size_t least, std::size_t most) {
  const json::value* value = fields.find(field);
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() < least || list->size() > most) {
    return fields.corrupt(field, fmt::format("expected a list of {} to {}", least, most));
  }
  return list;
}

// Calls read(fields of entry) for each object of a list.
template <class Read>
Status each_object(const json::array& list, const std::string& scope, const Read& read) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", scope, i);
    const json::object* object = list[i].if_object();
    if (object == nullptr) return corrupt(at, "expected an object");
    BITCPM_TRY(read(JsonFields(*object, at)));
  }
  return {};
}

Result<PackedSection> read_section(const JsonFields& fields) {
  PackedSection section;
  BITCPM_ASSIGN(section.name, need_word(fields, "name"));
  BITCPM_ASSIGN(const std::int64_t offset, need_number(fields, "offset", 0, kMaxBytes));
  BITCPM_ASSIGN(const std::int64_t length, need_number(fields, "length", 1, kMaxBytes));
  section.offset = static_cast<std::uint64_t>(offset);
  section.length = static_cast<std::uint64_t>(length);
  if (section.length % kSectionAlignment != 0) {
    return fields.corrupt("length", "expected a multiple of 64");
  }
  BITCPM_ASSIGN(const std::string sum, need_text(fields, "checksum"));
  const std::optional<std::uint64_t> parsed = parse_checksum(sum);
  if (!parsed) return fields.corrupt("checksum", "expected 16 hexadecimal digits");
  section.checksum = *parsed;
  return section;
}

Result<PackedImage> read_image(const JsonFields& fields) {
  PackedImage image;
  BITCPM_ASSIGN(image.layout, need_word(fields, "layout"));
  BITCPM_ASSIGN(image.group, need_number(fields, "group", 0, kMaxExtent));
  BITCPM_ASSIGN(const json::array* sections, need_list(fields, "sections", 1, kMaxSections));
  BITCPM_TRY(
      each_object(*sections, fields.scope() + ": sections", [&](const JsonFields& entry) -> Status {
        BITCPM_ASSIGN(PackedSection section, read_section(entry));
        image.sections.push_back(std::move(section));
        return {};
      }));
  return image;
}

Result<WeightForm> read_form(const JsonFields& fields) {
  BITCPM_ASSIGN(const std::string name, need_text(fields, "form"));
  for (const WeightForm form : {WeightForm::kTernary, WeightForm::kBf16, WeightForm::kF32}) {
    if (name == weight_form_name(form)) return form;
  }
  return fields.corrupt("form", "expected ternary, bf16 or f32, not " + quote_name(name));
}

Status read_shape(const JsonFields& fields, PackedTensor& tensor) {
  BITCPM_ASSIGN(const json::array* shape, need_list(fields, "shape", 1, 2));
  for (const json::value& extent : *shape) {
    if (!extent.is_int64() || extent.as_int64() < 1 || extent.as_int64() > kMaxExtent) {
      return fields.corrupt("shape", fmt::format("expected extents from 1 to {}", kMaxExtent));
    }
    tensor.shape.push_back(extent.as_int64());
  }
  BITCPM_ASSIGN(tensor.form, read_form(fields));
  BITCPM_ASSIGN(tensor.group, need_number(fields, "group", 0, kMaxExtent));
  const bool ternary = tensor.form == WeightForm::kTernary;
  const bool fits = ternary ? tensor.shape.size() == 2 && tensor.group > 0 &&
                                  tensor.group % 32 == 0 && tensor.shape[1] % tensor.group == 0
                            : tensor.group == 0;
  if (!fits) return fields.corrupt("group", "does not suit form and shape");
  return {};
}

Result<PackedTensor> read_tensor(const JsonFields& outer) {
  PackedTensor tensor;
  BITCPM_ASSIGN(tensor.name, need_text(outer, "name"));
  const JsonFields fields(outer.object(),
                          fmt::format("{}: {}", kManifestFile, quote_name(tensor.name)));
  BITCPM_TRY(read_shape(fields, tensor));
  BITCPM_ASSIGN(tensor.stored_dtype, need_text(fields, "stored_dtype"));
  BITCPM_ASSIGN(const std::int64_t stored, need_number(fields, "stored_bytes", 0, kMaxBytes));
  tensor.stored_bytes = static_cast<std::uint64_t>(stored);
  if (fields.find("note") != nullptr) {
    BITCPM_ASSIGN(tensor.note, need_text(fields, "note"));
  }
  BITCPM_ASSIGN(const json::array* images, need_list(fields, "images", 1, kMaxImages));
  BITCPM_TRY(
      each_object(*images, fields.scope() + ": images", [&](const JsonFields& entry) -> Status {
        BITCPM_ASSIGN(PackedImage image, read_image(entry));
        tensor.images.push_back(std::move(image));
        return {};
      }));
  return tensor;
}

// The sections cover the data file once: what follows is that none lies outside it or on another.
Status check_places(const PackedManifest& manifest) {
  struct Place {
    const PackedSection* section;
    const PackedTensor* tensor;
  };
  std::vector<Place> places;
  for (const PackedTensor& tensor : manifest.tensors) {
    for (const PackedImage& image : tensor.images) {
      for (const PackedSection& section : image.sections) places.push_back({&section, &tensor});
    }
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.section->offset < b.section->offset; });
  std::uint64_t end = kPackedHeaderBytes;
  for (const Place& place : places) {
    const PackedSection* section = place.section;  // clang 14 captures no structured binding
    const PackedTensor* tensor = place.tensor;
    const auto refuse = [&](std::string_view what) {
      return corrupt(kManifestFile,
                     fmt::format("{}: section {} at {}: {}", quote_name(tensor->name),
                                 section->name, section->offset, what));
    };
    if (section->offset < end) return refuse("overlaps what comes before");
    if (section->offset > end) return refuse("leaves a gap before it");
    if (section->length > manifest.data_bytes - end) {  // end <= data_bytes, as before
      return refuse(fmt::format("its {} bytes reach outside {}, which has {}", section->length,
                                kPackedDataFile, manifest.data_bytes));
    }
    end += section->length;
  }
  if (end != manifest.data_bytes) {
    return corrupt(kManifestFile, fmt::format("the sections end at {}, {} at {}", end,
                                              kPackedDataFile, manifest.data_bytes));
  }
  return {};
}

Status check_version(const JsonFields& fields) {
  BITCPM_ASSIGN(const std::string format, need_text(fields, "format"));
  if (format != kFormat) {
    return fields.unsupported("format", fmt::format("{}; this program reads '{}', version {}",
                                                    quote_name(format), kFormat, kPackedVersion));
  }
  BITCPM_ASSIGN(const std::int64_t version, need_number(fields, "version", 0, kMaxExtent));
  if (version != kPackedVersion) {
    return fields.unsupported("version",
                              fmt::format("the format is of version {}; this program reads version "
                                          "{}: pack the model again",
                                          version, kPackedVersion));
  }
  return {};
}

// Whether the text ends in a checksum at all; if it does, it must be right.
Result<bool> check_tail(std::string_view text) {
  if (text.size() < kTailBytes || !text.ends_with(kTailEnd)) return false;
  const std::string_view tail = text.substr(text.size() - kTailBytes);
  const auto written = parse_checksum(tail.substr(kTailBegin.size(), 16));
  if (!tail.starts_with(kTailBegin) || !written) return false;
  const std::string_view covered = text.substr(0, text.size() - kTailBytes);
  const std::uint64_t found = checksum(std::as_bytes(std::span(covered)));
  if (found == *written) return true;
  return corrupt(kManifestFile, fmt::format("corrupt: its checksum is {}, it says {}",
                                            checksum_text(found), checksum_text(*written)));
}

json::object tensor_object(const PackedTensor& tensor) {
  json::array images;
  for (const PackedImage& image : tensor.images) {
    json::array sections;
    for (const PackedSection& section : image.sections) {
      sections.push_back({{"name", section.name},
                          {"offset", static_cast<std::int64_t>(section.offset)},
                          {"length", static_cast<std::int64_t>(section.length)},
                          {"checksum", checksum_text(section.checksum)}});
    }
    images.push_back(
        {{"layout", image.layout}, {"group", image.group}, {"sections", std::move(sections)}});
  }
  json::object object{{"name", tensor.name},
                      {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                      {"form", weight_form_name(tensor.form)},
                      {"group", tensor.group},
                      {"stored_dtype", tensor.stored_dtype},
                      {"stored_bytes", static_cast<std::int64_t>(tensor.stored_bytes)}};
  if (!tensor.note.empty()) object["note"] = tensor.note;
  object["images"] = std::move(images);
  return object;
}

}  // namespace

std::string with_manifest_checksum(std::string_view open_object_text) {
  const std::uint64_t sum = checksum(std::as_bytes(std::span(open_object_text)));
  return fmt::format("{}{}{}{}", open_object_text, kTailBegin, checksum_text(sum), kTailEnd);
}

std::string manifest_text(const PackedManifest& manifest) {
  const json::array warnings(manifest.warnings.begin(), manifest.warnings.end());
  std::string text = fmt::format(
      "{{\n\"format\": \"{}\",\n\"version\": {},\n\"written_by\": {},\n\"model\": {},\n"
      "\"head_tied\": {},\n\"data_bytes\": {},\n\"warnings\": {},\n\"tensors\": [",
      kFormat, kPackedVersion, json::serialize(json::value(manifest.written_by)),
      json::serialize(json::value(manifest.model)), manifest.head_tied, manifest.data_bytes,
      json::serialize(warnings));
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    text += (i == 0 ? "\n" : ",\n") + json::serialize(tensor_object(manifest.tensors[i]));
  }
  return with_manifest_checksum(text + "\n]");
}

Result<PackedManifest> parse_manifest(std::string_view text) {
  BITCPM_ASSIGN(const bool has_checksum, check_tail(text));
  auto parsed = parse_json(text, {.max_bytes = std::size_t{64} << 20});
  if (!parsed.ok()) return std::move(parsed).error().within(kManifestFile);
  const json::object* root = parsed->if_object();
  if (root == nullptr) return corrupt(kManifestFile, "expected an object");
  const JsonFields fields(*root, std::string(kManifestFile));
  BITCPM_TRY(check_version(fields));  // first: another version may close itself in another way
  if (!has_checksum) return corrupt(kManifestFile, "does not end in its checksum");

  PackedManifest manifest;
  BITCPM_ASSIGN(manifest.written_by, need_text(fields, "written_by"));
  BITCPM_ASSIGN(manifest.model, need_text(fields, "model"));
  BITCPM_ASSIGN(manifest.head_tied, fields.bool_or("head_tied", false));
  BITCPM_ASSIGN(const std::int64_t bytes,
                need_number(fields, "data_bytes", kPackedHeaderBytes, kMaxBytes));
  manifest.data_bytes = static_cast<std::uint64_t>(bytes);
  BITCPM_ASSIGN(const json::array* warnings, need_list(fields, "warnings", 0, 1000));
  for (const json::value& warning : *warnings) {
    if (!warning.is_string()) return fields.corrupt("warnings", "expected texts");
    manifest.warnings.emplace_back(warning.as_string());
  }
  BITCPM_ASSIGN(const json::array* tensors, need_list(fields, "tensors", 0, 1'000'000));
  std::set<std::string> names;
  BITCPM_TRY(each_object(*tensors, std::string(kManifestFile) + ": tensors",
                         [&](const JsonFields& entry) -> Status {
                           BITCPM_ASSIGN(PackedTensor tensor, read_tensor(entry));
                           if (!names.insert(tensor.name).second) {
                             return entry.corrupt("name", quote_name(tensor.name) + " is taken");
                           }
                           manifest.tensors.push_back(std::move(tensor));
                           return {};
                         }));
  BITCPM_TRY(check_places(manifest));
  return manifest;
}

bool is_packed(const ModelFiles& files) { return files.contains(kManifestFile); }

Result<PackedManifest> read_manifest(ModelFiles& files) {
  BITCPM_ASSIGN(const std::string_view text, files.open_text(kManifestFile));
  return parse_manifest(text);
}

}  // namespace bitcpm
