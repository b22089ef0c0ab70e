#include "io/pickle.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "base/quote.h"
#include "io/little_endian.h"

namespace bitcpm {
namespace {

using Kind = PickleValue::Kind;

constexpr std::size_t kMaxPickleBytes = std::size_t{32} << 20;
// A tensor of a state dict takes about 25 values; the stack holds at most a batch of 1000 items.
constexpr std::size_t kMaxValues = std::size_t{1} << 20;
constexpr std::size_t kMaxStack = std::size_t{1} << 16;
constexpr std::size_t kMaxMemo = std::size_t{1} << 20;
constexpr std::string_view kOrderedDict = "collections.OrderedDict";

enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNoneOp = 'N',
  kBinPersistentId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kBuild = 'b',
  kGlobalOp = 'c',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTupleOp = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

class PickleReader {
 public:
  PickleReader(std::span<const std::byte> pickle, std::span<const std::string_view> globals)
      : pickle_(pickle), globals_(globals) {}

  Result<PickleDocument> run() {
    if (pickle_.size() > kMaxPickleBytes) {
      return Error{Errc::kUnsupported, "pickle of " + std::to_string(pickle_.size()) +
                                           " bytes exceeds the limit of " +
                                           std::to_string(kMaxPickleBytes)};
    }
    for (bool first = true;; first = false) {
      opcode_at_ = at_;
      BITCPM_ASSIGN(const std::uint8_t opcode, take<std::uint8_t>());
      if (first && opcode != kProto) return corrupt("does not begin as a binary pickle");
      if (opcode == kStop) break;
      BITCPM_TRY(step(opcode));
    }
    BITCPM_ASSIGN(document_.root, pop());
    if (!stack_.empty() || !marks_.empty()) return corrupt("values left on the stack at its end");
    if (at_ != pickle_.size()) return corrupt("bytes after its end");
    return std::move(document_);
  }

 private:
  Status step(std::uint8_t opcode) {
    switch (opcode) {
      case kProto:
        return protocol();
      case kFrame:
        return take<std::uint64_t>().ok() ? Status() : Status(truncated());
      case kNoneOp:
        return push({.kind = Kind::kNone});
      case kNewTrue:
      case kNewFalse:
        return push({.kind = Kind::kBool, .number = opcode == kNewTrue});
      case kBinInt1:
        return integer<std::uint8_t, std::uint8_t>();
      case kBinInt2:
        return integer<std::uint16_t, std::uint16_t>();
      case kBinInt:
        return integer<std::uint32_t, std::int32_t>();
      case kLong1:
        return long_integer();
      case kBinFloat:
        return take<std::uint64_t>().ok() ? push({.kind = Kind::kFloat}) : Status(truncated());
      case kShortBinUnicode:
        return string<std::uint8_t>();
      case kBinUnicode:
        return string<std::uint32_t>();
      case kBinUnicode8:
        return string<std::uint64_t>();
      case kGlobalOp:
        return global_of_lines();
      case kStackGlobal:
        return global_of_stack();
      default:
        return step_on_stack(opcode);
    }
  }

  Status step_on_stack(std::uint8_t opcode) {
    switch (opcode) {
      case kMark:
        if (marks_.size() >= kMaxStack) return corrupt("too many marks");
        marks_.push_back(stack_.size());
        return {};
      case kEmptyTuple:
        return push({.kind = Kind::kTuple});
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return tuple_of(opcode - kTuple1 + std::size_t{1});
      case kTupleOp:
        return tuple_of_mark();
      case kEmptyDict:
        return push({.kind = Kind::kDict});
      case kSetItem:
        return set_items(2);
      case kSetItems:
        return set_items_of_mark();
      case kReduce:
        return call();
      case kBuild:
        return drop_state();
      case kBinPersistentId:
        return persistent();
      case kBinPut:
        return memoize_at(take<std::uint8_t>());
      case kLongBinPut:
        return memoize_at(take<std::uint32_t>());
      case kMemoize:
        return memoize(static_cast<std::uint32_t>(memo_.size()));
      case kBinGet:
        return recall(take<std::uint8_t>());
      case kLongBinGet:
        return recall(take<std::uint32_t>());
      default:
        return refuse_opcode(opcode);
    }
  }

