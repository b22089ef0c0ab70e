#include "io/torch_bin.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/quote.h"
#include "io/pickle.h"
#include "io/tensor_bytes.h"
#include "io/zip_directory.h"

namespace bitcpm {
namespace {

using Bytes = std::span<const std::byte>;
using Kind = PickleValue::Kind;

struct StorageType {
  std::string_view name;  // as the pickle names it, "torch." and all
  std::size_t element_bytes;
  std::optional<DType> dtype;
};

constexpr StorageType kStorageTypes[] = {
    {"torch.BFloat16Storage", 2, DType::kBf16},
    {"torch.HalfStorage", 2, DType::kF16},
    {"torch.FloatStorage", 4, DType::kF32},
    {"torch.DoubleStorage", 8, {}},
    {"torch.LongStorage", 8, {}},
    {"torch.IntStorage", 4, {}},
    {"torch.ShortStorage", 2, {}},
    {"torch.CharStorage", 1, {}},
    {"torch.ByteStorage", 1, {}},
    {"torch.BoolStorage", 1, {}},
};

constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";

constexpr std::string_view kWrapperKeys[] = {"state_dict", "model"};

constexpr std::size_t kMaxRank = 64;  // torch's own limit
constexpr std::size_t kMaxNameBytes = 1024;
constexpr int kNewestVersion = 10;  // of the archive layout; torch 1.4 to 2.x write 3

std::vector<std::string_view> accepted_globals() {
  std::vector<std::string_view> globals = {kOrderedDict, kRebuildTensor, kRebuildParameter};
  for (const StorageType& type : kStorageTypes) globals.push_back(type.name);
  return globals;
}

std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error corrupt(std::string message) { return Error{Errc::kCorrupt, std::move(message)}; }
Error unsupported(std::string message) { return Error{Errc::kUnsupported, std::move(message)}; }

// The tensors of the pickle tree, laid over the storages of the archive.
class StateDictReader {
 public:
  StateDictReader(const PickleDocument& document, const ZipDirectory& members, std::string prefix)
      : document_(document), members_(members), prefix_(std::move(prefix)) {}

  Result<TensorMap> read() const {
    BITCPM_ASSIGN(const PickleValue* dict, state_dict());
    TensorMap tensors;
    for (std::size_t i = 0; i < dict->items.size(); i += 2) {
      const PickleValue& key = document_[dict->items[i]];
      if (key.kind != Kind::kString) return corrupt("a key of the state dict is not a string");
      if (key.text.size() > kMaxNameBytes) {
        return corrupt("tensor " + quote_name(key.text) + ": a name of " +
                       std::to_string(key.text.size()) + " bytes");
      }
      Result<StoredTensor> tensor = entry(document_[dict->items[i + 1]]);
      if (!tensor.ok()) return std::move(tensor).error().within("tensor " + quote_name(key.text));
      if (!tensors.emplace(key.text, std::move(tensor).value()).second) {
        return corrupt("tensor " + quote_name(key.text) + " occurs twice");
      }
    }
    return tensors;
  }

 private:
  struct Storage {
    StorageType type;
    std::size_t elements;
    Bytes bytes;
  };

  // The dict of tensors: the root, or the only entry of a root that merely wraps it.
  Result<const PickleValue*> state_dict() const {
    const PickleValue* root = &document_[document_.root];
    if (root->kind != Kind::kDict) return unsupported("does not hold a dict of tensors");
    if (root->items.size() != 2) return root;
    const PickleValue& key = document_[root->items[0]];
    const PickleValue& inner = document_[root->items[1]];
    for (const std::string_view wrapper : kWrapperKeys) {
      if (key.kind == Kind::kString && key.text == wrapper && inner.kind == Kind::kDict) {
        return &inner;
      }
    }
    return root;
  }

  bool is_call_of(const PickleValue& value, std::string_view global) const {
    return value.kind == Kind::kCall && document_[value.items[0]].text == global;
  }

