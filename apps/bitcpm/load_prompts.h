#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "measure/serve_load.h"
#include "text/tokenizer.h"

namespace bitcpm {

// Prompts of random words, as `vllm bench serve --dataset-name random` makes them.
struct RandomPrompts {
  std::int64_t count = 100;
  std::int64_t input_len = 128;  // tokens, before the prefix
  std::int64_t output_len = 128;
  double range_ratio = 0;       // lengths vary uniformly by this share, both ways
  std::int64_t prefix_len = 0;  // tokens that come first
  double prefix_share = 1;      // of prompts that begin with the same prefix; the others have one
                                // of their own
  unsigned seed = 0;
};

// The lengths are the tokenizer's, to within a token or two at the seams. Errors: the tokenizer's.
Result<std::vector<LoadPrompt>> random_prompts(const Tokenizer& tokenizer,
                                               const RandomPrompts& options);

}  // namespace bitcpm
