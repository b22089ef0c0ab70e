#pragma once

#include <string>
#include <string_view>

namespace bitcpm {

// 128 random bits in hexadecimal, as vLLM's ids. The server's thread.
std::string random_hex();

// Whether a client's X-Request-Id or request_id may go into a log, a header and an answer: 1 to 128
// characters of A-Z a-z 0-9 . _ - : and +/=@.
bool is_request_id(std::string_view text);

}  // namespace bitcpm