  const std::vector<PickleId>& arguments(const PickleValue& call) const {
    return document_[call.items[1]].items;
  }

  // A tensor, or a parameter made of one: (data, requires_grad, backward_hooks).
  Result<StoredTensor> entry(const PickleValue& value) const {
    if (!is_call_of(value, kRebuildParameter)) return tensor(value);
    if (arguments(value).size() != 3) return corrupt("a parameter of the wrong arity");
    return tensor(document_[arguments(value)[0]]);
  }

  // (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
  Result<StoredTensor> tensor(const PickleValue& value) const {
    if (!is_call_of(value, kRebuildTensor)) {
      return unsupported("not a tensor; only a plain state dict is read");
    }
    const std::vector<PickleId>& args = arguments(value);
    if (args.size() != 6 && args.size() != 7) return corrupt("a tensor of the wrong arity");
    if (args.size() == 7 && !document_[args[6]].items.empty()) {
      return unsupported("a tensor with metadata (a conjugate or negative view)");
    }
    BITCPM_ASSIGN(const Storage storage, storage_of(document_[args[0]]));
    const PickleValue& offset = document_[args[1]];
    if (offset.kind != Kind::kInt || offset.number < 0) return corrupt("its offset is no size");
    BITCPM_ASSIGN(std::vector<std::int64_t> shape, sizes(document_[args[2]]));
    BITCPM_ASSIGN(const std::vector<std::int64_t> strides, sizes(document_[args[3]]));
    BITCPM_ASSIGN(const Bytes bytes,
                  view(storage, static_cast<std::uint64_t>(offset.number), shape, strides));
    const std::string_view short_name = storage.type.name.substr(sizeof("torch.") - 1);
    return StoredTensor{.dtype_name = std::string(short_name),
                        .dtype = storage.type.dtype,
                        .shape = std::move(shape),
                        .bytes = bytes};
  }

  Result<std::vector<std::int64_t>> sizes(const PickleValue& tuple) const {
    if (tuple.kind != Kind::kTuple) return corrupt("its size or stride is not a tuple");
    if (tuple.items.size() > kMaxRank) return corrupt("it has more than 64 dimensions");
    std::vector<std::int64_t> result;
    for (const PickleId id : tuple.items) {
      const PickleValue& item = document_[id];
      if (item.kind != Kind::kInt || item.number < 0) {
        return corrupt("its size or stride holds something else than integers >= 0");
      }
      result.push_back(item.number);
    }
    return result;
  }

  static Result<Bytes> view(const Storage& storage, std::uint64_t offset,
                            const std::vector<std::int64_t>& shape,
                            const std::vector<std::int64_t>& strides) {
    if (shape.size() != strides.size()) return corrupt("size and stride differ in rank");
    const std::optional<std::size_t> count = tensor_bytes(shape, 1);
    if (!count) return corrupt("the product of its shape overflows");
    if (offset > storage.elements || *count > storage.elements - offset) {
      return corrupt("its " + std::to_string(*count) + " elements at offset " +
                     std::to_string(offset) + " exceed its storage of " +
                     std::to_string(storage.elements));
    }
    std::int64_t run = 1;  // at most *count, so it cannot overflow
    for (std::size_t i = shape.size(); i-- > 0 && *count > 0;) {
      if (shape[i] != 1 && strides[i] != run) return unsupported("it is not contiguous");
      run *= shape[i];
    }
    const std::size_t width = storage.type.element_bytes;
    return storage.bytes.subspan(static_cast<std::size_t>(offset) * width, *count * width);
  }

