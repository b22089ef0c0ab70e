#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "measure/http_client.h"

namespace bitcpm {

// What https needs to know whom to trust; nullptr for http. Errors: kInvalid (the ca_file).
Result<std::unique_ptr<boost::asio::ssl::context>> make_client_tls(const HttpBase& base);

// A fault of a connection, in a word or two.
std::string connection_error(const boost::system::error_code& error);

// The client's end of one connection, in the clear or under TLS.
class ClientConnection {
 public:
  // tls: must outlive it; nullptr: in the clear.
  ClientConnection(const boost::asio::any_io_executor& executor, boost::asio::ssl::context* tls);

  // Connects and shakes hands; what is not done within `patience` from now on, here or later, is
  // cut off. Returns what went wrong, empty if nothing did.
  boost::asio::awaitable<std::string> open(
      const HttpBase& base, const boost::asio::ip::tcp::resolver::results_type& endpoints,
      std::chrono::seconds patience);

  // use(stream), of the layer that carries HTTP.
  template <class Use>
  auto on_stream(Use&& use) {
    return tls_ ? use(*tls_) : use(tcp_);
  }

 private:
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace bitcpm
