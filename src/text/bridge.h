#pragma once

#include <memory>
#include <string>

#include "textbridge.h"

namespace bitcpm {

// The bridge's text as ours; frees it.
inline std::string take(TbText text) {
  std::string copy(text.data, text.size);
  tb_text_free(text);
  return copy;
}

struct BridgeDelete {
  void operator()(TbTokenizer* tokenizer) const { tb_tokenizer_free(tokenizer); }
  void operator()(TbTemplate* tmpl) const { tb_template_free(tmpl); }
};

using BridgeTokenizer = std::unique_ptr<TbTokenizer, BridgeDelete>;
using BridgeTemplate = std::unique_ptr<TbTemplate, BridgeDelete>;

}  // namespace bitcpm
