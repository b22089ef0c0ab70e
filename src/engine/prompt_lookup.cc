#include "engine/prompt_lookup.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "engine/speculation.h"

namespace bitcpm {
namespace {

constexpr std::int32_t kNowhere = -1;
// Places looked at per call: in a text that repeats itself endlessly, every place is a candidate.
constexpr int kMaxCandidates = 64;

}  // namespace

PromptLookup::PromptLookup(std::int32_t min_match, std::int32_t max_match, std::int32_t longest)
    : min_match_(static_cast<std::size_t>(min_match)),
      max_match_(static_cast<std::size_t>(max_match)),
      indexed_(min_match_),
      latest_(std::bit_ceil(static_cast<std::size_t>(longest) + 1), kNowhere),
      earlier_(static_cast<std::size_t>(longest) + 1, kNowhere) {
  BITCPM_CHECK(min_match > 0 && max_match >= min_match && longest > 0);
  found_.reserve(SpeculationConfig::kMaxTokens);
}

std::span<const TokenId> PromptLookup::find(std::span<const TokenId> tokens, std::int32_t count) {
  BITCPM_CHECK(tokens.size() < earlier_.size());
  // The end itself is entered with the next call: a place must have something that follows.
  for (; indexed_ < tokens.size(); ++indexed_) {
    std::int32_t& latest = latest_[bucket_of(tokens, indexed_)];
    earlier_[indexed_] = std::exchange(latest, static_cast<std::int32_t>(indexed_));
  }
  if (tokens.size() <= min_match_) return {};
  std::size_t best = 0;
  std::size_t best_length = min_match_ - 1;
  std::int32_t place = latest_[bucket_of(tokens, tokens.size())];
  for (int i = 0; place != kNowhere && i < kMaxCandidates && best_length < max_match_; ++i) {
    const auto end = static_cast<std::size_t>(place);
    if (const std::size_t length = match_length(tokens, end); length > best_length) {
      best = end;
      best_length = length;
    }
    place = earlier_[end];
  }
  if (best == 0) return {};
  const std::size_t period = tokens.size() - best;
  found_.clear();
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    found_.push_back(i < period ? tokens[best + i] : found_[i - period]);
  }
  return found_;
}

// Of the min_match tokens before `end`: FNV-1a (Fowler, Noll, Vo) over whole tokens.
std::size_t PromptLookup::bucket_of(std::span<const TokenId> tokens, std::size_t end) const {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const TokenId token : tokens.subspan(end - min_match_, min_match_)) {
    hash = (hash ^ static_cast<std::uint64_t>(token)) * 0x100000001b3u;
  }
  return static_cast<std::size_t>(hash ^ (hash >> 32)) & (latest_.size() - 1);
}

std::size_t PromptLookup::match_length(std::span<const TokenId> tokens, std::size_t end) const {
  const std::size_t most = std::min(max_match_, end);
  std::size_t length = 0;
  while (length < most && tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) ++length;
  return length;
}

}  // namespace bitcpm
