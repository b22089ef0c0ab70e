#include "measure/client_connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/error.hpp>
#include <exception>

namespace bitcpm {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// The certificate must be of this host, and a server of many is told which one is meant (RFC 6066,
// which allows no addresses).
void expect_host(SSL* session, const std::string& host) {
  X509_VERIFY_PARAM* wanted = SSL_get0_param(session);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1) return;
  X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size());
  SSL_set_tlsext_host_name(session, host.c_str());
}

std::string handshake_error(SSL* session, const error_code& error) {
  const long verdict = SSL_get_verify_result(session);
  const bool distrusted = error.category() == asio::error::get_ssl_category() &&
                          SSL_get_verify_mode(session) != SSL_VERIFY_NONE && verdict != X509_V_OK;
  if (!distrusted) return "no TLS: " + connection_error(error);
  return std::string("its certificate is not trusted: ") + X509_verify_cert_error_string(verdict) +
         " (--cacert FILE names one to trust, --insecure trusts any)";
}

}  // namespace

std::string connection_error(const error_code& error) {
  namespace http = beast::http;
  if (error == beast::error::timeout) return "no answer in time";
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == ssl::error::stream_truncated) {
    return "the server closed the connection";
  }
  return error.message();
}

Result<std::unique_ptr<ssl::context>> make_client_tls(const HttpBase& base) {
  if (!base.is_https) return std::unique_ptr<ssl::context>();
  try {
    auto context = std::make_unique<ssl::context>(ssl::context::tls_client);
    error_code error;
    context->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    context->set_verify_mode(base.verify ? ssl::verify_peer : ssl::verify_none, error);
    context->set_default_verify_paths(error);  // may be absent; then nothing there is trusted
    if (!base.ca_file.empty()) {
      context->load_verify_file(base.ca_file, error);
      if (error) {
        return Error{Errc::kInvalid, "--cacert " + base.ca_file + ": " + error.message()};
      }
    }
    return context;
  } catch (const std::exception& failed) {
    return Error{Errc::kInvalid, std::string("cannot set up TLS: ") + failed.what()};
  }
}

ClientConnection::ClientConnection(const asio::any_io_executor& executor, ssl::context* tls)
    : tcp_(executor) {
  if (tls != nullptr) tls_.emplace(tcp_, *tls);
}

asio::awaitable<std::string> ClientConnection::open(const HttpBase& base,
                                                    const tcp::resolver::results_type& endpoints,
                                                    std::chrono::seconds patience) {
  tcp_.expires_after(patience);
  if (const auto [error, at] = co_await tcp_.async_connect(endpoints, kToken); error) {
    co_return connection_error(error);
  }
  error_code ignored;
  tcp_.socket().set_option(tcp::no_delay(true), ignored);
  if (!tls_) co_return std::string();
  expect_host(tls_->native_handle(), base.host);
  const auto [error] = co_await tls_->async_handshake(ssl::stream_base::client, kToken);
  co_return error ? handshake_error(tls_->native_handle(), error) : std::string();
}

}  // namespace bitcpm
