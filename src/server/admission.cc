#include "server/admission.h"

#include <algorithm>
#include <cmath>

namespace bitcpm {

void Admission::Ticket::resize(std::size_t places) {
  if (admission_ == nullptr || places == places_) return;
  if (places_ == 0) ++admission_->tickets_;
  if (places == 0) --admission_->tickets_;
  for (std::size_t i = places; i < places_; ++i) admission_->ended(Clock::now());
  admission_->occupied_ += places - places_;  // modulo 2^n
  places_ = places;
}

void Admission::set_capacity(std::size_t capacity, std::size_t running) {
  capacity_ = capacity;
  running_ = running;
}

Admission::Ticket Admission::enter() { return Ticket(this); }

void Admission::ended(Clock::time_point when) { ends_[ends_count_++ % kRemembered] = when; }

int Admission::retry_after_s(Clock::time_point now) const {
  constexpr double kMost = 60;
  const std::size_t known = std::min(ends_count_, kRemembered);
  if (known == 0) return 1;
  const Clock::time_point oldest = ends_[ends_count_ > kRemembered ? ends_count_ % kRemembered : 0];
  const std::chrono::duration<double> span = now - oldest;
  const double waiting = occupied_ > running_ ? static_cast<double>(occupied_ - running_) : 1.0;
  const double seconds = waiting / 2 * span.count() / static_cast<double>(known);
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, kMost));
}

}  // namespace bitcpm
