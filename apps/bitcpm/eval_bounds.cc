#include "eval_bounds.h"

#include <fmt/format.h>

#include "console.h"

namespace bitcpm {
namespace {

constexpr BoundFlag kBoundFlags[] = {
    {Bound::kMaxKl, "--max-kl", "Fail if the mean KL divergence exceeds this (nats)", false},
    {Bound::kMaxPplChange, "--max-ppl-change",
     "Fail if the perplexity changes by more than this share, either way: 0.005 is 0.5 %", false},
    {Bound::kMinCosine, "--min-cosine", "Fail if the mean cosine is below this", true},
    {Bound::kMinWorstCosine, "--min-worst-cosine", "Fail if the cosine of any token is below this",
     true},
    {Bound::kMaxMse, "--max-mse", "Fail if the mean squared error of a logit exceeds this", false},
    {Bound::kMaxAbs, "--max-abs", "Fail if any logit differs by more than this", false},
    {Bound::kMinTop1, "--min-top1", "Fail if fewer than this share of tokens agree in their top-1",
     true},
    {Bound::kMinTop5, "--min-top5", "Fail if less than this share of the top-5 is common", true}};

}  // namespace

std::span<const BoundFlag> bound_flags() { return kBoundFlags; }

std::vector<CheckedBound> check_bounds(const BoundLimits& limits,
                                       FunctionRef<double(Bound)> value_of) {
  std::vector<CheckedBound> checked;
  for (const BoundFlag& flag : kBoundFlags) {
    const auto& limit = limits[static_cast<std::size_t>(flag.bound)];
    if (limit) checked.push_back({&flag, *limit, value_of(flag.bound)});
  }
  return checked;
}

json::array bounds_json(std::span<const CheckedBound> checked) {
  json::array bounds;
  for (const CheckedBound& bound : checked) {
    bounds.push_back({{"flag", bound.flag->flag},
                      {"limit", bound.limit},
                      {"value", bound.value},
                      {"passed", bound.passed()}});
  }
  return bounds;
}

bool report_bounds(std::span<const CheckedBound> checked) {
  bool passed = true;
  for (const CheckedBound& bound : checked) {
    if (bound.passed()) continue;
    passed = false;
    print_note(fmt::format("{} {:.6g}: it is {:.6g}", bound.flag->flag, bound.limit, bound.value));
  }
  return passed;
}

}  // namespace bitcpm
