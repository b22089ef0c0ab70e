#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "io/model_files.h"

// What an independent f32 reference computed with the embedded model (README.md here).
namespace bitcpm::golden {

struct Prompt {
  int id = 0;
  std::string text;
  std::vector<TokenId> ids;
  std::vector<double> prompt_logprobs;  // entry i is of ids[i]; entry 0 means nothing
  std::vector<TokenId> greedy_ids;
  std::vector<double> greedy_logprobs;
  std::string greedy_text;
};

// A NumPy float32 matrix.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;
};

// All of these abort on a missing or broken file: the goldens are part of the checkout.
std::vector<Prompt> load_prompts();
Matrix load_matrix(const std::string& file);  // relative to tests/golden
std::string read_text(const std::string& path);

// The embedded model's directory in this checkout.
ModelFiles embedded_model_files();

// Path of the WikiText-2 raw test split as one {"text"} per line, or empty where this machine has
// none: BITCPM_WIKITEXT2, else shared/data/ beside the checkout.
std::string wikitext2_path();

}  // namespace bitcpm::golden
