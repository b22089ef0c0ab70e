#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "base/types.h"
#include "engine/engine.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace bitcpm {

// One request of the terminal commands: ids in, text out.
struct TextRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  std::vector<std::string> stop;  // the text ends before the first of them
};

struct TextResult {
  std::string text;
  std::vector<TokenId> token_ids;       // generated, an ending eos included
  std::vector<TokenLogprobs> logprobs;  // of token_ids, if asked for
  std::string_view finish_reason;       // "stop", "length" or, if given up, "abort"
  double prefill_seconds = 0;           // until the first token
  double decode_seconds = 0;            // from the first token to the last
};

// Called between events with the text that became certain, often none; false gives the request up.
using TextSink = FunctionRef<bool(std::string_view piece)>;

// Runs a request to its end, calling `sink` on this thread, at least every 50 ms.
// Errors: those of Engine::submit.
Result<TextResult> run_text(Engine& engine, const Tokenizer& tokenizer, const TextRequest& request,
                            TextSink sink);

}  // namespace bitcpm
