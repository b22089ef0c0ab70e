#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace bitcpm {

// Writes to standard output at once, past stdio's buffer: text appears as it is made. A reader that
// has gone away makes it false.
bool print(std::string_view text);

// One line to standard error, "bitcpm: " before it, control characters escaped.
void print_note(std::string_view line);

// "37.8 GB", "450.0 MB", "812 B": powers of 1000.
std::string human_bytes(std::size_t bytes);

// "433,873,920"
std::string with_commas(std::int64_t number);

// JSON for people and tools: two-space indentation, arrays of scalars on one line, numbers in their
// shortest round-trip spelling (null if not finite), no line break at the end.
std::string pretty_json(const json::value& value);

// The text with control characters as \xNN: fit for one line of a terminal.
std::string visible(std::string_view utf8);

// Errors: kInvalid, "`what` is not UTF-8 at byte N", counted from 0.
Status check_utf8(std::string_view text, std::string_view what);

// The text cut or padded with spaces to `width` terminal columns, wide (CJK) characters counting
// two.
std::string padded(std::string_view utf8, std::size_t width);

}  // namespace bitcpm
