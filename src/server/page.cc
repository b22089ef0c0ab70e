#include "server/page.h"

#include <algorithm>
#include <iterator>

// Begin and end of each file, from page_files.S.in.
extern "C" {
extern const char bitcpm_page_index[], bitcpm_page_index_end[];
extern const char bitcpm_page_css[], bitcpm_page_css_end[];
extern const char bitcpm_page_icon[], bitcpm_page_icon_end[];
extern const char bitcpm_page_metrics[], bitcpm_page_metrics_end[];
extern const char bitcpm_page_page[], bitcpm_page_page_end[];
extern const char bitcpm_page_stream[], bitcpm_page_stream_end[];
extern const char bitcpm_page_words[], bitcpm_page_words_end[];
}

namespace bitcpm {

const PageFile* find_page_file(std::string_view path) {
  constexpr std::string_view kScript = "text/javascript; charset=utf-8";
  static const PageFile kFiles[] = {
      {"/", "text/html; charset=utf-8", {bitcpm_page_index, bitcpm_page_index_end}},
      {"/page/page.css", "text/css; charset=utf-8", {bitcpm_page_css, bitcpm_page_css_end}},
      {"/page/icon.svg", "image/svg+xml", {bitcpm_page_icon, bitcpm_page_icon_end}},
      {"/page/metrics.js", kScript, {bitcpm_page_metrics, bitcpm_page_metrics_end}},
      {"/page/page.js", kScript, {bitcpm_page_page, bitcpm_page_page_end}},
      {"/page/stream.js", kScript, {bitcpm_page_stream, bitcpm_page_stream_end}},
      {"/page/words.js", kScript, {bitcpm_page_words, bitcpm_page_words_end}},
  };
  const auto* file = std::find_if(std::begin(kFiles), std::end(kFiles),
                                  [&](const PageFile& f) { return f.path == path; });
  return file == std::end(kFiles) ? nullptr : file;
}

}  // namespace bitcpm
