#include "server/stream_writer.h"

#include <optional>

#include "server/sse.h"

namespace bitcpm {

StreamWriter::StreamWriter(const Generation& generation, const AnswerWriter& writer)
    : generation_(generation), writer_(writer), begun_(generation.choices(), false) {}

std::string StreamWriter::events(const Generation::Deltas& deltas) {
  const PreparedRequest& request = generation_.request();
  const GenerationOptions& options = request.options;
  std::string events;
  for (const auto& [index, delta] : deltas) {
    const PreparedPrompt& prompt = generation_.prompt_of(index);
    std::optional<Usage> usage;
    if (options.continuous_usage_stats) usage = generation_.usage_of(index);
    const Usage* shown_usage = usage ? &*usage : nullptr;
    const std::vector<TokenId>* prompt_ids =
        options.return_token_ids && !begun_[index] ? &prompt.ids : nullptr;
    if (request.is_chat && !begun_[index]) {
      events += sse_event(writer_.role_chunk(index, prompt_ids, shown_usage));
      prompt_ids = nullptr;
    }
    begun_[index] = true;
    const bool says_nothing = delta.text.empty() && delta.finish_reason.empty() &&
                              delta.rows.empty() && delta.tool_calls.empty() &&
                              !options.return_token_ids;
    if (says_nothing) continue;  // in the middle of a character or of a stop string
    events += sse_event(writer_.delta_chunk(index, delta, prompt_ids, shown_usage));
  }
  return events;
}

std::string StreamWriter::end() const {
  if (!generation_.request().options.include_usage) return {};
  return sse_event(writer_.usage_chunk(generation_.usage()));
}

}  // namespace bitcpm
