#include "endpoint.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "base/quote.h"

namespace bitcpm {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

}  // namespace

void add_endpoint_flags(CLI::App& app, EndpointOptions& options, const std::string& url_flags) {
  app.add_option(url_flags, options.base_url,
                 "Where the server answers (default: http://127.0.0.1:8000)")
      ->type_name("URL");
  app.add_option("--model,--served-model-name", options.model,
                 "Name of the model there (default: the first of its /v1/models)")
      ->type_name("NAME");
  app.add_option("--api-key", options.api_key, "Bearer token (default: OPENAI_API_KEY, if set)")
      ->type_name("KEY");
  app.add_option("--cacert,--ca-cert", options.ca_file,
                 "PEM file of certificates that an https:// server may show, besides the system's")
      ->type_name("FILE");
  app.add_flag("--insecure,-k", options.insecure,
               "Take whatever certificate an https:// server shows");
}

Result<HttpBase> endpoint_base(const EndpointOptions& options) {
  BITCPM_ASSIGN(HttpBase base, parse_http_base(options.base_url));
  if (!base.is_https && (options.insecure || !options.ca_file.empty())) {
    return Error{
        Errc::kInvalid,
        base.text() + " shows no certificate: --cacert and --insecure are " + "for https://"};
  }
  base.ca_file = options.ca_file;
  base.verify = !options.insecure;
  return base;
}

std::string endpoint_key(const EndpointOptions& options) {
  if (!options.api_key.empty()) return options.api_key;
  const char* key = std::getenv("OPENAI_API_KEY");
  return key == nullptr ? "" : key;
}

Result<json::value> reply_json(const HttpBase& base, const HttpReply& reply) {
  if (reply.status != 200) {
    return Error{Errc::kIo, fmt::format("{}: HTTP {}: {}", base.text(), reply.status,
                                        escaped(reply.body, 300))};
  }
  auto value = parse_json(reply.body, {.max_bytes = std::size_t{64} << 20});
  if (!value.ok()) return std::move(value).error().within(base.text());
  return value;
}

Result<std::string> served_model(const HttpBase& base, const EndpointOptions& options) {
  if (!options.model.empty()) return options.model;
  BITCPM_ASSIGN(
      const HttpReply reply,
      http_call(
          base,
          {.method = "GET", .target = "/v1/models", .body = {}, .api_key = endpoint_key(options)},
          kPatience));
  BITCPM_ASSIGN(const json::value list, reply_json(base, reply));
  boost::system::error_code missing;
  const json::value* id = list.find_pointer("/data/0/id", missing);
  if (id == nullptr || !id->is_string()) {
    return Error{Errc::kCorrupt, base.text() + ": /v1/models lists no model; name one by --model"};
  }
  return std::string(id->as_string());
}

}  // namespace bitcpm
