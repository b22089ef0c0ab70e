#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace bitcpm {

// Carries the events of one HTTP request from the engine's thread to the server's. Shared by both,
// since the engine may speak of a cancelled request after its connection is gone. Holds a bounded
// number of bytes: beyond, whoever should take them does not, and what comes is dropped.
class EventMailbox : public std::enable_shared_from_this<EventMailbox> {
 public:
  using Item = std::pair<std::size_t, EngineEvent>;  // choice index, event

  // `executor` is single-threaded: all but push() belongs to its thread. `overflow` runs on it, at
  // most once and not after close().
  EventMailbox(boost::asio::any_io_executor executor, std::function<void()> overflow)
      : executor_(std::move(executor)), overflow_(std::move(overflow)) {}

  void push(std::size_t choice, EngineEvent&& event);  // engine thread; drops what cannot be kept

  std::vector<Item> take();
  boost::asio::awaitable<void> wait();  // until there is something to take, or wake(); one waiter
  void wake();
  void close();  // from here on nothing is kept

 private:
  // To be moved by its constructor or swapped: in Boost 1.81 an assignment wraps what it moves.
  using Handler = boost::asio::any_completion_handler<void()>;

  void wait_with(Handler handler);
  void resume(Handler waiter);  // empty: nobody waited
  void post_overflow();

  const boost::asio::any_io_executor executor_;
  std::mutex mutex_;
  std::vector<Item> items_;
  std::size_t bytes_ = 0;  // of items_
  Handler waiter_;         // empty if nobody waits
  bool overflowed_ = false;
  bool closed_ = false;
  std::function<void()> overflow_;  // executor's thread only
};

}  // namespace bitcpm
