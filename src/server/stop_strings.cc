#include "server/stop_strings.h"

#include <algorithm>
#include <utility>

namespace bitcpm {

StopStrings::StopStrings(const std::vector<std::string>& stops, bool include_match)
    : include_match_(include_match) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    Automaton automaton{stop, std::vector<std::size_t>(stop.size(), 0), 0};
    std::size_t border = 0;
    for (std::size_t i = 1; i < stop.size(); ++i) {
      while (border > 0 && stop[i] != stop[border]) border = automaton.fallback[border - 1];
      if (stop[i] == stop[border]) ++border;
      automaton.fallback[i] = border;
    }
    automata_.push_back(std::move(automaton));
  }
}

bool StopStrings::advance(Automaton& automaton, char byte) {
  std::size_t& matched = automaton.matched;
  while (matched > 0 && automaton.pattern[matched] != byte) {
    matched = automaton.fallback[matched - 1];
  }
  if (automaton.pattern[matched] == byte) ++matched;
  return matched == automaton.pattern.size();
}

std::string StopStrings::push(std::string_view piece) {
  if (match_) return {};
  if (automata_.empty()) return std::string(piece);
  for (const char byte : piece) {
    held_.push_back(byte);
    for (Automaton& automaton : automata_) {
      if (advance(automaton, byte) && !match_) match_ = automaton.pattern;
    }
    if (match_) {
      if (!include_match_) held_.resize(held_.size() - match_->size());
      return std::exchange(held_, {});
    }
  }
  std::size_t keep = 0;
  for (const Automaton& automaton : automata_) keep = std::max(keep, automaton.matched);
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace bitcpm
