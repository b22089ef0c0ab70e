#include "server/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <boost/beast/core/string.hpp>

namespace bitcpm {

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(digest(key));
}

ApiKeys::Digest ApiKeys::digest(std::string_view key) {
  Digest result;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), result.data());
  return result;
}

bool ApiKeys::accept(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  if (!boost::beast::iequals(authorization.substr(0, kScheme.size()), kScheme)) return false;
  const Digest given = digest(authorization.substr(kScheme.size()));
  bool found = false;
  for (const Digest& known : digests_) {
    found |= CRYPTO_memcmp(known.data(), given.data(), given.size()) == 0;
  }
  return found;
}

}  // namespace bitcpm
