#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/logits_scan.h"
#include "base/types.h"

namespace bitcpm {

// Which tokens of a row of logits may be drawn, by min_p, top_k and top_p in that order, and the
// draw itself. Tokens rank by logit, equal ones by ascending id; every filter keeps the first so
// many. No filter sorts the row: passes over it count what lies above a few thresholds until few
// enough are left to be looked at one by one. One per thread.
class TokenFilter {
 public:
  struct Candidate {
    float logit;
    float weight;  // exp((logit - largest) / temperature)
    TokenId token;
  };
  static bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }

  // Up to this many tokens are kept as a list, whatever row they came from.
  static constexpr std::size_t kMostListed = 2048;

  TokenFilter(const LogitsScan& scan, std::size_t vocab_size);

  // Begins a row, of which all but NaN and minus infinity is kept. logits: [vocab]; maxima: of
  // their blocks (LogitsScan::maxima()), the largest finite; both are read until the last call for
  // this row. temperature > 0
  void start(std::span<const float> logits, std::span<const float> maxima, float temperature);

  void keep_min_p(float min_p);        // weights of at least min_p, in (0, 1]
  void keep_top_k(std::size_t top_k);  // >= 1
  void keep_top_p(double top_p);       // the fewest that have top_p of the weight, in (0, 1)

  // The token at which the weights, added up by ascending id, pass `uniform` (in [0, 1)) of them.
  TokenId draw(double uniform);

  // What is kept, by ascending id; only where that is at most kMostListed, as after such a top_k.
  std::span<const Candidate> list();

  // Writes logit / temperature where a token is kept and minus infinity elsewhere. out: [vocab]
  void write_kept(std::span<float> out) const;

 private:
  struct Bracket;
  enum class Measure : std::uint8_t { kCount, kMass };

  void weigh();
  double kept_mass();
  void keep_first(double goal, Measure measure);
  void narrow(Bracket& bracket, double goal, Measure measure);
  static double measured(std::size_t count, double mass, Measure measure);
  bool place_probes(const Bracket& bracket, double goal, Measure measure, int round);
  void cut_between(const Bracket& bracket, double goal, Measure measure);
  bool list_first(std::size_t top_k);
  void make_list(float least);
  void list_indices(std::size_t count);
  void fill_candidates(std::size_t count);

  const LogitsScan& scan_;
  std::span<const float> logits_;
  std::span<const float> maxima_;
  float largest_ = 0;
  float temperature_ = 1;
  double total_ = 0;               // of what keep_first() measures
  float threshold_ = 0;            // kept: logits of at least this, unless excluded
  std::vector<TokenId> excluded_;  // of the threshold itself, but ranked too low; weight 0
  bool weighed_ = false;           // weights_ and sums_ are those of the row
  bool listed_ = false;            // candidates_ is what is kept
  std::vector<float> weights_;     // [padded vocab]
  std::vector<float> sums_;        // [blocks]
  std::array<LogitsProbe, LogitsScan::kProbes> probes_;
  std::vector<std::int32_t> indices_;  // [vocab] scratch
  std::vector<float> ranked_maxima_;   // [blocks] scratch
  std::vector<Candidate> candidates_;
  std::vector<float> gathered_;  // scratch: logits and weights of candidates_
  std::vector<float> gathered_sums_;
};

}  // namespace bitcpm
