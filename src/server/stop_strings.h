#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitcpm {

// Finds the first stop string in a text that arrives in pieces, and holds back what could be the
// beginning of one. The match is the one that ends first (of several ending together the one named
// first), so the result does not depend on how the text was cut. One automaton per string (Knuth,
// Morris, Pratt 1977): constant time per byte, whatever the strings.
// Text and strings are UTF-8; pieces end at character boundaries, and so does what comes out.
class StopStrings {
 public:
  // Empty strings are ignored. include_match: the text ends after the match instead of before.
  StopStrings(const std::vector<std::string>& stops, bool include_match);

  // The text that is now certain. After a match: nothing more.
  std::string push(std::string_view piece);
  std::string finish();  // the text ended: what was held back

  // The stop string that was found.
  const std::optional<std::string>& match() const { return match_; }

 private:
  struct Automaton {
    std::string pattern;
    std::vector<std::size_t> fallback;  // [pattern.size()] length of the longest proper border
    std::size_t matched = 0;            // bytes of the pattern the text ends with
  };
  static bool advance(Automaton& automaton, char byte);

  std::vector<Automaton> automata_;
  bool include_match_;
  std::string held_;
  std::optional<std::string> match_;
};

}  // namespace bitcpm
