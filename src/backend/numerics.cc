#include "backend/numerics.h"

#include <fmt/format.h>

namespace bitcpm {

std::string_view numerics_name(Numerics numerics) {
  return numerics == Numerics::kExact ? "exact" : "fast";
}

std::string describe_numerics(Numerics numerics) {
  if (numerics == Numerics::kExact) return "exact: lossless weights, 16-bit activations";
  return fmt::format(
      "fast: lossless weights, int8 activations, 8-bit head; KL {:.2e} and perplexity {:+.2f} % "
      "from exact on the built-in model",
      kFastDrift.kl, 100 * kFastDrift.ppl_change);
}

}  // namespace bitcpm
