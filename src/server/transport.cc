#include "server/transport.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace bitcpm {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// What the kernel holds of an answer that its client does not read. Without a bound of ours it
// takes megabytes per connection (tcp_wmem).
constexpr int kSendBufferBytes = 256 << 10;

std::string address_of(const asio::ip::tcp::socket& socket) {
  error_code error;
  const asio::ip::tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "-";
  const bool is_v6 = peer.address().is_v6();
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", peer.address().to_string(), is_v6 ? "]" : "",
                     peer.port());
}

}  // namespace

Transport::Transport(asio::ip::tcp::socket socket, asio::ssl::context* tls)
    : tcp_(std::move(socket)), peer_(address_of(tcp_.socket())) {
  error_code ignored;
  tcp_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  tcp_.socket().set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
  tcp_.socket().non_blocking(true, ignored);
  if (tls != nullptr) tls_.emplace(tcp_, *tls);
}

asio::awaitable<error_code> Transport::handshake(std::chrono::milliseconds limit) {
  if (!tls_) co_return error_code();
  tcp_.expires_after(limit);
  const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kToken);
  co_return error;
}

asio::awaitable<Transport::Received> Transport::read_some(asio::mutable_buffer to) {
  if (tls_) {
    const auto [error, bytes] = co_await tls_->async_read_some(to, kToken);
    co_return Received(error, bytes);
  }
  const auto [error, bytes] = co_await tcp_.async_read_some(to, kToken);
  co_return Received(error, bytes);
}

asio::awaitable<error_code> Transport::write(std::string_view head, std::string_view body,
                                             std::chrono::milliseconds limit) {
  std::array<asio::const_buffer, 2> rest{asio::buffer(head), asio::buffer(body)};
  if (!tls_) {
    error_code error;
    std::size_t sent = tcp_.socket().send(rest, 0, error);
    if (error && error != asio::error::would_block) co_return error;
    for (asio::const_buffer& part : rest) {
      const std::size_t gone = std::min(sent, part.size());
      part += gone;
      sent -= gone;
    }
    if (asio::buffer_size(rest) == 0) co_return error_code();
  }
  tcp_.expires_after(limit);
  if (tls_) {
    const auto [error, bytes] = co_await asio::async_write(*tls_, rest, kToken);
    co_return error;
  }
  const auto [error, bytes] = co_await asio::async_write(tcp_, rest, kToken);
  co_return error;
}

asio::awaitable<error_code> Transport::finish(std::chrono::milliseconds limit) {
  error_code error;
  if (tls_) {  // close_notify; the answer to it is not waited for
    tcp_.expires_after(limit);
    const auto [failed] = co_await tls_->async_shutdown(kToken);
    error = failed;
  }
  error_code ignored;
  tcp_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  co_return error;
}

}  // namespace bitcpm
