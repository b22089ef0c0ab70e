#pragma once

// What the tiles of all weight forms share. A tile is P panels of 16 rows by T tokens; every (row,
// token) has its own chain of operations, so neither P nor T nor the place in a tile shows in the
// result.
namespace {

using bitcpm::kernels::kAccumulationBlock;
using bitcpm::kernels::kPanelRows;
using bitcpm::kernels::LinearIo;

// Stores a panel's 16 sums, or as many as the matrix has rows.
template <class Io>
inline void store_rows(const Io& io, size_t rows, size_t panel, size_t token, F16x sums) {
  const size_t row = panel * kPanelRows;
  float* y = io.y + token * io.ldy + row;
  if (row + kPanelRows <= rows) {
    store(y, sums);
    return;
  }
  float all[kPanelRows];
  store(all, sums);
  for (size_t r = 0; row + r < rows; ++r) y[r] = all[r];
}

}  // namespace
