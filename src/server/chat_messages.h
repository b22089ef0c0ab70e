#pragma once

#include <cstddef>
#include <string>

#include "base/json.h"
#include "server/field_reader.h"

namespace bitcpm {

inline constexpr std::size_t kMaxMessages = 4096;
inline constexpr std::size_t kMaxTools = 128;
inline constexpr std::size_t kMaxDocuments = 1024;

// "messages", checked and in the form that templates expect: roles, content as one string (text
// parts joined by line breaks, as vLLM does), tool calls with their arguments as objects.
// On a mistake `fields` has failed and the result means nothing.
json::array read_messages(FieldReader& fields);

// "tools" and "documents": lists of objects, checked as far as every template relies on. Empty if
// they are not given.
json::array read_tools(FieldReader& fields);
json::array read_documents(FieldReader& fields);

// Bytes of all strings within, keys included.
std::size_t text_bytes(const json::value& value);

}  // namespace bitcpm
