#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/function_ref.h"

namespace bitcpm {

// Finds the data of server-sent events in a body that comes in pieces (WHATWG HTML, section 9.2):
// OpenAI's servers write one "data: ..." line per event.
class EventLines {
 public:
  static constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;

  // Calls `use` with every data line that is complete. False: a line exceeds kMaxLineBytes.
  bool push(std::string_view piece, FunctionRef<void(std::string_view data)> use) {
    for (;;) {
      const std::size_t end = piece.find('\n');
      rest_ += piece.substr(0, end);
      if (rest_.size() > kMaxLineBytes) return false;
      if (end == std::string_view::npos) return true;
      use_line(use);
      rest_.clear();
      piece.remove_prefix(end + 1);
    }
  }

 private:
  void use_line(FunctionRef<void(std::string_view data)> use) const {
    std::string_view line = rest_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with("data:")) return;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    use(line);
  }

  std::string rest_;
};

}  // namespace bitcpm
