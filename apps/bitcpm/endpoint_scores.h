#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "measure/echo_logprobs.h"
#include "measure/eval_texts.h"
#include "measure/greedy_texts.h"
#include "measure/http_client.h"
#include "text/tokenizer.h"

namespace bitcpm {

// Whose scores are wanted, and how it is asked.
struct Endpoint {
  HttpBase base;
  std::string model;
  std::string api_key;
  bool send_text = false;  // instead of ids
  int top_logprobs = 5;    // asked for per position
};

// Which token a server means by what it writes in its log-probabilities: "token_id:17", or a text
// that one token alone has.
class TokenSpellings {
 public:
  explicit TokenSpellings(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  TokenId find(std::string_view spelling);

 private:
  const Tokenizer& tokenizer_;
  std::unordered_map<std::string, TokenId> by_text_;  // made when a text comes
};

// What the server says of every window. With a progress bar. Errors: kIo, kCorrupt, kUnsupported,
// naming the server.
Result<std::vector<EchoScores>> ask_scores(const Endpoint& endpoint,
                                           std::span<const EvalWindow> windows,
                                           const Tokenizer& tokenizer);

// Where the server's greedy continuations part from `want`, which continue the first windows: token
// by token where it returns ids, else where the texts do. With a progress bar. Errors: as above.
Result<GreedyComparison> ask_greedy(const Endpoint& endpoint, std::span<const EvalWindow> windows,
                                    std::span<const GreedyText> want, const Tokenizer& tokenizer);

}  // namespace bitcpm
