#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <string>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

std::string with_length(std::uint64_t header_bytes, const std::string& rest) {
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(header_bytes >> (8 * i));
  return file + rest;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\1'));
}

// One tensor "w", its entry given without the braces.
std::string one(const std::string& entry, std::size_t data_bytes) {
  return file_of("{\"w\":{" + entry + "}}", data_bytes);
}

// Protects: names, types, shapes and bytes come out as written, in any order and alignment.
TEST(Safetensors, ReadsWhatTheFormatAllows) {
  std::string file = file_of(R"({"__metadata__":{"format":"pt"},)"
                             R"("late":{"dtype":"BF16","shape":[2,1],"data_offsets":[5,9]},)"
                             R"("byte":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[1,5]},)"
                             R"("none":{"dtype":"F16","shape":[0,7],"data_offsets":[5,5]}}   )",
                             9);
  file.back() = 'Z';
  const auto tensors = read_safetensors(as_bytes(file));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 4u);
  const StoredTensor& late = tensors->at("late");
  EXPECT_EQ(late.dtype, DType::kBf16);
  EXPECT_EQ(late.dtype_name, "BF16");
  EXPECT_EQ(late.shape, (std::vector<std::int64_t>{2, 1}));
  ASSERT_EQ(late.bytes.size(), 4u);
  EXPECT_EQ(late.bytes[3], std::byte{'Z'});
  EXPECT_EQ(late.bytes.data() + 4, as_bytes(file).data() + file.size());
  EXPECT_FALSE(tensors->at("byte").dtype.has_value());
  EXPECT_TRUE(tensors->at("scalar").shape.empty());
  EXPECT_EQ(tensors->at("scalar").bytes.size(), 4u);
  EXPECT_TRUE(tensors->at("none").bytes.empty());
}

