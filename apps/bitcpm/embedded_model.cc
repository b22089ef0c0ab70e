#include "embedded_model.h"

#include <cstddef>
#include <map>
#include <span>
#include <string>

// Begin and end of each file, from embedded_model.S.in.
extern "C" {
extern const std::byte bitcpm_config[], bitcpm_config_end[];
extern const std::byte bitcpm_generation_config[], bitcpm_generation_config_end[];
extern const std::byte bitcpm_model[], bitcpm_model_end[];
extern const std::byte bitcpm_tokenizer[], bitcpm_tokenizer_end[];
extern const std::byte bitcpm_tokenizer_config[], bitcpm_tokenizer_config_end[];
}

namespace bitcpm {

ModelFiles open_embedded_model() {
  std::map<std::string, std::span<const std::byte>, std::less<>> files;
  files["config.json"] = {bitcpm_config, bitcpm_config_end};
  files["generation_config.json"] = {bitcpm_generation_config, bitcpm_generation_config_end};
  files["model.safetensors"] = {bitcpm_model, bitcpm_model_end};
  files["tokenizer.json"] = {bitcpm_tokenizer, bitcpm_tokenizer_end};
  files["tokenizer_config.json"] = {bitcpm_tokenizer_config, bitcpm_tokenizer_config_end};
  return ModelFiles::from_memory(std::string(kEmbeddedModelName), std::move(files));
}

}  // namespace bitcpm
