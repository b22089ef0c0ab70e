#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

namespace bitcpm {

// Watches a socket that nobody reads from for its peer's leaving (end of stream or reset), without
// consuming a byte: a client may already have sent its next request. On the socket's thread.
// A client that only closes its sending side (`nc -N`) counts as gone: on the wire that is the same
// FIN as a close, and taking it for a half-close would compute answers nobody reads. vLLM's uvicorn
// does likewise.
class DisconnectWatch {
 public:
  // Calls `on_gone` at most once, never after the watch is destroyed. The socket may go earlier.
  DisconnectWatch(boost::asio::ip::tcp::socket& socket, std::function<void()> on_gone);
  ~DisconnectWatch();
  DisconnectWatch(const DisconnectWatch&) = delete;
  DisconnectWatch& operator=(const DisconnectWatch&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the pending wait, which may outlive the watch
};

}  // namespace bitcpm
