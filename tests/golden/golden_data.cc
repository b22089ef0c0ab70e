#include "golden_data.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"

namespace bitcpm::golden {
namespace {

std::filesystem::path source_dir() { return BITCPM_SOURCE_DIR; }

template <class T>
std::vector<T> numbers(const json::value& array) {
  std::vector<T> out;
  for (const json::value& entry : array.as_array()) {
    out.push_back(entry.is_null() ? T{} : json::value_to<T>(entry));
  }
  return out;
}

}  // namespace

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  BITCPM_CHECK(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<Prompt> load_prompts() {
  std::vector<Prompt> prompts;
  for (int id = 0; id < 30; ++id) {
    char name[32];
    std::snprintf(name, sizeof(name), "%02d.json", id);
    const json::value doc =
        parse_json(read_text((source_dir() / "tests/golden/prompts" / name).string())).value();
    prompts.push_back({.id = id,
                       .text = json::value_to<std::string>(doc.at("prompt")),
                       .ids = numbers<TokenId>(doc.at("prompt_ids")),
                       .prompt_logprobs = numbers<double>(doc.at("prompt_logprobs")),
                       .greedy_ids = numbers<TokenId>(doc.at("greedy_ids")),
                       .greedy_logprobs = numbers<double>(doc.at("greedy_logprobs")),
                       .greedy_text = json::value_to<std::string>(doc.at("greedy_text"))});
  }
  return prompts;
}

// NumPy format 1.0: magic, version, u16 header length, a Python dict literal with the shape, data.
Matrix load_matrix(const std::string& file) {
  const std::string bytes = read_text((source_dir() / "tests/golden" / file).string());
  BITCPM_CHECK(bytes.size() > 10 && bytes.compare(0, 6, "\x93NUMPY") == 0);
  std::uint16_t header_length = 0;
  std::memcpy(&header_length, bytes.data() + 8, 2);
  const std::string header = bytes.substr(10, header_length);
  BITCPM_CHECK(header.find("'<f4'") != std::string::npos);
  BITCPM_CHECK(header.find("'fortran_order': False") != std::string::npos);
  Matrix matrix;
  const std::size_t shape = header.find("'shape': (") + std::strlen("'shape': (");
  char* comma = nullptr;
  matrix.rows = std::strtoll(header.c_str() + shape, &comma, 10);
  matrix.cols = std::strtoll(comma + 1, nullptr, 10);
  matrix.values.resize(static_cast<std::size_t>(matrix.rows * matrix.cols));
  BITCPM_CHECK(bytes.size() == 10 + header_length + 4 * matrix.values.size());
  std::memcpy(matrix.values.data(), bytes.data() + 10 + header_length, 4 * matrix.values.size());
  return matrix;
}

ModelFiles embedded_model_files() {
  return ModelFiles::open_directory(source_dir() / "assets/bitcpm-tiny").value();
}

std::string wikitext2_path() {
  if (const char* path = std::getenv("BITCPM_WIKITEXT2")) return path;
  const std::filesystem::path beside =
      source_dir().parent_path() / "shared/data/wikitext-2-raw-test.jsonl";
  return std::filesystem::exists(beside) ? beside.string() : "";
}

}  // namespace bitcpm::golden
