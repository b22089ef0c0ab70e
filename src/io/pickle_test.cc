#include "io/pickle.h"

#include <gtest/gtest.h>

#include <string>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

using Kind = PickleValue::Kind;
using namespace std::string_literals;

constexpr std::string_view kGlobals[] = {"collections.OrderedDict", "torch.FloatStorage"};

// `body` between PROTO 2 and STOP; the std::string must outlive the document.
std::string pickle_of(const std::string& body) { return "\x80\x02" + body + "."; }

// Protects: every accepted opcode builds the value that Python would.
TEST(Pickle, BuildsValues) {
  struct Case {
    const char* name;
    std::string body;
    Kind kind;
    std::int64_t number;
    std::size_t items;
  };
  const Case kCases[] = {
      {"None", "N", Kind::kNone, 0, 0},
      {"True", "\x88", Kind::kBool, 1, 0},
      {"BININT1", "K\xff", Kind::kInt, 255, 0},
      {"BININT2", "M\xff\xff", Kind::kInt, 65535, 0},
      {"BININT", "J\xfe\xff\xff\xff", Kind::kInt, -2, 0},
      {"LONG1 of nothing", "\x8a\0"s, Kind::kInt, 0, 0},
      {"LONG1, negative", "\x8a\x01\xff", Kind::kInt, -1, 0},
      {"LONG1, 2^32", "\x8a\x05\0\0\0\0\x01"s, Kind::kInt, std::int64_t{1} << 32, 0},
      {"BINFLOAT", "G\0\0\0\0\0\0\0\0"s, Kind::kFloat, 0, 0},
      {"string", "X\x02\0\0\0hi"s, Kind::kString, 0, 0},
      {"short string", "\x8c\x02hi", Kind::kString, 0, 0},
      {"long string", "\x8d\x02\0\0\0\0\0\0\0hi"s, Kind::kString, 0, 0},
      {"tuple of a mark", "(NNNNt", Kind::kTuple, 0, 4},
      {"TUPLE3", "NNN\x87", Kind::kTuple, 0, 3},
      {"dict", "}K\1K\2s", Kind::kDict, 0, 2},
      {"SETITEMS", "}(K\1K\2K\3K\4u", Kind::kDict, 0, 4},
      {"global", "ctorch\nFloatStorage\n", Kind::kGlobal, 0, 0},
      {"stack global",
       "\x8c\5torch\x8c\x0c"
       "FloatStorage\x93",
       Kind::kGlobal, 0, 0},
      {"OrderedDict()", "ccollections\nOrderedDict\n)R", Kind::kDict, 0, 0},
      {"OrderedDict with attributes", "ccollections\nOrderedDict\n)R}b", Kind::kDict, 0, 0},
      {"call", "ctorch\nFloatStorage\n(NtR", Kind::kCall, 0, 2},
      {"persistent id", "K\7Q", Kind::kPersistent, 0, 1},
      {"memo", "K\7q\0K\1h\0\x87"s, Kind::kTuple, 0, 3},
      {"long memo", "K\7r\1\0\0\0K\1j\1\0\0\0\x87"s, Kind::kTuple, 0, 3},
      {"MEMOIZE", "K\7\x94K\1h\0\x87"s, Kind::kTuple, 0, 3},
      {"a dict that holds itself", "}q\0K\1h\0s"s, Kind::kDict, 0, 2},
  };
  for (const Case& c : kCases) {
    const std::string pickle = pickle_of(c.body);
    const auto document = parse_pickle(as_bytes(pickle), kGlobals);
    ASSERT_TRUE(document.ok()) << c.name << ": " << document.error().message;
    const PickleValue& root = (*document)[document->root];
    EXPECT_EQ(root.kind, c.kind) << c.name;
    EXPECT_EQ(root.number, c.number) << c.name;
    EXPECT_EQ(root.items.size(), c.items) << c.name;
    EXPECT_EQ(root.text, root.kind == Kind::kString   ? "hi"
                         : root.kind == Kind::kGlobal ? "torch.FloatStorage"
                                                      : "")
        << c.name;
  }
}

// Protects: items of a tuple and a dict keep their order.
TEST(Pickle, KeepsOrder) {
  const std::string pickle = pickle_of("K\1K\2K\3\x87");
  const auto document = parse_pickle(as_bytes(pickle), kGlobals);
  ASSERT_TRUE(document.ok());
  const PickleValue& root = (*document)[document->root];
  for (int i = 0; i < 3; ++i) EXPECT_EQ((*document)[root.items[i]].number, i + 1);
}

