#pragma once

#include "kernels/shared/chunk.h"

// Field-packed weights decoded once for products with many tokens, written once over the
// decoded_bytes.h of the including level (neon/lane_bytes.h of Arm's), which has for codes and for
// 8-bit weights:
//   DecodedCodes, DecodedInt8   sixteen rows by four in-features
//     kFieldsAtOnce, kTokens      whose sums registers hold
//     put        stores them; the argument is bytes of codes, or what a form's field() returns
//     operand    loads them
//     Sums       sixteen sums of products: zero, or what start() begins with
//       add      those of four in-features with a quad, or with a line of Inputs: at most the ones
//                of kMostActGroup in-features and of the quads of their second plane
//       total    all of it; the argument is what start() was called with, or zero
//   Inputs       one plane of a token's codes: load() those of four in-features for each of kLines
//                lines of weights, line<i>() is what line i of them is multiplied by
namespace {

template <class Element>
struct DecodedWeights {
  Element lines[kMostLines][kFields];
};

template <size_t F = 0>
inline void put_codes(Bytes line, DecodedCodes (&out)[kFields]) {
  out[F].put(mask_bytes(line, 0x03030303u));
  if constexpr (F + 1 < kFields) put_codes<F + 1>(shift_right<2>(line), out);
}
inline void put_line(TernaryForm, const TernaryForm::Lines& lines, DecodedCodes (&out)[kFields]) {
  put_codes(load_bytes(lines.line), out);
}
// Form: Int8Form or ScreenForm.
template <class Form>
inline void put_line(Form, const typename Form::Lines& lines, DecodedInt8 (&out)[kFields]) {
#pragma GCC unroll 4
  for (size_t f = 0; f < kFields; ++f) out[f].put(Form::field(lines, f));
}

// One chunk of a panel.
template <class Form, class Element>
inline void decode_chunk(const typename Form::Weights& w, size_t panel, const Chunk& chunk,
                         DecodedWeights<Element>& out) {
  typename Form::Lines lines(w, panel, chunk.begin);
  for (size_t i = 0; i < chunk.size / 4; ++i, lines.next()) {
    lines.ask_ahead();
    put_line(Form{}, lines, out.lines[i]);
  }
}

}  // namespace
