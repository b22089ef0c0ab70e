#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitcpm {

// What is promised about results (docs/numerics.md). Weights are lossless in both.
enum class Numerics : std::uint8_t {
  // Activations of ternary weights have one scale per token and weight group, 128 in-features at
  // most.
  kExact,  // and 16 bits; everything else is f32
  kFast,   // and 8 bits, few of them 9; so have the head's, whose weights are rounded to 8
};

std::string_view numerics_name(Numerics numerics);  // "exact", "fast"

// How far logits are from `exact` ones, over the positions of some texts.
struct Drift {
  double kl;          // mean KL divergence of the next-token distributions, in nats
  double ppl_change;  // perplexity / exact perplexity - 1
};

// Of the embedded model on 50 texts of WikiText-2 (9,228 positions); fast_golden_test measures it
// again and fails where these figures no longer hold.
inline constexpr Drift kFastDrift{.kl = 1.53e-4, .ppl_change = -7.7e-5};

// For the log: what the arithmetic is, and for `fast` its measured drift.
std::string describe_numerics(Numerics numerics);

}  // namespace bitcpm
