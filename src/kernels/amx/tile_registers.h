#pragma once

#include <stddef.h>
#include <stdint.h>

// The eight tile registers of AMX, each up to 16 rows of 64 bytes. In assembler, since GCC 12's
// intrinsics do not tell the compiler which memory they read and write.
namespace {

constexpr size_t kTileRows = 16;
constexpr size_t kTileRowBytes = 64;
constexpr size_t kTileRegisters = 8;

// The operand of ldtilecfg.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(size_t tile, size_t tile_rows, size_t bytes) {
    rows[tile] = static_cast<uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

inline void configure_tiles(const TileConfig& config) {
  asm volatile("ldtilecfg %0" ::"m"(config));
}
// Released, tiles cost a switch of threads nothing.
inline void release_tiles() { asm volatile("tilerelease"); }

// Rows are `stride` bytes apart.
template <int Tile>
inline void tile_load(const void* p, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}
// The same for memory that will have left the first-level cache before it is wanted again: it does
// not push out what stays.
template <int Tile>
inline void tile_load_once(const void* p, size_t stride) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void tile_store(void* p, size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}

// sums[m][n] += sum_k a[m][k] b[k][n] over signed bytes; b holds four k of one n together.
template <int Sums, int A, int B>
inline void tile_dot() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
}
// sums[m][n] += even k of a[m][k] b[k][n] + odd ones, in f32; b holds two k of one n together.
template <int Sums, int A, int B>
inline void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
}

}  // namespace
