#pragma once

#include <string_view>

namespace bitcpm {

// The chat page (assets/page), which is part of the program. It is plain files: nothing is built,
// and nothing is fetched from anywhere else.
struct PageFile {
  std::string_view path;  // as in a request line, without a query
  std::string_view content_type;
  std::string_view body;
};

// nullptr: not a file of the page. Any thread.
const PageFile* find_page_file(std::string_view path);

struct PageHeader {
  std::string_view name, value;
};

// What every file of the page is sent with. The policy allows it its own files and this server and
// nothing else, so that markup in an answer could neither run nor call home even if the page let it
// in; no-cache, because a new program brings a new page.
inline constexpr PageHeader kPageHeaders[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'; trusted-types 'none'"},
    {"Cache-Control", "no-cache"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
};

}  // namespace bitcpm
