#include "server/event_mailbox.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

#include "base/log.h"

namespace bitcpm {
namespace asio = boost::asio;

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
    Handler waiter;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || overflowed_) return;
      const std::size_t bytes = bytes_of(event);
      if (items_.size() >= kMaxHeldEvents || (!items_.empty() && bytes_ + bytes > kMaxHeldBytes)) {
        overflowed_ = true;
        return post_overflow();
      }
      bytes_ += bytes;
      items_.emplace_back(choice, std::move(event));
      waiter.swap(waiter_);
    }
    // Without the lock: it runs at once, and takes.
    resume(std::move(waiter));
  } catch (const std::exception& failure) {  // out of memory; the sink must not throw
    log_error(std::string("an engine event was lost: ") + failure.what());
  }
}

void EventMailbox::post_overflow() {
  asio::post(executor_, [self = shared_from_this()] {
    if (self->overflow_) self->overflow_();
  });
}

// The coroutine goes on in the very handler that is posted: one trip through the executor's queue
// per step of a stream.
void EventMailbox::resume(Handler waiter) {
  if (waiter) asio::post(executor_, std::move(waiter));
}

std::vector<EventMailbox::Item> EventMailbox::take() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(items_, {});
}

asio::awaitable<void> EventMailbox::wait() {
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this](auto handler) { wait_with(std::move(handler)); }, asio::use_awaitable);
}

void EventMailbox::wait_with(Handler handler) {
  {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return waiter_.swap(handler);
  }
  resume(std::move(handler));
}

void EventMailbox::wake() {
  Handler waiter;
  {
    const std::lock_guard lock(mutex_);
    waiter.swap(waiter_);
  }
  resume(std::move(waiter));
}

void EventMailbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  items_.clear();
  overflow_ = nullptr;
}

}  // namespace bitcpm
