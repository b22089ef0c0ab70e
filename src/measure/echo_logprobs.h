#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/json.h"
#include "base/result.h"
#include "base/types.h"
#include "measure/top_drift.h"

namespace bitcpm {

// A completion of one token that echoes its prompt with log-probabilities, its own and the `top`
// most likely ones, which is how any server of OpenAI's old completions scores a text. `prompt`:
// ids, or a text. Asks for tokens as ids, as vLLM spells them.
std::string echo_request(std::string_view model, json::value prompt, int top);

// What such a completion says of its prompt.
struct EchoScores {
  std::vector<double> logprobs;  // of prompt tokens 1, 2, …
  // Entry i: the most likely tokens in the place of logprobs[i], most likely first; then those of
  // the place after the prompt, if it was scored. Empty ones where the server gives none.
  std::vector<std::vector<TokenLogprob>> tops;
};

// The token that a server spells so; TokenLogprob::kUnknown if none or several could be meant.
using TokenOfSpelling = FunctionRef<TokenId(std::string_view)>;

// `prompt_tokens`: how many there must be; 0: as many as the server makes of the text, the
// generated token left out. Errors: kCorrupt (not such an answer), kUnsupported (it echoes
// nothing).
Result<EchoScores> parse_echo(const json::value& reply, std::size_t prompt_tokens,
                              TokenOfSpelling token_of);

// "token_id:17" is 17 in a vocabulary of at least 18; anything else is kUnknown.
TokenId token_of_id_spelling(std::string_view spelling, std::int32_t vocab_size);

}  // namespace bitcpm
