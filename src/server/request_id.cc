#include "server/request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace bitcpm {

std::string random_hex() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

bool is_request_id(std::string_view text) {
  constexpr std::size_t kMaxBytes = 128;
  constexpr std::string_view kMarks = "._-:+/=@";
  const auto is_plain = [&](char c) {
    const char lower = static_cast<char>(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(), is_plain);
}

}  // namespace bitcpm