  Error at_offset(Errc code, const std::string& what) const {
    return Error{code, "pickle, byte " + std::to_string(opcode_at_) + ": " + what};
  }
  Error corrupt(const std::string& what) const { return at_offset(Errc::kCorrupt, what); }
  Error truncated() const { return corrupt("truncated"); }

  Error refuse_opcode(std::uint8_t opcode) const {
    constexpr char kHex[] = "0123456789abcdef";
    std::string name = {'0', 'x', kHex[opcode >> 4], kHex[opcode & 15]};
    const char letter = static_cast<char>(opcode);
    return at_offset(Errc::kUnsupported, "opcode " + name + " (" + quote_name({&letter, 1}) +
                                             ") has no place in a state dict");
  }

  template <class T>
  Result<T> take() {
    if (pickle_.size() - at_ < sizeof(T)) return truncated();
    const T value = load_le<T>(pickle_, at_);
    at_ += sizeof(T);
    return value;
  }

  Result<std::string_view> take_text(std::uint64_t bytes) {
    if (bytes > pickle_.size() - at_) return truncated();
    const std::string_view text(reinterpret_cast<const char*>(pickle_.data() + at_),
                                static_cast<std::size_t>(bytes));
    at_ += text.size();
    return text;
  }

  Result<std::string_view> take_line() {
    const std::string_view rest(reinterpret_cast<const char*>(pickle_.data() + at_),
                                pickle_.size() - at_);
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return truncated();
    at_ += end + 1;
    return rest.substr(0, end);
  }

  Status push_id(PickleId id) {
    if (stack_.size() >= kMaxStack) return corrupt("the stack grows beyond its limit");
    stack_.push_back(id);
    return {};
  }

  Status push(PickleValue value) {
    if (document_.values.size() >= kMaxValues) return corrupt("more values than the limit");
    document_.values.push_back(std::move(value));
    return push_id(static_cast<PickleId>(document_.values.size() - 1));
  }

  // Values below the last mark are out of reach until the mark is taken.
  std::size_t reachable() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  Result<PickleId> pop() {
    if (reachable() == 0) return corrupt("takes a value from an empty stack");
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  Result<PickleId> pop(Kind kind, const char* what) {
    BITCPM_ASSIGN(const PickleId id, pop());
    if (document_[id].kind != kind) return corrupt(std::string("expected ") + what);
    return id;
  }

  Result<std::size_t> take_mark() {
    if (marks_.empty()) return corrupt("no mark on the stack");
    const std::size_t above = stack_.size() - marks_.back();
    marks_.pop_back();
    return above;
  }

  Status protocol() {
    BITCPM_ASSIGN(const std::uint8_t version, take<std::uint8_t>());
    if (version >= 2 && version <= 5) return {};
    return at_offset(Errc::kUnsupported, "pickle protocol " + std::to_string(version));
  }

  template <class Raw, class Signed>
  Status integer() {
    BITCPM_ASSIGN(const Raw raw, take<Raw>());
    return push({.kind = Kind::kInt, .number = static_cast<Signed>(raw)});
  }

  // Two's complement, little-endian, as many bytes as the file says; 8 hold every size we can use.
  Status long_integer() {
    BITCPM_ASSIGN(const std::uint8_t bytes, take<std::uint8_t>());
    BITCPM_ASSIGN(const std::string_view digits, take_text(bytes));
    if (bytes > 8) return corrupt("an integer of more than 64 bits");
    const bool negative = bytes > 0 && (static_cast<std::uint8_t>(digits.back()) & 0x80) != 0;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes; i-- > 0;) {
      value = (value << 8) | static_cast<std::uint8_t>(digits[i]);
    }
    return push({.kind = Kind::kInt, .number = static_cast<std::int64_t>(value)});
  }

  template <class Length>
  Status string() {
    BITCPM_ASSIGN(const Length bytes, take<Length>());
    BITCPM_ASSIGN(const std::string_view text, take_text(bytes));
    return push({.kind = Kind::kString, .text = text});
  }

