#include "server/event_mailbox.h"

#include <boost/asio/post.hpp>
#include <exception>

#include "base/log.h"

namespace bitcpm {

void EventMailbox::push(std::size_t choice, EngineEvent&& event) {
  try {
    const std::lock_guard lock(mutex_);
    if (!executor_) return;
    items_.emplace_back(choice, std::move(event));
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
  return std::exchange(items_, {});
}

void EventMailbox::close() {
  const std::lock_guard lock(mutex_);
  executor_.reset();
  items_.clear();
  notify_ = nullptr;
}

}  // namespace bitcpm
