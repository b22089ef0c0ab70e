#include <gtest/gtest.h>

#include <vector>

#include "kernels/table.h"

namespace {
std::vector<const void*>& asked() {
  static std::vector<const void*> addresses;
  return addresses;
}
void prefetch(const void* p) { asked().push_back(p); }
}  // namespace

#include "kernels/shared/attention_ahead.h"

namespace bitcpm::kernels {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kBytes = 4 * kLine;  // of one head's keys in a block
constexpr std::size_t kStride = 10 * kBytes;

// Two sequences in one cache, whose ids go up and down.
struct Cache {
  std::vector<char> memory = std::vector<char>(40 * kStride);
  std::vector<std::int32_t> ids, others;
  const char* keys = memory.data() + kBytes;
  const char* values = memory.data() + 5 * kBytes;

  Cache() {
    for (std::int32_t i = 0; i < 12; ++i) ids.push_back(3 * i);
    for (std::int32_t i = 0; i < 3; ++i) others.push_back(38 - i);
  }

  AttentionArgs args(KvBlocks next) const {
    AttentionArgs a{};
    a.k_blocks = keys;
    a.v_blocks = values;
    a.block_stride = kStride;
    a.head_bytes = kBytes;
    a.block_ids = ids.data();
    a.next = next;
    return a;
  }
};

// Every line of blocks ids[0 ...], a line of each in turns.
void expect_lines(std::vector<const void*>& out, const char* base, const std::int32_t* ids,
                  std::size_t count) {
  for (std::size_t at = 0; at < kBytes; at += kLine) {
    for (std::size_t b = 0; b < count; ++b) {
      out.push_back(base + static_cast<std::size_t>(ids[b]) * kStride + at);
    }
  }
}

// Protects: what is asked for is what will be read, once, in turns, and nothing else: no bit shows
// it otherwise. Inside a part, where the next chunk is cut, at the part's end with and without
// something to follow.
TEST(ChunkAhead, AsksForWhatComesNextInTurns) {
  const Cache cache;
  const KvBlocks other{cache.keys, cache.values, cache.others.data(), cache.others.size()};
  struct Case {
    std::size_t begin, end;
    KvBlocks next;
    const std::int32_t* ids;
    std::size_t count;
  };
  const Case cases[] = {{0, 12 * 32, {}, cache.ids.data() + 4, 4},
                        {kChunk, 9 * 32 + 5, {}, cache.ids.data() + 8, 2},
                        {kChunk, 2 * kChunk, {}, nullptr, 0},
                        {0, 17, other, cache.others.data(), 3},
                        {2 * kChunk, 12 * 32, other, cache.others.data(), 3}};
  for (const Case& c : cases) {
    for (const bool many_rows : {false, true}) {
      std::vector<const void*> want;
      if (many_rows) {
        const std::size_t left = (c.end - 1) / 32 + 1 - c.begin / 32;
        expect_lines(want, cache.values, cache.ids.data() + c.begin / 32,
                     left < kChunkBlocks ? left : kChunkBlocks);
        expect_lines(want, cache.keys, c.ids, c.count);
      } else {
        expect_lines(want, cache.keys, c.ids, c.count);
        expect_lines(want, cache.values, c.ids, c.count);
      }
      asked().clear();
      ChunkAhead ahead(cache.args(c.next), c.begin, c.end, many_rows);
      ahead.ask(3);
      ahead.ask_rest();
      ahead.ask();
      EXPECT_EQ(asked(), want) << c.begin << " to " << c.end << (many_rows ? ", many rows" : "");
    }
  }
}

}  // namespace
}  // namespace bitcpm::kernels
