#include "server/tls.h"

#include <boost/asio/ssl/stream_base.hpp>
#include <exception>

namespace bitcpm {
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

namespace {

Error failure(const std::string& what, const std::string& file, const error_code& error) {
  return Error{Errc::kInvalid, what + " " + file + ": " + error.message()};
}

Status set_client_certificates(ssl::context& context, const TlsConfig& config) {
  error_code error;
  if (!config.ca_certs.empty()) {
    context.load_verify_file(config.ca_certs, error);
    if (error) return failure("--ssl-ca-certs", config.ca_certs, error);
  }
  const int mode = config.cert_reqs == 0   ? ssl::verify_none
                   : config.cert_reqs == 1 ? ssl::verify_peer
                                           : ssl::verify_peer | ssl::verify_fail_if_no_peer_cert;
  context.set_verify_mode(mode, error);
  if (error) return failure("--ssl-cert-reqs", std::to_string(config.cert_reqs), error);
  return {};
}

Status configure(ssl::context& context, const TlsConfig& config) {
  error_code error;
  context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                      ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 |
                      ssl::context::no_compression);
  SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);  // idle ones hold none
  // A key under a password would have OpenSSL ask the terminal for it.
  context.set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return std::string(); });
  if (!config.ciphers.empty() &&
      SSL_CTX_set_cipher_list(context.native_handle(), config.ciphers.c_str()) != 1) {
    return Error{Errc::kInvalid, "--ssl-ciphers: OpenSSL knows none of " + config.ciphers};
  }
  context.use_certificate_chain_file(config.certfile, error);
  if (error) return failure("--ssl-certfile", config.certfile, error);
  const std::string& keyfile = config.keyfile.empty() ? config.certfile : config.keyfile;
  context.use_private_key_file(keyfile, ssl::context::pem, error);
  if (error) return failure("--ssl-keyfile", keyfile, error);
  return set_client_certificates(context, config);
}

}  // namespace

Result<std::unique_ptr<ssl::context>> make_tls_context(const TlsConfig& config) {
  try {
    auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
    BITCPM_TRY(configure(*context, config));
    return context;
  } catch (const std::exception& failed) {
    return Error{Errc::kInvalid, std::string("cannot set up TLS: ") + failed.what()};
  }
}

}  // namespace bitcpm