  Status global_of_lines() {
    BITCPM_ASSIGN(const std::string_view module, take_line());
    BITCPM_ASSIGN(const std::string_view name, take_line());
    return global(module, name);
  }

  Status global_of_stack() {
    BITCPM_ASSIGN(const PickleId name, pop(Kind::kString, "the name of a global"));
    BITCPM_ASSIGN(const PickleId module, pop(Kind::kString, "the module of a global"));
    return global(document_[module].text, document_[name].text);
  }

  Status global(std::string_view module, std::string_view name) {
    for (const std::string_view known : globals_) {
      if (known.size() == module.size() + 1 + name.size() && known.starts_with(module) &&
          known[module.size()] == '.' && known.ends_with(name)) {
        return push({.kind = Kind::kGlobal, .text = known});
      }
    }
    return at_offset(Errc::kUnsupported, "global " + quote_name(module) + " " + quote_name(name) +
                                             " has no place in a state dict");
  }

  Status tuple_of(std::size_t count) {
    if (reachable() < count) return corrupt("takes a value from an empty stack");
    PickleValue tuple{.kind = Kind::kTuple};
    tuple.items.assign(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return push(std::move(tuple));
  }

  Status tuple_of_mark() {
    BITCPM_ASSIGN(const std::size_t count, take_mark());
    return tuple_of(count);
  }

  Status set_items(std::size_t count) {
    if (reachable() < count + 1) return corrupt("takes a value from an empty stack");
    if (count % 2 != 0) return corrupt("a key without a value");
    PickleValue& dict = document_.values[stack_[stack_.size() - count - 1]];
    if (dict.kind != Kind::kDict) return corrupt("sets an item of something else than a dict");
    dict.items.insert(dict.items.end(), stack_.end() - static_cast<std::ptrdiff_t>(count),
                      stack_.end());
    stack_.resize(stack_.size() - count);
    return {};
  }

  Status set_items_of_mark() {
    BITCPM_ASSIGN(const std::size_t count, take_mark());
    return set_items(count);
  }

  Status call() {
    BITCPM_ASSIGN(const PickleId arguments, pop(Kind::kTuple, "a tuple of arguments"));
    BITCPM_ASSIGN(const PickleId callable, pop(Kind::kGlobal, "a global to call"));
    if (document_[callable].text != kOrderedDict) {
      return push({.kind = Kind::kCall, .items = {callable, arguments}});
    }
    if (!document_[arguments].items.empty()) return corrupt("an OrderedDict with arguments");
    return push({.kind = Kind::kDict});
  }

  // Attributes of an OrderedDict, such as a state dict's _metadata.
  Status drop_state() {
    BITCPM_TRY(pop(Kind::kDict, "a dict of attributes"));
    BITCPM_ASSIGN(const PickleId object, pop(Kind::kDict, "an OrderedDict that has attributes"));
    return push_id(object);
  }

  Status persistent() {
    BITCPM_ASSIGN(const PickleId id, pop());
    return push({.kind = Kind::kPersistent, .items = {id}});
  }

  Status memoize(std::uint32_t slot) {
    if (reachable() == 0) return corrupt("remembers a value of an empty stack");
    if (memo_.size() >= kMaxMemo) return corrupt("remembers more values than the limit");
    memo_[slot] = stack_.back();
    return {};
  }

  template <class T>
  Status memoize_at(Result<T> slot) {
    if (!slot.ok()) return std::move(slot).error();
    return memoize(*slot);
  }

  template <class T>
  Status recall(Result<T> slot) {
    if (!slot.ok()) return std::move(slot).error();
    const auto found = memo_.find(*slot);
    if (found == memo_.end()) return corrupt("recalls a value that was never remembered");
    return push_id(found->second);
  }

  std::span<const std::byte> pickle_;
  std::span<const std::string_view> globals_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  PickleDocument document_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint32_t, PickleId> memo_;
};

}  // namespace

Result<PickleDocument> parse_pickle(std::span<const std::byte> pickle,
                                    std::span<const std::string_view> globals) {
  return PickleReader(pickle, globals).run();
}

}  // namespace bitcpm
