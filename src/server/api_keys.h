#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace bitcpm {

// Who may use the server. Keeps digests of the keys, not the keys.
class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool required() const { return !digests_.empty(); }

  // `authorization`: the header, "Bearer <key>". Takes the same time whichever byte differs,
  // whichever key it is compared with and however many match (CVE-2025-59425).
  bool accept(std::string_view authorization) const;

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256
  static Digest digest(std::string_view key);
  std::vector<Digest> digests_;
};

}  // namespace bitcpm
