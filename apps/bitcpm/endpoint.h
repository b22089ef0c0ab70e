#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "measure/http_client.h"

namespace bitcpm {

// Somebody's OpenAI-compatible server.
struct EndpointOptions {
  std::string base_url = "http://127.0.0.1:8000";
  std::string model;  // empty: the first that it lists
  std::string api_key;
  std::string ca_file;    // for https
  bool insecure = false;  // the same
};

// The URL under `url_flags`, --model or --served-model-name, --api-key, --cacert, --insecure.
void add_endpoint_flags(CLI::App& app, EndpointOptions& options, const std::string& url_flags);

// Where it is, and whom to trust there. Errors: kInvalid.
Result<HttpBase> endpoint_base(const EndpointOptions& options);

// --api-key, or the environment's OPENAI_API_KEY.
std::string endpoint_key(const EndpointOptions& options);

// The model to ask for. Errors: kIo, kCorrupt (no such list).
Result<std::string> served_model(const HttpBase& base, const EndpointOptions& options);

// A reply's JSON. Errors: kCorrupt, kIo (a status other than 200, with what the server says).
Result<json::value> reply_json(const HttpBase& base, const HttpReply& reply);

}  // namespace bitcpm
