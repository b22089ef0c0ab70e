#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/types.h"

namespace bitcpm {

// A completion of one token that echoes its prompt with log-probabilities, which is how any server
// of OpenAI's old completions scores a text. `prompt`: ids, or a text.
std::string echo_request(std::string_view model, json::value prompt);

// What such a completion says of its prompt: a log-probability for every token but the first.
// `prompt_tokens`: how many there must be; 0: as many as the server makes of the text, the
// generated token left out. Errors: kCorrupt (not such an answer), kUnsupported (it echoes
// nothing).
Result<std::vector<double>> parse_echo(const json::value& reply, std::size_t prompt_tokens);

}  // namespace bitcpm