  // The persistent id ('storage', type, key, location, element count).
  Result<Storage> storage_of(const PickleValue& value) const {
    if (value.kind != Kind::kPersistent) return corrupt("its storage is no persistent id");
    const PickleValue& id = document_[value.items[0]];
    if (id.kind != Kind::kTuple || id.items.size() != 5) {
      return corrupt("its storage id is not a tuple of 5");
    }
    const PickleValue& tag = document_[id.items[0]];
    const PickleValue& global = document_[id.items[1]];
    const PickleValue& key = document_[id.items[2]];
    const PickleValue& elements = document_[id.items[4]];
    if (tag.kind != Kind::kString || tag.text != "storage" || global.kind != Kind::kGlobal ||
        key.kind != Kind::kString || elements.kind != Kind::kInt || elements.number < 0) {
      return corrupt("its storage id is malformed");
    }
    for (const StorageType& type : kStorageTypes) {
      if (type.name != global.text) continue;
      return storage_member(type, key.text, static_cast<std::size_t>(elements.number));
    }
    return corrupt("its storage type is " + quote_name(global.text));
  }

  Result<Storage> storage_member(const StorageType& type, std::string_view key,
                                 std::size_t elements) const {
    if (key.size() > kMaxNameBytes) return corrupt("its storage key is too long");
    const auto member = members_.find(prefix_ + "data/" + std::string(key));
    if (member == members_.end())
      return corrupt("the archive lacks its storage " + quote_name(key));
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(elements, type.element_bytes, &bytes) ||
        bytes != member->second.size()) {
      return corrupt("storage " + quote_name(key) + " has " +
                     std::to_string(member->second.size()) + " bytes, not " +
                     std::to_string(elements) + " elements of " +
                     std::to_string(type.element_bytes));
    }
    return Storage{type, elements, member->second};
  }

  const PickleDocument& document_;
  const ZipDirectory& members_;
  std::string prefix_;  // "<archive name>/"
};

// torch.save names every member "<archive name>/…"; the name is arbitrary.
Result<std::string> find_prefix(const ZipDirectory& members) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::optional<std::string> prefix;
  for (const auto& [name, bytes] : members) {
    if (!name.ends_with(kPickle)) continue;
    const std::string_view archive = name.substr(0, name.size() - kPickle.size());
    if (archive.find('/') != std::string_view::npos) continue;
    if (prefix) return corrupt("two members are named data.pkl");
    prefix = std::string(archive) + "/";
  }
  if (!prefix) return corrupt("a zip archive without <name>/data.pkl: not written by torch.save");
  if (prefix->size() > kMaxNameBytes) return corrupt("the archive's name is too long");
  return *prefix;
}

Status check_layout(const ZipDirectory& members, const std::string& prefix) {
  if (const auto order = members.find(prefix + "byteorder"); order != members.end()) {
    if (text(order->second) != "little") {
      return unsupported("byteorder " + quote_name(text(order->second)) +
                         ": only little-endian files");
    }
  }
  const auto version = members.find(prefix + "version");
  if (version == members.end()) return corrupt("the archive has no version");
  int number = 0;
  for (const char c : text(version->second)) {
    if (c == '\n') break;
    if (c < '0' || c > '9' || number > kNewestVersion) {
      number = 0;
      break;
    }
    number = number * 10 + (c - '0');
  }
  if (number < 1 || number > kNewestVersion) {
    return unsupported("archive version " + quote_name(text(version->second), 20));
  }
  return {};
}

// The older form is a bare pickle (its first byte is the PROTO opcode); zip files begin with "PK".
Status check_not_legacy(Bytes file) {
  if (!file.empty() && file[0] == std::byte{0x80}) {
    return unsupported("legacy torch.save format: re-save with torch >= 1.6");
  }
  return {};
}

}  // namespace

Result<TensorMap> read_torch_bin(Bytes file) {
  BITCPM_TRY(check_not_legacy(file));
  BITCPM_ASSIGN(const ZipDirectory members, read_zip_directory(file));
  BITCPM_ASSIGN(const std::string prefix, find_prefix(members));
  BITCPM_TRY(check_layout(members, prefix));
  const std::vector<std::string_view> globals = accepted_globals();
  BITCPM_ASSIGN(const PickleDocument document,
                parse_pickle(members.at(prefix + "data.pkl"), globals));
  return StateDictReader(document, members, prefix).read();
}

}  // namespace bitcpm
