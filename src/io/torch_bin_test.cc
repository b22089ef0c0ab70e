#include "io/torch_bin.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

using namespace std::string_literals;
using Shape = std::vector<std::int64_t>;

std::string fixture(const std::string& name) { return read_source_file("src/io/testdata/" + name); }

std::vector<float> values(const StoredTensor& tensor) {
  std::vector<float> result;
  for (std::size_t at = 0; at < tensor.bytes.size(); at += dtype_bytes(*tensor.dtype)) {
    std::uint16_t half = 0;
    float single = 0;
    std::memcpy(&half, tensor.bytes.data() + at, 2);
    if (*tensor.dtype == DType::kF32) std::memcpy(&single, tensor.bytes.data() + at, 4);
    switch (*tensor.dtype) {
      case DType::kBf16:
        result.push_back(bf16_to_f32(half));
        break;
      case DType::kF16:
        result.push_back(f16_to_f32(half));
        break;
      case DType::kF32:
        result.push_back(single);
        break;
    }
  }
  return result;
}

// Protects: files of a real torch come out value for value, whatever the pickle protocol.
TEST(TorchBin, ReadsWhatTorchWrote) {
  const std::vector<float> kWeight = {1, -1, 0, 0.5, -0.5, -0.0f};
  for (const char* name : {"state_dict.bin", "protocol4.bin"}) {
    const std::string file = fixture(name);
    const auto tensors = read_torch_bin(as_bytes(file));
    ASSERT_TRUE(tensors.ok()) << name << ": " << tensors.error().message;
    EXPECT_EQ(tensors->size(), 10u);
    for (const char* weight : {"f32", "bf16", "f16", "tied", "parameter"}) {
      EXPECT_EQ(tensors->at(weight).shape, (Shape{2, 3})) << weight;
      EXPECT_EQ(values(tensors->at(weight)), kWeight) << weight;
    }
    EXPECT_EQ(tensors->at("f32").dtype_name, "FloatStorage");
    EXPECT_EQ(tensors->at("f16").dtype, DType::kF16);
    EXPECT_EQ(tensors->at("tied").bytes.data(), tensors->at("bf16").bytes.data());
    EXPECT_EQ(values(tensors->at("view")), (std::vector<float>{4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(values(tensors->at("scalar")), std::vector<float>{2.5});
    EXPECT_TRUE(tensors->at("scalar").shape.empty());
    EXPECT_EQ(tensors->at("empty").shape, (Shape{0, 4}));
    EXPECT_EQ(tensors->at("i64").dtype_name, "LongStorage");
    EXPECT_FALSE(tensors->at("i64").dtype.has_value());
    EXPECT_EQ(tensors->at("i64").bytes.size(), 16u);
    EXPECT_EQ(tensors->at("bool").bytes.size(), 3u);
  }
}

// Protects: the attribute that every nn.Module's state dict carries, and the trivial wrapper.
TEST(TorchBin, ReadsModuleAndWrappedStateDicts) {
  const std::string module = fixture("module.bin");
  EXPECT_EQ(read_torch_bin(as_bytes(module))->size(), 2u);
  const std::string wrapped = fixture("wrapped.bin");
  EXPECT_EQ(read_torch_bin(as_bytes(wrapped))->at("f32").shape, (Shape{2, 3}));
}

// Offsets of the directory of module.bin: the end record is its last 22 bytes, the zip64 locator
// the 20 before, the zip64 end record the 56 before those.
constexpr std::ptrdiff_t kEnd = -22, kLocator = kEnd - 20, kEnd64 = kLocator - 56;

// `file` with the bytes at `offset` (from its end if negative) overwritten.
std::string patched(std::string file, std::ptrdiff_t offset, std::string_view bytes) {
  const auto at = offset < 0 ? file.size() - static_cast<std::size_t>(-offset)
                             : static_cast<std::size_t>(offset);
  return file.replace(at, bytes.size(), bytes);
}

// Where the n-th central directory entry begins (0 is data.pkl).
std::ptrdiff_t central(const std::string& file, int n) {
  std::size_t at = file.find("PK\1\2");
  while (n-- > 0) at = file.find("PK\1\2", at + 1);
  return static_cast<std::ptrdiff_t>(at);
}

struct HostileCase {
  const char* name;
  std::string file;
  const char* reason;  // part of the message
};

// Protects: a zip directory that lies about sizes, places, names or methods is refused.
TEST(TorchBin, RefusesHostileArchives) {
  const std::string good = fixture("module.bin");
  ASSERT_TRUE(read_torch_bin(as_bytes(good)).ok());
  const std::ptrdiff_t first = central(good, 0), second = central(good, 1);
  const HostileCase kCases[] = {
      {"empty", "", "not a zip archive"},
      {"safetensors", "\x10\0\0\0\0\0\0\0{}"s, "not a zip archive"},
      {"legacy", fixture("legacy.bin"), "legacy torch.save format: re-save with torch >= 1.6"},
      {"end record only", "PK\5\6"s + std::string(18, '\0'), "without <name>/data.pkl"},
      {"no end record", patched(good, kEnd, "XXXX"), "no end record"},
      {"comment that is not there", patched(good, -2, "\1"), "no end record"},
      {"several disks", patched(good, kEnd + 4, "\1"), "several disks"},
      {"locator to nowhere", patched(good, kLocator + 8, std::string(8, '\xff')), "zip64 locator"},
      {"locator to the start", patched(good, kLocator + 8, std::string(8, '\0')), "zip64 locator"},
      {"contradicting counts", patched(good, kEnd64 + 32, "\x63"), "contradicts the end record"},
      {"contradicting sizes", patched(good, kEnd64 + 40, "\1"), "contradicts the end record"},
      {"directory elsewhere",
       patched(patched(good, kEnd + 16, "\1\0\0\0"s), kEnd64 + 48, "\1\0\0"s),
       "does not end where"},
      {"directory beyond the file",
       patched(patched(good, kEnd + 16, std::string(4, '\xff')), kEnd64 + 48,
               std::string(8, '\xfe')),
       "does not end where"},
      {"more entries than room",
       patched(patched(good, kEnd + 10, "\xff\xff"), kEnd64 + 32, std::string(8, '\x7f')),
       "no room for its"},
      {"one entry too few", patched(patched(good, kEnd + 10, "\3"), kEnd64 + 32, "\3"),
       "more than its entries"},
      {"bad entry signature", patched(good, second, "XX"), "no signature"},
      {"entry name too long", patched(good, first + 28, "\xff\xff"), "cut short"},
      {"encrypted", patched(good, first + 8, "\x09"), "is encrypted"},
      {"compressed", patched(good, first + 10, "\x08"), "is compressed (method 8)"},
      {"two sizes", patched(good, first + 24, "\1"), "its two sizes differ"},
      {"zip64 size missing", patched(good, first + 20, std::string(8, '\xff')), "zip64 sizes are"},
      {"member beyond the data",
       patched(patched(good, second + 20, "\0\0\1"s), second + 24, "\0\0\1"s), "truncated"},
      {"no local header there", patched(good, second + 42, "\3"), "no local header"},
      {"local header beyond the file", patched(good, second + 42, "\xf0\xff\xff\xff"),
       "no local header"},
      {"another local name", patched(good, 30, "X"), "its local header contradicts"},
      {"another local method", patched(good, 8, "\x08"), "its local header contradicts"},
      {"another local size", patched(good, 18, "\x05"), "its local header contradicts"},
      {"a member twice",
       replaced(replaced(good, "module/data/1FB", "module/data/0FB"), "module/data/1PK",
                "module/data/0PK"),
       "'module/data/0': occurs twice"},
      {"name of line breaks", patched(patched(good, first + 46, "\n\x1b"), first + 10, "\x08"),
       "'\\x0a\\x1bdule"},
      {"no data.pkl", replaced(replaced(good, "data.pkl", "data.pkx"), "data.pkl", "data.pkx"),
       "without <name>/data.pkl"},
      {"storage absent", replaced(replaced(good, "data/1FB", "data/7FB"), "data/1PK", "data/7PK"),
       "the archive lacks its storage '1'"},
      {"version absent", replaced(replaced(good, "/version", "/versiox"), "/version", "/versiox"),
       "the archive has no version"},
      {"version from the future", replaced(good, "3\nPK", "99PK"), "archive version '99'"},
  };
  for (const HostileCase& c : kCases) {
    expect_refused(read_torch_bin(as_bytes(c.file)), c.reason, c.name);
  }
}

std::string le(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

using Members = std::vector<std::pair<std::string, std::string>>;

// A stored zip archive. Either without any zip64 record, as other writers than torch make them, or
// with every size and offset in zip64 fields, as members beyond 4 GB have them.
std::string zip_of(const Members& members, bool zip64 = false) {
  std::string file, directory;
  for (const auto& [name, data] : members) {
    const auto size = static_cast<std::uint32_t>(data.size());
    const auto at = static_cast<std::uint32_t>(file.size());
    const std::uint32_t seen = zip64 ? ~0u : size;
    const std::string sizes = le(size, 4) + le(0, 4) + le(size, 4) + le(0, 4);
    const std::string local_extra = zip64 ? le(1, 2) + le(16, 2) + sizes : "";
    const std::string extra = zip64 ? le(1, 2) + le(24, 2) + sizes + le(at, 4) + le(0, 4) : "";
    const std::string common = le(20, 2) + std::string(12, '\0') + le(seen, 4) + le(seen, 4) +
                               le(static_cast<std::uint32_t>(name.size()), 2);
    directory += "PK\1\2" + le(20, 2) + common + le(static_cast<std::uint32_t>(extra.size()), 2) +
                 std::string(10, '\0') + le(zip64 ? ~0u : at, 4) + name + extra;
    file += "PK\3\4" + common + le(static_cast<std::uint32_t>(local_extra.size()), 2) + name +
            local_extra + data;
  }
  const auto count = static_cast<std::uint32_t>(members.size());
  const auto at = static_cast<std::uint32_t>(file.size());
  return file + directory + "PK\5\6" + le(0, 4) + le(count, 2) + le(count, 2) +
         le(static_cast<std::uint32_t>(directory.size()), 4) + le(at, 4) + le(0, 2);
}

std::string string_of(const std::string& text) {
  return "X"s + le(static_cast<std::uint32_t>(text.size()), 4) + text;
}

// The pickle of {"w": a 2 x 3 tensor over the 6 floats of storage "0"}, every part of it open to
// be replaced by a lie.
struct TensorPickle {
  std::string name = string_of("w");
  std::string tag = string_of("storage");
  std::string type = "ctorch\nFloatStorage\n";
  std::string key = string_of("0");
  std::string elements = "K\6";
  std::string storage_rest = {};
  std::string reference = "Q";
  std::string offset = "K\0"s;
  std::string size = "K\2K\3\x86";
  std::string stride = "K\3K\1\x86";
  std::string rest = {};   // arguments after the hooks
  std::string after = {};  // the tensor was built

  std::string text() const {
    return "\x80\x02}" + name + "ctorch._utils\n_rebuild_tensor_v2\n((" + tag + type + key +
           string_of("cpu") + elements + storage_rest + "t" + reference + offset + size + stride +
           "\x89"
           "ccollections\nOrderedDict\n)R" +
           rest + "tR" + after + "s.";
  }
};

std::string archive_of(const std::string& pickle) {
  return zip_of({{"m/data.pkl", pickle}, {"m/data/0", std::string(24, '\0')}, {"m/version", "3"}});
}

// Protects: archives without zip64 records, and with zip64 fields throughout; the byteorder member
// that newer torch writes.
TEST(TorchBin, ReadsPlainAndZip64Members) {
  const Members members = {{"m/data.pkl", TensorPickle().text()},
                           {"m/byteorder", "little"},
                           {"m/.data/serialization_id", "42"},
                           {"m/data/0", std::string(24, '\0')},
                           {"m/version", "3\n"}};
  for (const bool zip64 : {false, true}) {
    const std::string file = zip_of(members, zip64);
    const auto tensors = read_torch_bin(as_bytes(file));
    ASSERT_TRUE(tensors.ok()) << tensors.error().message;
    EXPECT_EQ(tensors->at("w").bytes.size(), 24u);
  }
  const std::string big = replaced(zip_of(members), "little", "BIG\n\n\n");
  expect_refused(read_torch_bin(as_bytes(big)), "byteorder 'BIG\\x0a", "byteorder");
}

// Protects: a pickle that describes something else than tensors over its storages is refused.
TEST(TorchBin, RefusesHostileStateDicts) {
  ASSERT_TRUE(read_torch_bin(as_bytes(archive_of(TensorPickle().text()))).ok());
  const auto lie = [](TensorPickle pickle) { return archive_of(pickle.text()); };
  const auto root = [](const std::string& body) { return archive_of("\x80\x02" + body + "."); };
  const std::string big = "\x8a\x08\0\0\0\0\0\0\0\x40"s;  // 2^62
  std::string deep = "(";
  for (int i = 0; i < 65; ++i) deep += "K\1";
  deep += "t";
  const HostileCase kCases[] = {
      {"transposed", fixture("transposed.bin"), "tensor 'w': it is not contiguous"},
      {"training state", fixture("training.bin"), "tensor 'epoch': not a tensor"},
      {"list inside", fixture("list.bin"), "opcode 0x5d (']')"},
      {"root is a number", root("K\1"), "does not hold a dict"},
      {"root is a tensor type", root("ctorch\nFloatStorage\n"), "does not hold a dict"},
      {"wrapper of a number", root("}" + string_of("state_dict") + "K\1s"), "not a tensor"},
      {"dict that holds itself", root("}q\0"s + string_of("model") + "h\0s"s), "not a tensor"},
      {"tensor is a dict", root("}" + string_of("w") + "}s"), "tensor 'w': not a tensor"},
      {"storage type as tensor", root("}" + string_of("w") + "ctorch\nFloatStorage\n)Rs"),
       "tensor 'w': not a tensor"},
      {"parameter without data",
       root("}" + string_of("w") + "ctorch._utils\n_rebuild_parameter\n)Rs"),
       "a parameter of the wrong arity"},
      {"tensor without arguments",
       root("}" + string_of("w") + "ctorch._utils\n_rebuild_tensor_v2\n)Rs"),
       "a tensor of the wrong arity"},
      {"os.system", lie({.type = "cos\nsystem\n"}), "global 'os' 'system'"},
      {"unknown storage", lie({.type = "ctorch\nQInt8Storage\n"}), "'torch' 'QInt8Storage'"},
      {"storage is OrderedDict", lie({.type = "ccollections\nOrderedDict\n"}),
       "its storage type is 'collections.OrderedDict'"},
      {"storage of another type", lie({.type = "ctorch\nHalfStorage\n"}), "not 6 elements of 2"},
      {"storage of a string", lie({.type = "N"}), "its storage id is malformed"},
      {"storage tag", lie({.tag = string_of("module")}), "its storage id is malformed"},
      {"storage id of six", lie({.storage_rest = "N"}), "not a tuple of 5"},
      {"storage not persistent", lie({.reference = ""}), "its storage is no persistent id"},
      {"storage absent", lie({.key = string_of("1")}), "the archive lacks its storage '1'"},
      {"storage key with a path", lie({.key = string_of("../data.pkl")}), "'../data.pkl'"},
      {"storage key of line breaks", lie({.key = string_of("\n\n")}), "'\\x0a\\x0a'"},
      {"huge storage key", lie({.key = string_of(std::string(5000, 'k'))}), "key is too long"},
      {"too many elements", lie({.elements = "K\7"}), "24 bytes, not 7 elements of 4"},
      {"elements overflow", lie({.elements = big}), "elements of 4"},
      {"negative elements", lie({.elements = "\x8a\1\xff"}), "its storage id is malformed"},
      {"offset beyond the storage", lie({.offset = "K\1"}), "6 elements at offset 1 exceed"},
      {"huge offset", lie({.offset = big}), "exceed its storage of 6"},
      {"negative offset", lie({.offset = "J\xff\xff\xff\xff"}), "its offset is no size"},
      {"shape beyond the storage", lie({.size = "K\2K\4\x86"}), "exceed its storage of 6"},
      {"overflowing shape", lie({.size = big + big + "\x86"}), "overflows"},
      {"negative shape", lie({.size = "J\xff\xff\xff\xffK\3\x86"}), "integers >= 0"},
      {"shape of None", lie({.size = "N"}), "is not a tuple"},
      {"shape of strings", lie({.size = "NN\x86"}), "integers >= 0"},
      {"65 dimensions", lie({.size = deep, .stride = deep}), "more than 64 dimensions"},
      {"strides of another rank", lie({.stride = "K\3\x85"}), "differ in rank"},
      {"strides with a hole", lie({.stride = "K\4K\1\x86"}), "it is not contiguous"},
      {"strides of zero", lie({.stride = "K\0K\0\x86"s}), "it is not contiguous"},
      {"conjugate view", lie({.rest = "}" + string_of("conj") + "\x88s"}), "metadata"},
      {"nine arguments", lie({.rest = "NNN"}), "wrong arity"},
      {"name is a number", lie({.name = "K\1"}), "a key of the state dict is not a string"},
      {"name of line breaks", lie({.name = string_of("a\n\x1b"), .offset = "N"}), "'a\\x0a\\x1b'"},
      {"huge name", lie({.name = string_of(std::string(2000, 'n'))}), "a name of 2000 bytes"},
      {"a tensor twice", lie({.name = string_of("w") + "q\0"s, .after = "q\1sh\0h\1"s}), "twice"},
      {"zip64 field cut short",
       replaced(zip_of({{"m/data.pkl", ""}}, true), "\1\0\x18\0"s, "\1\0\x10\0"s),
       "its zip64 sizes are cut short"},
      {"two pickles", zip_of({{"a/data.pkl", ""}, {"b/data.pkl", ""}}), "two members are named"},
      {"pickle of nothing", archive_of(""), "byte 0: truncated"},
  };
  for (const HostileCase& c : kCases) {
    expect_refused(read_torch_bin(as_bytes(c.file)), c.reason, c.name);
  }
}

// Protects: wherever a file is cut, it is refused; nothing is read behind the cut.
TEST(TorchBin, RefusesEveryTruncation) {
  const std::string file = fixture("module.bin");
  for (std::size_t length = 0; length < file.size(); ++length) {
    const std::vector<char> exact(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(read_torch_bin(std::as_bytes(std::span(exact))).ok()) << length;
  }
}

}  // namespace
}  // namespace bitcpm
