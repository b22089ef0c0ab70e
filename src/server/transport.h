#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitcpm {

// The bytes of one accepted connection, in the clear or under TLS. On the socket's thread.
class Transport {
 public:
  using Received = std::pair<boost::system::error_code, std::size_t>;

  // tls: of the server, which it must outlive; nullptr: in the clear.
  Transport(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls);

  // Before anything else; at once in the clear.
  boost::asio::awaitable<boost::system::error_code> handshake(std::chrono::milliseconds limit);

  // Whatever has not ended by then is cut off, until the next call.
  void expires_after(std::chrono::milliseconds limit) { tcp_.expires_after(limit); }
  boost::asio::awaitable<Received> read_some(boost::asio::mutable_buffer to);

  // All of `head`, then of `body`, within `limit`. What the kernel takes at once costs no timer and
  // no turn of the event loop.
  boost::asio::awaitable<boost::system::error_code> write(std::string_view head,
                                                          std::string_view body,
                                                          std::chrono::milliseconds limit);

  // Says that nothing more will come; the peer's bytes may still be read.
  boost::asio::awaitable<boost::system::error_code> finish(std::chrono::milliseconds limit);

  void cancel() { tcp_.cancel(); }
  void close() { tcp_.close(); }
  bool is_tls() const { return tls_.has_value(); }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  boost::asio::any_io_executor executor() { return tcp_.get_executor(); }
  std::string peer() const { return peer_; }  // "127.0.0.1:5050"

 private:
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
  std::string peer_;
};

}  // namespace bitcpm
