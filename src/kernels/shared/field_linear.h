#pragma once

#include "kernels/shared/field_tile.h"

// Covers a range of panels and all tokens with tiles of integer products.
namespace {

// Panels [first, last) by all tokens, F fields and T tokens at a time; Lone fields for a token that
// is left alone, whose sums need company to hide their latency. A block of tokens small enough that
// their codes stay in the second-level cache; within it, a panel stays in the first for every tile
// of tokens.
template <class Form, size_t F, size_t T, size_t Lone, ActForm Act>
void field_blocks(const typename Form::Weights& w, size_t first, size_t last,
                  const QuantizedIo& io) {
  constexpr size_t kTokenBlock = 96;
  for (size_t begin = 0; begin < io.tokens; begin += kTokenBlock) {
    const size_t end = begin + kTokenBlock < io.tokens ? begin + kTokenBlock : io.tokens;
    for (size_t panel = first; panel < last; ++panel) {
      size_t token = begin;
      if constexpr (T > 1) {
        for (; token + T <= end; token += T) field_tile<Form, F, T, Act>(w, panel, io, token);
      }
      if constexpr (T > 2) {
        for (; token + 2 <= end; token += 2) field_tile<Form, F, 2, Act>(w, panel, io, token);
      }
      for (; token < end; ++token) field_tile<Form, Lone, 1, Act>(w, panel, io, token);
    }
  }
}

template <class Form, size_t F, size_t T, size_t Lone>
void field_linear(const typename Form::Weights& w, size_t first, size_t last,
                  const QuantizedIo& io) {
  field_blocks<Form, F, T, Lone, ActForm::kInt8>(w, first, last, io);
}

template <size_t F, size_t T, size_t Lone>
void ternary_fields(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.x.form == ActForm::kInt16) {
    return field_blocks<TernaryForm, F, T, Lone, ActForm::kInt16>(w, first, last, io);
  }
  field_blocks<TernaryForm, F, T, Lone, ActForm::kInt8>(w, first, last, io);
}

}  // namespace
