#pragma once

#include "kernels/shared/decoded_tile.h"
#include "kernels/shared/install.h"

// Covers a range of panels and all tokens with products of decoded weights, where there are tokens
// enough for them.
namespace {

// body<T>() for T from Most down to 1.
template <size_t Most, class Body>
[[gnu::always_inline]] inline void each_size(const Body& body) {
  body.template operator()<Most>();
  if constexpr (Most > 1) each_size<Most - 1>(body);
}

// Panels [first, last) by all tokens.
template <class Form, class Element, ActForm Act>
void decoded_linear(const typename Form::Weights& w, size_t first, size_t last,
                    const QuantizedIo& io) {
  constexpr size_t kBlockTokens = 64;  // whose floats stay in the first-level cache
  DecodedWeights<Element> weights;
  alignas(64) float inner[kBlockTokens][kFieldRows];
  alignas(64) float totals[kBlockTokens][kFieldRows];
  for (size_t begin = 0; begin < io.tokens; begin += kBlockTokens) {
    const size_t tokens = io.tokens - begin < kBlockTokens ? io.tokens - begin : kBlockTokens;
    for (size_t panel = first; panel < last; ++panel) {
      for (size_t k = 0; k < w.cols; k += io.x.group) {
        const Chunk chunk = chunk_at(w, panel, k, io.x.group);
        decode_chunk<Form>(w, panel, chunk, weights);
        size_t t = 0;
        const auto tiles_of = [&]<size_t T>() __attribute__((always_inline)) {
          for (; t + T <= tokens; t += T) {
            decoded_tile<Form, Act, T>(w, panel, weights, chunk, io, begin + t, inner[t],
                                       totals[t]);
          }
        };
        each_size<Element::kTokens>(tiles_of);
      }
      copy_cut_panel(w, panel, io, begin, tokens, totals[0]);
    }
  }
}

// Tiles: those of install.h, and kLeastDecoded, from how many tokens on it pays to decode a
// weight apart from its first product.
template <class Tiles>
void any_ternary(const TernaryFields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.tokens < Tiles::kLeastDecoded) return few_ternary<Tiles>(w, first, last, io);
  if (io.x.form == ActForm::kInt16) {
    return decoded_linear<TernaryForm, DecodedCodes, ActForm::kInt16>(w, first, last, io);
  }
  decoded_linear<TernaryForm, DecodedCodes, ActForm::kInt8>(w, first, last, io);
}

template <class Form, class Tiles>
void any_bytes(const Int8Fields& w, size_t first, size_t last, const QuantizedIo& io) {
  if (io.tokens < Tiles::kLeastDecoded) return few_bytes<Form, Tiles>(w, first, last, io);
  decoded_linear<Form, DecodedInt8, ActForm::kInt8>(w, first, last, io);
}

// The products of bytes.
template <class Tiles>
inline void install_decoded(bitcpm::kernels::KernelTable& table) {
  table.ternary_fields = any_ternary<Tiles>;
  table.int8_fields = any_bytes<Int8Form, Tiles>;
  table.screen_fields = any_bytes<ScreenForm, Tiles>;
}

}  // namespace