// Protects: the size of an element is that of its type, for the types we only pass over too.
TEST(Safetensors, KnowsTheSizeOfEveryType) {
  struct Case {
    const char* dtype;
    std::size_t bytes;
  };
  constexpr Case kCases[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
                             {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                             {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};
  for (const Case& c : kCases) {
    const std::string entry = std::string(R"("dtype":")") + c.dtype +
                              R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * c.bytes) +
                              "]";
    EXPECT_TRUE(read_safetensors(as_bytes(one(entry, 3 * c.bytes))).ok()) << c.dtype;
  }
}

// Protects: the embedded model, written by the reference library, is read whole.
TEST(Safetensors, ReadsTheEmbeddedModel) {
  const std::string file = read_source_file("assets/bitcpm-tiny/model.safetensors");
  const auto tensors = read_safetensors(as_bytes(file));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  const StoredTensor& embedding = tensors->at("model.embed_tokens.weight");
  EXPECT_EQ(embedding.shape, (std::vector<std::int64_t>{6008, 256}));
  EXPECT_EQ(tensors->size(), 2u + 8 * 9);
}

// Protects: a header of several MB, as mixtures of experts have, is within the limits.
TEST(Safetensors, AcceptsALargeHeader) {
  std::string header = "{";
  for (int i = 0; i < 40000; ++i) {
    header += (i ? ",\"" : "\"") + std::string("model.layers.0.experts.weight.") +
              std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  const auto tensors = read_safetensors(as_bytes(file_of(header + "}", 40000)));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  EXPECT_EQ(tensors->size(), 40000u);
}

constexpr char kGood[] = R"("dtype":"U8","shape":[4],"data_offsets":[0,4])";

// Protects: no file, however it lies, gets further than one line that says where the lie is.
TEST(Safetensors, RefusesHostileFiles) {
  ASSERT_TRUE(read_safetensors(as_bytes(one(kGood, 4))).ok());
  const auto good_with = [](std::string_view part, std::string_view instead) {
    return one(replaced(kGood, part, instead), 4);
  };
  struct Case {
    const char* name;
    std::string file;
    const char* reason;  // part of the message
  };
  const Case kCases[] = {
      {"empty", "", "truncated: 0 bytes"},
      {"seven bytes", "1234567", "truncated: 7 bytes"},
      {"huge header", with_length(~0ull, "{}"), "exceeds the limit"},
      {"header above the limit", with_length(100'000'001, "{}"), "exceeds the limit"},
      {"header beyond the file", with_length(3, "{}"), "truncated: header of 3 bytes"},
      {"header of nothing", with_length(0, "{}"), "does not begin with '{'"},
      {"leading blank", file_of(" {}", 0), "does not begin with '{'"},
      {"header is an array", file_of("[]", 0), "does not begin with '{'"},
      {"header is no JSON", file_of("{\"a\":", 0), "header: invalid JSON"},
      {"text after the header", file_of("{}x", 0), "after its value"},
      {"deep header", file_of("{\"w\":" + std::string(9, '[') + std::string(9, ']') + "}", 0),
       "header: invalid JSON"},
      {"duplicate name", file_of("{\"w\":{" + std::string(kGood) + "},\"w\":{" + kGood + "}}", 4),
       "twice"},
      {"duplicate name, huge",
       file_of("{\"" + std::string(9000, 'n') + "\":1,\"" + std::string(9000, 'n') + "\":1}", 0),
       "JSON names the key"},
      {"metadata is a list", file_of(R"({"__metadata__":[]})", 0), "__metadata__ is not an object"},
      {"metadata of numbers", file_of(R"({"__metadata__":{"a":1}})", 0), "else than strings"},
      {"entry is a number", file_of(R"({"w":1})", 0), "its entry is not an object"},
      {"no dtype", good_with(R"("dtype":"U8",)", ""), "no dtype"},
      {"unknown dtype", good_with("U8", "Q7"), "unknown dtype 'Q7'"},
      {"sub-byte dtype", good_with("U8", "F4"), "sub-byte dtype 'F4'"},
      {"no shape", good_with(R"("shape":[4],)", ""), "no shape"},
      {"negative dimension", good_with("[4]", "[-4]"), "not an integer >= 0"},
      {"fractional dimension", good_with("[4]", "[4.0]"), "not an integer >= 0"},
      {"dimension above int64", good_with("[4]", "[18446744073709551612]"), "not an integer >= 0"},
      {"overflowing shape", good_with("[4]", "[4294967296,4294967296,4]"), "overflows"},
      {"shape wraps round to 4", good_with("[4]", "[4611686018427387905,4]"), "overflows"},
      {"lying shape", good_with("[4]", "[5]"), "its shape needs 5 bytes, its data has 4"},
      {"one offset", good_with("[0,4]", "[4]"), "not a pair"},
      {"negative offset", good_with("[0,4]", "[-1,3]"), "a data offset is not"},
      {"backward offsets", good_with("[0,4]", "[4,0]"), "ends before it begins"},
      {"data beyond the file", one(kGood, 3), "truncated: its data ends at byte 4"},
      {"offset near 2^63", good_with("[0,4]", "[9223372036854775803,9223372036854775807]"),
       "truncated: its data ends"},
      {"hole at the start", one(R"("dtype":"U8","shape":[2],"data_offsets":[2,4])", 4),
       "unused bytes before"},
      {"rest at the end", one(kGood, 6), "2 bytes after the last tensor"},
      {"overlap", file_of("{\"w\":{" + std::string(kGood) + "},\"v\":{" + kGood + "}}", 4),
       "overlaps"},
      {"data without tensors", file_of("{}", 8), "8 bytes after the last tensor"},
      {"name of line breaks", file_of("{\"a\\n\\u001b[2J\":1}", 0), "'a\\x0a\\x1b[2J'"},
      {"invalid UTF-8 in a name", file_of("{\"\xff\":1}", 0), "header: invalid JSON"},
      {"huge name", file_of("{\"" + std::string(100000, 'n') + "\":1}", 0), "nnn...'"},
  };
  for (const Case& c : kCases) {
    expect_refused(read_safetensors(as_bytes(c.file)), c.reason, c.name);
  }
}

// Protects: wherever a file is cut, it is refused; nothing is read behind the cut.
TEST(Safetensors, RefusesEveryTruncation) {
  const std::string file = one(kGood, 4);
  for (std::size_t length = 0; length < file.size(); ++length) {
    const std::vector<char> exact(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(read_safetensors(std::as_bytes(std::span(exact))).ok()) << length;
  }
}

}  // namespace
}  // namespace bitcpm
