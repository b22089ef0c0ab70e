#include "server/event_mailbox.h"

#include <boost/asio/post.hpp>
#include <exception>

#include "base/log.h"

namespace bitcpm {

namespace {

// A hundred steps of the largest request; and more than all log-probabilities that one may ask for.
constexpr std::size_t kMaxHeldEvents = std::size_t{1} << 17;
constexpr std::size_t kMaxHeldBytes = std::size_t{64} << 20;

std::size_t bytes_of(const TokenLogprobs& logprobs) {
  return sizeof logprobs + logprobs.top.size() * sizeof(TokenLogprobs::Entry);
}

std::size_t bytes_of(const EngineEvent& event) {
  std::size_t sum = sizeof(EventMailbox::Item);
  if (event.logprobs) sum += bytes_of(*event.logprobs);
  for (const TokenLogprobs& logprobs : event.prompt_logprobs) sum += bytes_of(logprobs);
  return sum;
}

}  // namespace

void EventMailbox::push(std::size_t choice, EngineEvent&& event) {
  try {
    const std::lock_guard lock(mutex_);
    if (!executor_ || overflowed_) return;
    const std::size_t bytes = bytes_of(event);
    if (items_.size() >= kMaxHeldEvents || (!items_.empty() && bytes_ + bytes > kMaxHeldBytes)) {
      overflowed_ = true;
      notified_ = false;  // it is worth a second call
    } else {
      bytes_ += bytes;
      items_.emplace_back(choice, std::move(event));
    }
    if (std::exchange(notified_, true)) return;
    boost::asio::post(*executor_, [self = shared_from_this()] {
      if (self->notify_) self->notify_();
    });
  } catch (const std::exception& failure) {  // out of memory; the sink must not throw
    log_error(std::string("an engine event was lost: ") + failure.what());
  }
}

std::vector<EventMailbox::Item> EventMailbox::take() {
  const std::lock_guard lock(mutex_);
  notified_ = false;
  bytes_ = 0;
  return std::exchange(items_, {});
}

bool EventMailbox::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

void EventMailbox::close() {
  const std::lock_guard lock(mutex_);
  executor_.reset();
  items_.clear();
  notify_ = nullptr;
}

}  // namespace bitcpm
