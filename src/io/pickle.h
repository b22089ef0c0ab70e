#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitcpm {

using PickleId = std::uint32_t;  // index into PickleDocument::values

// One object of a pickle, as data: a call is a node, not something that happened.
struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,  // its value is dropped: nothing here needs one
    kString,
    kTuple,       // items: the elements
    kDict,        // items: key, value, key, value …, in the order of the file
    kGlobal,      // text: "module.name"
    kCall,        // items: a kGlobal, a kTuple of arguments
    kPersistent,  // items: the persistent id
  };

  Kind kind = Kind::kNone;
  std::int64_t number = 0;     // kBool, kInt
  std::string_view text = {};  // kString: bytes of the pickle; kGlobal: one of `globals`
  std::vector<PickleId> items = {};
};

// Values refer to each other by id, in any way a hostile file likes: a dict may hold itself. Walk
// it to a fixed depth only.
struct PickleDocument {
  std::vector<PickleValue> values;
  PickleId root = 0;

  const PickleValue& operator[](PickleId id) const { return values[id]; }
};

// Reads a pickle of protocol 2 to 5 (docs.python.org/3/library/pickletools.html) as torch.save
// writes it for a state dict, and executes nothing: only opcodes that build None, booleans,
// numbers, strings, tuples and dicts, name one of `globals` ("module.name"), call one, or refer to
// a persistent id. A call of collections.OrderedDict without arguments is an empty dict; the
// object state that BUILD sets is dropped. Memory is bounded by a multiple of the pickle's size,
// itself at most 32 MiB. The document views `pickle` and `globals`.
// Errors: kCorrupt, kUnsupported (an opcode or a global that is not on the list, named); the
// message has the byte offset.
Result<PickleDocument> parse_pickle(std::span<const std::byte> pickle,
                                    std::span<const std::string_view> globals);

}  // namespace bitcpm
