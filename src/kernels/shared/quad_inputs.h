#pragma once

// The Inputs of decoded_weights.h for levels whose products take a quad in every lane, which is
// loaded where it is used. Written once over the dot16.h of the including level.
namespace {

struct Inputs {
  static constexpr size_t kLines = 1;

  void load(const int8_t* at) { codes = at; }
  template <size_t>
  Bytes line() const {
    return load_quad(codes);
  }

  const int8_t* codes;
};

}  // namespace
