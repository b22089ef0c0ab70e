#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"

namespace bitcpm {

// What `serve` presents to its clients; names as in vLLM's flags.
struct TlsConfig {
  std::string certfile;  // PEM: the certificate, then its chain; empty: no TLS
  std::string keyfile;   // PEM, not encrypted; empty: the key is in certfile
  std::string ca_certs;  // PEM: who may sign client certificates
  int cert_reqs = 0;     // client certificates: 0 none, 1 optional, 2 required (Python's ssl)
  std::string ciphers;   // OpenSSL's list, for TLS 1.2; empty: its default
};

// TLS 1.2 and 1.3. Errors: kInvalid, naming the file and OpenSSL's reason.
Result<std::unique_ptr<boost::asio::ssl::context>> make_tls_context(const TlsConfig& config);

}  // namespace bitcpm
