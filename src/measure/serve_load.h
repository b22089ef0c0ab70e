#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"
#include "measure/http_client.h"
#include "measure/serve_metrics.h"

namespace bitcpm {

// One prompt of a load.
struct LoadPrompt {
  std::string text;
  std::size_t tokens = 0;  // as the sender counts them; the server's own count wins
  std::size_t output_tokens = 128;
};

// Prompts of a JSONL file in the form of vLLM's custom dataset: an object per line with "prompt"
// and perhaps "output_tokens". Errors: kCorrupt, naming the line; kInvalid (none).
Result<std::vector<LoadPrompt>> parse_prompts(std::string_view jsonl, std::size_t output_tokens);

// How prompts become requests.
struct LoadStyle {
  std::string model;
  bool is_chat = false;     // /v1/chat/completions, the prompt as the user's message
  bool ignore_eos = false;  // every answer has its full length; not every server knows the field
  double temperature = 0;
  std::string api_key;
};

HttpRequest make_load_request(const LoadPrompt& prompt, const LoadStyle& style);

struct LoadResult {
  std::vector<RequestOutcome> outcomes;  // as many as prompts; what was given up is an error
  double duration = 0;                   // seconds, from the first request to the last end
};

// Sends the prompts as the schedule says and times what streams back. `progress` gets the requests
// that have ended, about ten times a second; false gives up the rest. Errors: run_load()'s.
Result<LoadResult> run_serve_load(const HttpBase& base, const std::vector<LoadPrompt>& prompts,
                                  const LoadStyle& style, const LoadSchedule& schedule,
                                  FunctionRef<bool(std::size_t ended)> progress);

}  // namespace bitcpm
