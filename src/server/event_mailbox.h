#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
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

  // `notify` runs on `executor`, which is single-threaded, after events came and until close().
  EventMailbox(boost::asio::any_io_executor executor, std::function<void()> notify)
      : executor_(std::move(executor)), notify_(std::move(notify)) {}

  void push(std::size_t choice, EngineEvent&& event);  // engine thread; drops what cannot be kept
  std::vector<Item> take();                            // executor's thread
  bool overflowed() const;                             // for good
  void close();  // executor's thread; from here on nothing is kept and nobody is notified

 private:
  mutable std::mutex mutex_;
  std::vector<Item> items_;
  std::size_t bytes_ = 0;  // of items_
  bool overflowed_ = false;
  bool notified_ = false;
  std::optional<boost::asio::any_io_executor> executor_;  // empty once closed
  std::function<void()> notify_;                          // executor's thread only
};

}  // namespace bitcpm
