#pragma once

#include <string>
#include <vector>

#include "server/generation.h"
#include "server/openai_json.h"

namespace bitcpm {

// The server-sent events of a streamed answer but for [DONE]. Refers to both.
class StreamWriter {
 public:
  StreamWriter(const Generation& generation, const AnswerWriter& writer);

  // Of what the choices gained; "" if nothing of it can be shown yet.
  std::string events(const Generation::Deltas& deltas);
  std::string end() const;  // after the last ones: the usage, if asked for

 private:
  const Generation& generation_;
  const AnswerWriter& writer_;
  std::vector<bool> begun_;  // [choices]
};

}  // namespace bitcpm
