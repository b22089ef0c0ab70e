#include "io/packed_manifest.h"

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "io/reader_testing.h"

namespace bitcpm {
namespace {

PackedManifest sample() {
  PackedManifest manifest;
  manifest.written_by = "bitcpm 1.2.3";
  manifest.model = "a \"name\"";
  manifest.head_tied = true;
  manifest.data_bytes = 64 + 128 + 256 + 64;
  manifest.warnings = {"careful"};
  manifest.tensors = {
      {.name = "table",
       .shape = {4, 32},
       .form = WeightForm::kBf16,
       .stored_dtype = "BF16",
       .stored_bytes = 256,
       .note = "dense",
       .images = {{"rows", 0, {{"codes", 192, 256, 0x1234567890abcdef}}}}},
      {.name = "up",
       .shape = {4, 32},
       .form = WeightForm::kTernary,
       .group = 32,
       .stored_dtype = "BF16",
       .stored_bytes = 256,
       .note = "",
       .images = {{"some-layout", 32, {{"lines", 64, 128, 7}, {"scales", 448, 64, 8}}}}}};
  return manifest;
}

std::string sample_text() { return manifest_text(sample()); }

// The text with one part replaced, and the checksum that belongs to it: a reader may not trust what
// is merely intact.
std::string altered(std::string_view old_part, std::string_view new_part) {
  std::string text = replaced(sample_text(), old_part, new_part);
  text.resize(text.rfind(",\n\"checksum\""));
  return with_manifest_checksum(text);
}

// Protects the format: everything that is written is read again.
TEST(PackedManifest, ReadsWhatItWrites) {
  const auto read = parse_manifest(sample_text());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->written_by, "bitcpm 1.2.3");
  EXPECT_EQ(read->model, "a \"name\"");
  EXPECT_EQ(read->warnings, std::vector<std::string>{"careful"});
  ASSERT_EQ(read->tensors.size(), 2u);
  EXPECT_EQ(read->tensors[0].note, "dense");
  EXPECT_EQ(read->tensors[0].images[0].sections[0].checksum, 0x1234567890abcdefu);
  EXPECT_EQ(read->tensors[1].group, 32);
  EXPECT_EQ(manifest_text(*read), sample_text());
}

// Protects: no altered byte and no missing end goes unnoticed, wherever it is.
TEST(PackedManifest, EveryByteCounts) {
  const std::string text = sample_text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char flip : {1, 32, -128}) {
      std::string broken = text;
      broken[i] = static_cast<char>(broken[i] ^ flip);
      expect_refused(parse_manifest(broken), "packed.json", std::to_string(i));
    }
    expect_refused(parse_manifest(text.substr(0, i)), "packed.json", std::to_string(i));
  }
  expect_refused(parse_manifest(text + "\n"), "does not end in its checksum", "a byte more");
}

// Protects users of another version: both are named, and it is said before anything else fails.
TEST(PackedManifest, NamesVersions) {
  expect_refused(parse_manifest(altered("\"version\": 1", "\"version\": 2")),
                 "of version 2; this program reads version 1", "newer");
  expect_refused(parse_manifest("{\"format\":\"bitcpm-packed\",\"version\":9}"),
                 "of version 9; this program reads version 1", "closed in another way");
  expect_refused(parse_manifest(altered("bitcpm-packed", "other")),
                 "'other'; this program reads 'bitcpm-packed', version 1", "foreign");
}

// Protects memory and the data file: numbers of an intact but hostile manifest are refused.
TEST(PackedManifest, RefusesImpossiblePlaces) {
  struct Case {
    const char* old_part;
    const char* new_part;
    const char* reason;
  };
  const Case kCases[] = {
      {"\"offset\":192", "\"offset\":128", "overlaps what comes before"},
      {"\"offset\":192", "\"offset\":64", "overlaps what comes before"},
      {"\"offset\":64", "\"offset\":0", "overlaps what comes before"},
      {"\"offset\":448", "\"offset\":512", "leaves a gap"},
      {"\"offset\":448", "\"offset\":-64", "integer from 0"},
      {"\"offset\":448", "\"offset\":1e3", "integer from 0"},
      {"\"length\":64", "\"length\":128", "reach outside weights.bcpm, which has 512"},
      {"\"length\":64", "\"length\":1125899906842624", "reach outside weights.bcpm"},
      {"\"length\":64", "\"length\":9223372036854775807", "integer from 1"},
      {"\"length\":64", "\"length\":18446744073709551615", "integer from 1"},
      {"\"length\":64", "\"length\":0", "integer from 1"},
      {"\"length\":64", "\"length\":65", "a multiple of 64"},
      {"\"data_bytes\": 512", "\"data_bytes\": 576", "the sections end at 512"},
      {"\"data_bytes\": 512", "\"data_bytes\": 63", "integer from 64"},
      {"\"shape\":[4,32],\"form\":\"t", "\"shape\":[4,0],\"form\":\"t", "extents from 1"},
      {"\"shape\":[4,32],\"form\":\"t", "\"shape\":[4,4294967296],\"form\":\"t", "extents from 1"},
      {"\"shape\":[4,32],\"form\":\"t", "\"shape\":[],\"form\":\"t", "a list of 1 to 2"},
      {"\"shape\":[4,32],\"form\":\"t", "\"shape\":[4,48],\"form\":\"t", "does not suit"},
      {"\"form\":\"ternary\"", "\"form\":\"quaternary\"", "not 'quaternary'"},
      {"\"form\":\"ternary\"", "\"form\":\"bf16\"", "does not suit"},
      {"\"name\":\"up\"", "\"name\":\"table\"", "'table' is taken"},
      {"\"name\":\"lines\"", "\"name\":\"Li\\u0001nes\"", "letters, digits"},
      {"\"layout\":\"rows\"", "\"layout\":\"\"", "letters, digits"},
      {"\"checksum\":\"0000000000000007\"", "\"checksum\":\"7\"", "16 hexadecimal digits"},
      {"\"images\":[{\"layout\":\"rows\"", "\"images\":[],\"x\":[{\"layout\":\"rows\"", "1 to 8"},
      {"\"head_tied\": true", "\"head_tied\": 1", "true or false"},
  };
  for (const Case& c : kCases) {
    expect_refused(parse_manifest(altered(c.old_part, c.new_part)), c.reason, c.new_part);
  }
}

}  // namespace
}  // namespace bitcpm