// Protects: what could run code, exhaust memory or confuse the stack ends in one line.
TEST(Pickle, RefusesHostilePickles) {
  const std::string setup = "ccollections\nOrderedDict\n";
  struct Case {
    const char* name;
    std::string pickle;
    const char* reason;
  };
  const Case kCases[] = {
      {"empty", "", "byte 0: truncated"},
      {"protocol 0", "I1\n.", "does not begin as a binary pickle"},
      {"protocol 9", "\x80\x09N.", "pickle protocol 9"},
      {"no STOP", "\x80\x02N", "byte 3: truncated"},
      {"bytes after STOP", pickle_of("N") + "N", "bytes after its end"},
      {"nothing on the stack", pickle_of(""), "empty stack"},
      {"two values left", pickle_of("NN"), "values left on the stack"},
      {"a mark left", pickle_of("N("), "empty stack"},
      {"os.system", pickle_of("cos\nsystem\n(X\2\0\0\0idtR"s), "global 'os' 'system'"},
      {"builtins.eval by stack",
       pickle_of("\x8c\x08"
                 "builtins\x8c\4eval\x93"),
       "global 'builtins' 'eval'"},
      {"prefix of an accepted global", pickle_of("ctorch\nFloat\n"), "global 'torch' 'Float'"},
      {"module of line noise", pickle_of("c\x1b[31m\nx\n"), "global '\\x1b[31m' 'x'"},
      {"huge global", pickle_of("c" + std::string(100000, 'm') + "\nx\n"), "mmm...' 'x'"},
      {"global without end",
       "\x80\x02"
       "ctorch",
       "truncated"},
      {"INST", pickle_of("(ios\nsystem\n"), "opcode 0x69 ('i')"},
      {"OBJ", pickle_of("(" + setup + "o"), "opcode 0x6f ('o')"},
      {"NEWOBJ", pickle_of(setup + ")\x81"), "opcode 0x81 ('\\x81')"},
      {"EXT1", pickle_of("\x82\1"), "opcode 0x82"},
      {"textual PERSID", pickle_of("P1\n"), "opcode 0x50 ('P')"},
      {"list", pickle_of("]"), "opcode 0x5d (']')"},
      {"unknown opcode", pickle_of("\xff"), "opcode 0xff"},
      {"NUL as opcode", pickle_of("\0"s), "opcode 0x00"},
      {"string longer than the file", pickle_of("X\xff\xff\xff\xffhi"), "truncated"},
      {"64-bit string length", pickle_of("\x8d\xff\xff\xff\xff\xff\xff\xff\xffhi"), "truncated"},
      {"integer of 72 bits",
       pickle_of("\x8a\x09"
                 "123456789"),
       "more than 64 bits"},
      {"tuple of too few", pickle_of("N\x86"), "empty stack"},
      {"tuple through a mark", pickle_of("N(N\x86"), "empty stack"},
      {"tuple without a mark", pickle_of("Nt"), "no mark"},
      {"item without a dict", pickle_of("NNNs"), "something else than a dict"},
      {"key without a value", pickle_of("}(Nu"), "a key without a value"},
      {"items through a mark", pickle_of("}(NNs"), "empty stack"},
      {"call of a number", pickle_of("K\1)R"), "expected a global to call"},
      {"call without a tuple", pickle_of(setup + "NR"), "expected a tuple of arguments"},
      {"OrderedDict with arguments", pickle_of(setup + "(NtR"), "OrderedDict with arguments"},
      {"attributes of a tuple", pickle_of(")}b"), "expected an OrderedDict"},
      {"attributes that are no dict", pickle_of("}Nb"), "expected a dict of attributes"},
      {"memo of nothing", pickle_of("q\0"s), "remembers a value of an empty stack"},
      {"memo never set", pickle_of("Nh\7"), "never remembered"},
      {"deep stack", pickle_of(std::string(70000, 'N')), "beyond its limit"},
      {"deep marks", pickle_of(std::string(70000, '(')), "too many marks"},
      {"too many values", pickle_of([] {
         std::string body = "}";
         for (int i = 0; i < 1 << 19; ++i) body += "NNs";
         return body;
       }()),
       "more values than the limit"},
      {"too long", pickle_of(std::string(33 << 20, 'N')), "exceeds the limit"},
  };
  for (const Case& c : kCases) {
    expect_refused(parse_pickle(as_bytes(c.pickle), kGlobals), c.reason, c.name);
  }
}

}  // namespace
}  // namespace bitcpm
