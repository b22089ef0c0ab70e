#include "server/disconnect_watch.h"

#include <poll.h>

#include <chrono>
#include <utility>

namespace bitcpm {
namespace asio = boost::asio;
using boost::system::error_code;

// Epoll reports readable for good once bytes of a next request wait; then the peer's leaving is
// asked for in this rhythm instead.
constexpr std::chrono::milliseconds kPollPeriod{250};

struct DisconnectWatch::State : std::enable_shared_from_this<State> {
  State(asio::ip::tcp::socket& watched, std::function<void()> callback)
      : socket(&watched), timer(watched.get_executor()), on_gone(std::move(callback)) {}

  void wait_readable() {
    socket->async_wait(asio::socket_base::wait_read,
                       [self = shared_from_this()](error_code) { self->look(); });
  }

  void look() {
    if (socket == nullptr) return;
    pollfd query{socket->native_handle(), POLLRDHUP, 0};
    const bool gone = !socket->is_open() || ::poll(&query, 1, 0) < 0 || query.revents != 0;
    if (gone) {
      socket = nullptr;
      return std::exchange(on_gone, nullptr)();
    }
    timer.expires_after(kPollPeriod);
    timer.async_wait([self = shared_from_this()](error_code) { self->look(); });
  }

  asio::ip::tcp::socket* socket;  // nullptr: over
  asio::steady_timer timer;
  std::function<void()> on_gone;
};

DisconnectWatch::DisconnectWatch(asio::ip::tcp::socket& socket, std::function<void()> on_gone)
    : state_(std::make_shared<State>(socket, std::move(on_gone))) {
  state_->wait_readable();
}

DisconnectWatch::~DisconnectWatch() {
  state_->socket = nullptr;
  state_->on_gone = nullptr;
  state_->timer.cancel();
}

}  // namespace bitcpm
