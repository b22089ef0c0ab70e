#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "io/json_fields.h"
#include "measure/saved_run.h"

// The two halves of a file of logits: its header as JSON, its blocks as compressed planes of bytes.
namespace bitcpm {
namespace {

constexpr std::size_t kMaxWindows = 1 << 20;
constexpr std::size_t kMaxNameBytes = 4096;
constexpr std::string_view kFormat = "bitcpm run";

json::array id_array(const std::vector<TokenId>& ids) {
  return json::array(ids.begin(), ids.end());
}

Result<std::string> text_field(const JsonFields& fields, std::string_view name) {
  BITCPM_ASSIGN(const std::optional<std::string_view> text, fields.find_text(name));
  if (!text) return std::string();
  if (text->size() > kMaxNameBytes) return fields.corrupt(name, "expected at most 4096 bytes");
  return std::string(*text);
}

Result<std::vector<TokenId>> ids_field(const JsonFields& fields, std::int32_t vocab_size) {
  const json::value* list = fields.find("ids");
  if (list == nullptr || !list->is_array()) return fields.corrupt("ids", "expected a list");
  std::vector<TokenId> ids;
  ids.reserve(list->as_array().size());
  for (const json::value& value : list->as_array()) {
    const auto id = int_in(value, Range<std::int32_t>{0, vocab_size - 1});
    if (!id) return fields.corrupt("ids", "expected ids of the vocabulary");
    ids.push_back(*id);
  }
  return ids;
}

// The objects of a list; none if it is absent.
template <class Use>
Status each_object(const JsonFields& fields, std::string_view name, const Use& use) {
  const json::value* list = fields.find(name);
  if (list == nullptr) return {};
  if (!list->is_array() || list->as_array().size() > kMaxWindows) {
    return fields.corrupt(name, "expected a list of at most 1048576 objects");
  }
  for (const json::value& value : list->as_array()) {
    if (!value.is_object()) return fields.corrupt(name, "expected a list of objects");
    BITCPM_TRY(use(JsonFields(value.as_object(), fields.scope() + "." + std::string(name))));
  }
  return {};
}

Status read_windows(const JsonFields& fields, RunHeader& header) {
  BITCPM_TRY(each_object(fields, "windows", [&](const JsonFields& object) -> Status {
    EvalWindow window;
    BITCPM_ASSIGN(window.ids, ids_field(object, header.vocab_size));
    if (window.ids.size() < 2 || window.ids.size() > std::size_t{1} << 24) {
      return object.corrupt("ids", "expected 2 to 16777216 of them");
    }
    const auto most = static_cast<std::int32_t>(window.ids.size()) - 1;
    BITCPM_ASSIGN(const std::int32_t first, object.need_int("first_scored", {1, most}));
    window.first_scored = static_cast<std::size_t>(first);
    header.windows.push_back(std::move(window));
    return {};
  }));
  if (header.windows.empty()) return fields.corrupt("windows", "expected at least one");
  return {};
}

Status read_greedy(const JsonFields& fields, RunHeader& header) {
  return each_object(fields, "greedy", [&](const JsonFields& object) -> Status {
    if (header.greedy.size() == header.windows.size()) {
      return object.corrupt("ids", "expected no more continuations than windows");
    }
    const std::size_t length = header.windows[header.greedy.size()].ids.size();
    GreedyText text;
    BITCPM_ASSIGN(text.prompt_tokens,
                  object.need_int("prompt_tokens", {1, static_cast<std::int32_t>(length)}));
    BITCPM_ASSIGN(text.ids, ids_field(object, header.vocab_size));
    header.greedy.push_back(std::move(text));
    return {};
  });
}

}  // namespace

std::string run_header_json(const RunHeader& header) {
  json::array windows;
  for (const EvalWindow& window : header.windows) {
    windows.push_back({{"first_scored", window.first_scored}, {"ids", id_array(window.ids)}});
  }
  json::array greedy;
  for (const GreedyText& text : header.greedy) {
    greedy.push_back({{"prompt_tokens", text.prompt_tokens}, {"ids", id_array(text.ids)}});
  }
  return json::serialize(json::object{{"format", kFormat},
                                      {"model", header.model},
                                      {"fingerprint", header.fingerprint},
                                      {"vocab_size", header.vocab_size},
                                      {"numerics", header.numerics},
                                      {"kv_cache_dtype", header.kv_cache_dtype},
                                      {"device", header.device},
                                      {"written_by", header.written_by},
                                      {"text", header.text},
                                      {"windows", std::move(windows)},
                                      {"greedy", std::move(greedy)}});
}

Result<RunHeader> parse_run_header(std::string_view text) {
  BITCPM_ASSIGN(const json::value root, parse_json(text, {.max_bytes = kMaxRunHeaderBytes}));
  if (!root.is_object()) return Error{Errc::kCorrupt, "header: expected an object"};
  const JsonFields fields(root.as_object(), "header");
  BITCPM_ASSIGN(const std::string format, text_field(fields, "format"));
  if (format != kFormat) return fields.corrupt("format", "expected 'bitcpm run'");
  RunHeader header;
  BITCPM_ASSIGN(header.vocab_size, fields.need_int("vocab_size", {2, kMaxRunVocab}));
  for (const auto& [name, target] : {std::pair{"model", &header.model},
                                     {"fingerprint", &header.fingerprint},
                                     {"numerics", &header.numerics},
                                     {"kv_cache_dtype", &header.kv_cache_dtype},
                                     {"device", &header.device},
                                     {"written_by", &header.written_by},
                                     {"text", &header.text}}) {
    BITCPM_ASSIGN(*target, text_field(fields, name));
  }
  BITCPM_TRY(read_windows(fields, header));
  BITCPM_TRY(read_greedy(fields, header));
  return header;
}

// Byte k of every value is plane k: exponents lie together, which is what can be compressed. The
// Huffman code alone does that; matches are rare in such data and cost most of the time.
std::string pack_block(TensorView rows) {
  const auto values = static_cast<std::size_t>(rows.rows * rows.cols);
  std::string planes(values * sizeof(float), '\0');
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    for (std::int64_t c = 0; c < rows.cols; ++c) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, rows.row(r) + c, sizeof bits);
      const auto at = static_cast<std::size_t>(r * rows.cols + c);
      for (std::size_t k = 0; k < sizeof bits; ++k) {
        planes[k * values + at] = static_cast<char>(bits >> (8 * k) & 0xff);
      }
    }
  }
  z_stream stream{};
  BITCPM_CHECK(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS, 9,
                            Z_HUFFMAN_ONLY) == Z_OK);
  std::string packed(deflateBound(&stream, planes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(planes.data());
  stream.avail_in = static_cast<uInt>(planes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  BITCPM_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

Status unpack_block(std::span<const std::byte> packed, TensorView rows) {
  const auto values = static_cast<std::size_t>(rows.rows * rows.cols);
  std::vector<unsigned char> planes(values * sizeof(float));
  uLongf written = planes.size();
  uLong read = packed.size();
  const int result =
      uncompress2(planes.data(), &written, reinterpret_cast<const Bytef*>(packed.data()), &read);
  if (result == Z_MEM_ERROR) return Error{Errc::kExhausted, "no memory to decompress a block"};
  if (result != Z_OK || written != planes.size() || read != packed.size()) {
    return Error{Errc::kCorrupt, "a block does not hold its rows"};
  }
  for (std::size_t at = 0; at < values; ++at) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < sizeof bits; ++k) {
      bits |= std::uint32_t{planes[k * values + at]} << (8 * k);
    }
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) return Error{Errc::kCorrupt, "a logit is not a finite number"};
    const auto index = static_cast<std::int64_t>(at);
    rows.row(index / rows.cols)[index % rows.cols] = value;
  }
  return {};
}

}  // namespace bitcpm
